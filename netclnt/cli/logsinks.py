"""Where the lines of a log go."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Protocol

from netclnt.cli.output import Level

_FILE_MODE = 0o640
_SYSLOG_SECONDS = 1.0
_FACILITIES = {"user": 1, "daemon": 3, "cron": 9} | {f"local{number}": 16 + number for number in range(8)}


class Sink(Protocol):
    """Used by one thread at a time."""

    @property
    def name(self) -> str:
        """For messages."""

    def write(self, level: Level, line: str) -> None:
        """Raises OSError."""

    def close(self) -> None: ...


class LogFile:
    """A file that is opened for each line: so it does not matter when and how it is rotated, moved or copied and emptied.

    A new one has mode 0640, whatever the umask. No symbolic link is followed, and no pipe waited for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._torn = b""

    @property
    def name(self) -> str:
        return str(self._path)

    def write(self, _: Level, line: str) -> None:
        data = self._torn + line.encode(errors="backslashreplace") + b"\n"
        descriptor = self._open()
        try:
            while data:
                data = data[os.write(descriptor, data) :]
                # should the rest find no room, the next line must not go on where this one broke off
                self._torn = b"\n" if data else b""
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        try:
            return os.open(self._path, flags)
        except FileNotFoundError:
            descriptor = os.open(self._path, flags | os.O_CREAT, _FILE_MODE)
            os.fchmod(descriptor, _FILE_MODE)
            return descriptor

    def close(self) -> None:
        """Nothing is open between two lines."""


class Syslog:
    """The system's log, as syslog(3) writes to it; which would wait for ever for a daemon that stands still, and hides that there
    is none. ``facility`` is one of those that the config knows."""

    def __init__(self, facility: str, *, address: str = "/dev/log") -> None:
        self._facility = _FACILITIES[facility]
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(_SYSLOG_SECONDS)

    @property
    def name(self) -> str:
        return self._address

    def write(self, level: Level, line: str) -> None:
        head = f"<{self._facility << 3 | level}>{time.strftime('%b %e %H:%M:%S')} netclnt[{os.getpid()}]: "
        try:
            self._socket.sendto((head + line).encode(errors="backslashreplace"), self._address)
            self._socket.settimeout(_SYSLOG_SECONDS)
        except OSError:
            self._socket.settimeout(0.0)  # who once made us wait is not waited for again, until it listens
            raise

    def close(self) -> None:
        self._socket.close()
