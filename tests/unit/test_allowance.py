"""What a run may take from the line, with both clocks in the test's hand."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from netclnt.allowance import Allowance, unlimited
from netclnt.errors import LinePaused
from netclnt.schedule import Forecast, Terms, Timetable, Window

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTS = tuple(Window(day * 1440 + 22 * 60, 7 * 60) for day in range(7))


class Clocks:
    """A wall clock that begins at a local time, and one that only counts; both go together unless the first is set."""

    def __init__(self, text: str) -> None:
        self.wall = datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()
        self.passed = 0.0

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.passed += seconds

    def allowance(self, terms: Terms, used: int = 0) -> Allowance:
        made = Allowance(
            terms,
            local=lambda instant: datetime.fromtimestamp(instant, BERLIN),
            wall=lambda: self.wall,
            clock=lambda: self.passed,
        )
        made.begin(used)
        return made


def reason(paused: LinePaused | None) -> tuple[str, float, int, str] | None:
    return paused and (paused.reason, paused.limit, paused.left, paused.again)


def test_without_terms_nothing_is_refused():
    free = unlimited()
    free.begin(1 << 50)
    assert free.take(1 << 50) is None
    assert free.closed() is None


def test_the_line_closes_with_its_window_to_the_second():
    clocks = Clocks("2026-11-24 04:59:57.5")
    line = clocks.allowance(Terms(windows=NIGHTS))
    for _ in range(2):
        assert line.closed() is line.take(100) is None
        clocks.wait(1.2)
    clocks.wait(0.0999)
    assert line.closed() is None
    clocks.wait(0.0002)
    assert reason(line.closed()) == ("window", 0, 0, "2026-11-24T22:00:00+01:00")
    assert line.take(0) is line.closed()
    clocks.wait(20 * 3600)
    assert line.closed() is not None  # this run has ended; the next one goes on


def test_outside_the_window_a_run_gets_nothing_at_all():
    assert reason(Clocks("2026-11-23 12:00").allowance(Terms(windows=NIGHTS)).take(1)) == (
        *("window", 0, 0),
        "2026-11-23T22:00:00+01:00",
    )


def test_before_a_run_begins_nothing_is_refused():
    clocks = Clocks("2026-11-23 12:00")
    line = Allowance(Terms(windows=NIGHTS, max_transfer=1), local=lambda _: datetime.now(BERLIN), wall=lambda: clocks.wall)
    assert line.closed() is line.take(1 << 40) is None


def test_J3_a_clock_that_is_set_is_noticed_within_a_second():
    clocks = Clocks("2026-11-24 00:00")
    line = clocks.allowance(Terms(windows=NIGHTS))
    clocks.wall += 6 * 3600
    clocks.wait(0.9)
    assert line.closed() is None
    clocks.wait(0.2)
    assert reason(line.closed()) == ("window", 0, 0, "2026-11-24T22:00:00+01:00")


def test_J3_in_the_night_in_which_the_clock_is_set_the_window_is_an_hour_longer():
    clocks = Clocks("2026-10-24 22:00")
    line = clocks.allowance(Terms(windows=NIGHTS))
    clocks.wait(8 * 3600 - 1)
    assert line.closed() is None
    clocks.wait(1)
    assert line.closed() is not None


def test_the_time_of_one_run_counts_from_its_begin():
    clocks = Clocks("2026-11-24 00:00")
    line = clocks.allowance(Terms(max_duration=60.0))
    clocks.wait(59.9)
    assert line.closed() is None
    clocks.wait(0.1)
    assert reason(line.closed()) == ("max_duration", 60.0, 0, "")


def test_a_range_that_would_go_beyond_the_budget_is_not_begun_and_others_are_finished():
    line = Clocks("2026-11-24 00:00").allowance(Terms(max_transfer=1000))
    assert line.take(700) is None
    assert reason(line.take(301)) == ("max_transfer", 1000, 300, "")
    assert line.take(1) is not None  # what was refused stays refused, so that the run comes to its end
    assert line.closed() is None
    line = Clocks("2026-11-24 00:00").allowance(Terms(max_transfer=1000))
    line.charge(400)
    assert line.take(600) is None
    assert line.take(1) is not None


def test_the_quota_goes_over_runs_and_begins_anew_with_the_month():
    clocks = Clocks("2026-11-30 23:59")
    line = clocks.allowance(Terms(monthly_quota=1000), used=900)
    assert line.month_began == "2026-11-01T00:00:00+01:00"
    assert line.take(100) is None
    clocks.wait(61)
    assert line.take(1000) is None
    assert reason(line.take(1)) == ("monthly_quota", 1000, 0, "2027-01-01T00:00:00+01:00")
    assert reason(Clocks("2026-11-23 12:00").allowance(Terms(monthly_quota=1000), used=1500).take(1)) == (
        *("monthly_quota", 1000, 0),
        "2026-12-01T00:00:00+01:00",
    )


def test_forecasts_begin_now():
    clocks = Clocks("2026-11-24 04:59:50")
    line = clocks.allowance(Terms(Timetable(((0, 1000.0),)), NIGHTS))
    assert line.estimate(15_000, line_rate=None) == Forecast(15_000, 15.0, 2)
