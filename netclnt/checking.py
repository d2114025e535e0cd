"""Whether content is what a manifest says, page by page, and block by block where a page is not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import xxhash

from netclnt.chunking import block_id
from netclnt.model import ID_BYTES, ZERO_ID, Blocks

BUFFER_SIZE = 1 << 18
"""What is read at a time: enough to hash without the GIL, and little enough to be still in the processor's cache by then."""

ReadInto = Callable[[int, memoryview], int]
"""Fills a buffer from a plain offset; returns the bytes read, fewer only where the content ends."""

_ZEROS = bytes(BUFFER_SIZE)
EMPTY_SHA256 = hashlib.sha256().digest()


def segments(blocks: Blocks) -> Iterator[tuple[bool, int, int]]:
    """(is it zeros, offset in the page, length) of the longest stretches that are all runs of zeros, or all not."""
    if not blocks.zeros():
        yield False, 0, sum(blocks.lengths)
        return
    begin = position = 0
    zeros = False
    for id_, length in blocks:
        if (id_ == ZERO_ID) != zeros:
            if position > begin:
                yield zeros, begin, position - begin
            begin, zeros = position, not zeros
        position += length
    yield zeros, begin, position - begin


def page_matches(read_into: ReadInto, blocks: Blocks, *, start: int, check: bytes, hash_seed: int, buffer: bytearray) -> bool:
    """Whether the content at plain offset ``start`` is that of a page with this ``check``. Holes are not looked into."""
    digest = xxhash.xxh3_128(seed=hash_seed)
    for zeros, offset, length in segments(blocks):
        if not zeros:
            for part in read_parts(read_into, start + offset, length, buffer):
                digest.update(part)
    return digest.digest() == check


def read_parts(read_into: ReadInto, offset: int, length: int, buffer: bytearray) -> Iterator[memoryview]:
    """The content of a range, part by part, each valid until the next; ends early where the content does."""
    view = memoryview(buffer)
    end = offset + length
    while offset < end:
        wanted = min(len(buffer), end - offset)
        got = read_into(offset, view[:wanted])
        yield view[:got]
        if got < wanted:
            return
        offset += got


def good_blocks(read_into: ReadInto, blocks: Blocks, *, start: int, hash_seed: int, known: Sequence[bool] = ()) -> list[bool]:
    """For each block whether its content is there; of those that are ``known`` to be there nothing is read. Runs of zeros are
    read, too."""
    good: list[bool] = []
    buffer = bytearray(BUFFER_SIZE)
    for index, (id_, length) in enumerate(blocks):
        if known and known[index]:
            good.append(True)
        elif id_ == ZERO_ID:
            good.append(is_zero(read_into, start, length, buffer))
        else:
            block = memoryview(buffer)[:length]
            good.append(read_into(start, block) == length and block_id(block, hash_seed) == id_)
        start += length
    return good


def zero_parts(length: int) -> Iterator[memoryview]:
    """So many zeros, part by part."""
    while length:
        part = memoryview(_ZEROS)[:length]
        yield part
        length -= len(part)


def wrong_blocks(content: memoryview, offsets: Sequence[int], blocks: Blocks, first: int, hash_seed: int) -> set[int]:
    """Which of the blocks from number ``first`` on are not what their ids say, counted from that; they lie in ``content``, one
    after the other, and ``offsets`` are those of each and of the end."""
    found = [block_id(content[begin:end], hash_seed) for begin, end in pairwise(offsets)]
    if b"".join(found) == blocks.ids[first * ID_BYTES : (first + len(found)) * ID_BYTES]:
        return set()
    return {index for index, id_ in enumerate(found) if id_ != blocks.id(first + index)}


def is_zero(read_into: ReadInto, offset: int, length: int, buffer: bytearray) -> bool:
    """Whether a range is there and reads as zeros."""
    found = 0
    for part in read_parts(read_into, offset, length, buffer):
        if not _ZEROS.startswith(part):  # which compares memory, where a view compares byte by byte
            return False
        found += len(part)
    return found == length
