"""A run under a supervisor: it says that it is ready, where it is, how it ended, and that it lives as long as it moves on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from threading import Lock, Thread
from time import monotonic

from netclnt.catalog.connection import Patience
from netclnt.cli.around import Run
from netclnt.cli.show import event_line
from netclnt.config import SlaveConfig
from netclnt.events import Event, Progressed, Retried, Waiting
from netclnt.notify import Notifier
from netclnt.pulse import STANDSTILL, Pulse

_STATUS_SECONDS = 1.0


@contextmanager
def supervised(run: Run) -> Iterator[None]:
    """READY at once: what a unit of Type=notify waits for is a config that can be read, not this machine's slot. For a run that
    is its unit's main process; whoever starts runs inside its own process leaves NOTIFY_SOCKET out of their environment."""
    notifier = Notifier.of(run.session.environment)
    teller = StatusTeller(notifier, run.session.view.status)
    notifier.ready()
    try:
        with watched(notifier, Pulse(monotonic(), standstill=standstill(run.config))) as sign:
            run.session.observers += [sign, teller.observe]
            yield
    finally:
        notifier.stopping()
        notifier.status(run.ending)
        notifier.close()


def standstill(config: SlaveConfig) -> float:
    """Seconds without a sign of life after which a run is dead: more than it may wait for anything by its own rules."""
    return max(STANDSTILL, Patience(config.timeout).query) + max(config.timeout, config.lock_timeout)


class StatusTeller:
    """An Observer that keeps the supervisor's status line: what happens, at most once a second; but each wait at once."""

    def __init__(self, notifier: Notifier, line: Callable[[], str], *, clock: Callable[[], float] = monotonic) -> None:
        self._notifier = notifier
        self._line = line
        self._clock = clock
        self._next = float("-inf")

    def observe(self, event: Event) -> None:
        if self._clock() < self._next and not isinstance(event, Waiting | Retried):
            return
        text = self._line() if isinstance(event, Progressed) else event_line(event, verbose=0)
        if text:
            self._next = self._clock() + _STATUS_SECONDS
            self._notifier.status(text)


@contextmanager
def watched(notifier: Notifier, pulse: Pulse) -> Iterator[Callable[[Event], None]]:
    """Within, the supervisor's watchdog, if it has one, hears a sign of life twice in its time, as long as the pulse is alive.
    Gives the Observer that feels the pulse."""
    lock = Lock()

    def observe(event: Event) -> None:
        with lock:
            pulse.observe(event, monotonic())

    def alive() -> bool:
        with lock:
            pulse.moved(_bytes_moved(), monotonic())
            return pulse.alive(monotonic())

    seconds = notifier.watchdog_seconds
    if seconds is None:
        yield observe
        return
    over = Flag()

    def ping() -> None:
        while True:
            if alive():
                notifier.watchdog()
            if over.wait(seconds / 2):
                return

    thread = Thread(target=ping, name="netclnt-watchdog", daemon=True)
    thread.start()
    try:
        yield observe
    finally:
        over.set()
        thread.join()


def _bytes_moved() -> int:
    """Bytes that this process has passed through calls that read and write; 0 where the kernel does not count them."""
    try:
        counts = dict(line.split(": ", 1) for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines())
        return int(counts["rchar"]) + int(counts["wchar"])
    except (OSError, ValueError, KeyError):
        return 0
