"""A host without processes, signals or a clock of its own: time passes when somebody waits."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from netclnt.errors import NetclntError

ENDS_AFTER_SIGTERM = 1.0


@dataclass(eq=False)
class MemoryChild:
    """:class:`netclnt.machine.Child` that runs from ``began`` until ``until`` (by ``clock``) and then has ``result``. With
    ``stubborn``, SIGTERM does not end it. ``sent`` are the signals that came before its end."""

    clock: Callable[[], float]
    began: float
    until: float
    result: int
    stubborn: bool = False
    sent: list[int] = field(default_factory=list)

    def code(self) -> int | None:
        return self.result if self.clock() >= self.until else None

    def send(self, number: int) -> None:
        if self.code() is not None:
            return
        self.sent.append(number)
        if number == signal.SIGKILL:
            self.until, self.result = self.clock(), 128 + number
        elif number == signal.SIGTERM and not self.stubborn:
            self.until, self.result = self.clock() + ENDS_AFTER_SIGTERM, 128 + number


@dataclass(frozen=True)
class MemoryRun:
    """How the next child fares: it takes so many seconds and ends with ``code``, or ``error`` keeps it from starting."""

    seconds: float = 1.0
    code: int = 0
    stubborn: bool = False
    error: NetclntError | None = None


class MemoryHost:
    """:class:`netclnt.machine.Host`. ``runs`` are those of the children, in turn; behind the last, each is as MemoryRun()."""

    def __init__(self, now: float, *, runs: Iterable[MemoryRun] = ()) -> None:
        self._runs = iter(runs)
        self._script: list[tuple[float, int | Callable[[], None]]] = []
        self._elapsed = 0.0
        self._offset = now
        self._unseen: MemoryChild | None = None
        self.children: list[MemoryChild] = []
        self.starts: list[float] = []
        """When each child was started, or was to be, by the wall clock."""

    def script(self, seconds: float, what: int | Callable[[], None]) -> None:
        """So many seconds after the start a signal comes, or something is done (the clock is set, say)."""
        self._script.append((seconds, what))
        self._script.sort(key=lambda event: event[0])

    def set_clock(self, now: float) -> None:
        self._offset = now - self._elapsed

    def now(self) -> float:
        return self._offset + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    def wait(self, seconds: float) -> int | None:
        until = self._elapsed + seconds
        while True:
            event = self._script[0][0] if self._script else math.inf
            if self._unseen and self._unseen.until <= min(event, until):
                self._elapsed = max(self._elapsed, self._unseen.until)
                self._unseen = None
                return signal.SIGCHLD
            if event > until:
                self._elapsed = until
                return None
            self._elapsed = max(self._elapsed, event)
            what = self._script.pop(0)[1]
            if isinstance(what, int):
                return what
            what()

    def start(self) -> MemoryChild:
        run = next(self._runs, MemoryRun())
        self.starts.append(self.now())
        if run.error:
            raise run.error
        child = MemoryChild(self.monotonic, self._elapsed, self._elapsed + run.seconds, run.code, stubborn=run.stubborn)
        self.children.append(child)
        self._unseen = child
        return child
