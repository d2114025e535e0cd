"""What a service stands on: this host's clock, its signals as values, and child processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from netclnt.errors import StorageFailed

HEEDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)

_IGNORED_AT_FIRST = (signal.SIGUSR1, signal.SIGUSR2)
"""A child that has no handler yet would die of these."""

_DEFAULT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""How they were for the service, ignored by a nohup say, is not how they are to be for a child: it is stopped by one of them."""


class SystemChild:
    """:class:`netclnt.machine.Child` by its process id."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def code(self) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self._code = code if code >= 0 else 128 - code
        return self._code

    def send(self, number: int) -> None:
        if self._code is None:
            os.kill(self.pid, number)


class SystemHost:
    """:class:`netclnt.machine.Host` of the thread that made it, inside :func:`system_host`. ``words`` are the child's program
    and its arguments."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        self._words = tuple(words)
        self._environment = environment

    def now(self) -> float:
        time.tzset()  # the host may have moved to another zone
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> int | None:
        found = signal.sigtimedwait(HEEDED, max(0.0, seconds))
        return found.si_signo if found else None

    def start(self) -> SystemChild:
        try:
            pid = os.posix_spawn(
                self._words[0],
                self._words,
                self._environment,
                file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
                setpgroup=0,  # a terminal's Ctrl-C reaches the service alone, which passes it on once
                setsigmask=(),
                setsigdef=_DEFAULT,
            )
        except OSError as error:
            raise StorageFailed(
                action="start", path=self._words[0], errno=error.errno or 0, cause=error.strerror or str(error)
            ) from None
        return SystemChild(pid)


@contextmanager
def system_host(words: Sequence[str], environment: Mapping[str, str]) -> Iterator[SystemHost]:
    """Within, signals of :data:`HEEDED` wait until :meth:`SystemHost.wait` takes them, and none is lost or comes in between."""
    # Blocked, even an ignored signal is kept for sigtimedwait(2); that it is ignored is what a child inherits.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _IGNORED_AT_FIRST}
    before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would keep exit codes from us
    try:
        yield SystemHost(words, environment)
    finally:
        while signal.sigtimedwait(HEEDED, 0):
            pass
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
