"""The examples of netclnt(1), run one after the other on one host that is master and slave, and the files that this leaves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.documents import LITERAL, man_page
from tests.support.images import content
from tests.support.site import DEADLINE, NETCLNT, Place, Site
from tests.support.sshd import Sshd

pytestmark = pytest.mark.slow  # a whole day of an admin's

NEEDED = ("bash", "jq", "zstd", "xargs", "logger")
SENT = "sent"


def section(heading: str) -> str:
    return man_page("netclnt.1").split(f"\n.Sh {heading}\n")[1].split("\n.Sh ")[0]


def lines() -> Iterator[str]:
    for block in LITERAL.findall(section("EXAMPLES")):
        yield from block.replace("\\e\n", "").replace("\\e", "\\").splitlines()


@pytest.fixture
def host(sshd: Sshd, tmp_path: Path) -> Site:
    """What the examples take for granted: something to publish, a key that the master lets in, a post office."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {missing}")
    site = Site(tmp_path, sshd, Place("", "store"))
    programs = site.directory / "bin"
    programs.mkdir()
    for name, call in {"netclnt": f'exec {" ".join(NETCLNT)} "$@"', "mail": f"cat > {SENT}"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{call}\n")
        (programs / name).chmod(0o755)
    site.put("debian12.ext4", content("1", 300_000))
    subprocess.run(
        ["zstd", "-q", site.put("module", content("2", 300_000)), "-o", site.directory / "debian12.ext4.zst"], check=True
    )
    (site.source / "pxe").mkdir()
    (site.source / "pxe" / "kernel").write_bytes(content("kernel", 10_000))
    (site.directory / "usb").mkdir()
    site.environment |= {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "NETCLNT_CONFIG": str(site.directory / "config.toml"),
        "NETCLNT_STATE": str(site.directory / "state"),
        "NETCLNT_IDENTITY": str(sshd.identity),
        "NETCLNT_KNOWN_HOSTS": str(sshd.known_hosts),
    }
    return site


def here(line: str, site: Site) -> str:
    """The example with this test's places."""
    for there, place in {
        "/srv/netclnt/store": site.store,
        "/srv/images": site.root,
        "/build": site.source,
        "/mnt/usb": site.directory / "usb",
        "sftp://netclnt-read@master.example.com/store": site.parent,
    }.items():
        line = line.replace(there, str(place))
    return re.sub(r"> /(?:etc|usr)/[\w/.-]*/", "> ", line)


def change(site: Site) -> None:
    """So that there is something to tell and to bring."""
    (site.source / "pxe" / "kernel").write_bytes(os.urandom(10_000))
    for words in (["pxe", "--name", "boot/debian12"], ["module", "--kind", "software"]):
        call = [*NETCLNT, "-q", "publish", *words]
        subprocess.run(call, env=site.environment, cwd=site.source, check=True, stdout=subprocess.DEVNULL)


def test_the_examples_run_and_leave_only_files_that_are_told_of(host: Site) -> None:
    run = partial(subprocess.run, env=host.environment, cwd=host.directory, capture_output=True, text=True, timeout=DEADLINE)
    shown = list(lines())
    assert len(shown) >= 15
    for line in shown:
        if "sync --dry-run" in line or "netclnt diff" in line:
            change(host)
        done = run(["bash", "-o", "pipefail", "-c", here(line, host)], check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert (host.directory / SENT).read_text()
    assert not untold(host)


def untold(site: Site) -> set[str]:
    """Files of state and store that FILES says nothing of."""
    told = {name for line in re.findall(r"^\.It Pa (.*)$", section("FILES"), re.MULTILINE) for name in line.split(" , ")}
    places = {"STATE": site.directory / "state", "STORE": site.store}
    return {f"{name}/{path.name}" for name, place in places.items() for path in place.iterdir()} - told
