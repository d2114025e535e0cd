"""The built-in replication service: one sync after another, each in a process of its own, so that memory stays flat and whatever
kills a run is only a failed run."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Protocol

from netclnt.agenda import Agenda, LastRun, Plan, Reason
from netclnt.errors import ExitCode, NetclntError, StorageFailed
from netclnt.machine import Child, Host

LONGEST_WAIT = 60.0
"""Seconds after which the clock is looked at again: somebody may have set it."""

SHORTEST_WAIT = 0.01
"""What is due in less than a clock can tell is not waited for in circles."""

STOP_SECONDS = 10.0
"""A sync that is told to stop promises to end within half of that; then it is killed."""

KILL_SECONDS = 5.0

STOPPING = (signal.SIGTERM, signal.SIGINT)


class Teller(Protocol):
    """Whoever watches the service: people, programs and the supervisor. Times are those of the wall clock."""

    @property
    def interval(self) -> float | None:
        """Seconds within which :meth:`alive` is expected, or None."""

    def waiting(self, at: float, reason: Reason) -> None:
        """The next sync starts then, if nothing else happens. Told first when the service is ready."""

    def started(self, reason: Reason) -> None: ...

    def ended(self, code: int, seconds: float) -> None:
        """The sync ended; the code of one that a signal killed is 128 and the signal's number."""

    def unable(self, error: NetclntError) -> None:
        """The sync could not be started."""

    def reloading(self) -> None: ...

    def reloaded(self, error: NetclntError | None) -> None:
        """The config was read again. With an error, it cannot be used, and the one before stays in force."""

    def status(self, started: float | None, at: float, reason: Reason) -> None:
        """What SIGUSR1 asks for: since when a sync runs, if one does; when the next one starts."""

    def idle(self, number: int) -> None:
        """A signal for the sync came, and none runs."""

    def stopping(self, number: int) -> None: ...

    def alive(self) -> None: ...


class Service:
    """``load`` reads the config anew; it raises NetclntError."""

    def __init__(
        self, host: Host, plan: Plan, *, load: Callable[[], Plan], teller: Teller, last: Callable[[], LastRun | None]
    ) -> None:
        self._host = host
        self._load = load
        self._teller = teller
        self._agenda = Agenda(plan, now=host.now(), monotonic=host.monotonic(), last=last())
        self._child: Child | None = None
        self._started = 0.0
        self._began = 0.0

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT comes, and return its number. No child is left behind, whatever happens."""
        try:
            self._tell_next()
            while True:
                self._start_if_due()
                number = self._wait(self._pause())
                self._reap()
                if number in STOPPING:
                    self._teller.stopping(number)
                    return number
                self._heed(number)
        finally:
            self._stop_child()

    def _start_if_due(self) -> None:
        if self._child:
            return
        reason = self._agenda.due(now=self._host.now(), monotonic=self._host.monotonic())
        if reason is None:
            return
        self._started, self._began = self._host.now(), self._host.monotonic()
        try:
            self._child = self._host.start()
        except StorageFailed as error:
            self._teller.unable(error)
            self._after(ExitCode.TEMP)
        else:
            self._teller.started(reason)

    def _reap(self) -> None:
        code = self._child.code() if self._child else None
        if code is None:
            return
        self._child = None
        self._teller.ended(code, self._host.monotonic() - self._began)
        self._after(code)

    def _after(self, code: int) -> None:
        self._agenda.ended(code, now=self._host.now(), monotonic=self._host.monotonic())
        self._tell_next()

    def _heed(self, number: int | None) -> None:
        if number == signal.SIGHUP:
            self._reload()
        elif number == signal.SIGUSR1:
            at, reason = self._next()
            self._teller.status(self._started if self._child else None, at, reason)
            if self._child:
                self._child.send(number)
        elif number == signal.SIGUSR2:
            if self._child:
                self._child.send(number)
            else:
                self._teller.idle(number)

    def _reload(self) -> None:
        self._start_if_due()  # by the plan that is about to go
        self._teller.reloading()
        try:
            plan = self._load()
        except NetclntError as error:
            self._teller.reloaded(error)
            return
        self._agenda.change(plan, now=self._host.now())
        self._teller.reloaded(None)
        if not self._child:
            self._tell_next()

    def _tell_next(self) -> None:
        self._teller.waiting(*self._next())

    def _next(self) -> tuple[float, Reason]:
        return self._agenda.next(now=self._host.now(), monotonic=self._host.monotonic())

    def _pause(self) -> float:
        return LONGEST_WAIT if self._child else self._next()[0] - self._host.now()

    def _wait(self, seconds: float) -> int | None:
        """The next signal, waited for at most so long and not longer than the clock or the supervisor may be left alone."""
        interval = self._teller.interval
        longest = LONGEST_WAIT if interval is None else min(LONGEST_WAIT, interval / 2)
        number = self._host.wait(max(SHORTEST_WAIT, min(longest, seconds)))
        self._teller.alive()
        return number

    def _stop_child(self) -> None:
        """End what runs: in order, and by force when it takes too long or a second SIGINT asks for it."""
        child, self._child = self._child, None
        if not child:
            return
        child.send(signal.SIGTERM)
        code = self._end_of(child, STOP_SECONDS)
        if code is None:
            child.send(signal.SIGKILL)
            code = self._end_of(child, KILL_SECONDS)
        if code is not None:
            self._teller.ended(code, self._host.monotonic() - self._began)

    def _end_of(self, child: Child, seconds: float) -> int | None:
        """The child's exit code, or None when it took too long."""
        until = self._host.monotonic() + seconds
        while (code := child.code()) is None:
            left = until - self._host.monotonic()
            if left <= 0 or self._wait(left) == signal.SIGINT:
                break
        return code
