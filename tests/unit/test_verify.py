"""Verifying by SHA-256: whole files, several at once, and what pages cannot tell is told."""

import random
import threading

import pytest

from netclnt import verify as verifying
from netclnt.errors import ExitCode, StorageFailed
from netclnt.memory.root import MemoryRoot
from netclnt.selection import Selection
from netclnt.verify import Damage, verify
from tests.support.world import World


def noise(seed, size=1 << 20):
    return random.Random(seed).randbytes(size)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.publish("debian", noise(1) + bytes(100_000))
    made.publish("os", {f"f{number:02}": noise(number, 50_000) for number in range(10)} | {"empty": b""})
    made.sync()
    yield made
    made.ledger.close()


def digested(world, selection=None):
    found = verify(world.slave(), selection or Selection(), observer=world.events.append, sha256=True)
    return {verdict.name: verdict.damage for verdict in found}


def test_what_is_whole_is_told_as_whole(world):
    assert digested(world) == {"debian": (), "os": ()}
    assert digested(world, Selection(("os",))) == {"os": ()}


def test_C19_a_wrong_byte_is_told_with_its_block_and_mended_by_a_sync(world):
    world.root.live["os/f03"].data[20_000] ^= 1
    found = digested(world)
    assert found["debian"] == ()
    (damage,) = found["os"]
    assert (damage.path, damage.offset <= 20_000 < damage.offset + damage.length) == ("f03", True)
    assert world.ledger.get("os").damaged
    assert world.sync().exit_code is ExitCode.OK
    assert digested(world) == {"debian": (), "os": ()}


def test_what_no_page_tells_is_told_by_the_file(world, monkeypatch):
    world.root.live["os/f03"].data[20_000] ^= 1
    monkeypatch.setattr(verifying, "page_matches", lambda *_, **__: True)
    assert [verdict.damage for verdict in world.verify()] == [(), ()]
    assert digested(world)["os"] == (Damage("f03", 0, 50_000, "not what its SHA-256 says"),)


def test_C20_what_is_missing_is_told_and_does_not_shift_the_others(world):
    del world.root.live["debian"]
    world.root.live["os/f09"].data[0] ^= 1
    found = digested(world)
    assert [damage.problem for damage in found["debian"]] == ["missing"]
    assert [damage.path for damage in found["os"]] == ["f09"]


def test_I1_an_image_without_its_manifest_does_not_shift_the_others(world):
    (world.directory / "manifests" / f"{world.ledger.get('debian').manifest}.manifest").unlink()
    world.root.live["os/f09"].data[0] ^= 1
    found = digested(world)
    assert "manifest" in found["debian"][0].problem
    assert [damage.path for damage in found["os"]] == ["f09"]


def test_C8_a_file_that_cannot_be_read_is_told(world, monkeypatch):
    real = MemoryRoot.open

    def fail(root, name, path):
        if path == "f05":
            raise StorageFailed("read", path, 5, "injected")
        return real(root, name, path)

    monkeypatch.setattr(MemoryRoot, "open", fail)
    found = digested(world)
    assert found["debian"] == ()
    assert "injected" in found["os"][0].problem


def test_files_of_different_images_are_read_at_once(world, monkeypatch):
    """Each waits for the other before it is opened."""
    world.publish("arch", noise(7))
    world.sync()
    both = threading.Barrier(2, timeout=30)
    real = MemoryRoot.open
    monkeypatch.setattr(MemoryRoot, "open", lambda *arguments: both.wait() < 2 and real(*arguments))
    assert digested(world, Selection(("arch", "debian"))) == {"arch": (), "debian": ()}
