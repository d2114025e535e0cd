"""Runs that may not use the line for long: what they leave, and that the next one goes on where they ended."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count

import pytest

from netclnt.allowance import Allowance
from netclnt.errors import BrakeApplied, ExitCode, ForeignFile, LinePaused
from netclnt.events import Forecasted, ImageDone, Planned
from netclnt.manifest import manifest_path
from netclnt.memory.source import MemorySource
from netclnt.remote import least_budget
from netclnt.schedule import Terms, Timetable, Window
from tests.support.world import World

BIG = 6 << 20
M = 1 << 20
MONDAY_NIGHT = Window(0, 300)
OPEN, CLOSED = (datetime(2026, 11, 23, hour, tzinfo=UTC).timestamp() for hour in (1, 5))


@pytest.fixture(params=["catalog", "store"])
def world(request, tmp_path):
    made = World(tmp_path, store_catalog=request.param == "store")
    yield made
    made.ledger.close()


@pytest.fixture
def over_odbc(tmp_path):
    made = World(tmp_path)
    yield made
    made.ledger.close()


def noise(seed: int, size: int = BIG) -> bytes:
    return random.Random(seed).randbytes(size)


def sync(world: World, terms: Terms, wall: Callable[[], float] = lambda: OPEN, **changes):
    """A run under ``terms``; each look at the clock finds it a second on."""
    ticks = count()
    line = Allowance(
        terms, local=lambda instant: datetime.fromtimestamp(instant, UTC), wall=wall, clock=lambda: float(next(ticks))
    )
    world.source = MemorySource(world.store.files, allowance=line)
    return world.sync(allowance=line, **changes)


def closing_after(world: World, received: int) -> Callable[[], float]:
    """A wall clock that shows the window's end as soon as so many bytes have come."""
    return lambda: CLOSED if world.source.bytes_received >= received else OPEN


def test_runs_with_a_budget_go_on_until_all_is_there_and_fetch_nothing_twice(world):
    data = noise(1)
    world.publish("debian", data)
    fetched = []
    for _ in range(20):
        result = sync(world, Terms(max_transfer=2 * M))
        fetched.append(world.source.bytes_received)
        if result.exit_code is ExitCode.OK:
            break
        assert result.exit_code is ExitCode.PAUSED
        assert isinstance(result.paused, LinePaused)
        assert world.live("debian") is None
        assert not world.done
    assert world.live("debian") == data
    assert 4 <= len(fetched) <= 7
    assert max(fetched) <= 2 * M + 100_000  # HEAD is read whatever it is long
    assert sum(fetched) < BIG * 1.02 + len(fetched) * 20_000


def test_a_manifest_longer_than_one_run_may_fetch_comes_over_several(over_odbc, monkeypatch):
    monkeypatch.setattr("netclnt.remote._RANGE_MAX", 1 << 14)
    world, budget = over_odbc, 1 << 16
    for text in (b"old %d", b"new %d"):  # the second one comes as page deltas
        files = {f"f{number:04}": text % number for number in range(3000)}
        digest = world.publish("os", files).version.manifest
        assert len(world.store.files[manifest_path(digest)]) > 2 * budget
        fetched = []
        while sync(world, Terms(max_transfer=budget)).exit_code is ExitCode.PAUSED:
            fetched.append(world.source.bytes_received)
            assert len(fetched) < 12
        assert world.live("os/f2999") == files["f2999"]
        assert not list((world.directory / "manifests").glob("*.begun"))


def many(count: int = 3000) -> dict[str, bytes]:
    return {f"f{number:04}": random.Random(number).randbytes(40) for number in range(count)} | {"large": noise(1, M)}


@pytest.mark.parametrize("limit", ["max_transfer", "monthly_quota"])
def test_a_budget_with_which_no_run_would_come_further_is_named(over_odbc, monkeypatch, limit):
    monkeypatch.setattr("netclnt.remote._RANGE_MAX", 1 << 12)
    world = over_odbc
    version = world.publish("os", many()).version
    world.publish("small", b"a few bytes")
    terms = Terms(**{limit: least_budget(version.head_bytes) - 1})
    result = sync(world, terms)
    ((name, error),) = result.failed
    assert (name, type(error), error.limit) == ("os", BrakeApplied, limit)
    assert str(least_budget(version.head_bytes)) in error.problem
    assert (result.exit_code, result.changed) == (ExitCode.PARTIAL, [("small", 1)])
    assert sync(world, terms).exit_code is ExitCode.LIMIT
    assert world.source.bytes_received == 0
    world.source = MemorySource(world.store.files)
    world.forecast()  # its manifest is here now
    assert sync(world, terms).exit_code is ExitCode.PAUSED


def test_with_the_smallest_budget_each_run_comes_further(over_odbc, monkeypatch):
    for place in ("remote", "frames"):
        monkeypatch.setattr(f"netclnt.{place}._RANGE_MAX", 1 << 18)
    world = over_odbc
    version = world.publish("os", many(12_000)).version
    budget = least_budget(version.head_bytes)
    runs = 0
    while sync(world, Terms(max_transfer=budget)).exit_code is ExitCode.PAUSED:
        assert world.source.bytes_received <= budget
        assert (runs := runs + 1) < 30
    assert runs > 3
    assert world.live("os/large") == noise(1, M)


def test_at_the_end_of_the_window_nothing_more_is_fetched_and_the_next_one_goes_on(world):
    data = noise(1)
    world.publish("debian", data)
    terms = Terms(windows=(MONDAY_NIGHT,))
    result = sync(world, terms, closing_after(world, BIG // 2))
    assert (result.exit_code, result.paused.reason, result.paused.again) == (
        *(ExitCode.PAUSED, "window"),
        "2026-11-30T00:00:00+00:00",
    )
    first = world.source.bytes_received
    assert BIG // 2 <= first < BIG // 2 + 5 * M  # four ranges are in flight at the most
    assert sync(world, terms).exit_code is ExitCode.OK
    assert world.live("debian") == data
    assert first + world.source.bytes_received < BIG * 1.02 + 20_000


def test_outside_the_window_the_catalog_is_asked_and_nothing_is_fetched(over_odbc):
    world, terms = over_odbc, Terms(windows=(MONDAY_NIGHT,))
    assert sync(world, terms, lambda: CLOSED).exit_code is ExitCode.OK  # there is nothing to do
    world.publish("debian", noise(1))
    result = sync(world, terms, lambda: CLOSED)
    assert result.exit_code is ExitCode.PAUSED
    assert (world.source.connections, world.source.bytes_received, result.differences) == (0, 0, 1)
    told = world.catalog.reports[-1]
    assert (told.result, "window" in told.error) == ("PAUSED", True)
    assert sync(world, terms).exit_code is ExitCode.OK
    assert sync(world, terms, lambda: CLOSED).exit_code is ExitCode.OK


def test_outside_the_window_a_store_is_not_even_asked(tmp_path):
    world = World(tmp_path, store_catalog=True)
    with pytest.raises(LinePaused):
        sync(world, Terms(windows=(MONDAY_NIGHT,)), lambda: CLOSED)
    assert world.source.connections == 0
    world.ledger.close()


def test_with_the_last_block_in_an_image_is_finished(over_odbc):
    world, data = over_odbc, noise(2, M)
    world.publish("ubuntu", data)
    result = sync(world, Terms(windows=(MONDAY_NIGHT,)), closing_after(world, M // 2))
    assert result.exit_code is ExitCode.OK
    assert world.live("ubuntu") == data


def test_from_a_store_it_waits_in_staging_for_the_last_look_at_head(tmp_path):
    world, data = World(tmp_path, store_catalog=True), noise(1, M)
    world.publish("debian", data)
    assert sync(world, Terms(windows=(MONDAY_NIGHT,)), closing_after(world, M)).exit_code is ExitCode.PAUSED
    assert sync(world, Terms(windows=(MONDAY_NIGHT,))).exit_code is ExitCode.OK
    assert world.live("debian") == data
    assert world.source.bytes_received < 20_000
    world.ledger.close()


def test_what_needs_no_line_is_done_with_the_line_closed(over_odbc):
    world, data = over_odbc, noise(1, M)
    world.publish("debian", data)
    sync(world, Terms())
    world.publish("aaa", noise(2))
    world.publish("copy", data)
    world.forecast()  # its manifest is here now, and all its blocks are
    result = sync(world, Terms(windows=(MONDAY_NIGHT,)), lambda: CLOSED)
    assert result.exit_code is ExitCode.PAUSED
    assert result.changed == [("copy", 1)]
    assert world.live("copy") == data


def test_a_normal_stop_hides_no_failure(over_odbc):
    world = over_odbc
    world.publish("bbb", noise(2, 200_000))
    world.root.put_file("bbb", b"somebody's own")
    world.publish("ccc", noise(3))
    result = sync(world, Terms(max_transfer=2 * M))
    assert isinstance(result.failed[0][1], ForeignFile)
    assert result.paused is not None
    assert result.exit_code is ExitCode.STORAGE
    world.publish("aaa", noise(4, 100_000))
    assert sync(world, Terms(max_transfer=2 * M)).exit_code is ExitCode.PARTIAL


def test_a_pause_applies_nothing_and_clears_nothing_away(over_odbc):
    world = over_odbc
    world.publish("debian", noise(1))
    sync(world, Terms(max_transfer=2 * M))
    assert world.ledger.applied() is None
    assert list(world.root.staged())


def test_priority_decides_who_goes_first(over_odbc):
    world = over_odbc
    for name in ("aaa", "kernel/a", "tools", "zzz"):
        world.publish(name, noise(len(name), 50_000))
    sync(world, Terms(), priority=("zzz", "kernel/*"))
    assert [event.image for event in world.events if isinstance(event, ImageDone)] == ["zzz", "kernel/a", "aaa", "tools"]


def test_a_dry_run_says_what_the_run_will_cost_whatever_the_window(over_odbc):
    world = over_odbc
    world.publish("aaa", noise(1, M))
    world.publish("bbb", noise(2, 2 * M))
    terms = Terms(Timetable(((0, 100_000.0),)), (Window(0, 1),), monthly_quota=10 * M)
    line = Allowance(terms, local=lambda instant: datetime.fromtimestamp(instant, UTC), wall=lambda: CLOSED)
    world.source = MemorySource(world.store.files, allowance=line)
    world.forecast(allowance=line)
    (told,) = [event for event in world.events if isinstance(event, Forecasted)]
    plans = [event for event in world.events if isinstance(event, Planned)]
    assert told.images_planned == 2
    assert told.bytes_planned == sum(plan.bytes_fetch for plan in plans)
    assert told.bytes_write == 3 * M
    assert told.seconds_planned == pytest.approx(told.bytes_planned / 100_000)
    assert plans[0].seconds == pytest.approx(plans[0].bytes_fetch / 100_000)
    assert told.nights == 1
    assert told.quota_left == 10 * M
    assert told.bytes_free > 0


def test_a_dry_run_with_nothing_to_do_says_so(over_odbc):
    over_odbc.forecast()
    (told,) = [event for event in over_odbc.events if isinstance(event, Forecasted)]
    assert (told.images_planned, told.bytes_planned, told.seconds_planned, told.nights, told.quota_left) == (0, 0, 0.0, 0, None)
