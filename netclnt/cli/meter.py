"""How fast work goes: rate and time left, from the progress events of a run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic

from netclnt.cli.text import human_bytes, human_seconds, safe
from netclnt.events import Catalog, Event, Hooked, Planned, Progressed, Waiting

_WINDOW = 10.0


class Meter:
    """Keeps the last ten seconds of one stage of one image. ``last`` is None before the first event."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque()
        self.last: Progressed | None = None
        self._planned: Planned | None = None
        self._waiting: Waiting | None = None
        self._hook: Hooked | None = None
        self._until = 0.0

    def observe(self, event: Event) -> None:
        """Takes what matters of a run's events."""
        match event:
            case Progressed():
                self.update(event)
            case Planned():
                self._planned, self._waiting = event, None  # on a thin line it takes minutes until the first of it is done
            case Waiting():
                self._waiting, self._until = event, self._clock() + event.seconds
            case Hooked():
                self._hook = event if event.state == "started" else None
            case Catalog():
                self._waiting = None

    def update(self, event: Progressed) -> None:
        if self.last is None or (self.last.stage, self.last.image) != (event.stage, event.image):
            self._samples.clear()
        now = self._clock()
        while len(self._samples) > 1 and now - self._samples[0][0] > _WINDOW:
            self._samples.popleft()
        if not self._samples or now - self._samples[-1][0] >= _WINDOW / 100:
            self._samples.append((now, event.bytes_done))
        self.last = event
        self._planned = self._waiting = None

    @property
    def rate(self) -> float:
        """Bytes done per second."""
        if self.last is None or not self._samples:
            return 0.0
        since, done = self._samples[0]
        elapsed = self._clock() - since
        return max(0, self.last.bytes_done - done) / elapsed if elapsed > 0 else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds left; None while nobody can know."""
        rate = self.rate
        if self.last is None or not rate or not self.last.bytes_total:
            return None
        return max(0, self.last.bytes_total - self.last.bytes_done) / rate

    def amount(self) -> str:
        """Bytes done, and of how many if anybody knows."""
        event = self.last
        if event is None:
            return ""
        total = f" of {human_bytes(event.bytes_total)}" if event.bytes_total else ""
        return human_bytes(event.bytes_done) + total

    def line(self) -> str:
        """One line that says where the work is. Takes no lock: a signal handler calls it."""
        left = self._until - self._clock()
        if self._waiting is not None and left > 0:
            return wait_line(self._waiting, left)
        if self._hook is not None:
            return hook_line(self._hook)
        event, planned = self.last, self._planned
        if planned is not None:
            return plan_line(planned)
        if event is None:
            return "starting"
        return (
            f"{safe(event.stage)} {safe(event.image)}: {self.amount()}, "
            f"{human_bytes(self.rate)}/s, {human_bytes(event.bytes_fetched)} fetched, {human_bytes(event.bytes_reused)} reused"
        )


def plan_line(event: Planned) -> str:
    return f"{safe(event.image)}: {human_bytes(event.bytes_fetch)} to fetch, {human_bytes(event.bytes_reuse)} to reuse"


def hook_line(event: Hooked) -> str:
    about = f" of {safe(event.image)}" if event.image else ""
    end = "no exit code" if event.exit_code is None else f"exit code {event.exit_code}"
    return f"hook {event.hook}{about}: {safe(event.program)} {'runs' if event.state == 'started' else f'ended with {end}'}"


def wait_line(event: Waiting, seconds: float) -> str:
    """``seconds`` are those left of the wait."""
    return f"waits {human_seconds(seconds)}: {safe(event.reason)}"
