"""The service's loop on a host of the test's own: when it starts a sync, what it does with signals, what a clock does to it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netclnt.agenda import FIRST_DELAY, LATE, LONGEST_DELAY, Agenda, LastRun, Plan, meets_windows, next_opening
from netclnt.errors import ConfigInvalid, ExitCode, NetclntError, StorageFailed
from netclnt.memory.host import MemoryHost, MemoryRun
from netclnt.schedule import DAY_MINUTES, WEEK_MINUTES, Window
from netclnt.service import LONGEST_WAIT, STOP_SECONDS, Service
from netclnt.timing import parse_schedule

HOUR, DAY = 3600.0, 86400.0
NIGHTLY, HOURLY = parse_schedule("every 24 hours"), parse_schedule("every 1 hour")  # UTC: midnight, and each full hour


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOON = at("2026-11-23 12:00")
MIDNIGHT = at("2026-11-24 00:00")


@dataclass
class Told:
    """A Teller that keeps what it was told."""

    told: list[tuple[object, ...]] = field(default_factory=list)
    interval: float | None = None
    beats: int = 0

    def waiting(self, at: float, reason: str) -> None:
        self.told.append(("waiting", at, reason))

    def started(self, reason: str) -> None:
        self.told.append(("started", reason))

    def ended(self, code: int, seconds: float) -> None:
        self.told.append(("ended", code, seconds))

    def unable(self, error: NetclntError) -> None:
        self.told.append(("unable", type(error)))

    def reloading(self) -> None:
        self.told.append(("reloading",))

    def reloaded(self, error: NetclntError | None) -> None:
        self.told.append(("reloaded", type(error) if error else None))

    def status(self, started: float | None, at: float, reason: str) -> None:
        self.told.append(("status", started, at, reason))

    def idle(self, number: int) -> None:
        self.told.append(("idle", number))

    def stopping(self, number: int) -> None:
        self.told.append(("stopping", number))

    def alive(self) -> None:
        self.beats += 1

    def all(self, kind: str) -> list[tuple[object, ...]]:
        return [one for one in self.told if one[0] == kind]


def serve(
    host: MemoryHost, plan: Plan, *, until: float, load: Callable[[], Plan] | None = None, last: LastRun | None = None
) -> Told:
    """Run a service on the host until so many seconds have passed."""
    told = Told()
    host.script(until, signal.SIGTERM)
    service = Service(host, plan, load=load or (lambda: plan), teller=told, last=lambda: last)
    assert service.run() == signal.SIGTERM
    assert not [child for child in host.children if child.code() is None]
    return told


def reasons(told: Told) -> list[object]:
    return [one[1] for one in told.all("started")]


# --- schedule


def test_it_syncs_by_schedule_and_waits_in_between() -> None:
    host = MemoryHost(NOON)
    told = serve(host, Plan(NIGHTLY), until=2 * DAY)
    assert host.starts == [MIDNIGHT, MIDNIGHT + DAY]
    assert told.told[:3] == [("waiting", MIDNIGHT, "schedule"), ("started", "schedule"), ("ended", 0, 1.0)]
    assert told.told[3] == ("waiting", MIDNIGHT + DAY, "schedule")


def test_each_machine_starts_at_its_own_moment() -> None:
    host = MemoryHost(MIDNIGHT + 600)
    serve(host, Plan(NIGHTLY, delay=1234.5), until=DAY)
    assert host.starts == [MIDNIGHT + 1234.5]


def test_starts_that_come_while_a_sync_runs_are_not_made_up_for() -> None:
    host = MemoryHost(NOON - 60, runs=[MemoryRun(3.5 * HOUR)])
    serve(host, Plan(HOURLY), until=5 * HOUR)
    assert host.starts == [NOON, NOON + 4 * HOUR]


# --- after trouble


def test_a_dead_master_is_asked_again_with_growing_pauses_and_again_by_schedule() -> None:
    host = MemoryHost(MIDNIGHT - 60, runs=[MemoryRun(1, ExitCode.TEMP)] * 1000)
    told = serve(host, Plan(NIGHTLY), until=DAY + HOUR)
    pauses = [after - before for before, after in zip(host.starts, host.starts[1:], strict=False)]
    night = host.starts.index(MIDNIGHT + DAY)
    assert FIRST_DELAY / 2 <= pauses[0] <= FIRST_DELAY + 2
    assert max(pauses) <= LONGEST_DELAY + 2
    assert all(pause >= LONGEST_DELAY / 2 for pause in pauses[4 : night - 1])
    assert reasons(told)[:2] == ["schedule", "retry"]
    assert reasons(told)[night] == "schedule"
    assert pauses[night] <= FIRST_DELAY + 2  # it begins anew
    assert 24 <= night <= 60


def test_what_worked_ends_the_further_attempts() -> None:
    host = MemoryHost(MIDNIGHT - 60, runs=[MemoryRun(1, ExitCode.TEMP), MemoryRun(1, 0)])
    serve(host, Plan(NIGHTLY), until=12 * HOUR)
    assert len(host.starts) == 2


@pytest.mark.parametrize("code", [ExitCode.LOCKED, 128 + signal.SIGKILL, 128 + signal.SIGSEGV], ids=str)
def test_who_was_locked_out_or_killed_tries_again(code: int) -> None:
    host = MemoryHost(MIDNIGHT - 60, runs=[MemoryRun(1, code)])
    assert reasons(serve(host, Plan(NIGHTLY), until=HOUR)) == ["schedule", "retry"]


@pytest.mark.parametrize("code", sorted({*ExitCode} - {ExitCode.TEMP, ExitCode.LOCKED}), ids=lambda code: code.name)
def test_what_needs_a_person_or_nothing_waits_for_the_schedule(code: ExitCode) -> None:
    host = MemoryHost(MIDNIGHT - 60, runs=[MemoryRun(1, code)])
    assert reasons(serve(host, Plan(NIGHTLY), until=12 * HOUR)) == ["schedule"]


def test_a_sync_that_cannot_be_started_is_tried_again() -> None:
    error = StorageFailed(action="start", path="/usr/bin/python3", errno=12, cause="Cannot allocate memory")
    host = MemoryHost(MIDNIGHT - 60, runs=[MemoryRun(error=error)])
    told = serve(host, Plan(NIGHTLY), until=HOUR)
    assert told.all("unable") == [("unable", StorageFailed)]
    assert len(host.starts) == 2
    assert reasons(told) == ["retry"]


# --- windows


def opens_at(hour: int) -> Callable[[float], float | None]:
    """A window that opens every day at that hour (UTC)."""
    return lambda now: (now - hour * HOUR) // DAY * DAY + DAY + hour * HOUR


def test_a_sync_that_paused_goes_on_when_the_window_opens() -> None:
    host = MemoryHost(MIDNIGHT - 60, runs=[MemoryRun(5 * HOUR, ExitCode.PAUSED), MemoryRun(HOUR, 0)])
    told = serve(host, Plan(NIGHTLY, opens=opens_at(22)), until=DAY - HOUR)
    assert host.starts == [MIDNIGHT, MIDNIGHT + 22 * HOUR]
    assert reasons(told) == ["schedule", "window"]
    assert ("waiting", MIDNIGHT + 22 * HOUR, "window") in told.told


def test_a_sync_that_paused_without_any_window_waits_for_the_schedule() -> None:
    host = MemoryHost(MIDNIGHT - 60, runs=[MemoryRun(HOUR, ExitCode.PAUSED)])
    serve(host, Plan(NIGHTLY), until=DAY + HOUR)
    assert host.starts == [MIDNIGHT, MIDNIGHT + DAY]


def test_a_window_that_opens_at_once_starts_no_storm() -> None:
    host = MemoryHost(MIDNIGHT - 60, runs=[MemoryRun(0, ExitCode.PAUSED)] * 1000)
    serve(host, Plan(NIGHTLY, opens=lambda now: now), until=HOUR)
    assert len(host.starts) <= 60


WEEKNIGHTS = tuple(Window(day * DAY_MINUTES + 22 * 60, 7 * 60) for day in range(5))


@pytest.mark.parametrize(
    ("windows", "now", "expected"),
    [
        pytest.param((), "2026-11-23 12:00", None, id="no-window"),
        pytest.param(WEEKNIGHTS, "2026-11-23 12:00", "2026-11-23 22:00", id="before"),
        pytest.param(WEEKNIGHTS, "2026-11-23 22:00", "2026-11-24 22:00", id="open-and-stopped-by-a-quota"),
        pytest.param(WEEKNIGHTS, "2026-11-28 05:00", "2026-11-30 22:00", id="over-the-weekend"),
        pytest.param((Window(0, WEEK_MINUTES),), "2026-11-23 12:00", None, id="never-shut"),
    ],
)
def test_when_a_window_opens_next(windows: tuple[Window, ...], now: str, expected: str | None) -> None:
    found = next_opening(windows, at(now), lambda moment: datetime.fromtimestamp(moment, UTC))
    assert found == (at(expected) if expected else None)


@pytest.mark.parametrize(
    ("schedule", "windows", "met"),
    [
        ("at 12:00 every 1 day", (), True),
        ("at 12:00 every 1 day", WEEKNIGHTS, False),
        ("at 12:00,22:00 every 1 day", WEEKNIGHTS, True),
        ("at 22:00 every 1 week on Sun", WEEKNIGHTS, False),
        ("at 22:00 every 1 week on Thu", WEEKNIGHTS, True),
        ("every 1 minute", (Window(0, 1),), True),
    ],
)
def test_whether_a_schedule_meets_the_windows(schedule: str, windows: tuple[Window, ...], met: bool) -> None:
    found = meets_windows(parse_schedule(schedule), windows, NOON, datetime.fromtimestamp)
    assert found is met


# --- missed starts


def last(text: str, code: int | None = 0) -> LastRun:
    return LastRun(at(text), code)


@pytest.mark.parametrize(
    ("run", "missed"),
    [
        pytest.param(None, False, id="nothing-ever-ran"),
        pytest.param(last("2026-11-23 00:05"), False, id="in-time"),
        pytest.param(last("2026-11-23 09:00"), False, id="by-hand"),
        pytest.param(last("2026-11-22 23:59"), True, id="off-at-midnight"),
        pytest.param(last("2024-01-01 00:00"), True, id="off-for-years"),
        pytest.param(last("2036-01-01 00:00"), False, id="J1-clock-was-ahead"),
        pytest.param(last("2026-11-23 00:05", None), True, id="it-died"),
        pytest.param(last("2026-11-23 00:05", ExitCode.TERMINATED), True, id="stopped-by-a-reboot"),
        pytest.param(last("2026-11-23 00:05", ExitCode.TEMP), True, id="master-was-dead"),
        pytest.param(last("2026-11-23 00:05", ExitCode.PAUSED), True, id="paused"),
        pytest.param(last("2026-11-23 00:05", ExitCode.INTEGRITY), False, id="needs-a-person"),
    ],
)
@pytest.mark.parametrize("catch_up", [True, False])
def test_what_was_missed_while_nobody_served_is_made_up_for_once(run: LastRun | None, missed: bool, catch_up: bool) -> None:
    host = MemoryHost(NOON)
    told = serve(host, Plan(NIGHTLY, delay=100, catch_up=catch_up), until=11 * HOUR, last=run)
    assert host.starts == ([NOON + 100] if missed and catch_up else [])
    assert reasons(told) == ["missed"] * len(host.starts)


@pytest.mark.parametrize(
    ("late", "catch_up", "reason"), [(LATE - 60, False, "schedule"), (LATE + 1, True, "missed"), (5 * HOUR, False, None)]
)
def test_a_start_that_was_slept_through(late: float, catch_up: bool, reason: str | None) -> None:
    host = MemoryHost(MIDNIGHT - 10.0)
    host.script(5, lambda: host.set_clock(MIDNIGHT + late))
    told = serve(host, Plan(NIGHTLY, catch_up=catch_up), until=12 * HOUR)
    assert reasons(told) == ([reason] if reason else [])


def test_a_start_behind_one_that_was_slept_through_is_not_missed() -> None:
    host = MemoryHost(NOON - 2 * HOUR)
    host.script(60, lambda: host.set_clock(NOON + 60))
    told = serve(host, Plan(HOURLY, catch_up=False), until=0.5 * HOUR)
    assert reasons(told) == ["schedule"]


# --- clocks


def test_J1_a_clock_set_back_by_years_is_believed_within_a_minute() -> None:
    host = MemoryHost(at("2036-06-01 12:00"))
    host.script(HOUR, lambda: host.set_clock(NOON))
    serve(host, Plan(NIGHTLY), until=2 * DAY)
    assert host.starts == [MIDNIGHT, MIDNIGHT + DAY]


def test_J1_a_clock_set_forward_by_years_costs_one_sync() -> None:
    host = MemoryHost(0.0 + HOUR)
    host.script(100, lambda: host.set_clock(NOON))
    told = serve(host, Plan(NIGHTLY), until=DAY)
    assert reasons(told) == ["missed", "schedule"]
    assert NOON <= host.starts[0] <= NOON + LONGEST_WAIT
    assert host.starts[1] == MIDNIGHT


def test_J3_a_clock_set_back_by_hours_starts_again_by_what_it_shows() -> None:
    host = MemoryHost(MIDNIGHT - 60)
    host.script(HOUR, lambda: host.set_clock(MIDNIGHT - 2 * HOUR))
    serve(host, Plan(NIGHTLY), until=DAY)
    assert host.starts == [MIDNIGHT, MIDNIGHT]


def test_J3_a_clock_that_is_corrected_a_little_repeats_no_start() -> None:
    host = MemoryHost(MIDNIGHT - 60)
    host.script(90, lambda: host.set_clock(MIDNIGHT - 20))
    serve(host, Plan(NIGHTLY), until=DAY)
    assert host.starts == [MIDNIGHT]


def test_J1_a_clock_set_back_while_a_window_is_waited_for_looks_for_the_window_anew() -> None:
    host = MemoryHost(at("2036-06-01 23:59"), runs=[MemoryRun(HOUR, ExitCode.PAUSED)])
    host.script(2 * HOUR, lambda: host.set_clock(NOON))
    told = serve(host, Plan(NIGHTLY, opens=opens_at(22)), until=12.5 * HOUR)
    assert host.starts[1:] == [at("2026-11-23 22:00")]
    assert reasons(told) == ["schedule", "window"]


@settings(max_examples=25)
@given(st.data())
def test_J1_whatever_the_clock_does_there_is_one_sync_at_a_time_and_one_a_day(data: st.DataObject) -> None:
    jumps = data.draw(st.lists(st.tuples(st.floats(0, 2 * DAY), st.floats(0, 4e9)), max_size=3))
    codes = data.draw(st.lists(st.sampled_from([0, ExitCode.PAUSED, ExitCode.INTEGRITY]), max_size=20))
    host = MemoryHost(NOON, runs=[MemoryRun(HOUR, code) for code in codes])
    for moment, clock in jumps:
        host.script(moment, lambda clock=clock: host.set_clock(clock))
    serve(host, Plan(NIGHTLY), until=2 * DAY)
    assert all(child.until <= after.began for child, after in zip(host.children, host.children[1:], strict=False))
    assert 2 - 2 * len(jumps) <= len(host.starts) <= 2 + 2 * len(jumps)


# --- signals


def test_SIGTERM_ends_a_service_that_waits() -> None:
    told = serve(MemoryHost(NOON), Plan(NIGHTLY), until=HOUR)
    assert told.told[-1] == ("stopping", signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_stops_the_service_ends_its_sync_in_order(number: int) -> None:
    host = MemoryHost(MIDNIGHT, runs=[MemoryRun(HOUR)])
    host.script(DAY + 10, number)
    told = Told()
    assert Service(host, Plan(NIGHTLY), load=lambda: Plan(NIGHTLY), teller=told, last=lambda: None).run() == number
    assert host.children[0].sent == [signal.SIGTERM]
    assert told.told[-2:] == [("stopping", number), ("ended", 143, 11.0)]


def test_a_sync_that_does_not_end_is_killed() -> None:
    host = MemoryHost(MIDNIGHT - 60, runs=[MemoryRun(HOUR, stubborn=True)])
    told = serve(host, Plan(NIGHTLY), until=100)
    assert host.children[0].sent == [signal.SIGTERM, signal.SIGKILL]
    assert host.monotonic() == 100 + STOP_SECONDS
    assert told.told[-1] == ("ended", 137, 40 + STOP_SECONDS)


def test_A5_a_second_SIGINT_kills_the_sync_at_once() -> None:
    host = MemoryHost(MIDNIGHT - 60, runs=[MemoryRun(HOUR, stubborn=True)])
    host.script(101, signal.SIGINT)
    serve(host, Plan(NIGHTLY), until=100)
    assert host.children[0].sent == [signal.SIGTERM, signal.SIGKILL]
    assert host.monotonic() == 101


def test_no_sync_outlives_a_service_that_fails() -> None:
    class Gone(Exception):
        pass

    def broken() -> Plan:
        raise Gone

    host = MemoryHost(MIDNIGHT - 60, runs=[MemoryRun(HOUR)])
    host.script(100, signal.SIGHUP)
    with pytest.raises(Gone):
        Service(host, Plan(NIGHTLY), load=broken, teller=Told(), last=lambda: None).run()
    assert host.children[0].sent == [signal.SIGTERM]
    assert host.children[0].code() is not None


def test_SIGHUP_puts_a_new_schedule_into_force() -> None:
    host = MemoryHost(NOON + 60)
    host.script(10, signal.SIGHUP)
    told = serve(host, Plan(NIGHTLY), load=lambda: Plan(HOURLY), until=HOUR)
    assert told.told[1:4] == [("reloading",), ("reloaded", None), ("waiting", NOON + HOUR, "schedule")]
    assert host.starts == [NOON + HOUR]


def test_SIGHUP_at_the_moment_of_a_start_does_not_lose_it() -> None:
    host = MemoryHost(MIDNIGHT - 60)
    host.script(60, signal.SIGHUP)
    told = serve(host, Plan(NIGHTLY), load=lambda: Plan(NIGHTLY), until=HOUR)
    assert host.starts == [MIDNIGHT]
    assert reasons(told) == ["schedule"]


def test_SIGHUP_with_a_broken_config_is_told_and_the_old_one_stays() -> None:
    def broken() -> Plan:
        raise ConfigInvalid(path="/etc/netclnt/config.toml", problems=(("slave.schedule", "must be …"),))

    host = MemoryHost(NOON + 60)
    host.script(10, signal.SIGHUP)
    told = serve(host, Plan(HOURLY), load=broken, until=HOUR)
    assert told.told[1:3] == [("reloading",), ("reloaded", ConfigInvalid)]
    assert host.starts == [NOON + HOUR]


def test_SIGHUP_does_not_disturb_a_sync() -> None:
    host = MemoryHost(MIDNIGHT - 60, runs=[MemoryRun(HOUR)])
    host.script(100, signal.SIGHUP)
    told = serve(host, Plan(NIGHTLY), load=lambda: Plan(HOURLY), until=1.5 * HOUR)
    assert host.children[0].sent == []
    assert told.all("ended")[0] == ("ended", 0, HOUR)


def test_SIGHUP_keeps_an_attempt_that_is_due() -> None:
    host = MemoryHost(MIDNIGHT - 60, runs=[MemoryRun(1, ExitCode.TEMP)])
    host.script(65, signal.SIGHUP)
    assert reasons(serve(host, Plan(NIGHTLY), until=HOUR)) == ["schedule", "retry"]


def test_L10_SIGUSR1_tells_when_the_next_sync_starts_and_asks_the_one_that_runs() -> None:
    host = MemoryHost(MIDNIGHT - 60, runs=[MemoryRun(HOUR)])
    host.script(10, signal.SIGUSR1)
    host.script(100, signal.SIGUSR1)
    told = serve(host, Plan(NIGHTLY), until=HOUR)
    assert told.all("status") == [("status", None, MIDNIGHT, "schedule"), ("status", MIDNIGHT, MIDNIGHT + DAY, "schedule")]
    assert host.children[0].sent[0] == signal.SIGUSR1


def test_SIGUSR2_is_for_the_sync() -> None:
    host = MemoryHost(MIDNIGHT - 60, runs=[MemoryRun(HOUR)])
    host.script(10, signal.SIGUSR2)
    host.script(100, signal.SIGUSR2)
    told = serve(host, Plan(NIGHTLY), until=HOUR)
    assert told.all("idle") == [("idle", signal.SIGUSR2)]
    assert host.children[0].sent[0] == signal.SIGUSR2


# --- the supervisor


@pytest.mark.parametrize("runs", [[], [MemoryRun(HOUR)]])
def test_a_supervisor_hears_twice_in_its_time_that_it_lives(runs: list[MemoryRun]) -> None:
    told, host = Told(interval=20.0), MemoryHost(MIDNIGHT - 60, runs=runs)
    host.script(2 * HOUR, signal.SIGTERM)
    Service(host, Plan(NIGHTLY), load=lambda: Plan(NIGHTLY), teller=told, last=lambda: None).run()
    assert told.beats >= 2 * HOUR / 10


def test_waiting_costs_next_to_nothing() -> None:
    told = serve(MemoryHost(NOON), Plan(NIGHTLY), until=11 * HOUR)
    assert told.beats <= 11 * HOUR / LONGEST_WAIT + 1


def test_an_agenda_says_what_comes_first() -> None:
    agenda = Agenda(Plan(HOURLY), now=NOON + 1, monotonic=0)
    agenda.ended(ExitCode.TEMP, now=NOON + 1, monotonic=0)
    moment, reason = agenda.next(now=NOON + 1, monotonic=0)
    assert reason == "retry"
    assert NOON < moment <= NOON + 1 + FIRST_DELAY
