"""Readers of what goes by the clock: a cap's timetable as rclone writes it, and windows."""

from __future__ import annotations

import re

from netclnt.config import readers
from netclnt.config.readers import Unfit
from netclnt.schedule import DAY_MINUTES, Timetable, Window

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WHOLE_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_ENTRY = r"(?:([A-Za-z]+)-)?([0-9:]+),(.+)"
_BETWEEN = r"[;\s]+"
_TIME = r"([01]\d|2[0-3]):([0-5]\d)"
_FROM_TO = r"(\d\d:\d\d)-(\d\d:\d\d)"

_CAP = 'must be a rate as "10M", "off", or times with rates as "08:00,512K 23:00,off" or "Mon-00:00,512K Sat-12:00,10M"'
_WINDOW = 'must be times as "22:00-05:00", "Mon-Fri 22:00-05:00" or "Sat 00:00-24:00", or "off"'


def cap(value: object) -> Timetable | None:
    """One rate, or times with rates: ``[DAY-]HH:MM,RATE``, divided by spaces or semicolons; one without a day is of every day,
    and of two for the same minute the later one counts. None for no cap."""
    if not isinstance(value, str) or "," not in value:
        rate = _rate(value)
        return None if rate is None else Timetable(((0, rate),))
    entries: dict[int, float | None] = {}
    for word in re.split(_BETWEEN, value.strip(" ;"), flags=re.ASCII):
        entries |= dict.fromkeys(*_entry(word))
    return Timetable(tuple(sorted(entries.items())))


def _rate(value: object) -> float | None:
    try:
        return readers.bytes_a_second(value)
    except Unfit as error:
        raise Unfit(str(error) if "at least" in str(error) else _CAP) from None


def _entry(word: str) -> tuple[list[int], float | None]:
    """Minutes of the week, and the rate from each of them on. Of rclone's ``UP:DOWN`` the second one counts: nothing goes up."""
    match = re.fullmatch(_ENTRY, word, re.ASCII)
    minute = _minute(match[2]) if match else None
    if match is None or minute is None:
        raise Unfit(f"{_CAP}; not {word[:40]!r}")
    days = range(7) if match[1] is None else [_day(match[1], _CAP)]
    try:
        rate = readers.bytes_a_second(match[3].partition(":")[2] or match[3])
    except Unfit as error:
        raise Unfit(f"has the rate {match[3][:40]!r}, which {error}") from None
    return [day * DAY_MINUTES + minute for day in days], rate


def windows(value: object) -> tuple[Window, ...]:
    """A list of ``[DAYS] HH:MM-HH:MM``, where DAYS are a day, days divided by commas, or a range of days, each over midnight
    where the second time is not later than the first. Empty for always."""
    words = " ".join(readers.texts([value] if isinstance(value, str) else value)).split()
    if words == ["off"]:
        return ()
    found: list[Window] = []
    days: list[int] | None = None
    for word in words:
        if match := re.fullmatch(_FROM_TO, word, re.ASCII):
            begin, minutes = _span(match[1], match[2], word)
            found += [Window(day * DAY_MINUTES + begin, minutes) for day in (range(7) if days is None else days)]
            days = None
        elif days is None:
            days = _days(word)
        else:
            raise Unfit(f"{_WINDOW}; not {word[:40]!r}")
    if days is not None:
        raise Unfit(f"{_WINDOW}; after {words[-1][:40]!r} there is no time")
    return tuple(found)


def _span(first: str, last: str, word: str) -> tuple[int, int]:
    """Begin, in minutes of the day, and length."""
    begin, end = _minute(first), DAY_MINUTES if last == "24:00" else _minute(last)
    if begin is None or end is None:
        raise Unfit(f"{_WINDOW}; not {word!r}")
    if begin == end:
        raise Unfit(f'has a window without length, {word!r}; a whole day is "00:00-24:00"')
    return begin, (end - begin) % DAY_MINUTES or DAY_MINUTES


def _days(word: str) -> list[int]:
    days: list[int] = []
    for part in word.split(","):
        first, ranged, last = part.partition("-")
        begin = _day(first, _WINDOW)
        end = _day(last, _WINDOW) if ranged else begin
        days += [(begin + day) % 7 for day in range((end - begin) % 7 + 1)]
    return days


def _day(word: str, otherwise: str) -> int:
    """0 for Monday."""
    for names in (_DAYS, _WHOLE_NAMES):
        if word.lower() in names:
            return names.index(word.lower())
    raise Unfit(f"{otherwise}; not the day {word[:40]!r}")


def _minute(text: str) -> int | None:
    """Of the day."""
    match = re.fullmatch(_TIME, text, re.ASCII)
    return int(match[1]) * 60 + int(match[2]) if match else None
