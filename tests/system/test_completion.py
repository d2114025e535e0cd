"""Completion as it comes out of the shells themselves: what netclnt is called with after a Tab."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from netclnt.cli.completing import SHELLS, script
from netclnt.ledger import Held, Ledger
from netclnt.model import Kind
from tests.support.shells import shell
from tests.support.site import NETCLNT

CONFIG = """
[master]
store = "{0}/store"
state = "{0}/master-state"
[slave]
name = "s"
catalog = "store"
parent = "sftp://u@h/d"
root = "{0}/root"
state = "{0}/state"
[profile.night.slave]
keep = 0
"""

NAMES = {
    "my": "my image (1).img",
    "it": "it's",
    "sa": 'say "so"',
    "do": "do$lar",
    "bo": "boot/x,y",
    "a": "a;b&c",
    "gr": "größe",
}
"""Images held, by what is typed of their names: a shell would take them for something else if they were not quoted."""

WORDS = [
    ("netclnt li", ["list"]),
    ("netclnt sync --dry", ["sync", "--dry-run"]),
    ("netclnt --profile=ni", ["--profile=night"]),
    ("netclnt list kind:so", ["list", "kind:software"]),
    ("netclnt list ki", ["list", "kind:"]),
    ("netclnt list 'my", ["list", "my image (1).img"]),
    ('netclnt list "do', ["list", "do$lar"]),
    ("netclnt list my\\ im", ["list", "my image (1).img"]),
    ("netclnt publish some-f", ["publish", "some-file"]),
    ("netclnt init slave --seed=some-d", ["init", "slave", "--seed=some-dir"]),
    ("netclnt promote kern", ["promote", "kernel@"]),
    ("netclnt promote kernel@", ["promote", "kernel@1"]),
    ("netclnt no-such-command x", ["no-such-command", "x"]),
]


@pytest.fixture
def host(tmp_path: Path) -> dict[str, str]:
    """The environment on one that holds such images, and offers ``kernel``."""
    for directory in ("root", "state", "some-dir"):
        (tmp_path / directory).mkdir()
    (tmp_path / "some-file").write_text("x")
    (tmp_path / "config.toml").write_text(CONFIG.format(tmp_path))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "NETCLNT_CONFIG": str(tmp_path / "config.toml"),
    }
    with Ledger(tmp_path / "state" / "ledger.sqlite") as ledger:
        for name in NAMES.values():
            ledger.record(Held(name, Kind.IMAGE, 1, "ab" * 32, False, 1, "cd" * 32, 1, "2026-11-23T20:00:00Z"), {})
    for words in (["init", "master"], ["publish", "some-file", "--name", "kernel"]):
        subprocess.run([*NETCLNT, "-q", *words], env=environment, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    return environment


@pytest.mark.slow
@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_completes_words_as_they_are_meant(name: str, host: dict[str, str], tmp_path: Path) -> None:
    with shell(name, tmp_path, host) as at:
        for line, wanted in WORDS:
            words = at.completed(line)
            assert [word.removesuffix("/") for word in words] == wanted, line  # zsh takes the slash away again
        for typed, image in NAMES.items():
            assert at.completed(f"netclnt list {typed}") == ["list", image]


def test_the_script_for_bash_is_sound() -> None:
    done = subprocess.run(["shellcheck", "-s", "bash", "-"], input=script("bash"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
