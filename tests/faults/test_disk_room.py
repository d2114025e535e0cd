"""C. Disk, in one process over the in-memory root: which room is made when space is short, and which error is told."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from netclnt.errors import LineBroken, NoSpace, StorageFailed
from netclnt.events import Progressed, Warned
from tests.support.world import World

MEGABYTE = 1 << 20
EIO = StorageFailed(action="sync", path="memory", errno=5, cause="Input/output error")


def noise(seed: int, size: int = MEGABYTE) -> bytes:
    return random.Random(seed).randbytes(size)


def used(world: World) -> int:
    world.root.capacity = 1 << 40
    return (1 << 40) - world.root.free()


def kept(world: World) -> dict[str, list[int]]:
    """Numbers of the kept versions by image, as the ledger knows them; those of the root are the same."""
    found: dict[str, list[int]] = {}
    for each in world.ledger.kept():
        found.setdefault(each.name, []).append(each.number)
    assert sorted(each.token for each in world.ledger.kept()) == list(world.root.kept())
    return found


def told(world: World) -> list[str]:
    """What the last sync said of the room it made."""
    return [event.message for event in world.events if isinstance(event, Warned) and event.code == "room-made"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A slave that holds two images of 1 MB, and keeps the version before of each."""
    world = World(tmp_path)
    for turn in (1, 2):
        for number, name in enumerate(("a", "b")):
            world.publish(name, noise(10 * turn + number))
            world.sync()
    assert kept(world) == {"a": [1], "b": [1]}
    return world


def test_C1_of_the_old_versions_only_as_many_go_as_must(world: World) -> None:
    world.publish("new", noise(5))
    world.root.capacity = used(world) + MEGABYTE // 2
    world.sync()
    assert world.live("new") == noise(5)
    assert kept(world) == {"b": [1]}
    assert told(world) == ["The old version 1 of a was removed: new does not fit beside it."]


def test_C1_the_images_own_old_version_goes_when_nothing_else_is_left(world: World) -> None:
    world.publish("a", noise(31) + noise(10))  # the second half lies in the version that is kept
    world.root.capacity = used(world) + MEGABYTE + MEGABYTE // 8  # in memory, what is shared with the old file takes its space
    world.sync()
    assert world.live("a") == noise(31) + noise(10)
    assert kept(world) == {"a": [2]}


def test_C1_nothing_goes_where_all_of_it_would_not_be_enough(world: World) -> None:
    world.publish("new", noise(5, 8 * MEGABYTE))
    world.root.capacity = used(world) + MEGABYTE
    result = world.sync()
    ((name, error),) = result.failed
    assert (name, type(error)) == ("new", NoSpace)
    assert kept(world) == {"a": [1], "b": [1]}
    assert told(world) == []


def interrupted(world: World, name: str) -> None:
    """A sync that broke off when most of this image was in staging."""
    left = [20]

    def stop(event: object) -> None:
        if isinstance(event, Progressed) and event.image == name:
            left[0] -= 1
            if event.bytes_done > MEGABYTE:
                raise EIO

    world.sync_observed(stop)
    assert world.root.staged()


def test_C1_what_an_interrupted_run_left_of_an_older_version_goes_too(world: World) -> None:
    world.publish("new", noise(41, 3 * MEGABYTE))
    interrupted(world, "new")
    before = used(world)
    (older,) = world.root.staged()
    world.publish("new", noise(42, 3 * MEGABYTE))
    world.root.capacity = before + MEGABYTE // 2
    world.sync()
    assert f"What an interrupted run left in staging ({older}) was removed: new does not fit beside it." in told(world)
    assert world.live("new") == noise(42, 3 * MEGABYTE)
    assert world.root.staged() == []


def test_C8_P9_a_journal_that_cannot_be_written_hides_no_other_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line broke, and then the disk would not take the journal: the line is what is told, and staging does for itself."""
    world.publish("new", noise(6, 12 * MEGABYTE))
    world.source.cut_after = 10 * MEGABYTE
    synced = []

    def fail(stage: object) -> None:
        synced.append(stage)
        raise EIO

    with monkeypatch.context() as patch:
        patch.setattr("netclnt.memory.root.MemoryStage.sync", fail)
        with pytest.raises(LineBroken):
            world.sync()
    assert synced
    world.source = type(world.source)(world.store.files)
    world.sync()
    assert world.live("new") == noise(6, 12 * MEGABYTE)
