"""D18: a login that the master does not take, or not any more: AUTH, at once, and not tried again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.oracle import Oracle, oracle
from tests.support.site import TRANSPORTS, Site
from tests.support.sshd import Sshd

pytestmark = pytest.mark.slow

MakeSite = Callable[..., Site]
MakeSshd = Callable[..., Sshd]
SHADOW = Path("/etc/shadow")


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def refused(watch: Oracle, *flags: str | Path) -> str:
    """Why; nothing but that is told, and nothing is fetched."""
    run = watch.sync("--retry-budget", "60", *flags)
    assert run.code == 6, run
    assert not run.of("retry")
    assert not run.of("plan")
    message: str = run.one("error")["message"]
    return message


def test_D18_P9_a_strange_key_one_that_others_may_read_and_none(
    transport: str, make_site: MakeSite, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    site = make_site(transport=transport)
    site.publish(site.put("image", b"content"))
    key = tmp_path / "key"
    with oracle(site, request) as watch:
        assert "refuses user" in refused(watch, "--identity", site.sshd.stranger)
        key.write_bytes(site.sshd.identity.read_bytes())
        key.chmod(0o644)
        assert "0600" in refused(watch, "--identity", key)
        assert "none" in refused(watch, "--identity", tmp_path / "none")
        key.chmod(0o600)
        assert watch.sync("--identity", key).code == 0


@pytest.fixture
def expiring(make_sshd: MakeSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    """A server with PAM for which, and for nobody else, the password of whoever runs the tests has expired."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or not Path("/etc/pam.d/sshd").exists():
        pytest.skip("needs root, unshare and PAM")
    shadow = tmp_path / "shadow"
    shadow.touch(0o600)
    shadow.write_text(re.sub(r"^(root:[^:]*):[^:]*:", r"\1:0:", SHADOW.read_text(), flags=re.MULTILINE))
    real = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    bind = f"mount --bind {shadow} {SHADOW}"
    if real is None or subprocess.run(["unshare", "-m", "sh", "-c", bind], check=False, capture_output=True).returncode:
        pytest.skip("needs sshd, and to mount in a name space of its own")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/sshd"
    program.write_text(f'#!/bin/sh\nexec unshare -m sh -c \'{bind} && exec {real} "$@"\' sh "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return make_sshd(["UsePAM yes"])


def test_D18_P9_a_password_that_has_expired(
    transport: str, expiring: Sshd, make_site: MakeSite, request: pytest.FixtureRequest
) -> None:
    """The key is right, and the server lets it in for nothing but a new password: it tells so, and hangs up."""
    site = make_site(transport=transport)
    site.publish(site.put("image", b"content"))
    there = f"sftp://{expiring.user}@127.0.0.1:{expiring.port}{site.store}"
    with oracle(site, request) as watch:
        flags = ("--parent", there, "--known-hosts", expiring.known_hosts, "--identity", expiring.identity)
        assert "password" in refused(watch, *flags)
