"""Timetable, windows and forecast, with the instant in the test's hand, on clocks that are set twice a year."""

from __future__ import annotations

import itertools
import random
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from netclnt.schedule import (
    WEEK_MINUTES,
    Forecast,
    LocalTime,
    Terms,
    Timetable,
    Window,
    closes,
    estimate,
    minute_of_week,
    month_around,
    month_of,
    opens,
    stretches,
)

BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
"""Its clock is set by half an hour."""

K = 1024
NIGHT = Window(22 * 60, 7 * 60)
"""Monday 22:00 to Tuesday 05:00."""

NIGHTS = tuple(Window(day * 1440 + 22 * 60, 7 * 60) for day in range(7))


def in_(zone: ZoneInfo) -> LocalTime:
    return lambda instant: datetime.fromtimestamp(instant, zone)


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def shown(instant: float, zone: ZoneInfo = BERLIN) -> str:
    return datetime.fromtimestamp(instant, zone).strftime("%a %d %H:%M")


def minute(day: int, hour: int, minute: int = 0) -> int:
    return day * 1440 + hour * 60 + minute


DAY_AND_NIGHT = Timetable(
    tuple(sorted((minute(day, hour), rate) for day in range(7) for hour, rate in ((8, 512 * K), (12, 10240 * K), (23, None))))
)
WEEK = Timetable(((minute(0, 0), 512 * K), (minute(4, 23, 59), 10240 * K), (minute(6, 20), None)))


@pytest.mark.parametrize(
    ("when", "rate"),
    [
        ((0, 7, 59), None),  # of the night before, and on Monday of Sunday's
        ((0, 8), 512 * K),
        ((3, 11, 59), 512 * K),
        ((3, 12), 10240 * K),
        ((6, 22, 59), 10240 * K),
        ((6, 23), None),
        ((0, 0), None),
    ],
)
def test_the_latest_entry_counts_and_the_last_one_of_the_week_before_the_first(when, rate):
    assert DAY_AND_NIGHT.rate(minute(*when)) == rate


@pytest.mark.parametrize(
    ("when", "rate"), [((0, 0), 512 * K), ((4, 23, 58), 512 * K), ((5, 12), 10240 * K), ((6, 19, 59), 10240 * K), ((6, 20), None)]
)
def test_days_of_the_week(when, rate):
    assert WEEK.rate(minute(*when)) == rate


def test_a_table_that_begins_late_in_the_week_wraps():
    table = Timetable(((minute(2, 10), 1024.0), (minute(4, 10), 2048.0)))
    assert [table.rate(minute(day, 12)) for day in range(7)] == [2048, 2048, 1024, 1024, 2048, 2048, 2048]


def test_a_window_over_midnight_and_one_over_the_end_of_the_week():
    assert [minute(0, 22) in NIGHT, minute(1, 4, 59) in NIGHT] == [True, True]
    assert [minute(0, 21, 59) in NIGHT, minute(1, 5) in NIGHT, minute(0, 4) in NIGHT] == [False, False, False]
    sunday = Window(minute(6, 22), 7 * 60)
    assert [minute(6, 23) in sunday, minute(0, 4) in sunday, minute(0, 5) in sunday] == [True, True, False]
    assert all(one in Window(17, WEEK_MINUTES) for one in (0, 16, 17, 18, WEEK_MINUTES - 1))


def test_no_window_is_always():
    assert Terms().is_open(0)
    assert opens((), 5.0, in_(BERLIN)) == 5.0
    assert closes((), 5.0, in_(BERLIN)) == float("inf")


def test_when_the_line_opens_and_closes():
    noon, night = at("2026-11-23 12:00:30.5"), at("2026-11-24 01:00")
    assert opens(NIGHTS, noon, in_(BERLIN)) == at("2026-11-23 22:00")
    assert closes(NIGHTS, noon, in_(BERLIN)) == noon
    assert opens(NIGHTS, night, in_(BERLIN)) == night
    assert closes(NIGHTS, night, in_(BERLIN)) == at("2026-11-24 05:00")


def test_windows_that_touch_are_one():
    windows = (Window(minute(0, 22), 120), Window(minute(1, 0), 300), Window(minute(1, 4), 120))
    assert closes(windows, at("2026-11-23 22:00"), in_(BERLIN)) == at("2026-11-24 06:00")


@pytest.mark.parametrize(("night", "hours"), [("2026-03-28", 6), ("2026-03-27", 7), ("2026-10-24", 8), ("2026-10-25", 7)])
def test_J3_a_night_in_which_the_clock_is_set_is_shorter_or_longer(night, hours):
    begin = at(f"{night} 22:00")
    end = closes(NIGHTS, begin, in_(BERLIN))
    assert end - begin == hours * 3600
    assert shown(end).endswith("05:00")


def test_J3_what_the_clock_leaves_out_never_comes_and_what_it_repeats_comes_twice():
    half_past = Terms(windows=tuple(Window(minute(day, 2, 15), 30) for day in range(7)))
    spring = [one for one in itertools.islice(stretches(half_past, at("2026-03-28 12:00"), in_(BERLIN)), 4) if one.open]
    assert [shown(one.begin) for one in spring] == ["Mon 30 02:15", "Tue 31 02:15"]
    autumn = [one for one in itertools.islice(stretches(half_past, at("2026-10-24 12:00"), in_(BERLIN)), 6) if one.open]
    assert [shown(one.begin) for one in autumn] == ["Sun 25 02:15", "Sun 25 02:15", "Mon 26 02:15"]
    assert [one.end - one.begin for one in autumn] == [1800] * 3
    assert autumn[1].begin - autumn[0].begin == 3600


def test_J3_an_entry_of_the_timetable_inside_the_hour_that_is_left_out_counts_from_its_end():
    table = Timetable(((minute(6, 2, 30), 1024.0), (minute(6, 20), 2048.0)))
    found = next(one for one in stretches(Terms(table), at("2026-03-29 01:00"), in_(BERLIN)) if one.rate == 1024)
    assert shown(found.begin) == "Sun 29 03:00"


@pytest.mark.parametrize("zone", [BERLIN, LORD_HOWE, ZoneInfo("America/St_Johns"), ZoneInfo("Asia/Kathmandu")])
@pytest.mark.parametrize("seed", range(2))
def test_J3_any_week_in_which_a_clock_is_set_is_minute_for_minute_what_it_shows(zone, seed):
    chance = random.Random(seed)
    windows = tuple(Window(chance.randrange(WEEK_MINUTES), chance.randrange(1, 2000)) for _ in range(5))
    entries = {chance.randrange(WEEK_MINUTES): chance.choice([None, 1024.0, 4096.0]) for _ in range(9)}
    terms = Terms(Timetable(tuple(sorted(entries.items()))), windows)
    for begin in (at("2026-03-26 12:34", zone), at("2026-10-22 12:34", zone), at("2026-04-02 00:00", zone)):
        found = stretches(terms, begin, in_(zone))
        stretch = next(found)
        for instant in range(int(begin), int(begin) + 8 * 86400, 60):
            while instant >= stretch.end:
                before, stretch = stretch, next(found)
                assert (before.open, before.rate) != (stretch.open, stretch.rate)
            wall = minute_of_week(datetime.fromtimestamp(instant, zone))
            assert (stretch.open, stretch.rate) == (terms.is_open(wall), terms.rate(wall)), shown(instant, zone)


def test_stretches_end_where_nothing_ever_changes():
    constant = Timetable(tuple((minute(day, 8), 1024.0) for day in range(7)))
    always = (Window(0, WEEK_MINUTES),)
    ((begin, end),) = [(one.begin, one.end) for one in stretches(Terms(constant, always), 7.0, in_(BERLIN))]
    assert (begin, end) == (7, float("inf"))


def test_months_begin_at_midnight_whatever_the_clock_did():
    assert month_of(datetime(2026, 3, 1, tzinfo=BERLIN)) == "2026-03"
    for month in range(1, 13):
        for day in (1, 15, 28):
            now = datetime.fromtimestamp(at(f"2026-{month:02}-{day:02} 13:14:15.5"), BERLIN)
            first, following = (datetime.fromtimestamp(one, BERLIN) for one in month_around(now.timestamp(), in_(BERLIN)))
            for begin in (first, following):
                assert (begin.day, begin.hour, begin.minute, begin.second) == (1, 0, 0, 0)
            assert (first.year, first.month) == (2026, month)
            assert (following.year, following.month) == ((2026, month + 1) if month < 12 else (2027, 1))


# --- forecasts

NOON = at("2026-11-23 12:00")


def forecast(count: int, terms: Terms, line_rate: float | None = None, now: float = NOON) -> Forecast:
    return estimate(count, terms=terms, line_rate=line_rate, now=now, local=in_(BERLIN))


def test_nothing_costs_nothing():
    assert forecast(0, Terms(windows=NIGHTS)) == Forecast(0, 0.0, 0)


def test_the_lower_of_line_and_cap_counts():
    cap = Timetable(((0, 1000.0),))
    assert forecast(10_000, Terms(cap), 500.0) == Forecast(10_000, 20.0, 1)
    assert forecast(10_000, Terms(cap), 5000.0) == Forecast(10_000, 10.0, 1)
    assert forecast(10_000, Terms(cap)) == Forecast(10_000, 10.0, 1)
    assert forecast(10_000, Terms()) == Forecast(10_000, None, None)


def test_nights_are_windows():
    seven_hours = 7 * 3600 * 1000
    assert forecast(seven_hours, Terms(windows=NIGHTS), 1000.0) == Forecast(seven_hours, 7 * 3600.0, 1)
    assert forecast(seven_hours + 5000, Terms(windows=NIGHTS), 1000.0) == Forecast(seven_hours + 5000, 7 * 3600 + 5.0, 2)
    late = at("2026-11-24 04:59:50")
    assert forecast(15_000, Terms(windows=NIGHTS), 1000.0, late) == Forecast(15_000, 15.0, 2)
    monday = (Window(minute(0, 22), 420),)
    assert forecast(3 * seven_hours, Terms(windows=monday), 1000.0).nights == 3


def test_a_timetable_inside_a_window():
    table = Timetable(tuple(sorted((minute(day, hour), rate) for day in range(7) for hour, rate in ((0, 2000.0), (22, 1000.0)))))
    count = 2 * 3600 * 1000 + 10 * 2000
    assert forecast(count, Terms(table, NIGHTS), 1e9) == Forecast(count, 2 * 3600 + 10.0, 1)


def test_J3_the_short_night_carries_less():
    count = 7 * 3600 * 1000
    assert forecast(count, Terms(windows=NIGHTS), 1000.0, at("2026-03-27 12:00")).nights == 1
    assert forecast(count, Terms(windows=NIGHTS), 1000.0, at("2026-03-28 12:00")).nights == 2


def test_what_one_run_may_take_makes_nights_too():
    assert forecast(10_000, Terms(max_transfer=4000), 1000.0) == Forecast(10_000, 10.0, 3)
    assert forecast(10_000, Terms(max_duration=5.0), 1000.0) == Forecast(10_000, 10.0, 2)
    assert forecast(10_000, Terms(windows=NIGHTS, max_transfer=4000), 1000.0) == Forecast(10_000, 10.0, 3)
    assert forecast(10_000, Terms(windows=NIGHTS, max_duration=2.5), 1000.0) == Forecast(10_000, 10.0, 4)


def test_what_takes_over_a_year_is_not_said():
    assert forecast(1 << 50, Terms(windows=NIGHTS), 1024.0) == Forecast(1 << 50, None, None)
    assert forecast(1 << 50, Terms(), 1024.0) == Forecast(1 << 50, None, None)
    assert forecast(1 << 50, Terms(max_transfer=1 << 20), 1e9) == Forecast(1 << 50, None, None)
