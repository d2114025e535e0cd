"""Several connections as one source: more speed on long thin lines, without a word of it to the consumer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from netclnt.errors import LineBroken, Paused
from netclnt.model import Range
from netclnt.protocols import Source
from netclnt.sftp.retry import RETRIED, Unanswered
from netclnt.sftp.transport import CLOSED, WHAT

R = TypeVar("R", bound=Range)

_THREADS = 64
"""More than there are ever connections: one for each that is put to work."""

_PAUSE = 60.0
"""Seconds before a spare connection is tried again after one was refused or broke."""


@dataclass(slots=True, eq=False)
class _Line:
    """A source and the lock of whoever uses it. A spare one may be left out when it fails."""

    source: Source
    spare: bool
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Run(Generic[R]):
    """One fetch: ranges to do, results, and the workers on it. The queues hold no more than the consumer's thread lets in."""

    def __init__(self) -> None:
        self.todo: SimpleQueue[R | None] = SimpleQueue()
        self.results: SimpleQueue[tuple[R, bytes] | Future[_Line | Paused | None]] = SimpleQueue()
        self.busy: list[_Line] = []
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="sftp")
        self._stopped = False
        self._stopping = threading.Lock()

    def start(self, line: _Line) -> None:
        """Put one more to work, unless all was stopped."""
        with self._stopping:
            if not self._stopped:
                self.busy.append(line)
                self._pool.submit(self._work, line).add_done_callback(self.results.put)

    def stop(self) -> None:
        """Idempotent; from any thread."""
        with self._stopping:
            self._stopped = True
            for _ in self.busy:
                self.todo.put(None)
            self._pool.shutdown(wait=False)

    def fail(self, error: LineBroken) -> None:
        """Stop from another thread than the consumer's, which meets the ``error`` after what is there already."""
        self.stop()
        failed: Future[_Line | Paused | None] = Future()
        failed.set_exception(error)
        self.results.put(failed)

    def finish(self) -> Iterator[tuple[R, bytes]]:
        """What is still in flight when nothing more may be asked for. Waits for all lines; an error that one of them meets now is
        not worth a word."""
        for _ in self.busy:
            self.todo.put(None)
        self._pool.shutdown(wait=True)
        with suppress(Empty):
            while True:
                result = self.results.get_nowait()
                if not isinstance(result, Future):
                    yield result

    def _work(self, line: _Line) -> _Line | Paused | None:
        """Fetch in batches that end when there is nothing to do just now: waiting must not keep answers from being read.
        A spare line that fails gives its ranges back and is returned, as is why nothing more may be asked for; any other error is
        the fetch's."""
        while not self._stopped and (first := self.todo.get()) is not None:
            batch = Unanswered(chain([first], self._ready()))
            try:
                with line.lock:
                    self._fetch(line.source, batch)
            except Paused as paused:
                return paused
            except RETRIED:
                if not line.spare:
                    raise
                for left in batch.left():
                    self.todo.put(left)
                return line
        return None

    def _fetch(self, source: Source, batch: Unanswered[R]) -> None:
        for tracked, data in source.fetch(batch):
            self.results.put((batch.answered(tracked), data))
            if self._stopped:
                return

    def _ready(self) -> Iterator[R]:
        with suppress(Empty):
            while (taken := self.todo.get_nowait()) is not None:
                yield taken
            self.todo.put(None)


class Parallel:
    """A :class:`~netclnt.protocols.Source` over as many others as ``worth`` says by then. The iterable is read in the consumer's
    thread.

    ``first`` counts: its errors are the fetch's. ``spare`` makes one source more, used when those there have ``in_flight``
    bytes each to do already; one that is refused or breaks is left out, and none made for the next minute.
    """

    def __init__(self, first: Source, spare: Callable[[], Source], *, worth: Callable[[], int], in_flight: int) -> None:
        self._make_spare = spare
        self._worth = worth
        self._in_flight = in_flight
        self._first = _Line(first, spare=False)
        self._spares: list[_Line] = []
        self._runs: set[_Run[Any]] = set()
        self._closed = False
        self._past_connections = 0
        self._past_bytes = 0
        self._pause_until = 0.0

    @property
    def address(self) -> str:
        return self._first.source.address

    @property
    def connections(self) -> int:
        return self._past_connections + sum(line.source.connections for line in [self._first, *self._spares])

    @property
    def bytes_received(self) -> int:
        return self._past_bytes + sum(line.source.bytes_received for line in [self._first, *self._spares])

    def read_file(self, path: str, *, limit: int) -> bytes:
        with self._first.lock:
            return self._first.source.read_file(path, limit=limit)

    def fetch(self, ranges: Iterable[R]) -> Iterator[tuple[R, bytes]]:
        run: _Run[R] = _Run()
        self._runs.add(run)
        feed = iter(ranges)
        more, count, ahead = True, 0, 0
        try:
            while True:
                while more and ahead <= 2 * self._in_flight * len(run.busy):
                    taken = next(feed, None)
                    if taken is None:
                        more = False
                        break
                    run.todo.put(taken)
                    count += 1
                    ahead += taken.length
                    self._staff(run, ahead)
                if not count:
                    return
                result = run.results.get()
                if isinstance(result, Future):
                    ended = result.result()
                    if isinstance(ended, Paused):
                        yield from run.finish()
                        raise ended
                    self._leave_out(run, ended)
                    continue
                count -= 1
                ahead -= result[0].length
                yield result
        finally:
            run.stop()
            self._runs.discard(run)

    def close(self) -> None:
        """Also ends the workers of a fetch whose consumer left it half done, and may not have let go of it: an error that is told
        later on holds all that it came through."""
        self._closed = True
        for run in list(self._runs):
            run.fail(LineBroken(what=WHAT, address=self.address, cause=CLOSED))
        for line in [self._first, *self._spares]:
            line.source.close()

    def _staff(self, run: _Run[R], ahead: int) -> None:
        """Put one more line to work if those at it have enough to do."""
        if not run.busy:
            run.start(self._first)
            return
        enough = ahead > self._in_flight * len(run.busy)
        if not enough or len(run.busy) >= self._worth() or time.monotonic() < self._pause_until:
            return
        idle = [line for line in self._spares if line not in run.busy]
        if not idle:
            idle = [_Line(self._make_spare(), spare=True)]
            self._spares += idle
            if self._closed:
                self.close()
        run.start(idle[0])

    def _leave_out(self, run: _Run[R], line: _Line | None) -> None:
        if line is None:
            return
        run.busy.remove(line)
        self._spares.remove(line)
        line.source.close()
        self._past_connections += line.source.connections
        self._past_bytes += line.source.bytes_received
        self._pause_until = time.monotonic() + _PAUSE
