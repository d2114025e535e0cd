"""What an interrupted publish stored is used by the next one, as far as it is really there."""

import random
from contextlib import suppress

import pytest

from netclnt.dedup import RECORD
from netclnt.errors import NoSpace, SourceChanged
from netclnt.memory.content import MemoryContent
from netclnt.model import DEFAULT_CHANNEL, ID_BYTES, Kind
from netclnt.publish import Request, publish
from tests.support.storereader import content_of

REQUEST = Request("debian", Kind.IMAGE, DEFAULT_CHANNEL, "", (), "2026-11-23T00:00:00Z")
SIZE = 2 << 20
DATA = random.Random(1).randbytes(SIZE)
RECORD_BYTES = ID_BYTES + RECORD.size


@pytest.fixture
def left(world):
    """A publish that ended when all its blocks were stored."""
    with pytest.raises(SourceChanged):
        publish(MemoryContent({"": DATA}, changed=True), REQUEST, master=world.master(), observer=lambda _: None)
    path = world.directory / "master" / "unfinished"
    assert path.stat().st_size > 50 * RECORD_BYTES
    return path


def packs(world):
    return [path for path in world.store.files if path.startswith("packs/")]


def test_the_next_publish_stores_nothing_twice(world, left):
    before = packs(world)
    done = world.publish("other", DATA)
    assert (done.new, done.bytes_new) == (True, 0)
    assert len(packs(world)) == len(before) + 2  # the TOC's, and those of its delta frames
    assert content_of(world.store.files, done.version) == {"": DATA}
    assert not left.exists()
    assert world.publish("third", DATA + b"x").bytes_new < 70_000


def test_only_what_is_missing_is_stored(world, left):
    records = left.read_bytes()
    left.write_bytes(records[: len(records) // RECORD_BYTES // 2 * RECORD_BYTES])
    assert SIZE * 0.4 < world.publish("debian", DATA).bytes_new < SIZE * 0.6


@pytest.mark.parametrize("damage", ["pack gone", "pack cut", "byte flipped", "journal torn", "journal zeros", "journal noise"])
def test_B7_what_is_not_there_is_not_believed(world, left, damage):
    """A power cut may take any of it back, or leave zeros in its place."""
    pack = max(packs(world), key=lambda path: len(world.store.files[path]))
    content, records = bytearray(world.store.files[pack]), left.read_bytes()
    match damage:
        case "pack gone":
            del world.store.files[pack]
        case "pack cut":
            world.store.files[pack] = bytes(content[: len(content) // 2])
        case "byte flipped":
            content[len(content) // 2] ^= 1
            world.store.files[pack] = bytes(content)
        case "journal torn":
            left.write_bytes(records[: -RECORD_BYTES // 2])
        case "journal zeros":
            left.write_bytes(records[: len(records) // 2] + bytes(len(records) // 2))
        case "journal noise":
            left.write_bytes(random.Random(2).randbytes(len(records)))
    done = world.publish("debian", DATA)
    lost = {"pack gone": 1, "pack cut": 0.5, "byte flipped": 0.12, "journal torn": 0.12, "journal zeros": 0.5, "journal noise": 1}
    assert abs(done.bytes_new / SIZE - lost[damage]) < 0.14
    assert content_of(world.store.files, done.version) == {"": DATA}
    assert not left.exists()


def test_B7_packs_are_made_durable_before_an_index_knows_of_them(world, left, monkeypatch):
    calls = []
    monkeypatch.setattr(world.store, "secure", calls.append)
    monkeypatch.setattr("netclnt.dedup.StoreIndex.add", lambda *_, **__: calls.append("index"))
    with suppress(Exception):
        world.publish("debian", DATA)
    assert calls[0].startswith("packs/")
    assert "index" in calls


def test_what_was_published_after_all_is_not_indexed_twice(world, monkeypatch):
    """It died between the catalog's transaction and the index."""

    def full(*_, **__):
        raise NoSpace(path="index", needed=0, free=0)

    with monkeypatch.context() as patch:
        patch.setattr("netclnt.dedup.StoreIndex.add", full)
        with pytest.raises(NoSpace):
            publish(MemoryContent({"": DATA}), REQUEST, master=world.master(), observer=lambda _: None)
    assert world.catalog.state().generation == 1
    assert (world.publish("debian", DATA).new, world.catalog.state().generation) == (False, 1)
    runs = (world.directory / "master" / "index").glob("*.run")
    assert sum(int.from_bytes(path.read_bytes()[8:16], "little") for path in runs) < SIZE // 8000
    assert list((world.directory / "master" / "scratch").iterdir()) == []
