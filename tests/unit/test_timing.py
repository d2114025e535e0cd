"""When a sync starts: what can be said, what it means, and what the local clock does to it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netclnt.timing import AtTimes, Interval, Schedule, parse_schedule

BERLIN = ZoneInfo("Europe/Berlin")
"""Its clock goes forward on 2026-03-29 at 02:00, and back on 2026-10-25 at 03:00."""

ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "America/Asuncion")]

SCHEDULES = st.one_of(
    st.builds(Interval, st.integers(1, 10_080)),
    st.builds(
        AtTimes,
        st.lists(st.integers(0, 1439), min_size=1, max_size=4, unique=True).map(lambda times: tuple(sorted(times))),
        st.integers(1, 52),
        st.lists(st.integers(0, 6), max_size=7, unique=True).map(lambda days: tuple(sorted(days))),
    ),
)
MOMENTS = st.floats(0, 4e9).map(lambda moment: round(moment, 3))


def at(text: str, zone: ZoneInfo = BERLIN, *, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def starts(schedule: str, after: str, count: int = 3, zone: ZoneInfo = BERLIN) -> list[str]:
    moment, found = at(after, zone), []
    for _ in range(count):
        moment = parse_schedule(schedule).next(moment, zone)
        found.append(datetime.fromtimestamp(moment, zone).strftime("%m-%d %H:%M %Z"))
    return found


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("at 02:00 every 1 day", AtTimes((120,))),
        ("at 2:00 every day", AtTimes((120,))),
        ("  At 14:00, 02:00 EVERY 3 Days", AtTimes((120, 840), 3)),
        ("at 02:00,02:00,23:59 every 1 day", AtTimes((120, 1439))),
        ("at 03:30 every 1 week on Sun", AtTimes((210,), 1, (6,))),
        ("at 22:00 every 2 weeks on mon-fri, sun", AtTimes((1320,), 2, (0, 1, 2, 3, 4, 6))),
        ("at 22:00 every week on Sat-Mon", AtTimes((1320,), 1, (0, 5, 6))),
        ("every 6 hours", Interval(360)),
        ("every hour", Interval(60)),
        ("every 1 minute", Interval(1)),
        ("every 90 minutes", Interval(90)),
    ],
)
def test_what_a_schedule_means(text: str, meaning: Schedule) -> None:
    assert parse_schedule(text) == meaning


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", 'as "at 02:00 every 1 day"'),
        ("daily", 'as "at 02:00 every 1 day"'),
        ("at 02:00", 'as "at 02:00 every 1 day"'),
        ("every 1 day", 'as "at 02:00 every 1 day"'),
        ("0 2 * * *", 'as "at 02:00 every 1 day"'),
        ("every 30 seconds", 'as "at 02:00 every 1 day"'),
        ("at 02:00 every 1 day\nat 03:00 every 1 day", 'as "at 02:00 every 1 day"'),
        ("at 24:00 every 1 day", 'not "24:00"'),
        ("at 02:60 every 1 day", 'not "02:60"'),
        ("at 02:00, every 1 day", 'not ""'),
        ("at 0200 every 1 day", 'not "0200"'),
        ("at 02:00 every 0 days", "every 1 to 366 days"),
        ("at 02:00 every 367 days", "every 1 to 366 days"),
        (f"every {'9' * 5000} hours", "every 1 to 168 hours"),
        ("at 02:00 every 53 weeks on Sun", "every 1 to 52 weeks"),
        ("at 02:00 every 1 week", "on which days of the week"),
        ("at 02:00 every 1 day on Sun", "days of the week belong to weeks"),
        ("at 02:00 every 1 week on Sunday", 'not "sunday"'),
        ("at 02:00 every 1 week on Mon,", 'not ""'),
        ("at 02:00 every 1 week on Mon-Tue-Wed", 'not "tue-wed"'),
    ],
)
def test_what_is_none_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"^must ") as caught:
        parse_schedule(text)
    assert told in str(caught.value)


@given(SCHEDULES)
def test_a_schedule_says_what_it_is(schedule: Schedule) -> None:
    assert parse_schedule(str(schedule)) == schedule


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("at 02:00 every 1 day", "2026-11-23 01:59", ["11-23 02:00 CET", "11-24 02:00 CET", "11-25 02:00 CET"]),
        ("at 02:00 every 1 day", "2026-11-23 02:00", ["11-24 02:00 CET", "11-25 02:00 CET", "11-26 02:00 CET"]),
        ("at 14:00,02:00 every 1 day", "2026-12-31 03:00", ["12-31 14:00 CET", "01-01 02:00 CET", "01-01 14:00 CET"]),
        ("at 03:30 every 1 week on Sun", "2026-11-23 00:00", ["11-29 03:30 CET", "12-06 03:30 CET", "12-13 03:30 CET"]),
        ("at 00:00 every 2 weeks on Mon,Tue", "2026-11-23 00:00", ["11-24 00:00 CET", "12-07 00:00 CET", "12-08 00:00 CET"]),
        ("every 6 hours", "2026-11-23 00:30", ["11-23 01:00 CET", "11-23 07:00 CET", "11-23 13:00 CET"]),
    ],
)
def test_the_next_starts(schedule: str, after: str, expected: list[str]) -> None:
    assert starts(schedule, after) == expected


def test_days_are_counted_through_so_that_a_restart_shifts_nothing() -> None:
    assert starts("at 02:00 every 3 days", "2026-11-22 03:00") == ["11-25 02:00 CET", "11-28 02:00 CET", "12-01 02:00 CET"]
    assert starts("at 02:00 every 3 days", "2026-11-25 03:00", 1) == ["11-28 02:00 CET"]


def test_J3_a_start_that_the_clock_leaves_out_takes_place_all_the_same() -> None:
    assert starts("at 02:30 every 1 day", "2026-03-28 00:00") == ["03-28 02:30 CET", "03-29 03:30 CEST", "03-30 02:30 CEST"]


def test_J3_a_start_that_the_clock_repeats_takes_place_once() -> None:
    assert starts("at 02:30 every 1 day", "2026-10-24 12:00") == ["10-25 02:30 CEST", "10-26 02:30 CET", "10-27 02:30 CET"]
    between = at("2026-10-25 02:10", fold=1)  # the second ten past two: half past is behind us
    assert parse_schedule("at 02:30 every 1 day").next(between, BERLIN) == at("2026-10-26 02:30")


def test_J3_starts_that_fall_together_are_one() -> None:
    assert starts("at 02:30,03:30 every 1 day", "2026-03-29 00:00", 2) == ["03-29 03:30 CEST", "03-30 02:30 CEST"]


@pytest.mark.parametrize("night", ["2026-03-29", "2026-10-25"])
def test_J3_intervals_do_not_feel_the_clock(night: str) -> None:
    moment = at(f"{night} 00:00")
    for _ in range(8):
        following = parse_schedule("every 1 hour").next(moment, BERLIN)
        assert following - moment == 3600
        moment = following


def test_J3_a_day_that_never_was_keeps_its_start() -> None:
    apia = ZoneInfo("Pacific/Apia")  # went from the 29th to the 31st of December 2011 over the date line
    assert starts("at 02:00 every 1 day", "2011-12-29 00:00", 2, apia) == ["12-29 02:00 -10", "12-31 02:00 +14"]


@given(SCHEDULES, MOMENTS, st.sampled_from(ZONES))
def test_next_and_last_are_two_sides_of_one_row(schedule: Schedule, moment: float, zone: ZoneInfo) -> None:
    following = schedule.next(moment, zone)
    before = schedule.last(moment, zone)
    assert before <= moment < following
    assert schedule.last(following, zone) == following
    assert schedule.next(before, zone) == following


@given(SCHEDULES, MOMENTS, st.sampled_from(ZONES))
def test_the_time_between_two_starts_is_what_was_asked_for(schedule: Schedule, moment: float, zone: ZoneInfo) -> None:
    first = schedule.next(moment, zone)
    distance = schedule.next(first, zone) - first
    if isinstance(schedule, Interval):
        assert distance == schedule.minutes * 60
    else:
        days = schedule.every * (7 if schedule.weekdays else 1)
        assert distance <= timedelta(days=days, hours=25).total_seconds()


@pytest.fixture
def host_in_berlin() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()
    assert os.environ.get("TZ") != "Europe/Berlin"


@pytest.mark.parametrize("night", ["2026-03-28", "2026-10-24", "2026-11-23"])
def test_J3_the_hosts_own_zone_means_the_same(night: str, host_in_berlin: None) -> None:
    schedule = parse_schedule("at 02:30,03:10 every 1 day")
    moment = at(f"{night} 12:00")
    assert schedule.next(moment) == schedule.next(moment, BERLIN)
    assert schedule.last(moment + 86400) == schedule.last(moment + 86400, BERLIN)


def test_J1_a_clock_that_is_years_off_is_no_trouble() -> None:
    schedule = parse_schedule("at 02:00 every 1 day")
    for moment in (0.0, datetime(2199, 12, 31, 23, 59, tzinfo=UTC).timestamp()):
        assert 0 < schedule.next(moment, BERLIN) - moment <= 86400
