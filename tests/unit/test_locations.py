"""Locations: they come back, and no run leads out of its frame, its page or the version."""

import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netclnt.errors import Damaged, ForbiddenValue
from netclnt.locations import (
    EARLIER,
    RECORD_BYTES_MAX,
    Frame,
    Locations,
    Run,
    decode_record,
    decode_table,
    encode_record,
    encode_table,
    table_bytes,
)
from netclnt.model import ZERO_ID, Blocks
from netclnt.pack import FRAME_MAX, HEADER, PACK_BYTES_MAX, RAW, STORED_MAX, ZSTD, compress
from tests.support.mutations import decoded, mutated

BLOCKS = Blocks(array("I", [100, 200, 1 << 20, 300]), b"a" * 16 + b"b" * 16 + ZERO_ID + b"c" * 16)
PAGE_START = 5000
FRAME = Frame(7, 16, 500, 1000, ZSTD)
GOOD = Locations((FRAME,), (Run(0, 2, 0, 0), Run(3, 1, EARLIER, 400)))


def decode(data, blocks=BLOCKS, page_start=PAGE_START):
    return decode_record(data, blocks, page_start=page_start, where="here")


def encode_plain(locations):
    data = struct.pack(">HH", len(locations.frames), len(locations.runs))
    data += b"".join(struct.pack(">QIIIB", f.pack, f.offset, f.stored, f.plain, f.codec) for f in locations.frames)
    return data + b"".join(struct.pack(">HHHQ", r.first, r.count, r.frame, r.start) for r in locations.runs)


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
    return Blocks(array("I", lengths), b"x" * 16 * len(lengths)), page_start, Locations(tuple(frames), tuple(runs))


@given(cases())
def test_a_record_comes_back(case):
    blocks, page_start, locations = case
    assert decode(encode_record(locations), blocks, page_start) == locations


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
    found = decoded(lambda: decode(encode_record(Locations(locations.frames, (run,))), blocks, page_start))
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
        Frame(7, 16, 500, 1000, 2),
        Frame(7, 16, 500, 1000, 255),
        Frame(7, 16, 500, 1000, RAW),
    ],
)
def test_F7_F12_frames_are_within_bounds(frame):
    with pytest.raises(ForbiddenValue):
        decode(encode_record(Locations((frame,), ())))


@pytest.mark.parametrize("counts", [(0, 0), (2, 1), (1, 1), (1, 3), (0xFFFF, 0xFFFF), (0, 2), (1, 0)])
def test_F8_a_record_has_as_many_as_it_says(counts):
    plain = struct.pack(">HH", *counts) + encode_plain(GOOD)[4:]
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
    frames = tuple(Frame((1 << 64) - 1 - number, 16, 90, 100, ZSTD) for number in range(512))
    locations = Locations(frames, tuple(Run(number, 1, number, 0) for number in range(512)))
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
