"""Where blocks begin and end, and what they are called.

A file is first parted at its runs of zeros: its aligned windows of :data:`WINDOW` bytes that hold nothing but zeros. What lies
between is cut by FastCDC (Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based Storage
Systems", IEEE TPDS 2020), which starts anew at each such stretch and at each file. Golden vectors in the tests freeze the
boundaries, so that a new version of the library cannot move them unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import xxhash
from pyfastcdc import FastCDC

from netclnt.errors import Incompatible
from netclnt.model import BLOCK_MAX, ZERO_RUN_MAX, Bytes

CHUNKER = "fastcdc2020/4k-16k-64k"
WINDOW = 32 * 1024
READ_SIZE = 8 * 1024 * 1024

_ZERO_WINDOW = bytes(WINDOW)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive blocks: ``data`` cut into ``lengths``; or a run of ``zeros`` bytes, and then the other two are empty."""

    data: memoryview
    lengths: list[int]
    zeros: int = 0


_NO_DATA = memoryview(b"")


def check_chunker(name: str) -> None:
    """Raise Incompatible for a chunker that this program does not have."""
    if name != CHUNKER:
        raise Incompatible(what="chunker", found=name, supported=CHUNKER)


def block_id(data: Bytes, hash_seed: int) -> bytes:
    """The xxh3-128 of one block under the catalog's random seed, 16 bytes."""
    return xxhash.xxh3_128_digest(data, seed=hash_seed)


def cut(read: Callable[[int], Bytes], *, read_size: int = READ_SIZE) -> Iterator[Stretch]:
    """Cut one file, given by a ``read`` that returns exactly the bytes asked for, and fewer only at the end.

    The stretches cover the file without a gap. The blocks, though not how they are grouped into stretches, are the same
    whatever ``read_size`` (a multiple of WINDOW) is. Their data stay valid as long as they are referenced.
    """
    chunker = FastCDC(avg_size=BLOCK_MAX // 4, min_size=BLOCK_MAX // 16, max_size=BLOCK_MAX)
    carry = b""
    zeros = 0
    last = False
    while not last:
        buffer = read(read_size)
        last = len(buffer) < read_size
        for is_zero, start, end in _parts(buffer):
            if is_zero:
                if carry:
                    yield from _final(chunker, carry)
                    carry = b""
                zeros += end - start
                continue
            yield from _zero_runs(zeros)
            zeros = 0
            data = memoryview(carry + buffer[start:end] if carry else buffer)[0 if carry else start : None if carry else end]
            open_end = end == len(buffer) and not last
            lengths = [chunk.length for chunk in chunker.cut_buf(data)]
            # The last chunk of an open end was cut by the buffer's end, not by content: it begins the next round.
            tail = lengths.pop() if open_end else 0
            carry = bytes(data[len(data) - tail :]) if tail else b""
            if lengths:
                yield Stretch(data[: len(data) - tail], lengths)
    if carry:
        yield from _final(chunker, carry)
    yield from _zero_runs(zeros)


def _final(chunker: FastCDC, carry: bytes) -> Iterator[Stretch]:
    yield Stretch(memoryview(carry), [chunk.length for chunk in chunker.cut_buf(carry)])


def _zero_runs(zeros: int) -> Iterator[Stretch]:
    while zeros:
        run = min(zeros, ZERO_RUN_MAX)
        yield Stretch(_NO_DATA, [], run)
        zeros -= run


def _parts(buffer: Bytes) -> Iterator[tuple[bool, int, int]]:
    """Alternating (is it zeros, start, end) of a buffer that begins at an aligned offset."""
    data = bytes(buffer) if isinstance(buffer, memoryview) else buffer
    begin, kind = 0, False
    for start in range(0, len(data) - WINDOW + 1, WINDOW):
        is_zero = data.startswith(_ZERO_WINDOW, start)
        if is_zero != kind:
            if start > begin:
                yield kind, begin, start
            begin, kind = start, is_zero
    whole = len(data) - len(data) % WINDOW
    if kind and whole < len(data):
        yield kind, begin, whole
        begin, kind = whole, False
    if len(data) > begin:
        yield kind, begin, len(data)
