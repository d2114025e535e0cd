"""What one run may still take from the line: when its window, its time or its budget is over, nothing more is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from math import inf
from threading import Lock

from netclnt.errors import LinePaused
from netclnt.schedule import Forecast, LocalTime, Terms, closes, estimate, month_around, month_of, opens

_LOOK_SECONDS = 1.0
"""How often the wall clock is looked at, so that one that is set is noticed."""


class Allowance:
    """What ``terms`` leave to one run, for all its connections. Nothing is refused before :meth:`begin`.

    What is refused stays refused: the run is to end, and the next one to go on. ``wall`` gives seconds since 1970, ``clock``
    seconds that never go back. From any thread.
    """

    def __init__(
        self,
        terms: Terms,
        *,
        local: LocalTime,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.terms = terms
        self._local = local
        self._wall = wall
        self._clock = clock
        self._lock = Lock()
        self._taken = 0
        self._month = ""
        self._of_month = 0
        self._begun = False
        self._end = inf
        self._look_at = inf
        self._closed: LinePaused | None = None
        self._spent: LinePaused | None = None

    @property
    def month_began(self) -> str:
        """When the month began that is counted for ``monthly_quota``: RFC 3339."""
        return self._text(month_around(self._wall(), self._local)[0])

    def estimate(self, count: int, *, line_rate: float | None) -> Forecast:
        """The forecast for so many bytes, on a line that gave so many a second."""
        return estimate(count, terms=self.terms, line_rate=line_rate, now=self._wall(), local=self._local)

    def begin(self, used: int) -> None:
        """The run begins, in a month in which so many bytes were fetched before."""
        self._of_month, self._month = used, month_of(self._local(self._wall()))
        self._end = self._clock() + (self.terms.max_duration or inf)
        self._begun = True
        if self.terms.windows or self.terms.max_duration or self.terms.monthly_quota is not None:
            self._look()

    def closed(self) -> LinePaused | None:
        """Why the line may not be used any more, if it may not be: its time is over."""
        if self._closed is None and self._look_at < inf and self._clock() >= self._look_at:
            self._look()
        return self._closed

    def check(self) -> None:
        """Raise LinePaused if the line may not be used any more."""
        closed = self.closed()
        if closed is not None:
            raise closed

    def take(self, count: int) -> LinePaused | None:
        """Take so many bytes, or say why they may not be asked for. What was taken may be fetched until the time is over."""
        closed = self.closed()
        if closed is not None or not self._begun:
            return closed
        with self._lock:
            if self._spent is None:
                self._spent = self._over_budget(count)
            if self._spent is None:
                self._add(count)
            return self._spent

    def charge(self, count: int) -> None:
        """Take bytes that came without having been asked for by number."""
        with self._lock:
            self._add(count)

    def _add(self, count: int) -> None:
        self._taken += count
        self._of_month += count

    def _over_budget(self, count: int) -> LinePaused | None:
        terms = self.terms
        if terms.max_transfer is not None and self._taken + count > terms.max_transfer:
            return LinePaused("max_transfer", limit=terms.max_transfer, left=max(0, terms.max_transfer - self._taken))
        if terms.monthly_quota is not None and self._of_month + count > terms.monthly_quota:
            left = max(0, terms.monthly_quota - self._of_month)
            _, again = month_around(self._wall(), self._local)
            return LinePaused("monthly_quota", limit=terms.monthly_quota, left=left, again=self._text(again))
        return None

    def _look(self) -> None:
        with self._lock:
            now, wall = self._clock(), self._wall()
            month = month_of(self._local(wall))
            if month != self._month:
                self._month, self._of_month = month, 0
            ends = closes(self.terms.windows, wall, self._local) - wall
            if ends <= 0:
                again = opens(self.terms.windows, wall, self._local)
                self._closed = self._closed or LinePaused("window", again=self._text(again))
            elif now >= self._end:
                self._closed = self._closed or LinePaused("max_duration", limit=self.terms.max_duration or 0)
            self._look_at = now + min(_LOOK_SECONDS, ends, max(0.0, self._end - now))

    def _text(self, instant: float) -> str:
        """RFC 3339, in local time."""
        return self._local(instant).isoformat(timespec="seconds")


def unlimited() -> Allowance:
    """One that refuses nothing."""
    return Allowance(Terms(), local=partial(datetime.fromtimestamp, tz=UTC))
