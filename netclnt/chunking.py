"""Where blocks begin and end, and what they are called.

A file is first parted at its runs of zeros: its aligned windows of :data:`WINDOW` bytes that hold nothing but zeros. What lies
between is cut by FastCDC (Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based Storage
Systems", IEEE TPDS 2020), which starts anew at each such stretch and at each file. Golden vectors in the tests freeze the
boundaries, so that a new version of the library cannot move them unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate

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


def block_ids(stretch: Stretch, hash_seed: int) -> list[bytes]:
    """The ids of a stretch's blocks."""
    data, digest = stretch.data, xxhash.xxh3_128_digest
    return [
        digest(data[end - length : end], hash_seed)
        for length, end in zip(stretch.lengths, accumulate(stretch.lengths), strict=True)
    ]


def cut(read: Callable[[int], Bytes], *, read_size: int = READ_SIZE) -> Iterator[Stretch]:
    """Cut one file, given by a ``read`` that returns exactly the bytes asked for, and fewer only at the end.

    The stretches cover the file without a gap. The blocks, though not how they are grouped into stretches, are the same
    whatever ``read_size`` (a multiple of WINDOW) is. ``read`` may use a buffer again once the next one is asked for, if the
    stretches were done with by then; otherwise their data stay valid as long as they are referenced.
    """
    cutter = _Cutter()
    zeros = 0
    last = False
    while not last:
        buffer = read(read_size)
        last = len(buffer) < read_size
        view = memoryview(buffer)
        for is_zero, start, end in _parts(buffer):
            if is_zero:
                yield from cutter.end()
                zeros += end - start
            else:
                yield from _zero_runs(zeros)
                zeros = 0
                yield from cutter.cut(view[start:end], more=end == len(buffer) and not last)
    yield from cutter.end()
    yield from _zero_runs(zeros)


class WholeCutter:
    """Cuts files that lie in memory whole, one after the other, into the blocks that :func:`cut` gives. For one thread."""

    def __init__(self) -> None:
        self._chunker = _new_chunker()

    def cut(self, data: bytes) -> list[Stretch]:
        view = memoryview(data)
        if len(data) < WINDOW:
            return [self._stretch(view)] if data else []
        stretches: list[Stretch] = []
        for is_zero, start, end in _parts(data):
            stretches += _zero_runs(end - start) if is_zero else [self._stretch(view[start:end])]
        return stretches

    def _stretch(self, view: memoryview) -> Stretch:
        return Stretch(view, [chunk.length for chunk in self._chunker.cut_buf(view)])


def _new_chunker() -> FastCDC:
    return FastCDC(avg_size=BLOCK_MAX // 4, min_size=BLOCK_MAX // 16, max_size=BLOCK_MAX)


class _Cutter:
    """Cuts data that come in parts, as if they came at once."""

    def __init__(self) -> None:
        self._chunker = _new_chunker()
        self._carry = b""

    def cut(self, data: memoryview, *, more: bool) -> Iterator[Stretch]:
        """The stretches of what is left over from the part before and ``data``. If ``more`` comes, the last block was ended
        by the part's end, not by content: it is left over in turn."""
        joint, lengths, begin = self._over_the_joint(data)
        rest = data[begin:]
        if rest:
            if lengths:
                yield Stretch(joint, lengths)
            joint, lengths = rest, [chunk.length for chunk in self._chunker.cut_buf(rest)]
        tail = lengths.pop() if more and lengths else 0
        self._carry = bytes(joint[len(joint) - tail :])
        if lengths:
            yield Stretch(joint[: len(joint) - tail], lengths)

    def end(self) -> Iterator[Stretch]:
        """What is left over is a block by itself."""
        carry, self._carry = memoryview(self._carry), b""
        if carry:
            yield Stretch(carry, [chunk.length for chunk in self._chunker.cut_buf(carry)])

    def _over_the_joint(self, data: memoryview) -> tuple[memoryview, list[int], int]:
        """The blocks that begin in what is left over, and how much of ``data`` they take. Only so much is put together, as
        the chunker looks ahead."""
        lengths: list[int] = []
        if not self._carry:
            return _NO_DATA, lengths, 0
        joint = self._carry + data[:BLOCK_MAX]
        position = 0
        for chunk in self._chunker.cut_buf(joint):
            lengths.append(chunk.length)
            position += chunk.length
            if position >= len(self._carry):
                break
        return memoryview(joint)[:position], lengths, position - len(self._carry)


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
