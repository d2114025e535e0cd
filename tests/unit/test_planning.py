"""Planning in windows: whatever their size, the plans are the same, and each seed is looked through once for each."""

import random

import pytest

from netclnt import bases, planning
from netclnt.localmanifests import LocalManifest
from netclnt.plan import MISSING
from tests.support.world import World

MB = 1 << 20


def noise(seed, size=MB):
    return random.Random(seed).randbytes(size)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.ledger.close()


def plans(world, version, seeds):
    manifest = world.manifests.open(version.manifest)
    found = planning.plan_pages(manifest, seeds, range(len(manifest.starts)), in_place=lambda *_: ())
    result = {planned.number: planned.plan for planned in found}
    manifest.close()
    return result


def changed(old):
    """Every third 100 kB new, and some zeros."""
    parts = [noise(at, 50_000) if at % 3 == 0 else old[at * 100_000 : (at + 1) * 100_000] for at in range(len(old) // 100_000)]
    return b"".join(parts) + bytes(300_000) + noise(5)


def test_windows_of_any_size_give_the_same_plans_and_look_through_a_seed_once_each(world, monkeypatch):
    old = noise(1, 24 * MB)
    world.publish("debian", old)
    world.sync()
    world.publish("debian", changed(old))
    looked = []
    find = LocalManifest.find
    monkeypatch.setattr(LocalManifest, "find", lambda manifest, ids: looked.append(len(ids)) or find(manifest, ids))
    costs = set()
    for window, times in ((1 << 18, 1), (600, 2), (1, 4)):
        for module in (planning, bases):
            monkeypatch.setattr(module, "_LOOKED_UP_AT_ONCE", window)
        looked.clear()
        world.forecast()
        (planned,) = world.planned
        costs.add((planned.bytes_fetch, planned.bytes_reuse, planned.bytes_write, planned.blocks_missing))
        assert len(looked) >= times
        assert all(0 < count < window + 512 for count in looked)
    assert len(costs) == 1


def test_a_page_that_a_seed_has_as_a_whole_is_not_looked_up_by_blocks(world, monkeypatch):
    old = noise(1, 24 * MB)
    world.publish("debian", old)
    world.sync()
    world.publish("debian", old + b"more")
    looked = []
    find = LocalManifest.find
    monkeypatch.setattr(LocalManifest, "find", lambda manifest, ids: looked.append(len(ids)) or find(manifest, ids))
    world.forecast()
    assert len(looked) == 2  # for the blocks, and for the bases of delta frames
    assert sum(looked) <= 2 * 512
    assert world.planned[0].blocks_missing <= 2


def test_without_seeds_nothing_is_looked_up(world, monkeypatch):
    version = world.publish("debian", noise(1, 8 * MB) + bytes(MB)).version
    world.sync()
    found = plans(world, version, Nothing())
    assert {run.seed for plan in found.values() for run in plan.runs if run.seed >= MISSING} == {MISSING}


class Nothing:
    def __len__(self):
        return 0

    def find_page(self, _):
        return None

    def find(self, ids):
        raise AssertionError
