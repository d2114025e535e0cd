"""The front with a digester: the same versions, the same errors, whatever becomes of it."""

import random
import threading

import pytest

from netclnt import front, plainstage
from netclnt.errors import ExitCode
from netclnt.events import Progressed
from netclnt.memory.digester import MemoryDigester
from netclnt.memory.root import MemoryStage
from netclnt.memory.source import Corruption
from tests.support.world import World

MB = 1 << 20
MANY = 1 << 20


def noise(seed, size):
    return random.Random(seed).randbytes(size)


DATA = noise(1, 9 * MB) + bytes(3 * MB) + noise(2, 9 * MB) + noise(1, MB)


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(plainstage, "_LARGE", 1)
    made = World(tmp_path)
    yield made
    made.ledger.close()


@pytest.fixture
def read(monkeypatch):
    """The bytes that were read of what was staged, by the front's own thread."""
    lengths = []
    real = MemoryStage.read_into

    def counting(self, file, offset, buffer):
        lengths.append(len(buffer))
        return real(self, file, offset, buffer)

    monkeypatch.setattr(MemoryStage, "read_into", counting)
    return lengths


def test_a_large_file_is_left_to_the_digester(world, read):
    world.root.digester_pages = MANY
    data = noise(1, 9 * MB)
    world.publish("debian", data)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == data
    assert not read


def test_a_small_file_and_a_tree_are_not(world, monkeypatch):
    monkeypatch.setattr(plainstage, "_LARGE", 4 * MB)
    monkeypatch.setattr(MemoryStage, "digester", None)
    world.publish("small", noise(1, 3 * MB))
    world.publish("tree", {"a": noise(2, 5 * MB), "b": b"x"})
    assert world.sync().exit_code is ExitCode.OK


@pytest.mark.parametrize("pages", [0, 1, 2, 3, 4])
def test_A2_P5_when_it_is_lost_the_front_goes_on_by_itself(world, pages):
    world.root.digester_pages = pages
    world.publish("debian", DATA)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == DATA


def test_P5_lost_after_others_lied_the_front_still_sees_what_lies_there(world, monkeypatch):
    """Who takes over digests what is staged, not what somebody said of it."""
    world.root.digester_pages = 2
    world.publish("debian", DATA)
    real = MemoryDigester.page
    spoiled = []

    def spoiling(self, offset, segments, check):
        answer = real(self, offset, segments, check)
        if not spoiled:
            spoiled.append(offset)
            self._data[100] ^= 1
        return answer

    monkeypatch.setattr(MemoryDigester, "page", spoiling)
    assert world.sync().exit_code is ExitCode.OK
    assert spoiled == [0]
    assert world.live("debian") == DATA


@pytest.mark.parametrize("pages", [2, MANY])
def test_D14_P5_a_damaged_page_is_mended(world, pages):
    world.root.digester_pages = pages
    world.publish("debian", DATA)
    pack = next(path for path in world.store.files if path.startswith("packs/"))
    for offset in (300_000, 9 * MB, 15 * MB):
        world.source.corruptions.append(Corruption(pack, offset, 10))
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == DATA


def test_C19_P5_a_seed_that_lies_is_found_out(world):
    world.root.digester_pages = MANY
    world.publish("debian", DATA)
    world.sync()
    node = world.root.live["debian"]
    for offset in range(10_000, len(DATA), 3 * MB):
        node.data[offset] ^= 1
    world.publish("debian", DATA + noise(3, 10_000))
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == DATA + noise(3, 10_000)


def test_P5_a_wrong_digest_of_the_whole_is_a_mismatch(world, monkeypatch):
    """All pages right, and yet another SHA-256: once more without seeds, and then an error."""
    world.root.digester_pages = MANY
    real = MemoryDigester.page
    monkeypatch.setattr(MemoryDigester, "page", lambda *asked: real(*asked) and bytes(32))
    world.publish("debian", DATA)
    assert world.sync().exit_code is ExitCode.INTEGRITY
    assert "debian" not in world.root.live


def test_while_a_page_takes_long_what_came_of_it_is_told(world, monkeypatch):
    """A thin line: the first page is held back until its arrival was told of three times."""
    monkeypatch.setattr(front, "_TELL_SECONDS", 0.01)
    told = threading.Semaphore(0)
    real = world.source.fetch

    def fetch(ranges):
        for each in real(ranges):
            if each[0].path.startswith("packs/"):
                for _ in range(3):
                    assert told.acquire(timeout=60)
            yield each

    monkeypatch.setattr(world.source, "fetch", fetch)

    def observe(event):
        if isinstance(event, Progressed):
            told.release()

    world.publish("debian", noise(1, 9 * MB))
    world.sync_observed(observe)
    assert world.live("debian") == noise(1, 9 * MB)
