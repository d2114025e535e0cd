from __future__ import annotations

import base64
from pathlib import Path

import pytest

from netclnt.errors import HostKeyChanged
from netclnt.sftp.address import Parent
from netclnt.sftp.hosttrust import HostTrust
from netclnt.sftp.identity import Login
from netclnt.sftp.shown import ShownKey

KEY = base64.b64encode(b"\0\0\0\x0bssh-ed25519" + bytes(36)).decode()
SHOWN = ShownKey("master.example", "ssh-ed25519", base64.b64decode(KEY))


def test_D21_a_key_revoked_in_another_file_is_never_written_into_the_slaves_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the slave has a file of its own, that alone counts: the revocation would be lost with the user's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    others = tmp_path / ".ssh" / "known_hosts"
    trust = HostTrust(Parent("master.example", "/store"), Login(), SHOWN, path=tmp_path / "own")
    for line in ("", f"master.example ssh-ed25519 {KEY[:-8]}AAAAAAAB\n"):
        others.write_text(line)
        assert trust.text(replace=True) == f"master.example ssh-ed25519 {KEY}\n"
    others.write_text(f"@revoked * ssh-ed25519 {KEY}\n")
    for replace in (False, True):
        with pytest.raises(HostKeyChanged):
            trust.text(replace=replace)
