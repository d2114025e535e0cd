"""When a service starts its next sync: by schedule, after trouble, when a window opens, or to make up for a missed start.

``now`` is the wall clock in seconds since 1970, which an admin or NTP may set by years at any moment; ``monotonic`` never goes
back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from netclnt.backoff import Backoff
from netclnt.errors import ExitCode
from netclnt.schedule import LocalTime, Window, closes, minute_of_week, opens
from netclnt.timing import Schedule

FIRST_DELAY = 300.0
LONGEST_DELAY = 3600.0
"""After a run that may do better soon: the first further attempt within five minutes, later ones within an hour of each other."""

LATE = 600.0
"""Seconds after which a start that did not take place counts as missed: the machine slept, or its clock was put forward."""

SMALL_STEP = 300.0
"""Seconds by which the clock may be put back without any start taking place a second time."""

SHORTEST_PAUSE = 60.0
"""Seconds between a run that paused and the next one, whatever a window says."""

_DAYS = 8 * 86400.0

Reason = Literal["schedule", "missed", "retry", "window"]


def no_window(_: float) -> float | None:
    return None


def next_opening(windows: tuple[Window, ...], now: float, local: LocalTime) -> float | None:
    """The next instant after ``now`` at which one of the windows opens; None where there are none, or they are never shut."""
    if not windows:
        return None
    if (opening := opens(windows, now, local)) > now:
        return opening
    end = closes(windows, now, local)
    return None if end == math.inf else opens(windows, end, local)


def meets_windows(schedule: Schedule, windows: tuple[Window, ...], now: float, local: LocalTime) -> bool:
    """Whether any start of the coming days lies in one of the windows, if there are any."""
    start = schedule.next(now)
    while windows and start < now + _DAYS:
        if any(minute_of_week(local(start)) in window for window in windows):
            return True
        start = schedule.next(start)
    return not windows


@dataclass(frozen=True, slots=True)
class Plan:
    """What the config says of starts. ``delay`` are the seconds by which this machine starts later than the schedule says;
    ``catch_up`` says that a missed start is made up for, once. ``opens`` gives the next moment after another one at which a
    window of the line opens, None where there is none."""

    schedule: Schedule
    delay: float = 0.0
    catch_up: bool = True
    opens: Callable[[float], float | None] = no_window


@dataclass(frozen=True, slots=True)
class LastRun:
    """The latest sync that the ledger knows: when it started, and its exit code, None if it died."""

    started: float
    code: int | None


class Agenda:
    """One service's starts. ``last`` is None where nothing ever ran: then nothing was missed."""

    def __init__(self, plan: Plan, *, now: float, monotonic: float, last: LastRun | None = None) -> None:
        self._plan = plan
        self._seen = now
        self._again: float | None = None
        self._again_because: Reason = "retry"
        self._opening: float | None = None
        self._backoff = Backoff(budget=math.inf, first_delay=FIRST_DELAY, longest_delay=LONGEST_DELAY)
        if last and plan.catch_up and (_is_unfinished(last.code) or self._next_scheduled(last.started) <= now):
            self._again, self._again_because = monotonic + plan.delay, "missed"

    def change(self, plan: Plan, *, now: float) -> None:
        """Another plan from now on; attempts that are due after trouble stay due."""
        self._look(now)
        self._plan = plan
        self._seen = now
        self._opening = self._opening and plan.opens(now)

    def due(self, *, now: float, monotonic: float) -> Reason | None:
        """Why a sync is to start at this moment, if one is. Whoever asks starts it, or lets it go."""
        self._look(now)
        reason = self._scheduled(now)
        if reason is None and self._again is not None and self._again <= monotonic:
            reason = self._again_because
        if reason is None and self._opening is not None and self._opening <= now:
            reason = "window"
        if reason:
            self._again = self._opening = None
        if reason in ("schedule", "missed"):
            self._backoff.worked()
        return reason

    def ended(self, code: int, *, now: float, monotonic: float) -> None:
        """The sync ended. Starts that came meanwhile are not made up for: it brought what they would have."""
        self._look(now)
        self._seen = max(self._seen, now)
        if is_retried(code):
            delay = self._backoff.failed(monotonic)
            self._again, self._again_because = None if delay is None else monotonic + delay, "retry"
            return
        self._backoff.worked()
        if code == ExitCode.PAUSED and (opening := self._plan.opens(now)) is not None:
            self._opening = max(opening, now + SHORTEST_PAUSE)

    def next(self, *, now: float, monotonic: float) -> tuple[float, Reason]:
        """When the next sync starts if nothing else happens, by the wall clock, and why."""
        starts: list[tuple[float, Reason]] = [(self._next_scheduled(self._seen), "schedule")]
        if self._again is not None:
            starts.append((now + max(0.0, self._again - monotonic), self._again_because))
        if self._opening is not None:
            starts.append((self._opening, "window"))
        return min(starts)

    def _look(self, now: float) -> None:
        """Notice a clock that was set back: what was seen since then is ahead again."""
        if now < self._seen - SMALL_STEP:
            self._seen = now
            self._opening = self._opening and self._plan.opens(now)

    def _scheduled(self, now: float) -> Reason | None:
        seen, self._seen = self._seen, max(self._seen, now)
        start = self._plan.schedule.last(now - self._plan.delay) + self._plan.delay
        if start <= seen:
            return None
        if now - start <= LATE:
            return "schedule"
        return "missed" if self._plan.catch_up else None

    def _next_scheduled(self, after: float) -> float:
        return self._plan.schedule.next(after - self._plan.delay) + self._plan.delay


def is_retried(code: int) -> bool:
    """Whether a run that ended so may do better soon: line or master were not there, another run held the root, or something
    killed it (as the kernel does when memory is short) that was no person."""
    return code in (ExitCode.TEMP, ExitCode.LOCKED) or (code > 128 and not _was_stopped(code))


def _was_stopped(code: int) -> bool:
    return code in (ExitCode.HANGUP, ExitCode.INTERRUPT, ExitCode.TERMINATED)


def _is_unfinished(code: int | None) -> bool:
    return code is None or code == ExitCode.PAUSED or is_retried(code) or _was_stopped(code)
