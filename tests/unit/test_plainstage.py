"""A stage by plain offsets: ranges over several files, and seeds that fail on either side."""

import errno
import random

import pytest

from netclnt.blockindex import Run, write_run
from netclnt.errors import NoSpace, StorageFailed
from netclnt.layout import Layout
from netclnt.memory.root import MemoryRoot
from netclnt.model import Entry, EntryType
from netclnt.plainstage import PlainStage, neighbours
from netclnt.seeds import IndexedSeed

SIZES = [0, 5, 0, 1, 10_000, 70_000, 0]


def noise(seed, size):
    return random.Random(seed).randbytes(size)


def entries():
    files = [Entry(f"f{number}", EntryType.FILE, 0o644, size, bytes(32)) for number, size in enumerate(SIZES)]
    return [Entry("", EntryType.DIRECTORY, 0o755), *files]


@pytest.fixture
def root():
    made = MemoryRoot()
    made.put_file("seed", noise(1, 90_000))
    return made


@pytest.fixture
def plain(root):
    stage = root.stage("ab")
    stage.prepare(entries())
    return PlainStage(stage, Layout(entries()))


@pytest.fixture
def seed(root, tmp_path):
    write_run(tmp_path / "index", iter([]), value_size=8)
    made = IndexedSeed(
        [Entry("", EntryType.FILE, 0o644, 90_000, bytes(32))], Run(tmp_path / "index"), lambda path: root.open("seed", path)
    )
    yield made
    made.close()


def content(plain):
    buffer = memoryview(bytearray(sum(SIZES)))
    assert plain.read_into(0, buffer) == len(buffer)
    return bytes(buffer)


@pytest.mark.parametrize(("offset", "length"), [(0, 80_006), (0, 1), (4, 3), (5, 1), (6, 10_001), (80_005, 1), (10, 0)])
def test_a_range_lies_in_the_files_it_touches(plain, seed, offset, length):
    total = sum(SIZES)
    data = noise(1, 90_000)
    plain.write(0, [memoryview(b"\xff" * total)])
    plain.copy(offset, seed, 100, length)
    expected = b"\xff" * offset + data[100 : 100 + length] + b"\xff" * (total - offset - length)
    assert content(plain) == expected
    plain.zero(offset, length)
    assert content(plain) == expected[:offset] + bytes(length) + expected[offset + length :]
    plain.write(offset, [memoryview(data[:length])])
    assert content(plain)[offset : offset + length] == data[:length]


@pytest.mark.parametrize("at", [89_000, 90_000, 1 << 40, (1 << 64) - 1])
def test_a_seed_is_copied_as_far_as_it_goes(plain, seed, at):
    plain.copy(0, seed, at, 5000)
    there = noise(1, 90_000)[at : at + 5000]
    assert content(plain)[: len(there)] == there
    assert not any(content(plain)[len(there) :])


def test_a_seed_that_cannot_be_opened_is_passed_over(root, plain, seed):
    del root.live["seed"]
    plain.copy(0, seed, 0, 5000)
    assert not any(content(plain))


def test_a_copy_that_failed_is_tried_by_hand(root, plain, seed):
    root.faults["copy"] = StorageFailed("copy", "seed", errno.EIO, "injected")
    plain.copy(0, seed, 0, 5000)
    assert content(plain)[:5000] == noise(1, 90_000)[:5000]


def test_a_seed_that_cannot_be_read_is_passed_over(root, plain, seed, monkeypatch):
    def fail(*_):
        raise StorageFailed("read", "seed", errno.EIO, "injected")

    monkeypatch.setattr("netclnt.memory.nodes.MemoryReader.read_into", fail)
    plain.copy(0, seed, 0, 5000)
    monkeypatch.undo()
    assert not any(content(plain))


@pytest.mark.parametrize("error", [StorageFailed("write", "memory", errno.EIO, "injected"), NoSpace("memory", 1, 0)])
def test_a_disk_that_cannot_be_written_is_an_error(root, plain, seed, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("netclnt.memory.root.MemoryStage.write", fail)
    with pytest.raises(type(error)):
        plain.copy(0, seed, 0, 5000)


@pytest.mark.parametrize("sizes", [[80_006], [1, 80_005], [3, 1, 1, 1, 5_000, 74_000, 1_000]])
def test_buffers_come_to_lie_one_after_the_other_over_all_files(plain, sizes):
    data = noise(2, sum(sizes))
    view, views = memoryview(data), []
    for size in sizes:
        views.append(view[:size])
        view = view[size:]
    plain.write(0, views)
    assert content(plain) == data


def test_what_was_staged_is_copied_further_back_even_where_it_is_being_copied(plain):
    data = noise(3, 100)
    plain.write(0, [memoryview(data)])
    plain.copy_within(50_000, 20, 30)
    plain.copy_within(100, 0, 1_050)
    assert content(plain)[:1_150] == (data * 12)[:1_150]
    assert content(plain)[50_000:50_030] == data[20:50]


def test_parts_that_may_hold_data_are_told_by_plain_offset(plain):
    assert list(plain.data_ranges(0, sum(SIZES))) == []
    plain.write(20_000, [memoryview(b"x" * 100)])
    for offset, length in plain.data_ranges(19_000, 3_000):
        assert 19_000 <= offset <= 20_000
        assert 20_100 <= offset + length <= 22_000
    assert list(plain.data_ranges(20_010, 20)) == [(20_010, 20)]
    assert list(plain.data_ranges(40_000, 30_000)) == []


def test_contents_that_lie_one_after_the_other_are_joined():
    parts = [(0, memoryview(b"ab")), (2, memoryview(b"c")), (9, memoryview(b"de")), (3, memoryview(b"f")), (4, memoryview(b"g"))]
    joined = [(offset, b"".join(views)) for offset, views in neighbours(parts)]
    assert joined == [(0, b"abc"), (9, b"de"), (3, b"fg")]
    assert list(neighbours([])) == []
