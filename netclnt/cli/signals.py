"""Signals of one run: the stopping ones raise in the main thread, SIGUSR1 asks for one status line, SIGUSR2 flips the cap."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from netclnt.errors import HungUp, Interrupted, Stopped, Terminated

_STOPPING: dict[int, type[Stopped]] = {signal.SIGHUP: HungUp, signal.SIGINT: Interrupted, signal.SIGTERM: Terminated}


@contextmanager
def handled(status: Callable[[], str], flip: Callable[[], str], aside: Callable[[], str]) -> Iterator[None]:
    """Within, the first stopping signal raises its error, and a second SIGINT ends the process at once.

    A signal that was ignored from outside (``nohup``, a shell's background job) stays ignored. ``status``, and what ``flip``s the
    cap, say what to tell, ``aside`` what is to be written before it; none may take a lock.
    """
    asked = {signal.SIGUSR1: status, signal.SIGUSR2: flip}

    def stop(number: int, _: FrameType | None) -> None:
        for other in _STOPPING:
            signal.signal(other, signal.SIG_DFL if other == signal.SIGINT else signal.SIG_IGN)
        raise _STOPPING[number]

    def tell(number: int, _: FrameType | None) -> None:
        # os.write: the interrupted code may be inside sys.stderr, which cannot be entered twice.
        try:
            os.write(2, f"{aside()}netclnt: {asked[signal.Signals(number)]()}\n".encode(errors="backslashreplace"))
        except OSError:
            return

    wanted = {number: stop for number in _STOPPING if signal.getsignal(number) is not signal.SIG_IGN}
    wanted |= dict.fromkeys(asked, tell)
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if number in asked else handler)
