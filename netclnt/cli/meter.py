"""How fast work goes and how long it takes, of an image and of the whole run, from the run's events; and what it waits for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic

from netclnt.cli.tally import Tally
from netclnt.cli.text import human_bytes, human_seconds, safe
from netclnt.events import Catalog, Event, Failed, Hooked, ImageDone, Planned, Progressed, Retried, Waiting

_WINDOW = 10.0
_RUN_SECONDS_MIN = 2.0
"""A run that is younger says nothing of how long it will take."""


class Pace:
    """How fast a count of bytes grew in the last ten seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque()
        self._count = 0

    def restart(self) -> None:
        self._samples.clear()

    def add(self, count: int) -> None:
        """``count`` is the whole since the beginning."""
        now = self._clock()
        while len(self._samples) > 1 and now - self._samples[0][0] > _WINDOW:
            self._samples.popleft()
        if not self._samples or now - self._samples[-1][0] >= _WINDOW / 100:
            self._samples.append((now, count))
        self._count = count

    @property
    def rate(self) -> float:
        """Bytes a second."""
        try:
            since, count = self._samples[0]
        except IndexError:
            return 0.0
        elapsed = self._clock() - since
        return max(0, self._count - count) / elapsed if elapsed > 0 else 0.0


class Meter:
    """``last`` is None before the first event of an image, ``planned`` is its plan; ``tally`` are the figures of the run. Nothing
    here takes a lock: a signal handler and a thread that draws read it."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._done = Pace(clock)
        self._fetched = Pace(clock)
        self._began: float | None = None
        self._pause: Waiting | Retried | None = None
        self._hook: Hooked | None = None
        self._until = 0.0
        self.tally = Tally()
        self.last: Progressed | None = None
        self.planned: Planned | None = None

    def observe(self, event: Event) -> None:
        """Takes what matters of a run's events."""
        self.tally.observe(event)
        match event:
            case Progressed():
                self.update(event)
            case Planned():
                self._start()  # on a thin line it takes minutes until the first of it is done
                self.planned, self.last, self._pause = event, None, None
                self._fetched.restart()
                self._fetched.add(0)
            case Waiting(seconds=seconds) | Retried(delay=seconds):
                self._pause, self._until = event, self._clock() + seconds
            case Hooked():
                self._hook = event if event.state == "started" else None
            case ImageDone() | Failed() if event.image == self.image:
                self.planned = self.last = self._pause = None
            case Catalog():
                self._pause = None

    def update(self, event: Progressed) -> None:
        self._start()
        if self.last is None or (self.last.stage, self.last.image) != (event.stage, event.image):
            self._done.restart()
            if self.planned is None or self.planned.image != event.image:
                self._fetched.restart()
        self._done.add(event.bytes_done)
        self._fetched.add(event.bytes_fetched)
        if self.planned is not None and self.planned.image != event.image:
            self.planned = None
        self.last = event
        self._pause = None

    def _start(self) -> None:
        if self._began is None:
            self._began = self._clock()

    @property
    def image(self) -> str:
        """The one that is worked on; empty between two."""
        event = self.last or self.planned
        return event.image if event is not None else ""

    @property
    def share(self) -> float | None:
        """Of the image, 0 to 1; None while nobody can know."""
        if self.last is None:
            return 0.0 if self.planned is not None else None
        return min(1.0, self._came() / self.last.bytes_total) if self.last.bytes_total else None

    def _came(self) -> float:
        """Bytes of the image's content that are done, or came over the line: pages count as done in their order only, and of a
        thin line's first page nothing does for long."""
        event, plan = self.last, self.planned
        if event is None:
            return 0
        if plan is None or not plan.bytes_fetch:
            return event.bytes_done
        missing = max(0, event.bytes_total - plan.bytes_reuse)
        return max(event.bytes_done, missing * min(1.0, event.bytes_fetched / plan.bytes_fetch))

    @property
    def rate(self) -> float:
        """Bytes of the image's content done per second."""
        return self._done.rate if self.last is not None else 0.0

    @property
    def fetch_rate(self) -> float:
        """Bytes that come over the line per second."""
        return self._fetched.rate if self.last is not None else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds left of the image; None while nobody can know. As long as something is to be fetched, the line decides."""
        event = self.last
        if event is None or not event.bytes_total:
            return None
        lacking = self.planned.bytes_fetch - event.bytes_fetched if self.planned is not None else 0
        if lacking > 0 and (line := self.fetch_rate):
            return lacking / line
        rate = self.rate
        return max(0, event.bytes_total - event.bytes_done) / rate if rate else None

    @property
    def run_done(self) -> int:
        """Bytes of content done of ``tally.bytes_total``."""
        current = min(int(self._came()), self.tally.size(self.image))
        return self.tally.bytes_done + current

    @property
    def run_eta(self) -> float | None:
        """Seconds left of the run, if the images to come are as quick as those until now; None while nobody can know."""
        image = self.eta
        others = self.tally.bytes_total - self.tally.bytes_done - self.tally.size(self.image)
        if not others:
            return image
        seconds = 0.0 if self._began is None else self._clock() - self._began
        done = self.run_done
        if seconds < _RUN_SECONDS_MIN or not done or (self.image and image is None):
            return None
        return (image or 0.0) + others * seconds / done

    def amount(self) -> str:
        """Bytes done, and of how many if anybody knows."""
        event = self.last
        if event is None:
            return ""
        total = f" of {human_bytes(event.bytes_total)}" if event.bytes_total else ""
        return human_bytes(event.bytes_done) + total

    def pause(self) -> str:
        """What the run waits for, and how long still; or the hook that runs; empty if it works."""
        pause, left = self._pause, self._until - self._clock()
        if isinstance(pause, Waiting) and left > 0:
            return wait_line(pause, left)
        if isinstance(pause, Retried):
            return retry_line(pause, left)
        return hook_line(self._hook) if self._hook is not None else ""

    def line(self) -> str:
        """One line that says where the work is."""
        if pause := self.pause():
            return pause
        event = self.last
        if event is None:
            return (plan_line(self.planned) if self.planned is not None else "starting") + self._of_run()
        left = "" if self.eta is None else f", {human_seconds(self.eta)} left"
        moved = f", {human_bytes(event.bytes_fetched)} fetched, {human_bytes(event.bytes_reused)} reused"
        if not event.bytes_fetched and not event.bytes_reused and event.stage != "fetch":
            moved = ""
        rate = f"{human_bytes(self.rate)}/s"
        return f"{safe(event.stage)} {safe(event.image)}: {self.amount()}, {rate}{moved}{left}{self._of_run()}"

    def _of_run(self) -> str:
        """Nothing where there is only one image."""
        tally = self.tally
        if tally.images_total < 2:
            return ""
        share = f", {100 * self.run_done // tally.bytes_total} %" if tally.bytes_total else ""
        left = "" if self.run_eta is None else f", {human_seconds(self.run_eta)} left"
        return f"; {tally.images_done} of {tally.images_total} images done{share}{left}"


def plan_line(event: Planned) -> str:
    return f"{safe(event.image)}: {human_bytes(event.bytes_fetch)} to fetch, {human_bytes(event.bytes_reuse)} to reuse"


def hook_line(event: Hooked) -> str:
    about = f" of {safe(event.image)}" if event.image else ""
    end = "no exit code" if event.exit_code is None else f"exit code {event.exit_code}"
    return f"hook {event.hook}{about}: {safe(event.program)} {'runs' if event.state == 'started' else f'ended with {end}'}"


def wait_line(event: Waiting, seconds: float) -> str:
    """``seconds`` are those left of the wait."""
    return f"waits {human_seconds(seconds)}: {safe(event.reason)}"


def retry_line(event: Retried, seconds: float) -> str:
    """``seconds`` are those left until it is tried again."""
    when = f"in {human_seconds(seconds)}" if seconds > 0 else "goes on"
    return f"{safe(event.what)}: {safe(event.reason)}; attempt {event.attempt + 1} {when}"
