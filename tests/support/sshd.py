"""A private, real sshd on a free loopback port, in a temporary directory, stopped by process id.

``start()`` for scripts, the fixtures ``sshd`` (one for the session) and ``make_sshd`` (others, with options) for tests.
It logs in whoever runs it, with its own keys only, and runs as root or not.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

START_SECONDS = 20
HOST = "127.0.0.1"
PRIVILEGE_SEPARATION = Path("/run/sshd")


class Missing(Exception):
    """sshd or ssh-keygen is not installed."""


@dataclass(eq=False)
class Sshd:
    """One running server. ``identity`` is the private key that may log in, ``stranger`` one that may not; ``log`` its log."""

    process: subprocess.Popen[bytes]
    directory: Path
    port: int
    user: str

    @property
    def identity(self) -> Path:
        return self.directory / "client"

    @property
    def stranger(self) -> Path:
        return self.directory / "stranger"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    @property
    def host_public_key(self) -> str:
        """Type and base64 of the host key, without a comment."""
        return " ".join((self.directory / "host.pub").read_text().split()[:2])

    @property
    def fingerprint(self) -> str:
        printed = subprocess.run(["ssh-keygen", "-lf", self.directory / "host.pub"], capture_output=True, text=True, check=True)
        return printed.stdout.split()[1]

    @property
    def log(self) -> str:
        return (self.directory / "sshd.log").read_text(errors="replace")

    def url(self, path: Path | str) -> str:
        return f"sftp://{self.user}@{HOST}:{self.port}{path}"

    def sessions(self) -> list[int]:
        """Process ids of all connections' processes: the server's descendants."""
        return descendants(self.process.pid)

    def signal_sessions(self, number: signal.Signals) -> None:
        for pid in self.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def occupied(self) -> contextlib.ExitStack:
        """Holds, until it is closed, the one connection that a server with ``MaxStartups 1`` lets begin at a time."""
        with contextlib.ExitStack() as pending:
            greeted = False
            while not greeted:  # the look whether the server is up counts as one of its connections for some moments
                first = pending.enter_context(socket.create_connection((HOST, self.port)))
                greeted = first.recv(100).startswith(b"SSH-")
            return pending.pop_all()

    def stop(self) -> None:
        sessions = self.sessions()
        self.process.kill()
        self.process.wait()
        for pid in sessions:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *descendants(child)]
    return found


@contextlib.contextmanager
def start(options: Sequence[str] = (), *, sftp: bool = True, key_options: str = "") -> Iterator[Sshd]:
    """Run a server. ``options`` are lines that go before the defaults, so they win; ``key_options`` go before the client's
    key in ``authorized_keys``; without ``sftp`` there is no such subsystem. Raises Missing."""
    program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None or shutil.which("ssh-keygen") is None:
        raise Missing("OpenSSH's server (openssh-server)")
    if os.geteuid() == 0:
        PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="netclnt-sshd-") as name:
        directory = Path(name)
        _write_keys(directory, key_options)
        server = _launch(program, directory, options, sftp=sftp)
        try:
            yield server
        finally:
            server.stop()


def _write_keys(directory: Path, key_options: str) -> None:
    for key in ("host", "client", "stranger"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"netclnt test {key}", "-f", directory / key]
        subprocess.run(command, check=True)
    public = (directory / "client.pub").read_text()
    (directory / "authorized_keys").write_text(f"{key_options} {public}".lstrip())


def _launch(program: str, directory: Path, options: Sequence[str], *, sftp: bool) -> Sshd:
    for _ in range(5):  # another process may take the port between our look and the server's bind
        port = _free_port()
        config = directory / "sshd_config"
        config.write_text("\n".join([*options, *_defaults(directory, port, options, sftp=sftp)]) + "\n")
        with (directory / "sshd.log").open("wb") as log:
            command = [program, "-D", "-e", "-f", str(config)]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        server = Sshd(process, directory, port, getpass.getuser())
        server.known_hosts.write_text(f"[{HOST}]:{port} {server.host_public_key}\n")
        if _answers(server):
            return server
    raise AssertionError(f"sshd does not start: {server.log}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _defaults(directory: Path, port: int, options: Sequence[str], *, sftp: bool) -> list[str]:
    often = [] if any("MaxStartups" in option for option in options) else ["MaxStartups 100"]  # here the last line wins
    return [
        *often,
        f"Port {port}",
        f"ListenAddress {HOST}",
        f"HostKey {directory / 'host'}",
        f"AuthorizedKeysFile {directory / 'authorized_keys'}",
        f"PidFile {directory / 'sshd.pid'}",
        "StrictModes no",
        "UsePAM no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin yes",
        "PrintMotd no",
        *(["Subsystem sftp internal-sftp"] if sftp else []),
    ]


def _answers(server: Sshd) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while server.process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection((HOST, server.port), timeout=1):
            return True
        time.sleep(0.02)
    server.stop()
    return False


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    """A server with all defaults, shared by all tests: leave it running and its sessions alone."""
    try:
        with start() as server:
            yield server
    except Missing as error:
        pytest.skip(f"{error} is not installed")


@pytest.fixture
def make_sshd() -> Iterator[Callable[..., Sshd]]:
    """Starts servers of the test's own, with the arguments of :func:`start`."""
    with contextlib.ExitStack() as servers:

        def make(options: Sequence[str] = (), *, sftp: bool = True, key_options: str = "") -> Sshd:
            try:
                return servers.enter_context(start(options, sftp=sftp, key_options=key_options))
            except Missing as error:
                pytest.skip(f"{error} is not installed")

        yield make
