"""When a sync starts by itself: the grammar of ``schedule``, and the next and the last start that it means.

::

    at 02:00 every 1 day                       at 02:00,14:00 every 3 days
    at 03:30 every 1 week on Sun               at 22:00 every 2 weeks on Mon-Fri,Sun
    every 6 hours                              every 30 minutes

Times of day are those of the local clock, and each of them comes once a day. Where the clock is put forward over one, that start
comes as many minutes after midnight as on any other day (02:30 at what is then 03:30); where it is put back, the first of the two
counts. A number of days or weeks above 1 is counted from Monday, 1970-01-05, so that a restart shifts nothing. Hours and minutes
are counted through from 1970-01-01 00:00 UTC, and no change of the local clock makes one longer or shorter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, tzinfo

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_FIRST_MONDAY = date(1970, 1, 5).toordinal()
_DAYS_MAX, _WEEKS_MAX, _HOURS_MAX = 366, 52, 168

# Compiled when a schedule is read: most runs read none, and each of them would pay.
_AT = r"at (?P<times>[\d:, ]+) every (?:(?P<count>\d+) )?(?P<unit>day|week)s?(?: on (?P<days>[a-z, -]+))?"
_EVERY = r"every (?:(?P<count>\d+) )?(?P<unit>minute|hour)s?"
_TIME = r"(\d?\d):(\d\d)"
_FORMS = 'must be as "at 02:00 every 1 day", "at 02:00,14:00 every 1 day", "at 03:30 every 1 week on Sun" or "every 6 hours"'


@dataclass(frozen=True, slots=True)
class AtTimes:
    """``times`` are minutes after midnight, ascending. They count on each ``every``-th day; or, where ``weekdays`` (0 is Monday,
    ascending) are given, on these days of each ``every``-th week."""

    times: tuple[int, ...]
    every: int = 1
    weekdays: tuple[int, ...] = ()

    def __str__(self) -> str:
        unit = "week" if self.weekdays else "day"
        days = f" on {','.join(WEEKDAYS[one] for one in self.weekdays)}" if self.weekdays else ""
        return f"at {','.join(map(clock, self.times))} every {self.every} {unit}{'s' * (self.every > 1)}{days}"

    def next(self, after: float, zone: tzinfo | None = None) -> float:
        """The first start later than ``after``. Both in seconds since 1970; ``zone`` None is the host's own."""
        day = _day_of(after, zone) - 1  # one earlier: what is asked for may lie in a day that the clock cut short
        return next(start for number in self._days(day, +1) for start in self._starts(number, zone) if start > after)

    def last(self, until: float, zone: tzinfo | None = None) -> float:
        """The latest start that is not later than ``until``."""
        day = _day_of(until, zone) + 1
        return next(start for number in self._days(day, -1) for start in self._starts(number, zone)[::-1] if start <= until)

    def _days(self, first: int, step: int) -> Iterator[int]:
        """Ordinals of days that count, from ``first`` on in the direction of ``step``; more than the longest distance."""
        for day in range(first, first + step * (7 * _WEEKS_MAX + _DAYS_MAX), step):
            since = day - _FIRST_MONDAY
            if self.weekdays:
                if since % 7 in self.weekdays and since // 7 % self.every == 0:
                    yield day
            elif since % self.every == 0:
                yield day

    def _starts(self, day: int, zone: tzinfo | None) -> list[float]:
        midnight = date.fromordinal(day)
        moments = (datetime.combine(midnight, time(*divmod(minutes, 60)), tzinfo=zone) for minutes in self.times)
        return sorted({moment.timestamp() for moment in moments})


@dataclass(frozen=True, slots=True)
class Interval:
    """Every so many ``minutes``."""

    minutes: int

    def __str__(self) -> str:
        count, unit = (self.minutes, "minute") if self.minutes % 60 else (self.minutes // 60, "hour")
        return f"every {count} {unit}{'s' * (count > 1)}"

    def next(self, after: float, _zone: tzinfo | None = None) -> float:
        return (after // self._seconds + 1) * self._seconds

    def last(self, until: float, _zone: tzinfo | None = None) -> float:
        return until // self._seconds * self._seconds

    @property
    def _seconds(self) -> int:
        return self.minutes * 60


Schedule = AtTimes | Interval


def parse_schedule(text: str) -> Schedule:
    """Raises ValueError, whose text continues the name of what was to be a schedule ("must be …")."""
    words = " ".join(text.lower().split())
    if match := re.fullmatch(_EVERY, words, re.ASCII):
        hours = match["unit"] == "hour"
        count = _count(match, f"{match['unit']}s", _HOURS_MAX if hours else _HOURS_MAX * 60)
        return Interval(count * 60 if hours else count)
    match = re.fullmatch(_AT, words, re.ASCII)
    if not match:
        raise ValueError(_FORMS)
    times = tuple(sorted({_minutes(one) for one in match["times"].split(",")}))
    if match["unit"] == "day":
        if match["days"]:
            raise ValueError('must say "every 1 week on DAYS": days of the week belong to weeks')
        return AtTimes(times, _count(match, "days", _DAYS_MAX))
    if not match["days"]:
        raise ValueError('must say on which days of the week, as "every 1 week on Sun"')
    return AtTimes(times, _count(match, "weeks", _WEEKS_MAX), _weekdays(match["days"]))


def clock(minutes: int) -> str:
    """Minutes after midnight as ``02:05``."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _count(match: re.Match[str], unit: str, most: int) -> int:
    digits = match["count"] or "1"
    if len(digits) > len(str(most)) or not 1 <= int(digits) <= most:
        raise ValueError(f"must be every 1 to {most} {unit}")
    return int(digits)


def _minutes(text: str) -> int:
    match = re.fullmatch(_TIME, text.strip(), re.ASCII)
    if not match or int(match[1]) > 23 or int(match[2]) > 59:
        raise ValueError(f'must have times from 00:00 to 23:59, not "{text.strip()}"')
    return int(match[1]) * 60 + int(match[2])


def _weekdays(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        start, end = _weekday(first), _weekday(last or first)
        found.update((start + step) % 7 for step in range((end - start) % 7 + 1))
    return tuple(sorted(found))


def _weekday(text: str) -> int:
    known = [one.lower() for one in WEEKDAYS]
    if text.strip() not in known:
        raise ValueError(f'must name days as {", ".join(WEEKDAYS)}, not "{text.strip()}"')
    return known.index(text.strip())


def _day_of(moment: float, zone: tzinfo | None) -> int:
    return datetime.fromtimestamp(moment, zone).toordinal()
