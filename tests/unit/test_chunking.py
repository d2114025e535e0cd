"""Cutting: every byte is in one block, whatever the content and however it is read."""

import hashlib
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netclnt import chunking
from netclnt.chunking import CHUNKER, WINDOW, WholeCutter, block_id, check_chunker, cut
from netclnt.errors import Incompatible
from netclnt.model import BLOCK_MAX, ZERO_RUN_MAX


def noise(name, size):
    return hashlib.shake_128(name.encode()).digest(size)


def blocks(content, **options):
    """(content, is a run of zeros) of each block."""
    return parted(cut(BytesIO(content).read, **options))


def parted(stretches):
    found = []
    for stretch in stretches:
        assert bool(stretch.zeros) != bool(stretch.lengths)
        if stretch.zeros:
            assert not len(stretch.data)
            found.append((bytes(stretch.zeros), True))
        position = 0
        for length in stretch.lengths:
            found.append((bytes(stretch.data[position : position + length]), False))
            position += length
        assert position == len(stretch.data)
    return found


NOISE = noise("pool", 300_000)
pieces = st.one_of(
    st.tuples(st.just("zeros"), st.sampled_from([1, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW, 3 * WINDOW + 5])),
    st.tuples(st.just("noise"), st.integers(1, 3 * WINDOW) | st.sampled_from([1, WINDOW, BLOCK_MAX, BLOCK_MAX + 1])),
    st.tuples(st.just("ones"), st.integers(1, 4 * WINDOW)),
)
contents = st.lists(pieces, max_size=7).map(
    lambda made: b"".join(
        {"zeros": bytes(n), "noise": NOISE[n % 1000 : n % 1000 + n], "ones": b"\1" * n}[kind] for kind, n in made
    )
)


@settings(max_examples=60)
@given(contents)
def test_blocks_are_the_content_whatever_is_read_at_once(content):
    found = blocks(content)
    assert b"".join(block for block, _ in found) == content
    for read_size in (WINDOW, 2 * WINDOW, 5 * WINDOW):
        assert blocks(content, read_size=read_size) == found


@settings(max_examples=60)
@given(st.lists(contents, max_size=4))
def test_a_file_in_memory_is_cut_alike(files):
    cutter = WholeCutter()
    for content in files:
        assert parted(cutter.cut(content)) == blocks(content)


@settings(max_examples=60)
@given(contents)
def test_runs_of_zeros_are_exactly_the_windows_of_zeros(content):
    windows = [content[start : start + WINDOW] == bytes(WINDOW) for start in range(0, len(content), WINDOW)]
    covered = [False] * len(windows)
    position = 0
    before = False
    for block, is_zeros in blocks(content, read_size=2 * WINDOW):
        assert not (before and is_zeros)
        before = is_zeros
        if is_zeros:
            assert position % WINDOW == len(block) % WINDOW == 0
            covered[position // WINDOW : (position + len(block)) // WINDOW] = [True] * (len(block) // WINDOW)
        else:
            assert 1 <= len(block) <= BLOCK_MAX
        position += len(block)
    assert covered == windows


@settings(max_examples=30)
@given(st.integers(0, 200_000), st.binary(min_size=1, max_size=100))
def test_an_insertion_moves_few_boundaries(at, inserted):
    before = {block for block, _ in blocks(NOISE)}
    after = blocks(NOISE[:at] + inserted + NOISE[at:])
    assert sum(len(block) for block, _ in after if block not in before) <= 5 * BLOCK_MAX


def test_blocks_are_of_the_promised_sizes():
    lengths = [len(block) for block, _ in blocks(noise("large", 8 << 20))]
    assert all(4096 <= length <= 65536 for length in lengths[:-1])
    assert 12_000 < (8 << 20) / len(lengths) < 24_000


def test_a_run_of_zeros_is_parted_at_its_longest(monkeypatch):
    monkeypatch.setattr(chunking, "ZERO_RUN_MAX", 4 * WINDOW)
    stretches = list(cut(BytesIO(bytes(9 * WINDOW)).read, read_size=WINDOW))
    assert [stretch.zeros for stretch in stretches] == [4 * WINDOW, 4 * WINDOW, WINDOW]


def test_the_longest_run_ends_at_a_window():
    assert ZERO_RUN_MAX % WINDOW == 0


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_buffer_can_be_read(kind):
    content = NOISE[:100_000] + bytes(100_000) + NOISE[:5]
    source = BytesIO(content)
    found = list(cut(lambda size: kind(source.read(size)), read_size=WINDOW))
    assert b"".join(bytes(stretch.data) + bytes(stretch.zeros) for stretch in found) == content


def test_data_stay_valid_while_they_are_referenced():
    stretches = list(cut(BytesIO(NOISE).read, read_size=WINDOW))
    assert b"".join(stretch.data for stretch in stretches) == NOISE


def test_a_block_s_id_depends_on_seed_and_content():
    assert len({block_id(data, seed) for data in (b"", b"a", b"b") for seed in (0, 1, (1 << 64) - 1)}) == 9
    assert block_id(b"a", 5) == block_id(bytearray(b"a"), 5) == block_id(memoryview(b"a"), 5)
    assert len(block_id(b"a", 5)) == 16


def test_only_the_known_chunker_is_had():
    check_chunker(CHUNKER)
    for name in ("", "fastcdc2020/4k-16k-64k ", "fastcdc2016/4k-16k-64k"):
        with pytest.raises(Incompatible):
            check_chunker(name)
