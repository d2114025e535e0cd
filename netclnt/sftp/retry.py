"""Retry as a wrapper of the same Protocol: a broken line is made anew, and the consumer of a fetch notices nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from netclnt.backoff import Backoff
from netclnt.errors import DeadlinePassed, LineBroken, Unreachable
from netclnt.events import Observer, Retried, ignore
from netclnt.model import Range
from netclnt.protocols import Source
from netclnt.sftp.transport import WHAT

R = TypeVar("R", bound=Range)
T = TypeVar("T")

RETRIED = (LineBroken, Unreachable, DeadlinePassed)
"""Trouble of the line. Login, trust, damage and missing files are as true at the second try."""

Trouble = LineBroken | Unreachable | DeadlinePassed


@dataclass(frozen=True, slots=True)
class Tracked(Range, Generic[R]):
    """A range that knows which of the consumer's it stands for."""

    number: int
    original: R


class Unanswered(Generic[R]):
    """The consumer's ranges on their way through a source that may break: which were taken, and not yet answered.

    Iterated, it yields the unanswered ones once more, then goes on taking.
    """

    def __init__(self, ranges: Iterable[R]) -> None:
        self._ranges = iter(ranges)
        self._open: dict[int, Tracked[R]] = {}
        self._number = 0
        self.consumer_failed = False

    def __iter__(self) -> Iterator[Tracked[R]]:
        yield from list(self._open.values())
        while (taken := self._take()) is not None:
            self._number += 1
            tracked = Tracked(taken.path, taken.offset, taken.length, self._number, taken)
            self._open[self._number] = tracked
            yield tracked

    def left(self) -> list[R]:
        """The unanswered ones, once and for all."""
        return [tracked.original for tracked in self._open.values()]

    def answered(self, tracked: Tracked[R]) -> R:
        del self._open[tracked.number]
        return tracked.original

    def _take(self) -> R | None:
        self.consumer_failed = True  # while its code runs: an error that passes through here is not the line's
        taken = next(self._ranges, None)
        self.consumer_failed = False
        return taken


class Retrying:
    """A :class:`~netclnt.protocols.Source` that makes a new one with ``make`` when the line fails.

    It pauses between attempts as :class:`~netclnt.backoff.Backoff` says, and gives up with the last error when ``budget`` seconds
    would pass without an answer. ``make`` must be quick: a source connects when first read.
    """

    def __init__(
        self, make: Callable[[], Source], *, budget: float, observer: Observer = ignore, first_delay: float = 1.0
    ) -> None:
        self._make = make
        self._backoff = Backoff(budget=budget, first_delay=first_delay)
        self._observer = observer
        self._closing = threading.Event()
        self._source = make()
        self._past_connections = 0
        self._past_bytes = 0

    @property
    def address(self) -> str:
        return self._source.address

    @property
    def connections(self) -> int:
        return self._past_connections + self._source.connections

    @property
    def bytes_received(self) -> int:
        return self._past_bytes + self._source.bytes_received

    def read_file(self, path: str, *, limit: int) -> bytes:
        while True:
            source = self._source
            try:
                content = source.read_file(path, limit=limit)
            except RETRIED as error:
                self._recover(source, error)
            else:
                self._backoff.worked()
                return content

    def fetch(self, ranges: Iterable[R]) -> Iterator[tuple[R, bytes]]:
        unanswered = Unanswered(ranges)
        while True:
            source = self._source
            try:
                for tracked, data in source.fetch(unanswered):
                    self._backoff.worked()
                    yield unanswered.answered(tracked), data
                return
            except RETRIED as error:
                if unanswered.consumer_failed:
                    raise
                self._recover(source, error)

    def close(self) -> None:
        self._closing.set()
        self._source.close()

    def _recover(self, source: Source, error: Trouble) -> None:
        """Replace ``source`` after a pause, or raise ``error`` when that is no use any more."""
        if source is not self._source:
            return  # a fetch begun within this one has done so already
        if self._closing.is_set():
            raise error
        source.close()
        delay = self._backoff.failed(time.monotonic())
        if delay is None:
            raise error
        self._observer(Retried(what=WHAT, attempt=self._backoff.attempt, delay=round(delay, 3), reason=_reason(error)))
        if self._closing.wait(delay):
            raise error
        self._past_connections += source.connections
        self._past_bytes += source.bytes_received
        self._source = self._make()
        if self._closing.is_set():
            self._source.close()


def _reason(error: Trouble) -> str:
    if isinstance(error, DeadlinePassed):
        return f"no progress for {error.seconds:g} s"
    return error.cause
