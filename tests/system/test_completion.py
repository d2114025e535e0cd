"""Completion as it comes out of the shells themselves: what netclnt is called with after a Tab."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from netclnt.cli.completing import SHELLS, script
from tests.support.images import content
from tests.support.shells import shell
from tests.support.site import Site

pytestmark = pytest.mark.slow  # a site, and dozens of starts

ODD = {
    "my": "my image (1).img",
    "it": "it's",
    "sa": 'say "so"',
    "do": "do$lar",
    "bo": "boot/x,y",
    "a": "a;b&c",
    "gr": "größe",
}
"""Names, by what is typed of them, that a shell would take for something else if they were not quoted."""

WORDS = [
    ("netclnt li", ["list"]),
    ("netclnt sync --dry", ["sync", "--dry-run"]),
    ("netclnt publish --kind=so", ["publish", "--kind=software"]),
    ("netclnt sync --transport op", ["sync", "--transport", "openssh"]),
    ("netclnt service inst", ["service", "install"]),
    ("netclnt --profile ni", ["--profile", "night"]),
    ("netclnt --profile=ni", ["--profile=night"]),
    ("netclnt list kind:so", ["list", "kind:software"]),
    ("netclnt list ki", ["list", "kind:"]),
    ("netclnt list 'my", ["list", "my image (1).img"]),
    ('netclnt list "my', ["list", "my image (1).img"]),
    ("netclnt list my\\ im", ["list", "my image (1).img"]),
    ('netclnt list "do', ["list", "do$lar"]),
    ("netclnt publish some-f", ["publish", "some-file"]),
    ("netclnt init slave --seed=some-d", ["init", "slave", "--seed=some-dir"]),
    ("netclnt sync --from-file some-f", ["sync", "--from-file", "some-file"]),
    ("netclnt no-such-command x", ["no-such-command", "x"]),
]


@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_completes_words_as_they_are_meant(name: str, make_site: Callable[..., Site]) -> None:
    site = make_site("store")
    for image in ("debian12.ext4", "debian12.old", *ODD.values()):
        site.publish(site.put("file", content(image, 1000)), "--name", image)
    site.publish(site.put("file", content("second", 1000)), "--name", "debian12.ext4")
    site.sync("!debian12.old")
    config = site.config("slave")
    config.write_text(config.read_text() + "\n[profile.night.slave]\nkeep = 2\n")
    (site.directory / "some-file").touch()
    (site.directory / "some-dir").mkdir()

    with shell(name, site.directory, site.environment_of("slave")) as at:
        for line, wanted in WORDS:
            words = at.completed(line)
            assert [word.removesuffix("/") for word in words] == wanted, line  # zsh takes the slash away again
        for typed, image in ODD.items():
            assert at.completed(f"netclnt list {typed}") == ["list", image]
        assert at.completed("netclnt show deb") == ["show", "debian12.ext4"], "what is not held is not shown"
        assert at.completed("netclnt sync debian12.o") == ["sync", "debian12.old"], "but may be brought"


@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_completes_what_a_master_offers(name: str, make_site: Callable[..., Site]) -> None:
    site = make_site("sqlite")
    for image in ("debian12.ext4", "debian12.ext4", "debian12.old", "boot"):
        site.publish(site.put("file", content(f"{image}{site.published}", 1000)), "--name", image)
    with shell(name, site.directory, site.environment_of("master")) as at:
        assert at.completed("netclnt show debian12.e") == ["show", "debian12.ext4"]
        assert at.completed("netclnt promote bo") == ["promote", "boot@"]
        assert at.completed("netclnt promote boot@") == ["promote", "boot@1"]
        assert at.completed("netclnt retire bo") == ["retire", "boot"]
        assert at.completed("netclnt retire debian12.ext4@2") == ["retire", "debian12.ext4@2"]
        at.offered("netclnt promote debian12.ext4@", "2", "1")


def test_the_script_for_bash_is_sound() -> None:
    done = subprocess.run(["shellcheck", "-s", "bash", "-"], input=script("bash"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
