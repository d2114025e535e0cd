"""``netclnt trust-host`` against a real sshd, with both transports (faults D19 to D21)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.site import TRANSPORTS, Run, Site, good
from tests.support.sshd import HOST, Sshd

MakeSite = Callable[..., Site]


@pytest.fixture(params=TRANSPORTS)
def site(request: pytest.FixtureRequest, make_site: MakeSite) -> Site:
    """A slave that knows no host key."""
    return make_site("store", transport=request.param, known_hosts=None)


def trust(site: Site, *words: str | Path) -> Run:
    return site.slave("trust-host", *words)


def name(site: Site) -> str:
    return f"[{HOST}]:{site.port}"


def test_D19_it_shows_the_key_and_pins_it_only_with_its_fingerprint(site: Site, sshd: Sshd) -> None:
    known, shown = site.state / "known_hosts", [sshd.fingerprint, "ssh-ed25519"]
    assert good(trust(site)).rows == [[*shown, "unknown"]]
    wrong = trust(site, "SHA256:" + "A" * 43)
    assert wrong.code == 6
    assert sshd.fingerprint in wrong.err
    assert trust(site, "not one").code == 2
    assert not known.exists()
    site.publish(site.put("image", b"content"))
    assert site.slave("sync").code == 6
    assert good(trust(site, sshd.fingerprint)).rows == [[*shown, "trusted"]]
    assert known.read_text() == f"{name(site)} {sshd.host_public_key}\n"
    site.sync()
    inode = known.stat().st_ino
    assert good(trust(site, sshd.fingerprint)).rows == good(trust(site)).rows == [[*shown, "trusted"]]
    assert known.stat().st_ino == inode, "written again"


def test_D20_a_changed_key_is_trusted_only_with_a_word_of_its_own(site: Site, sshd: Sshd) -> None:
    known = site.state / "known_hosts"
    old = (sshd.directory / "stranger.pub").read_text()
    before = f"# ours\nother.example {old}{name(site)} {old}"
    known.write_text(before)
    assert good(trust(site)).rows[0][2] == "changed"
    refused = trust(site, sshd.fingerprint)
    assert refused.code == 6
    assert f"netclnt trust-host --replace {sshd.fingerprint}" in refused.err
    assert known.read_text() == before
    good(trust(site, sshd.fingerprint, "--replace"))
    assert known.read_text() == f"# ours\nother.example {old}{name(site)} {sshd.host_public_key}\n"
    site.publish(site.put("image", b"content"))
    site.sync()


def test_D19_what_is_no_fingerprint_is_refused_before_the_server_is_asked(site: Site, sshd: Sshd) -> None:
    with socket.create_server((HOST, 0)) as listening:
        address = f"sftp://{sshd.user}@{HOST}:{listening.getsockname()[1]}{site.store}"
        refused = trust(site, "SHA256:short", "--parent", address, "--timeout", "2")
        assert (refused.code, "not a fingerprint" in refused.err) == (2, True)
        listening.settimeout(0)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_D21_an_admins_own_lines_stay_as_they_are_byte_for_byte(site: Site, sshd: Sshd) -> None:
    known = site.state / "known_hosts"
    old = (sshd.directory / "stranger.pub").read_bytes().split(b" netclnt")[0]
    ours = b"# B\xfcro, \xe9crit \x85 par nous\r\nother.example " + old + b" J\xfcrgen\x0c\xe2\x80\xa8!\r\n"
    known.write_bytes(ours + name(site).encode() + b" " + old + b"\r\n")
    good(trust(site, sshd.fingerprint, "--replace"))
    assert known.read_bytes() == ours + f"{name(site)} {sshd.host_public_key}\n".encode()


def test_D21_neither_a_revoked_key_nor_a_line_of_others_is_replaced(site: Site, sshd: Sshd) -> None:
    known = site.state / "known_hosts"
    old = (sshd.directory / "stranger.pub").read_text()
    for line, code in ((f"@revoked * {sshd.host_public_key}\n", 6), (f"other.example,{name(site)} {old}", 2)):
        known.write_text(line)
        assert trust(site, sshd.fingerprint, "--replace").code == code
        assert known.read_text() == line


def test_a_key_of_the_config_is_changed_in_the_config(site: Site, sshd: Sshd) -> None:
    good(site.slave("init", "slave", "--force", "--host-key", "SHA256:" + "A" * 43))
    assert good(trust(site)).rows[0][2] == "changed"
    refused = trust(site, sshd.fingerprint, "--replace")
    assert refused.code == 2
    assert f"netclnt init slave --force --host-key {sshd.fingerprint}" in refused.err
    good(site.slave("init", "slave", "--force", "--host-key", sshd.fingerprint))
    assert good(trust(site)).rows[0][2] == "trusted"


def test_D3_D4_a_server_that_is_away_or_silent_is_TEMP(site: Site) -> None:
    with socket.create_server((HOST, 0)) as silent:
        parent = f"sftp://nobody@{HOST}:{silent.getsockname()[1]}/store"
        assert trust(site, "--parent", parent, "--timeout", "1").code == 5
    assert trust(site, "--parent", parent, "--timeout", "1").code == 5


def test_D21_the_known_type_of_key_is_asked_for(site: Site, make_sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    """Else a server with a new key of a better type would seem changed. One that this ssh does not know is no trouble."""
    server = make_sshd()
    parent = f"sftp://nobody@{HOST}:{server.port}/store"
    known = tmp_path / "known"
    place = f"[{HOST}]:{server.port}"
    other = "AAAAB3NzaC1yc2EAAAADAQABAAAAQQ=="
    keys = [*(f"{kind} {other}" for kind in ("ssh-rsa", "ssh-dss", "ssh-xyz")), server.host_public_key]
    known.write_text("".join(f"{place} {key}\n" for key in keys))
    assert good(trust(site, "--parent", parent, "--known-hosts", known)).rows[0][2] == "trusted"
