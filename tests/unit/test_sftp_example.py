"""The example of a locked account, as sshd itself reads and keeps it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from netclnt.errors import NetclntError
from netclnt.sftp import open_source, parse_parent
from tests.support.sshd import Sshd

EXAMPLE = Path(__file__).parents[2] / "examples" / "sshd_config.netclnt"


def account_options() -> list[str]:
    """The lines of the example's account, without the two places that a test must choose itself."""
    block = EXAMPLE.read_text().split("Match User netclnt-read\n")[1].split("\nMatch all\n")[0]
    lines = [line.strip() for line in block.splitlines() if line.strip() and not line.strip().startswith("#")]
    return [line for line in lines if not line.startswith(("ChrootDirectory", "AuthorizedKeysFile"))]


@pytest.fixture
def locked(make_sshd) -> Sshd:
    """A server whose only account is locked as in the example (with chroot where we are root)."""
    if os.geteuid() != 0:
        pytest.skip("only root may chroot")
    return make_sshd([*account_options(), "ChrootDirectory /"], key_options="restrict")


def test_sshd_accepts_the_whole_file(sshd):
    command = [sshd.process.args[0], "-t", "-f", EXAMPLE, "-h", sshd.directory / "host"]
    assert subprocess.run(command, capture_output=True, text=True).stderr == ""


@pytest.mark.parametrize("transport", ["paramiko", "openssh"])
def test_the_locked_account_serves_a_store(locked, tmp_path, transport):
    (tmp_path / "HEAD").write_bytes(b"head")
    source = open_source(
        parse_parent(locked.url(tmp_path)),
        transport=transport,
        identity=locked.identity,
        known_hosts=locked.known_hosts,
        retry_budget=0,
    )
    try:
        assert source.read_file("HEAD", limit=10) == b"head"
        with pytest.raises(NetclntError):
            source.read_file("absent", limit=10)
    finally:
        source.close()


def test_the_locked_account_can_neither_write_nor_run_nor_forward(locked, tmp_path):
    options = ["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i", str(locked.identity)]
    options += ["-o", f"UserKnownHostsFile={locked.known_hosts}", "-o", "ExitOnForwardFailure=yes"]
    target = f"{locked.user}@127.0.0.1"
    put = subprocess.run(
        ["sftp", *options, "-P", str(locked.port), "-b", "-", target],
        input=f"put {EXAMPLE} {tmp_path}/written\n",
        text=True,
        capture_output=True,
    )
    assert re.search("Permission denied", put.stderr)
    subprocess.run(
        ["ssh", *options, "-p", str(locked.port), target, f"touch {tmp_path}/ran"], stdin=subprocess.DEVNULL, capture_output=True
    )
    forward = ["ssh", *options, "-p", str(locked.port), "-N", "-R", "0:127.0.0.1:1", target]
    assert subprocess.run(forward, stdin=subprocess.DEVNULL, capture_output=True, timeout=20).returncode != 0
    assert list(tmp_path.iterdir()) == []
