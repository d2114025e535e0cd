"""SFTP over the system's ``ssh`` with all its configuration (jump hosts, certificates, hardware keys): a child on a pipe."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from netclnt.child import Child
from netclnt.errors import (
    BadArgument,
    HostKeyChanged,
    HostKeyUnknown,
    IdentityFileUnusable,
    Incompatible,
    LineBroken,
    LoginRefused,
    NetclntError,
    Unreachable,
)
from netclnt.sftp import hostkeys, identity
from netclnt.sftp.address import Parent
from netclnt.sftp.algorithms import HOST_KEYS
from netclnt.sftp.identity import Login
from netclnt.sftp.transport import CLOSED, EXPIRED, WHAT

_PIPE = 1024 * 1024
_LINE = 4096
_LINES = 200
_ENDING = 5
_PASSING = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EIO)
"""Why a program that is there may not start just now."""

_OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "FingerprintHash=sha256",
    "Ciphers=^aes128-gcm@openssh.com",
    "Compression=no",
    "ConnectionAttempts=1",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "ControlMaster=no",  # a shared connection would be no second one, and could outlive us
    "ControlPath=none",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "LogLevel=DEBUG1",  # tells the host key's fingerprint and whether the login succeeded
)
_PINNED = 'test "$1" != "$2" || echo "$3 $4 $5"'

_FINGERPRINT = re.compile(r"debug1: Server host key: \S+ (SHA256:\S+)")
_NOISE = re.compile(r"debug\d: |Warning: |OpenSSH_|Authenticated to |\s*$")
_BAD_KEY = re.compile(r'Load key "[^"]*": (?P<cause>.*)')
_KEY_ACCEPTED = re.compile(r"debug1: Server accepts key: ")
_UNKNOWN = re.compile(r"No \S+ host key is known for|Host key verification failed")
_CHANGED = re.compile(r"REMOTE HOST IDENTIFICATION HAS CHANGED|REVOKED HOST KEY|[Hh]ost key .* revoked")
_REFUSED = re.compile(r"Permission denied|Too many authentication failures")
_ALGORITHMS = re.compile(r"Unable to negotiate with|no matching|Protocol major versions differ|Invalid key length")
_NO_SUBSYSTEM = re.compile(r"subsystem request failed")
_OPTION = re.compile(r"Bad configuration option: *(.*)|Bad SSH2 cipher spec '?([^'.]*)")


class OpensshTransport:
    """A :class:`~netclnt.sftp.transport.Transport`. :meth:`open` only starts the child: what keeps it from logging in is
    known, and raised, with the first :meth:`receive`. ``timeout`` in seconds is ssh's own for connecting."""

    def __init__(self, parent: Parent, login: Login, *, timeout: float, program: str = "ssh") -> None:
        self._parent = parent
        self._address = str(parent)
        self._login = login
        self._timeout = timeout
        self._program = program
        self._closed = False
        self._child: Child | None = None
        self._chatter: _Chatter | None = None
        self._in_call = threading.Lock()
        self._heard = False

    def open(self) -> None:
        if self._login.identity is not None:
            identity.check_identity(self._login.identity)
        identity.read_known_hosts(self._login.known_hosts_files)
        command = ssh_command(self._parent, self._login, timeout=self._timeout, program=self._program)
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            self._child = Child(command, stderr=subprocess.PIPE, env=environment)
        except OSError as error:
            cause = error.strerror or str(error)
            if error.errno in _PASSING:
                cause = f"{self._program} cannot be started: {cause}"
                raise Unreachable(what=WHAT, address=self._address, cause=cause) from error
            raise BadArgument(
                argument=self._program, problem=cause, hint="install OpenSSH's client, or --transport paramiko"
            ) from error
        self._chatter = _Chatter(self._child)
        with contextlib.suppress(OSError):  # only speed: the default of 64 KiB costs a wake-up for each
            fcntl.fcntl(self._stream("stdout"), fcntl.F_SETPIPE_SZ, _PIPE)
        if self._closed:
            self.close()

    def send(self, data: bytes) -> None:
        with self._call():
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(self._stream("stdin"), view) :]
            except OSError as error:
                raise self._failure() from error

    def receive(self) -> Sequence[bytes]:
        with self._call():
            try:
                data = os.read(self._stream("stdout"), _PIPE)
            except OSError as error:
                raise self._failure() from error
            if not data:
                raise self._failure()
            self._heard = True
            return (data,)

    def close(self) -> None:
        # May run in a signal handler atop of a call to receive: it never waits for a lock. The child's death ends the call.
        self._closed = True
        child = self._child
        if child is None:
            return
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        self._close_pipes()

    @contextlib.contextmanager
    def _call(self) -> Iterator[None]:
        """While a call uses the pipes nobody else closes them: their numbers could belong to other files by then."""
        with self._in_call:
            if self._closed or self._child is None:
                raise self._broken(CLOSED)
            yield
        if self._closed:
            self._close_pipes()

    def _close_pipes(self) -> None:
        child = self._child
        if child is None or not self._in_call.acquire(blocking=False):
            return
        try:
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
        finally:
            self._in_call.release()
        if self._chatter is not None:
            self._chatter.end()

    def _stream(self, name: Literal["stdin", "stdout"]) -> int:
        assert self._child is not None
        pipe = self._child.stdin if name == "stdin" else self._child.stdout
        assert pipe is not None
        return pipe.fileno()

    # --- what ssh said

    def _failure(self) -> NetclntError:
        """The error for an end of the stream, from what ssh wrote and how far it had come."""
        assert self._child is not None
        assert self._chatter is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(_ENDING)
        self._chatter.end()
        if self._heard:
            return self._broken(self._chatter.last or "the connection ended")
        return self._refusal(self._chatter)

    def _refusal(self, said: _Chatter) -> NetclntError:
        last = said.last or "ssh ended without a word"
        if option := said.find(_OPTION):
            return Incompatible(what="ssh program", found=option[0], supported="OpenSSH 8.5 or newer")
        if said.find(_ALGORITHMS):
            return Incompatible(what="SSH server", found=last, supported="current algorithms of OpenSSH")
        if said.find(_CHANGED) or (said.find(_UNKNOWN) and self._login.host_key is not None):
            return HostKeyChanged(address=self._address, fingerprint=said.fingerprint, known_hosts=self._known_hosts())
        if said.find(_UNKNOWN):
            return HostKeyUnknown(address=self._address, fingerprint=said.fingerprint, known_hosts=self._known_hosts())
        if said.find(_REFUSED):
            return self._login_failure(said)
        if expired := said.find(EXPIRED):
            return LoginRefused(what=WHAT, address=self._address, user=self._parent.user or "", cause=expired[0])
        if said.find(_NO_SUBSYSTEM):
            return Incompatible(what="SFTP server", found="no sftp subsystem", supported="SFTP version 3")
        return Unreachable(what=WHAT, address=self._address, cause=last)

    def _login_failure(self, said: _Chatter) -> NetclntError:
        path = str(self._login.identity)
        if self._login.identity is not None and (bad := said.find(_BAD_KEY)):
            return IdentityFileUnusable(path=path, cause=bad["cause"])
        if self._login.identity is not None and said.find(_KEY_ACCEPTED):  # and yet no signature followed
            return IdentityFileUnusable(path=path, cause="it needs a passphrase; use an agent, or a key without one")
        return LoginRefused(what=WHAT, address=self._address, user=self._parent.user or "", cause=said.last)

    def _known_hosts(self) -> str:
        return "" if self._login.host_key is not None else str(self._login.known_hosts_files[0])

    def _broken(self, cause: str) -> NetclntError:
        return LineBroken(what=WHAT, address=self._address, cause=cause)


class _Chatter:
    """Collects what the child writes to its standard error: the last lines, and the fingerprint wherever it came."""

    def __init__(self, child: Child) -> None:
        assert child.stderr is not None
        self._pipe = child.stderr
        self._lines: deque[str] = deque(maxlen=_LINES)
        self.fingerprint = ""
        self._thread = threading.Thread(target=self._collect, name="ssh-stderr", daemon=True)
        self._thread.start()

    @property
    def last(self) -> str:
        """The last line meant for people."""
        return next((line for line in reversed(self._lines) if not _NOISE.match(line)), "")

    def find(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        return next((match for line in self._lines if (match := pattern.search(line))), None)

    def end(self) -> None:
        """Wait until all is read. The child has ended, or will within moments."""
        self._thread.join(_ENDING)

    def _collect(self) -> None:
        with contextlib.suppress(OSError), self._pipe as pipe:  # what cannot be read tells nothing
            while raw := pipe.readline(_LINE):
                line = "".join(c if c.isprintable() else " " for c in raw.decode("utf-8", "replace")).strip()
                if match := _FINGERPRINT.match(line):
                    self.fingerprint = match[1]
                self._lines.append(line)


def ssh_command(parent: Parent, login: Login, *, timeout: float, program: str = "ssh") -> Sequence[str]:
    """The whole command line. ``timeout`` in seconds; raises BadArgument for a path that ssh cannot be told of."""
    options = [*_OPTIONS, f"ConnectTimeout={max(1, round(timeout))}"]
    if login.identity is not None:
        options += ["IdentitiesOnly=yes", f"IdentityFile={_quoted(login.identity)}"]
    if login.host_key is not None:
        pin = f"/bin/sh -c '{_PINNED}' sh %f {login.host_key} %H %t %K"
        nobody = ["UserKnownHostsFile=none", "GlobalKnownHostsFile=none"]
        options += [*nobody, f"KnownHostsCommand={pin}"]
    elif login.known_hosts is not None:
        options += [f"UserKnownHostsFile={_quoted(login.known_hosts)}", "GlobalKnownHostsFile=none"]
    return [program, "-s", *_words(parent, options), "sftp"]


def key_asking_command(parent: Parent, file: Path, known_types: Sequence[str], *, timeout: float) -> Sequence[str]:
    """A command line with which ssh writes the host key that it is shown into ``file``, and does not log in."""
    options = [  # the first ones count
        "StrictHostKeyChecking=accept-new",
        f"UserKnownHostsFile={_quoted(file)}",
        "GlobalKnownHostsFile=none",
        "KnownHostsCommand=none",
        "HashKnownHosts=no",
        "PreferredAuthentications=none",
        "LogLevel=ERROR",
        *_OPTIONS,
        f"ConnectTimeout={max(1, round(timeout))}",
    ]
    # ssh takes no list with a name that it does not know
    if asked := [name for name in hostkeys.algorithms(known_types) if name in HOST_KEYS]:
        options.append(f"HostKeyAlgorithms=^{','.join(asked)}")
    return ["ssh", *_words(parent, options), "true"]


def _words(parent: Parent, options: Sequence[str]) -> list[str]:
    settings = [word for option in options for word in ("-o", option)]
    user = ["-l", parent.user] if parent.user is not None else []
    return [*settings, "-p", str(parent.port), *user, "--", parent.host]


def _quoted(path: Path) -> str:
    """A path as a value of ssh's configuration: quoted for blanks, with its percent sign not taken for a token."""
    text = str(path.absolute())
    if '"' in text or "${" in text:
        raise BadArgument(argument=text, problem="ssh cannot be told of a path with '\"' or '${'")
    return '"' + text.replace("\\", "\\\\").replace("%", "%%") + '"'
