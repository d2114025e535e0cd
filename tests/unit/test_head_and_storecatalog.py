"""A catalog without a database: HEAD and TOC from the store, and whatever may lie where the TOC was."""

import random

import pytest

from netclnt.errors import Damaged, ExitCode, Incompatible, IntegrityError, NetclntError, SourceMissing
from netclnt.head import HEAD_PATH, decode_store_head, encode_store_head
from netclnt.manifest import manifest_path
from netclnt.memory.source import Corruption, MemorySource
from netclnt.storecatalog import TOC_NAME
from tests.support.world import World


def noise(seed, size=100_000):
    return random.Random(seed).randbytes(size)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path, store_catalog=True)
    made.publish("a", noise(1))
    made.sync()
    yield made
    made.ledger.close()


def new_line(world):
    world.source = MemorySource(world.store.files)


def test_every_byte_of_head_counts(world):
    head = world.store.files[HEAD_PATH]
    assert encode_store_head(decode_store_head(head)) == head
    for offset in range(len(head)):
        for value in (head[offset] ^ 1, 0x0A, 0xFF):
            wrong = head[:offset] + bytes([value]) + head[offset + 1 :]
            if wrong != head:
                with pytest.raises((Damaged, Incompatible)):
                    decode_store_head(wrong)


@pytest.mark.parametrize("length", [0, 1, 14, 60, 200, -1])
def test_half_a_head_is_damage(world, length):
    world.store.files[HEAD_PATH] = world.store.files[HEAD_PATH][:length]
    with pytest.raises((Damaged, Incompatible)):
        world.sync()
    assert world.live("a") == noise(1)


def test_no_head_is_a_store_that_is_not_whole(world):
    del world.store.files[HEAD_PATH]
    with pytest.raises(SourceMissing):
        world.sync()


@pytest.mark.parametrize("found", [b"", b"garbage" * 100, b"SQLite format 3\0" + bytes(4000)])
def test_I1_whatever_lies_in_the_tocs_place_is_fetched_anew(world, found):
    world.toc_root.live[TOC_NAME].data[:] = found
    world.ledger.correct(world.ledger.get("a"), None)
    new_line(world)
    assert world.sync().exit_code is ExitCode.OK
    assert not world.ledger.get("a").damaged


@pytest.mark.parametrize("size", [10, 1000, 20_000])
def test_I1_a_toc_that_was_cut_off_is_fetched_anew(world, size):
    data = world.toc_root.live[TOC_NAME].data
    del data[size:]
    world.publish("b", noise(2))
    new_line(world)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("b") == noise(2)


def test_D14_a_toc_that_came_damaged_once_is_fetched_again(world):
    world.publish("b", noise(2))
    head = decode_store_head(world.store.files[HEAD_PATH])
    new_line(world)
    world.source.corruptions.append(Corruption(manifest_path(head.toc), head.toc_head_bytes + 5, 1))
    for path in list(world.store.files):
        if path.startswith("packs/"):
            world.source.corruptions.append(Corruption(path, 20, 1))
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("b") == noise(2)


def test_D15_a_toc_that_always_comes_damaged_is_an_integrity_error(world):
    world.publish("b", noise(2))
    head = decode_store_head(world.store.files[HEAD_PATH])
    new_line(world)
    world.source.corruptions.append(Corruption(manifest_path(head.toc), 5, 1, times=99))
    with pytest.raises(IntegrityError):
        world.sync()
    new_line(world)
    assert world.sync().exit_code is ExitCode.OK


@pytest.mark.parametrize("after", [1, 300, 600, 2000, 10_000])
def test_a_toc_whose_fetch_broke_off_is_fetched_the_next_time(world, after):
    world.publish("b", noise(2))
    new_line(world)
    world.source.cut_after = after
    with pytest.raises(NetclntError):
        world.sync()
    new_line(world)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("b") == noise(2)


def test_one_read_of_a_tiny_file_where_nothing_changed(world):
    new_line(world)
    world.sync()
    assert world.source.bytes_received == len(world.store.files[HEAD_PATH])
