"""Seeds that lie, vanish, cannot be read or are not there cost bytes, and nothing else."""

import random
from pathlib import Path

import pytest

from netclnt.errors import ExitCode, LineBroken, StorageFailed
from netclnt.files.root import open_root
from netclnt.memory.root import MemoryRoot, MemoryStage
from netclnt.memory.source import MemorySource
from tests.support.world import World


def noise(seed, size=1 << 20):
    return random.Random(seed).randbytes(size)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.ledger.close()


def interrupted(world, name, data):
    world.publish(name, data)
    world.source.cut_after = len(data) // 2
    with pytest.raises(LineBroken):
        world.sync()
    world.source = MemorySource(world.store.files)


def test_a_staging_area_used_as_a_seed_is_closed(world, monkeypatch):
    interrupted(world, "debian", noise(1))
    world.publish("debian", noise(1) + b"more")
    opened, closed = [], []
    make, close = MemoryRoot.stage, MemoryStage.close
    monkeypatch.setattr(MemoryRoot, "stage", lambda *arguments: opened.append(1) or make(*arguments))
    monkeypatch.setattr(MemoryStage, "close", lambda stage: closed.append(id(stage)) or close(stage))
    assert world.sync().exit_code is ExitCode.OK
    assert len(opened) == len(set(closed)) == 2


def test_M3_no_descriptor_and_no_scratch_file_stays(world, tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "seed").mkdir()
    with open_root(tmp_path / "root", marker=None) as root, open_root(tmp_path / "seed", marker=None, writable=False) as seed:
        world.root = root

        def round_(number):
            world.root = root
            (tmp_path / "seed" / "data").write_bytes(noise(number + 100))
            interrupted(world, "debian", noise(number))
            world.publish("debian", noise(number) + b"more")
            assert world.sync(seed_roots={"seed": seed}).exit_code is ExitCode.OK
            return len(list(Path("/proc/self/fd").iterdir())), len(list((tmp_path / "scratch").iterdir()))

        first = round_(1)
        assert [round_(number) for number in (2, 3)] == [first, first]


@pytest.mark.parametrize("call", ["files", "open"])
def test_a_seed_directory_that_cannot_be_read_is_left_out(world, monkeypatch, call):
    class Unreadable(MemoryRoot):
        pass

    def fail(*_):
        raise StorageFailed("read", "seed", 5, "injected")

    monkeypatch.setattr(Unreadable, call, fail)
    seed = Unreadable()
    seed.put_file("x", noise(1))
    world.publish("debian", noise(1))
    assert world.sync(seed_roots={"seed": seed}).exit_code is ExitCode.OK


def test_a_left_over_staging_area_that_cannot_be_read_is_left_out(world, monkeypatch):
    interrupted(world, "debian", noise(1))
    (token,) = world.root.staged()
    world.publish("debian", noise(1) + b"more")
    real = MemoryRoot.stage

    def stage(root, wanted):
        if wanted == token:
            raise StorageFailed("open", "staging", 5, "injected")
        return real(root, wanted)

    monkeypatch.setattr(MemoryRoot, "stage", stage)
    assert world.sync().exit_code is ExitCode.OK


@pytest.mark.parametrize("after", [0, 1, 2, 5])
def test_a_seed_that_vanishes_in_mid_copy_costs_only_bytes(world, monkeypatch, after):
    old = b"".join(noise(number, 100_000) for number in range(30))
    new = b"".join(noise(number, 100_000) + noise(number + 50, 20_000) for number in range(30))
    world.publish("debian", {f"{number:02}": noise(number, 100_000) for number in range(40)})
    world.sync()
    world.publish("debian", new)
    left = [after]
    real = MemoryRoot.open

    def vanish(root, name, path):
        left[0] -= 1
        if left[0] < 0:
            raise StorageFailed("open", path, 2, "no such file")
        return real(root, name, path)

    monkeypatch.setattr(MemoryRoot, "open", vanish)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == new
    assert len(old) < len(new)


def test_a_seed_that_became_shorter_costs_only_bytes(world):
    world.publish("debian", noise(1))
    world.sync()
    del world.root.live["debian"].data[300_000:]
    world.publish("debian", noise(2, 10_000) + noise(1))
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == noise(2, 10_000) + noise(1)


# --- indexes of seed directories


def scanned(world, data):
    """A world with a seed directory whose index is made; what a run needs to use it, and the index."""
    seed = MemoryRoot()
    seed.put_file("x", data)
    world.publish("debian", noise(2, 10_000) + data)
    changes = {"seed_roots": {"seed": seed}}
    world.forecast(**changes)
    (index,) = (world.directory / "scratch").glob("*.scan")
    return changes, index


def test_I1_an_index_with_any_byte_wrong_costs_only_bytes_and_is_made_anew(world):
    changes, index = scanned(world, noise(1, 300_000))
    whole = index.read_bytes()
    for where in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[where] ^= 0xFF
        index.write_bytes(damaged)
        assert not world.forecast(**changes).failed, where
        assert world.planned
    index.write_bytes(whole[:24] + b"\xff" * (len(whole) - 24))
    assert not world.forecast(**changes).failed
    assert not index.exists()
    assert world.sync(**changes).exit_code is ExitCode.OK
    assert world.live("debian") == noise(2, 10_000) + noise(1, 300_000)
    assert index.read_bytes() == whole


@pytest.mark.parametrize("value", [b"\xff" * 8, b"\xff" * 4 + bytes(4), bytes(8)])
def test_I1_an_index_that_leads_astray_costs_only_bytes(world, value):
    changes, index = scanned(world, noise(1, 3 << 20))
    whole = index.read_bytes()
    count = int.from_bytes(whole[8:16], "little")
    index.write_bytes(whole[: -8 * count] + value * count)
    assert world.sync(**changes).exit_code is ExitCode.OK
    assert world.live("debian") == noise(2, 10_000) + noise(1, 3 << 20)
