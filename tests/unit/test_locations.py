"""Locations: they come back, and no run leads out of its frame, its page or the version."""

import hashlib
import struct
from array import array
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netclnt.errors import Damaged, ForbiddenValue
from netclnt.locations import (
    BASE_BLOCKS_MAX,
    EARLIER,
    RECORD_BYTES_MAX,
    Frame,
    Locations,
    Run,
    decode_record,
    decode_table,
    encode_record,
    encode_table,
    has_deltas,
    table_bytes,
)
from netclnt.model import BLOCK_MAX, ZERO_ID, Blocks
from netclnt.pack import BASE_MAX, FRAME_MAX, HEADER, PACK_BYTES_MAX, PREFIX, RAW, STORED_MAX, ZSTD, compress
from tests.support.mutations import decoded, mutated

BLOCKS = Blocks(array("I", [100, 200, 1 << 20, 300]), b"a" * 16 + b"b" * 16 + ZERO_ID + b"c" * 16)
PAGE_START = 5000
FRAME = Frame(7, 16, 500, 1000, ZSTD)
GOOD = Locations((FRAME,), (Run(0, 2, 0, 0), Run(3, 1, EARLIER, 400)))


def decode(data, blocks=BLOCKS, page_start=PAGE_START):
    return decode_record(data, blocks, page_start=page_start, where="here")


def encode_plain(locations):
    table = locations.base_blocks
    data = struct.pack(">HHH", len(locations.frames), len(locations.runs), len(table))
    data += b"".join(struct.pack(">QIIIB", f.pack, f.offset, f.stored, f.plain, f.codec) for f in locations.frames)
    data += b"".join(struct.pack(">HH", *base) for base in locations.bases)
    data += b"".join(struct.pack(">HHHQ", r.first, r.count, r.frame, r.start) for r in locations.runs)
    return data + struct.pack(f">{len(table)}I", *table.lengths) + table.ids


@st.composite
def cases(draw):
    """(blocks, page start, locations) that fit each other."""
    lengths = draw(st.lists(st.integers(1, 5000), min_size=1, max_size=10))
    page_start = draw(st.integers(0, 10_000))
    frames, runs = [], []
    first = 0
    while first < len(lengths):
        count = draw(st.integers(1, len(lengths) - first))
        length = sum(lengths[first : first + count])
        here = page_start + sum(lengths[:first])
        if here >= length and draw(st.booleans()):
            runs.append(Run(first, count, EARLIER, draw(st.integers(0, here - length))))
        else:
            plain = draw(st.integers(length, length + 100))
            pack, offset = draw(st.integers(0, (1 << 64) - 1)), draw(st.integers(HEADER.size, PACK_BYTES_MAX))
            frames.append(Frame(pack, offset, draw(st.integers(1, plain)), plain, ZSTD))
            runs.append(Run(first, count, len(frames) - 1, draw(st.integers(0, plain - length))))
        first += count
    bases, table = [], Blocks(array("I"), b"")
    if draw(st.booleans()):
        table = Blocks(array("I", draw(st.lists(st.integers(8, BLOCK_MAX), min_size=1, max_size=8))), b"")
        table.ids = draw(st.binary(min_size=1, max_size=1).filter(any)) * 16 * len(table)
        for run in list(runs):
            if run.frame != EARLIER and draw(st.booleans()):
                begin = draw(st.integers(0, len(table) - 1))
                bases.append((begin, draw(st.integers(1, len(table) - begin))))
                frames.append(frames[run.frame]._replace(pack=1, codec=PREFIX))
                runs.insert(0, Run(run.first, run.count, len(frames) - 1, run.start))
    found = Locations(tuple(frames), tuple(runs), tuple(bases), table)
    return Blocks(array("I", lengths), b"x" * 16 * len(lengths)), page_start, found


@given(cases())
def test_a_record_comes_back(case):
    blocks, page_start, locations = case
    encoded = encode_record(locations)
    assert decode(encoded, blocks, page_start) == locations
    assert has_deltas(encoded, where="here") == bool(len(locations.base_blocks))


@given(cases(), st.data())
def test_M2_a_record_changed_inside_is_refused_or_means_what_it_says(case, data):
    blocks, page_start, locations = case
    changed = data.draw(mutated(encode_plain(locations)))
    found = decoded(lambda: decode(compress(changed, 1), blocks, page_start))
    assert found is None or encode_plain(found) == changed


@given(st.data())
def test_M2_a_changed_record_is_refused_or_a_record(data):
    decoded(lambda: decode(data.draw(mutated(encode_record(GOOD)))))


@given(cases(), st.data())
def test_runs_stay_inside_frame_page_and_version_whatever_a_store_says(case, data):
    blocks, page_start, locations = case
    numbers = st.integers(0, 12) | st.sampled_from([EARLIER, EARLIER - 1])
    starts = st.integers(0, 20_000) | st.sampled_from([(1 << 63) - 1, 1 << 63, (1 << 64) - 1, (1 << 64) - 100])
    run = Run(data.draw(st.integers(0, 12)), data.draw(st.integers(0, 12)), data.draw(numbers), data.draw(starts))
    changed = replace(locations, runs=(run,))
    found = decoded(lambda: decode(encode_record(changed), blocks, page_start))
    if found is not None:
        length = sum(blocks.lengths[run.first : run.first + run.count])
        assert 1 <= run.count <= len(blocks) - run.first
        if run.frame == EARLIER:
            assert run.start + length <= page_start + sum(blocks.lengths[: run.first])
        else:
            assert run.start + length <= locations.frames[run.frame].plain


@pytest.mark.parametrize(
    "run",
    [
        Run(0, 0, 0, 0),
        Run(4, 1, 0, 0),
        Run(0, 5, 0, 0),
        Run(0xFFFF, 0xFFFF, 0, 0),
        Run(2, 1, 0, 0),
        Run(1, 2, 0, 0),
        Run(0, 1, 1, 0),
        Run(0, 1, 0xFFFE, 0),
        Run(0, 1, 0, 901),
        Run(0, 1, 0, (1 << 64) - 1),
        Run(0, 1, EARLIER, PAGE_START - 99),
        Run(0, 1, EARLIER, PAGE_START),
        Run(0, 1, EARLIER, (1 << 64) - 50),
        Run(0, 2, EARLIER, PAGE_START - 299),
    ],
)
def test_F8_runs_that_lead_out_are_refused(run):
    with pytest.raises(ForbiddenValue):
        decode(encode_record(Locations((FRAME,), (run,))))


@pytest.mark.parametrize("run", [Run(0, 1, 0, 900), Run(0, 1, EARLIER, PAGE_START - 100), Run(1, 1, EARLIER, PAGE_START - 100)])
def test_runs_may_end_where_frame_and_earlier_content_end(run):
    assert decode(encode_record(Locations((FRAME,), (run,)))).runs == (run,)


def test_a_first_block_lies_nowhere_earlier():
    with pytest.raises(ForbiddenValue):
        decode(encode_record(Locations((), (Run(0, 1, EARLIER, 0),))), page_start=0)


@pytest.mark.parametrize(
    "frame",
    [
        Frame(7, 0, 500, 1000, ZSTD),
        Frame(7, 15, 500, 1000, ZSTD),
        Frame(7, PACK_BYTES_MAX + 1, 500, 1000, ZSTD),
        Frame(7, 16, 0, 1000, ZSTD),
        Frame(7, 16, STORED_MAX + 1, 1000, ZSTD),
        Frame(7, 16, 500, 0, ZSTD),
        Frame(7, 16, 500, FRAME_MAX + 1, ZSTD),
        Frame(7, 16, 500, (1 << 32) - 1, ZSTD),
        Frame(7, 16, 500, 1000, 3),
        Frame(7, 16, 500, 1000, 255),
        Frame(7, 16, 500, 1000, RAW),
    ],
)
def test_F7_F12_frames_are_within_bounds(frame):
    with pytest.raises(ForbiddenValue):
        decode(encode_record(Locations((frame,), ())))


DELTA = Frame(8, 16, 500, 1000, PREFIX)
TABLE = Blocks(array("I", [100, 4]), b"a" * 16 + b"b" * 16)
WITH_DELTA = Locations((FRAME, DELTA), (Run(0, 2, 1, 0), Run(0, 2, 0, 0)), ((0, 2),), TABLE)


def test_a_delta_frame_comes_back_with_its_base():
    found = decode(encode_record(WITH_DELTA))
    assert found == WITH_DELTA
    assert list(found.delta_frames()) == [(DELTA, [(b"a" * 16, 100), (b"b" * 16, 4)])]
    assert list(GOOD.delta_frames()) == []


@pytest.mark.parametrize("base", [(0, 0), (0, 3), (1, 2), (2, 1), (2, 0), (0xFFFF, 0xFFFF), (1, 1)])
def test_F8_bases_are_in_their_table_and_as_long_as_zstd_wants_them(base):
    with pytest.raises(ForbiddenValue):
        decode(encode_record(replace(WITH_DELTA, bases=(base,))))


@pytest.mark.parametrize("length", [0, BLOCK_MAX + 1, (1 << 32) - 1])
def test_F7_base_blocks_are_within_bounds(length):
    with pytest.raises(ForbiddenValue):
        decode(encode_record(replace(WITH_DELTA, base_blocks=Blocks(array("I", [100, length]), TABLE.ids))))


def test_F7_a_base_is_no_longer_than_its_bound():
    def with_base(lengths):
        table = Blocks(array("I", lengths), b"a" * 16 * len(lengths))
        return encode_record(replace(WITH_DELTA, bases=((0, len(lengths)),), base_blocks=table))

    blocks = BASE_MAX // BLOCK_MAX
    assert decode(with_base([BLOCK_MAX] * blocks)).bases == ((0, blocks),)
    with pytest.raises(ForbiddenValue):
        decode(with_base([BLOCK_MAX] * blocks + [1]))


def test_F7_a_record_has_no_more_base_blocks_than_its_bound():
    def with_blocks(count):
        return encode_record(replace(WITH_DELTA, base_blocks=Blocks(array("I", [8] * count), b"a" * 16 * count)))

    assert len(decode(with_blocks(BASE_BLOCKS_MAX)).base_blocks) == BASE_BLOCKS_MAX
    with pytest.raises(ForbiddenValue):
        decode(with_blocks(BASE_BLOCKS_MAX + 1))


def test_F8_a_run_of_zeros_is_no_base():
    with pytest.raises(ForbiddenValue):
        decode(encode_record(replace(WITH_DELTA, base_blocks=Blocks(TABLE.lengths, b"a" * 16 + ZERO_ID))))


@pytest.mark.parametrize("data", [b"", b"\0", b"\0" * 5])
def test_F8_a_record_without_its_counts_is_damaged(data):
    with pytest.raises(Damaged):
        has_deltas(compress(data, 1), where="here")
    with pytest.raises(Damaged):
        decode(compress(data, 1))


@pytest.mark.parametrize(
    "counts",
    [(0, 0, 0), (2, 1, 0), (1, 1, 0), (1, 3, 0), (0xFFFF, 0xFFFF, 0xFFFF), (0, 2, 0), (1, 0, 0), (1, 2, 1)],
)
def test_F8_a_record_has_as_many_as_it_says(counts):
    plain = struct.pack(">HHH", *counts) + encode_plain(GOOD)[6:]
    with pytest.raises(Damaged):
        decode(compress(plain, 1))


def test_F12_a_record_never_unpacks_to_more_than_its_bound():
    with pytest.raises(Damaged):
        decode(compress(bytes(RECORD_BYTES_MAX + 1), 19))
    with pytest.raises(Damaged):
        decode(compress(bytes(100 << 20), 1))
    with pytest.raises(Damaged):
        decode(encode_record(GOOD) * 2)


def test_the_longest_record_that_publish_can_write_is_read():
    blocks = Blocks(array("I", [100] * 512), b"x" * 16 * 512)
    plain = tuple(Frame((1 << 64) - 1 - number, 16, 90, 100, ZSTD) for number in range(512))
    deltas = tuple(frame._replace(codec=PREFIX) for frame in plain[:256])
    runs = tuple(Run(number % 512, 1, number, 0) for number in range(512 + 256))
    table = Blocks(array("I", [100] * BASE_BLOCKS_MAX), hashlib.shake_128(b"base").digest(16 * BASE_BLOCKS_MAX))
    bases = tuple((number * 4, 4) for number in range(256))
    locations = Locations(plain + deltas, runs, bases, table)
    encoded = encode_record(locations)
    assert len(encoded) <= RECORD_BYTES_MAX
    assert decode(encoded, blocks) == locations


# --- the table


@given(st.lists(st.integers(1, RECORD_BYTES_MAX), max_size=30))
def test_a_table_comes_back(lengths):
    data = encode_table(lengths)
    assert len(data) == table_bytes(len(lengths))
    table = decode_table(data, len(lengths), where="here")
    assert [length for _, length in table] == lengths
    ends = [len(data), *(offset + length for offset, length in table)]
    assert [offset for offset, _ in table] == ends[:-1]


@given(st.lists(st.integers(1, RECORD_BYTES_MAX), max_size=30), st.data())
def test_M2_a_changed_table_is_refused_or_means_what_it_says(lengths, data):
    changed = data.draw(mutated(encode_table(lengths)))
    found = decoded(lambda: decode_table(changed, len(lengths), where="here"))
    assert found is None or encode_table([length for _, length in found]) == changed


def test_F8_a_table_is_of_the_manifest_s_pages():
    for pages in (0, 2, 4, 1 << 20):
        with pytest.raises(Damaged):
            decode_table(encode_table([1, 2, 3]), pages, where="here")


@pytest.mark.parametrize("length", [0, RECORD_BYTES_MAX + 1, (1 << 32) - 1])
def test_F7_records_are_within_bounds(length):
    with pytest.raises(ForbiddenValue):
        decode_table(encode_table([5, length]), 2, where="here")
