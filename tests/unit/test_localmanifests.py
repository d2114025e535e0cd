"""Local manifests and their indexes are a cache: lost or corrupt, they cost time, never correctness, and heal."""

import random

import pytest

from netclnt.errors import ExitCode
from netclnt.memory.source import MemorySource
from tests.support.world import World


def noise(seed, size=3 << 20):
    return random.Random(seed).randbytes(size)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.ledger.close()


def damage(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def cached(world, suffix):
    (path,) = (world.directory / "manifests").glob(f"*{suffix}")
    return path


@pytest.mark.parametrize("where", [0, 20, 150, 300, 400, 2000, -1, -9, -30])
def test_I1_a_manifest_with_any_byte_wrong_heals(world, where):
    data = noise(1)
    world.publish("debian", data)
    world.sync()
    damage(cached(world, ".manifest"), where)
    world.publish("debian", data[:1_000_000] + noise(2, 10_000) + data[1_000_000:])
    world.source = MemorySource(world.store.files)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == data[:1_000_000] + noise(2, 10_000) + data[1_000_000:]
    assert world.sync().exit_code is ExitCode.OK
    assert not world.verify()[0].damage


@pytest.mark.parametrize("where", [0, 20, 150, 400, 2000, -1, -30])
def test_I1_a_manifest_that_went_bad_in_place_is_fetched_again(world, where):
    world.publish("debian", noise(1))
    world.sync()
    damage(cached(world, ".manifest"), where)
    assert world.verify()[0].damage
    assert world.sync().exit_code is ExitCode.OK
    assert not world.verify()[0].damage
    assert world.live("debian") == noise(1)


def test_I1_an_index_with_any_byte_wrong_costs_only_bytes(world):
    data = noise(1, 300_000)
    world.publish("debian", data)
    world.sync()
    world.publish("other", b"x" + data)
    world.sync()
    new = noise(2, 10_000) + data
    world.publish("debian", new)
    held = world.ledger.get("debian")
    path = world.directory / "manifests" / f"{held.manifest}.index"
    whole = path.read_bytes()
    for where in range(0, len(whole), 7):
        path.write_bytes(whole)
        damage(path, where)
        assert not world.forecast().failed, where
        assert world.planned
    world.source = MemorySource(world.store.files)
    path.write_bytes(whole[:-8] + b"\xff" * 8)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == new


@pytest.mark.parametrize("value", [b"\xff" * 8, b"\xff" * 4 + bytes(4), bytes(8)])
def test_I1_an_index_that_leads_astray_costs_only_bytes(world, value):
    data = noise(1, 3 << 20)
    world.publish("debian", data)
    world.sync()
    new = noise(2, 10_000) + data
    world.publish("debian", new)
    world.forecast()  # makes the index
    path = world.directory / "manifests" / f"{world.ledger.get('debian').manifest}.index"
    whole = path.read_bytes()
    count = int.from_bytes(whole[8:16], "little")
    path.write_bytes(whole[: -8 * count] + value * count)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == new


def test_only_what_is_held_or_kept_stays_in_the_cache(world):
    for seed in range(4):
        world.publish("debian", noise(seed, 100_000))
        world.sync()
    names = {path.name.partition(".")[0] for path in (world.directory / "manifests").iterdir()}
    assert names == {world.ledger.get("debian").manifest, world.ledger.kept("debian")[0].manifest}
