"""The offer as a slave sees it: brakes, sources that are behind, pins, and what is never skipped."""

import random
from dataclasses import replace

import pytest

from netclnt.errors import BrakeApplied, ExitCode, ForeignMaster, StorageFailed, TemporaryError
from netclnt.events import Warned
from netclnt.memory.root import MemoryRoot
from netclnt.selection import Selection
from tests.support.world import World


def noise(seed, size=50_000):
    return random.Random(seed).randbytes(size)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.ledger.close()


class Behind:
    """A catalog as it was at an earlier generation."""

    def __init__(self, catalog, generation):
        self._catalog = catalog
        self._generation = generation

    def __getattr__(self, name):
        return getattr(self._catalog, name)

    def state(self):
        return replace(self._catalog.state(), generation=self._generation)


def behind(world, generation):
    return {"open_catalog": lambda: Behind(world.catalog, generation)}


# --- a source that is behind


def test_a_source_that_is_behind_takes_nothing_back(world):
    world.publish("a", noise(1))
    world.publish("a", noise(2))
    world.sync()
    world.sync(**behind(world, 1))
    assert world.live("a") == noise(2)
    assert [event.code for event in world.events if isinstance(event, Warned)] == ["catalog-behind"]


@pytest.mark.parametrize("partial", [False, True])
def test_a_source_that_is_behind_what_was_only_partly_applied_takes_nothing_back(world, partial):
    world.publish("a", noise(1))
    world.publish("a", noise(2))
    world.publish("b", noise(3))
    world.root.put_file("b", b"the admin's own")
    world.sync(Selection(("a",)) if partial else None)
    assert world.live("a") == noise(2)
    assert world.ledger.applied() is None
    world.sync(**behind(world, 1))
    assert world.live("a") == noise(2)


def test_a_source_that_falls_behind_in_mid_sync_calls_nothing_back(world):
    world.publish("b", noise(1))
    world.publish("a", noise(2))
    asked = []

    def catalog():
        asked.append(1)
        return Behind(world.catalog, 1) if len(asked) > 1 else world.catalog

    assert world.sync(open_catalog=catalog).exit_code is ExitCode.OK
    assert world.live("a") == noise(2)


# --- an offer that moves


def test_N3_a_version_called_back_in_mid_sync_is_not_shown(world):
    world.publish("a", noise(1))
    world.sync()
    world.publish("a", noise(2))
    asked = []

    def catalog():
        asked.append(1)
        if len(asked) == 2:
            world.catalog.retire("a", 2, at="2026-11-23T00:00:00Z")
        return world.catalog

    assert world.sync(open_catalog=catalog).exit_code is ExitCode.OK
    assert world.live("a") == noise(1)
    assert not world.root.staged()
    assert not world.sync().differences


def test_an_offer_that_never_rests_is_not_told_as_done(world):
    world.publish("a", noise(0))
    calls = []

    def catalog():
        calls.append(1)
        if len(calls) > 1:  # the first look; then each before a version is shown, and the look after it goes over the same
            world.publish("a", noise(len(calls)))
        return world.catalog

    with pytest.raises(TemporaryError):
        world.sync(open_catalog=catalog)
    assert world.live("a") is None
    assert world.sync().exit_code is ExitCode.OK


def test_a_catalog_is_open_while_it_is_asked_and_told_never_while_content_comes(world):
    """The version is asked for once more, and the run told, over one connection."""
    for name in ("a", "b"):
        world.publish(name, noise(ord(name)))
    seen = []

    class Watched:
        def __getattr__(self, name):
            if name in ("close", "report"):
                seen.append(name)
            return getattr(world.catalog, name)

    def catalog():
        seen.append("open")
        return Watched()

    world.sync(open_catalog=catalog)
    assert seen == ["open", "close", "open", "close", "open", "report", "close"]


# --- what is never skipped


def test_a_run_that_left_something_undone_is_never_skipped(world):
    world.publish("a", noise(1))
    world.publish("b", noise(2))
    world.root.put_file("b", b"the admin's own")
    assert world.sync().exit_code is ExitCode.PARTIAL
    del world.root.live["b"]
    assert world.sync().changed == [("b", 1)]


def test_a_failure_after_all_was_applied_is_never_skipped(world):
    world.publish("a", noise(1))
    world.sync()
    node = world.root.live["a"]
    node.data[100] ^= 1
    world.root.touch(node)
    world.root.faults["show"] = StorageFailed("show", "memory", 5, "injected")
    assert world.sync().failed
    assert world.sync().changed == [("a", 1)]


def test_a_partial_sync_never_marks_all_as_applied(world):
    world.publish("a", noise(1))
    world.sync(Selection(("a",)))
    assert world.ledger.applied() is None
    assert world.sync().exit_code is ExitCode.OK
    assert world.ledger.applied() is not None


@pytest.mark.parametrize("change", [{"selection": Selection(("a", "b"))}, {"channel": "beta"}])
def test_another_selection_or_channel_is_looked_at_anew(world, change):
    world.publish("a", noise(1))
    world.publish("b", noise(2))
    narrow = {"selection": Selection(("a",))}
    world.sync(**narrow)
    world.catalog.promote("b", 1, channel="beta", at="2026-11-23T00:00:00Z")
    world.sync(**(narrow | change | {"max_retire": 100}))
    assert world.live("b") == (noise(2) if "selection" in change else None)


def pin(world, name, pinned):
    held = world.ledger.get(name)
    world.ledger.record(replace(held, pinned=pinned), world.ledger.facts(name))


def test_N4_pinned_stays_pinned_and_unpinned_catches_up(world):
    world.publish("a", noise(1))
    world.sync()
    pin(world, "a", True)
    world.publish("a", noise(2))
    world.sync()
    world.sync()
    assert world.live("a") == noise(1)
    pin(world, "a", False)
    world.sync()
    assert world.live("a") == noise(2)


def test_N4_a_pinned_image_that_is_damaged_is_mended_and_stays_pinned(world):
    world.publish("a", noise(1))
    world.sync()
    pin(world, "a", True)
    node = world.root.live["a"]
    node.data[100] ^= 1
    world.root.touch(node)
    world.sync()
    assert world.live("a") == noise(1)
    assert world.ledger.get("a").pinned


# --- brakes and strangers


def test_E14_no_rows_is_a_brake(world):
    world.publish("a", noise(1))
    world.sync()
    world.catalog.retire("a", None, at="2026-11-23T00:00:00Z")
    with pytest.raises(BrakeApplied):
        world.sync()
    assert world.live("a") == noise(1)


def test_E15_most_rows_gone_is_a_brake(world):
    for number in range(5):
        world.publish(f"a{number}", noise(number))
    world.sync()
    for number in range(3):
        world.catalog.retire(f"a{number}", None, at="2026-11-23T00:00:00Z")
    with pytest.raises(BrakeApplied):
        world.sync()


def test_an_admin_who_selects_less_is_not_braked(world):
    for number in range(6):
        world.publish(f"a{number}", noise(number))
    world.sync()
    narrow = {"selection": Selection(("a5",))}
    world.publish("a5", noise(50))
    assert world.sync(**narrow).exit_code is ExitCode.OK
    assert world.live("a5") == noise(50)
    assert world.live("a0") == noise(0)


def test_another_identity_is_refused(world):
    world.publish("a", noise(1))
    world.sync()
    world.ledger.set_identity("f" * 32)
    with pytest.raises(ForeignMaster):
        world.sync()


def test_C14_a_place_that_cannot_be_looked_at_fails_alone(world, monkeypatch):
    world.publish("a", noise(1))
    world.publish("b", noise(2))
    real = MemoryRoot.type

    def on_another_disk(root, name):
        if name == "a":
            raise StorageFailed("use", "a", 18, "on another file system than the root")
        return real(root, name)

    monkeypatch.setattr(MemoryRoot, "type", on_another_disk)
    result = world.sync()
    assert result.exit_code is ExitCode.PARTIAL
    assert world.live("b") == noise(2)


def test_a_held_image_that_cannot_be_looked_at_fails_alone(world, monkeypatch):
    world.publish("a", noise(1))
    world.publish("b", noise(2))
    world.sync()
    world.publish("b", noise(3))
    real = MemoryRoot.facts

    def unreadable(root, name, paths):
        if name == "a":
            raise StorageFailed("look at", "a", 5, "injected")
        return real(root, name, paths)

    monkeypatch.setattr(MemoryRoot, "facts", unreadable)
    world.sync()
    assert world.live("b") == noise(3)


# --- what the master and a dry run are told


def test_a_bug_is_not_reported_as_a_success(world, monkeypatch):
    world.publish("a", noise(1))
    reports = []
    monkeypatch.setattr(type(world.catalog), "report", lambda _, report: reports.append(report))
    monkeypatch.setattr(MemoryRoot, "show", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        world.sync()
    assert not reports


def test_L5_a_dry_run_says_nothing_to_the_master_and_leaves_staging_alone(world, monkeypatch):
    world.publish("a", noise(1, 3 << 20))
    world.source.cut_after = 1 << 20
    with pytest.raises(TemporaryError):
        world.sync()
    world.source = type(world.source)(world.store.files)
    world.publish("a", noise(1, 3 << 20) + b"more")
    prepared = []
    monkeypatch.setattr(MemoryRoot, "stage", lambda *arguments: prepared.append(arguments) or 1 / 0)
    world.forecast()
    assert not prepared
