"""Whether content is what a manifest says: pages, blocks and runs of zeros, whole, wrong or short."""

import random
from array import array

import pytest
import xxhash

from netclnt.checking import BUFFER_SIZE, good_blocks, is_zero, page_matches, read_parts, segments
from netclnt.chunking import block_id
from netclnt.model import ZERO_ID, Blocks

SEED = 7


def noise(seed, size):
    return random.Random(seed).randbytes(size)


def page(*parts):
    """Blocks of the parts: bytes, or a number of zeros. Also their content and check."""
    lengths = array("I", [part if isinstance(part, int) else len(part) for part in parts])
    ids = b"".join(ZERO_ID if isinstance(part, int) else block_id(part, SEED) for part in parts)
    content = b"".join(bytes(part) if isinstance(part, int) else part for part in parts)
    check = xxhash.xxh3_128_digest(b"".join(part for part in parts if not isinstance(part, int)), seed=SEED)
    return Blocks(lengths, ids), content, check


def reader(content):
    def read_into(offset, buffer):
        part = content[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        return len(part)

    return read_into


PAGES = [
    page(noise(1, 5000)),
    page(300),
    page(300, noise(1, 100), 5, 7, noise(2, 100), noise(3, 1), 9),
    page(noise(1, 60_000), noise(2, 60_000), 3 * BUFFER_SIZE + 1, *(noise(n, 60_000) for n in range(20))),
]


@pytest.mark.parametrize(("blocks", "content", "check"), PAGES)
@pytest.mark.parametrize("start", [0, 1234])
def test_content_is_told_from_what_it_is_not(blocks, content, check, start):
    def matches(found, buffer_size=BUFFER_SIZE):
        buffer = bytearray(buffer_size)
        return page_matches(reader(bytes(start) + found), blocks, start=start, check=check, hash_seed=SEED, buffer=buffer)

    def good(found):
        return good_blocks(reader(bytes(start) + found), blocks, start=start, hash_seed=SEED)

    assert matches(content)
    assert matches(content, 1000)
    assert all(good(content))
    offset = 0
    for index, (id_, length) in enumerate(blocks):
        for where in {offset, offset + length - 1}:
            wrong = content[:where] + bytes([content[where] ^ 1]) + content[where + 1 :]
            assert matches(wrong) is (id_ == ZERO_ID)  # holes are not looked into
            assert [at for at, fine in enumerate(good(wrong)) if not fine] == [index]
        offset += length
    assert good(content[:-1]) == [True] * (len(blocks) - 1) + [False]
    if blocks.id(len(blocks) - 1) != ZERO_ID:
        assert not matches(content[:-1])


@pytest.mark.parametrize(("blocks", "content", "check"), PAGES)
def test_segments_cover_a_page_without_a_gap(blocks, content, check):
    end = 0
    for zeros, offset, length in segments(blocks):
        assert offset == end
        assert not zeros or not any(content[offset : offset + length])
        end += length
    assert end == len(content)


def test_zeros_that_are_not_there_are_no_zeros():
    buffer = bytearray(100)
    assert is_zero(reader(bytes(1000)), 0, 1000, buffer)
    assert not is_zero(reader(bytes(999)), 0, 1000, buffer)
    assert not is_zero(reader(bytes(999) + b"x"), 0, 1000, buffer)
    assert is_zero(reader(b""), 5, 0, buffer)


def test_reading_ends_where_the_content_does():
    parts = read_parts(reader(b"0123456789"), 2, 100, bytearray(3))
    assert [bytes(part) for part in parts] == [b"234", b"567", b"89"]
