"""Bringing a version: what lies in staging, in the caches and at the image's place is used, and never believed."""

import random

import pytest

from netclnt.errors import ExitCode, ForeignFile, LineBroken, StorageFailed
from netclnt.ledger import Ledger
from netclnt.memory.root import MemoryRoot, MemoryStage
from netclnt.memory.source import MemorySource
from netclnt.model import EntryType
from tests.support.world import World

MB = 1 << 20


def noise(seed, size=MB):
    return random.Random(seed).randbytes(size)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.ledger.close()


def new_line(world):
    world.source = MemorySource(world.store.files)


def interrupt(world, after):
    world.source.cut_after = after
    with pytest.raises(LineBroken):
        world.sync()
    new_line(world)


# --- staging and its journal


def test_A1_a_run_killed_as_it_begins_staging_anew_leaves_no_journal_of_the_old_one(world, monkeypatch):
    manifest = world.publish("debian", noise(1, 12 * MB)).version.manifest
    interrupt(world, 9 * MB)
    world.root.discard(manifest)
    prepare = MemoryStage.prepare

    def prepare_looked_at(stage, entries):
        assert world.ledger.journal(manifest) == set(), "it would vouch for what the new staging area does not hold"
        return prepare(stage, entries)

    monkeypatch.setattr(MemoryStage, "prepare", prepare_looked_at)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == noise(1, 12 * MB)


def test_a_journal_whose_staging_is_gone_is_forgotten(world):
    """Else it would vouch for pages of a staging area that was begun anew and interrupted again."""
    data = noise(1, 12 * MB)
    manifest = world.publish("debian", data).version.manifest
    interrupt(world, 9 * MB)
    assert world.ledger.journal(manifest)
    world.root.discard(manifest)
    interrupt(world, 2000)
    assert not world.ledger.journal(manifest)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == data


def test_P4_a_page_that_is_not_what_the_journal_says_costs_itself_and_not_the_whole_image(world):
    data = noise(1, 12 * MB)
    manifest = world.publish("debian", data).version.manifest
    interrupt(world, 10 * MB)
    assert world.ledger.journal(manifest)
    world.root._staged[manifest][""].data[50_000] ^= 1
    world.sync()
    assert world.live("debian") == data
    assert world.done[0].bytes_fetched < 4 * MB


def test_an_interrupted_update_that_shares_blocks_with_the_old_version_is_taken_up(world):
    """Clone and resume: where the new version has zeros, staging has old data."""
    old = noise(1, 6 * MB)
    new = old[: 2 * MB] + bytes(2 * MB) + old[4 * MB :] + noise(2, 4 * MB)
    world.publish("debian", old)
    world.sync()
    world.publish("debian", new)
    for after in (10_000, 500_000, 1_500_000):
        interrupt(world, after)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == new
    assert world.done[0].bytes_fetched < 4 * MB


def test_an_interrupted_tree_is_taken_up(world):
    files = {f"f{number:03}": noise(number, 20_000) for number in range(100)} | {"zeros": bytes(100_000), "empty": b""}
    world.publish("os", files)
    interrupt(world, 1 * MB)
    assert world.sync().exit_code is ExitCode.OK
    assert all(world.live(f"os/{path}") == data for path, data in files.items())
    assert world.done[0].bytes_fetched < 1.6 * MB


def test_a_stage_that_cannot_be_prepared_is_closed(world, monkeypatch):
    closed = []
    monkeypatch.setattr(MemoryStage, "close", lambda stage: closed.append(stage))
    world.publish("debian", noise(1, 10_000))
    world.root.faults["prepare"] = StorageFailed("create", "memory", 5, "injected")
    assert world.sync().failed
    assert len(closed) == 1


# --- what lies at the image's place


def test_C20_an_image_that_was_deleted_comes_back(world):
    world.publish("debian", noise(1))
    world.sync()
    del world.root.live["debian"]
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == noise(1)


@pytest.mark.parametrize("what", ["link", "fifo"])
@pytest.mark.parametrize("held", [False, True])
def test_G2_something_odd_at_the_images_place_is_told_before_anything_is_fetched(world, what, held):
    world.publish("debian", noise(1))
    if held:
        world.sync()
        del world.root.live["debian"]
        world.publish("debian", noise(2))
    world.root.put_link("debian", "elsewhere") if what == "link" else world.root.put_other("debian")
    new_line(world)
    ((_, error),) = world.sync(adopt=True).failed
    assert isinstance(error, ForeignFile)
    assert world.source.bytes_received < 20_000
    ((_, error),) = world.forecast(adopt=True).failed
    assert isinstance(error, ForeignFile)


def test_N2_a_foreign_directory_with_odd_things_in_it_is_replaced_when_adopted(world):
    world.publish("os", {"a": noise(1, 10_000)})
    world.root.put_file("os/b", b"x")
    world.root.put_other("os/fifo")
    assert world.sync(adopt=True).exit_code is ExitCode.OK
    assert world.live("os/a") == noise(1, 10_000)
    assert "os/fifo" not in world.root.live


@pytest.mark.parametrize("first", ["file", "tree"])
def test_F15_an_image_becomes_a_directory_and_back(world, first):
    contents = {"file": noise(1, 300_000), "tree": {"a/b": noise(1, 300_000), "c": b""}}
    for kind in [first, "tree" if first == "file" else "file", first]:
        world.publish("os", contents[kind])
        assert world.sync().exit_code is ExitCode.OK
        assert world.root.live["os"].type is (EntryType.FILE if kind == "file" else EntryType.DIRECTORY)
        assert not world.done or world.done[0].bytes_fetched < 320_000
    assert not world.sync().changed


# --- crashes between the steps


def crash(world, monkeypatch, target, name):
    """Die in place of a call; the next run finds the ledger and the root as they were."""

    class Killed(BaseException):
        pass

    def die(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(target, name, die)
        with pytest.raises(Killed):
            world.sync()
    new_line(world)


@pytest.mark.parametrize(
    ("target", "name"), [(MemoryStage, "seal"), (MemoryRoot, "show"), (MemoryRoot, "facts"), (Ledger, "record"), (Ledger, "keep")]
)
def test_a_crash_at_any_step_costs_no_byte_and_no_kept_version(world, monkeypatch, target, name):
    before, after = ({"data": noise(seed)} for seed in (1, 2))
    world.publish("debian", before)
    world.sync()
    world.publish("debian", after)
    if name == "facts":  # when what was shown is looked at
        real, shown = (MemoryRoot.show, MemoryRoot.facts), []
        monkeypatch.setattr(MemoryRoot, "show", lambda *a, **k: shown.append(a) or real[0](*a, **k))
        monkeypatch.setattr(MemoryRoot, "facts", lambda *a: 1 / 0 if shown else real[1](*a))
        with pytest.raises(ZeroDivisionError):
            world.sync()
        monkeypatch.undo()
        new_line(world)
    else:
        crash(world, monkeypatch, target, name)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian/data") == after["data"]
    assert world.done[0].bytes_fetched < 10_000 if world.done else name == "keep"
    assert [kept.number for kept in world.ledger.kept("debian")] == [1]
    assert world.root.kept() == [kept.token for kept in world.ledger.kept()]
    assert not world.root.staged()
    assert not world.sync().changed


def test_N3_what_was_shown_before_a_call_back_is_what_is_kept(world):
    for seed in (1, 2):
        world.publish("debian", noise(seed, 100_000))
        world.sync()
    world.catalog.retire("debian", 2, at="2026-11-23T00:00:00Z")
    world.sync()
    assert world.live("debian") == noise(1, 100_000)
    world.publish("debian", noise(3, 100_000))
    world.sync()
    assert [kept.number for kept in world.ledger.kept("debian")] == [1]


@pytest.mark.parametrize("files", [noise(1, 100_000), {"a": noise(1, 100_000)}], ids=["file", "tree"])
def test_I1_P3_what_a_lost_ledger_knew_is_recorded_only_once_it_is_durable(world, files):
    """Whoever put it there may have died before the disk had it: a power cut would take back what the new ledger vouches for."""
    world.publish("debian", files)
    world.sync()
    world.ledger.close()
    world.ledger = Ledger(":memory:")
    world.ledger.set_rebuilding(True)
    world.root.faults["secure"] = StorageFailed(action="sync", path="memory", errno=5, cause="Input/output error")
    with pytest.raises(StorageFailed):
        world.sync()
    assert not world.ledger.held()
    world.sync()
    assert [(done.result, done.version) for done in world.done] == [("recorded", 1)]
