"""A thread of its own for calls that nothing else can end, so that nobody waits longer for one than agreed.

While C code (a database's driver, the resolver of names) waits for somebody who stands still, no handler of a signal runs in its
thread, and its own time-outs are few. So whoever asks waits for the answer here, in Python: a signal or the deadline ends that
wait, and the thread is left alone with its call. It ends when the call returns; as a daemon, with the process at the latest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Overdue(Exception):
    """The call took longer than ``seconds``, or an earlier one is still under way since the wait for it was broken off."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class CallThread:
    """Runs one call at a time. ``farewell`` is the last one, made when the thread ends, and must raise nothing."""

    def __init__(self, farewell: Callable[[], None] = lambda: None) -> None:
        self._farewell = farewell
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._under_way = False
        threading.Thread(target=self._run, name="netclnt-call", daemon=True).start()

    def call(self, work: Callable[[], T], *, seconds: float) -> T:
        """What ``work`` returns or raises. Raises Overdue; from then on the thread takes no more calls."""
        if self._under_way:
            raise Overdue(0)
        self._under_way = True  # and so it stays if a signal's handler raises while we wait
        self._calls.put(work)
        try:
            answer, error = self._answers.get(timeout=seconds)
        except Empty:
            raise Overdue(seconds) from None
        self._under_way = False
        if error is not None:
            raise error
        result: T = answer
        return result

    def end(self, *, seconds: float) -> None:
        """No more calls. Waits for the farewell, at most so long, and not at all behind a call that is still under way."""
        self._calls.put(None)
        if not self._under_way:
            try:
                self._answers.get(timeout=seconds)
            except Empty:
                return

    def _run(self) -> None:
        while (work := self._calls.get()) is not None:
            answer: tuple[object, BaseException | None]
            try:
                answer = work(), None
            except BaseException as error:  # noqa: BLE001 - raised again where the answer is waited for
                answer = None, error
            self._answers.put(answer)
            del work, answer  # a driver's object that is forgotten elsewhere would wait there for the driver's locks
        self._farewell()
        self._answers.put((None, None))


def call_within(seconds: float, work: Callable[[], T]) -> T:
    """What ``work`` returns or raises. Raises Overdue after so many seconds, and leaves it to itself."""
    thread = CallThread()
    try:
        return thread.call(work, seconds=seconds)
    finally:
        thread.end(seconds=seconds)
