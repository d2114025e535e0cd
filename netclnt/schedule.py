"""When the line may be used, how fast, and how long something will take: a week of the wall clock, as rules without a clock.

An instant is in seconds since 1970; ``local`` says what a wall clock shows then. Minutes of the week begin with Monday 00:00.
What counts is what the wall clock shows: a minute that a change of the clock leaves out never comes, one that it repeats comes
twice. The timetable's rules are those of rclone (fs/bwtimetable.go).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf

DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES

_MINUTE = 60
_YEAR = 366 * DAY_MINUTES * _MINUTE
_NIGHTS_MAX = 10_000
"""Nobody wants to know more exactly what takes longer."""

LocalTime = Callable[[float], datetime]
"""What a wall clock shows at an instant, with its zone."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """A cap that changes by the wall clock: from each minute of the week on, a rate in bytes a second, None for no cap. Ordered
    by time, not empty. Before the first entry the last one of the week holds."""

    entries: tuple[tuple[int, float | None], ...]

    def rate(self, minute: int) -> float | None:
        index = bisect_right(self.entries, minute, key=lambda entry: entry[0])
        return self.entries[index - 1][1]

    @property
    def constant(self) -> bool:
        """Whether it is the same rate all week."""
        return len({rate for _, rate in self.entries}) == 1


@dataclass(frozen=True, slots=True)
class Window:
    """A time of each week in which the line may be used: so many minutes from a minute of the week on."""

    begin: int
    minutes: int

    def __contains__(self, minute: int) -> bool:
        return (minute - self.begin) % WEEK_MINUTES < self.minutes


@dataclass(frozen=True, slots=True)
class Terms:
    """What may be taken from the line. ``windows`` empty: always. ``max_transfer`` in bytes and ``max_duration`` in seconds are
    for one run, ``monthly_quota`` in bytes for a calendar month; None: no limit."""

    timetable: Timetable | None = None
    windows: tuple[Window, ...] = ()
    max_transfer: int | None = None
    max_duration: float | None = None
    monthly_quota: int | None = None

    def is_open(self, minute: int) -> bool:
        return not self.windows or any(minute in window for window in self.windows)

    def rate(self, minute: int) -> float | None:
        return self.timetable.rate(minute) if self.timetable else None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time from one instant to another in which nothing changes. ``rate`` is the cap."""

    begin: float
    end: float
    open: bool
    rate: float | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What fetching something costs: bytes, seconds in which the line is used, and the nights it takes: windows, or runs where a
    limit of each ends them. None for what cannot be known, or is over a year away."""

    bytes: int
    seconds: float | None
    nights: int | None


def minute_of_week(shown: datetime) -> int:
    return shown.weekday() * DAY_MINUTES + shown.hour * 60 + shown.minute


def month_of(shown: datetime) -> str:
    """``2026-11``."""
    return f"{shown.year:04}-{shown.month:02}"


def month_around(instant: float, local: LocalTime) -> tuple[float, float]:
    """The instants at which the wall clock's month and the next one begin."""
    shown = local(instant)
    first = datetime(shown.year, shown.month, 1, tzinfo=UTC)
    following = first.replace(year=shown.year + shown.month // 12, month=shown.month % 12 + 1)
    return _instant(first, instant, local), _instant(following, instant, local)


def _instant(wall: datetime, near: float, local: LocalTime) -> float:
    """The instant at which the wall clock shows ``wall``, which says UTC and does not mean it."""
    guess = wall.timestamp() - _offset(near, local)
    return wall.timestamp() - _offset(guess, local)


def stretches(terms: Terms, start: float, local: LocalTime) -> Iterator[Stretch]:
    """The time from ``start`` on, without end; neighbours differ."""
    now = _state(terms, start, local)
    begin = at = start
    while (change := _next_change(terms, at, local)) < inf:
        then = _state(terms, change, local)
        if then != now:
            yield Stretch(begin, change, *now)
            begin, now = change, then
        elif change - begin > _YEAR:  # it never changes, whatever the week says
            break
        at = change
    yield Stretch(begin, inf, *now)


def opens(windows: tuple[Window, ...], now: float, local: LocalTime) -> float:
    """The instant at which the line may be used next: now, if it may be used."""
    return next(stretch.begin for stretch in stretches(Terms(windows=windows), now, local) if stretch.open or stretch.end == inf)


def closes(windows: tuple[Window, ...], now: float, local: LocalTime) -> float:
    """The instant from which on the line may not be used any more: now, if it may not be used."""
    return next((stretch.begin for stretch in stretches(Terms(windows=windows), now, local) if not stretch.open), inf)


def estimate(count: int, *, terms: Terms, line_rate: float | None, now: float, local: LocalTime) -> Forecast:
    """The forecast for so many bytes, begun now, on a line that gave ``line_rate`` bytes a second (None: not known)."""
    if not count:
        return Forecast(0, 0.0, 0)
    turn = _Turns(count, terms, line_rate)
    for stretch in stretches(terms, now, local):
        if stretch.begin - now > _YEAR or not turn.use(stretch):
            break
    return Forecast(count, *((None, None) if turn.left else (turn.seconds, turn.nights)))


class _Turns:
    """Bytes on their way, night by night."""

    def __init__(self, count: int, terms: Terms, line_rate: float | None) -> None:
        self.left: float = count
        self.seconds = 0.0
        self.nights = 0
        self._terms = terms
        self._line_rate = line_rate or inf
        self._begin()
        self._closed = True

    def _begin(self) -> None:
        self._bytes: float = self._terms.max_transfer or inf
        self._seconds: float = self._terms.max_duration or inf
        self._closed = False

    def use(self, stretch: Stretch) -> bool:
        """Fetch what can be fetched in a stretch of time; False when that is all there is to do, or would be for ever."""
        if not stretch.open:
            self._closed = True
            return True
        rate = min(self._line_rate, stretch.rate or inf)
        if rate == inf:
            return False
        at, end = stretch.begin, min(stretch.end, stretch.begin + _YEAR)
        while self.left and at < end and self.nights < _NIGHTS_MAX:
            if self._closed or self._is_spent():
                if not self._closed and self._terms.windows:  # one run a window
                    return True
                self._begin()
                self.nights += 1
            seconds = min(end - at, self._seconds, self._bytes / rate, self.left / rate)
            self._fetch(seconds, rate)
            at += seconds
        return bool(self.left) and self.nights < _NIGHTS_MAX

    def _is_spent(self) -> bool:
        return self._bytes < 1 or self._seconds <= 0

    def _fetch(self, seconds: float, rate: float) -> None:
        self.seconds += seconds
        self._seconds -= seconds
        self._bytes -= seconds * rate
        self.left -= seconds * rate
        if self.left < 1:  # what is less than a byte is how floats divide
            self.left = 0


# --- from week to instants


def _state(terms: Terms, instant: float, local: LocalTime) -> tuple[bool, float | None]:
    minute = minute_of_week(local(instant))
    return terms.is_open(minute), terms.rate(minute)


def _next_change(terms: Terms, instant: float, local: LocalTime) -> float:
    """The next instant at which anything may change: the minute of the week says so, or the wall clock is set."""
    marks = _marks(terms)
    if not marks:
        return inf
    shown = local(instant)
    minute = minute_of_week(shown)
    index = bisect_right(marks, minute)
    mark = marks[index] if index < len(marks) else marks[0] + WEEK_MINUTES
    change = instant + (mark - minute) * _MINUTE - shown.second - shown.microsecond / 1e6
    if _offset(change, local) == _offset(instant, local):
        return change
    return _clock_set(instant, change, local)


def _marks(terms: Terms) -> Sequence[int]:
    marks = {minute for minute, _ in terms.timetable.entries} if terms.timetable and not terms.timetable.constant else set()
    for window in terms.windows:
        marks |= {window.begin, (window.begin + window.minutes) % WEEK_MINUTES}
    return sorted(marks)


def _offset(instant: float, local: LocalTime) -> int:
    """Seconds that the wall clock is ahead of UTC."""
    return round(local(instant).replace(tzinfo=UTC).timestamp() - instant)


def _clock_set(before: float, after: float, local: LocalTime) -> float:
    """The instant between two at which the wall clock is set."""
    offset = _offset(before, local)
    low, high = int(before), int(after) + 1
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(middle, local) == offset:
            low = middle
        else:
            high = middle
    return float(high)
