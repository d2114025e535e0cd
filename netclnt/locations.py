"""Locations: where the blocks of a manifest's pages lie. Outside the signed content, so that gc may write new ones.

A locations file is ``NCLOCAT1``, the number of block pages (4), the length of each page's record (4 each), and the records, all
big-endian. A record is one zstd frame of: number of frames (2), of runs (2), of base blocks (2); for each frame its pack (8),
offset in the pack (4), stored length (4), plain length (4), codec (1); for each delta frame (codec PREFIX), in their order, the
number of its first base block (2) and how many they are (2); for each run its first block in the page (2), number of blocks (2),
frame (2), and plain offset in that frame (8); of all base blocks the lengths (4 each), then the ids (16 each). Frame
:data:`EARLIER` means: the same bytes lie earlier in this very version, at that plain offset. Runs of zeros have no location.

A block may be in several runs: any of them serves, and the first that can be used should. Delta frames are optional: each of
their blocks is in a run of a plain frame, too, which comes later. The base of one is the content of its base blocks, joined.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, starmap
from typing import NamedTuple

from netclnt.errors import Damaged, ForbiddenValue
from netclnt.manifest import decode_lengths, encode_lengths
from netclnt.model import BLOCK_MAX, ID_BYTES, ZERO_ID, Blocks, check_range, split_ids
from netclnt.pack import (
    BASE_MAX,
    BASE_MIN,
    FRAME_MAX,
    HEADER,
    PACK_BYTES_MAX,
    PREFIX,
    RAW,
    STORED_MAX,
    ZSTD,
    compress,
    decompress,
)

MAGIC = b"NCLOCAT1"
EARLIER = 0xFFFF
RECORD_BYTES_MAX = 64 * 1024
BASE_BLOCKS_MAX = 1024
"""Base blocks of one record."""

_COUNTS = struct.Struct(">HHH")
_FRAME = struct.Struct(">QIIIB")
_BASE = struct.Struct(">HH")
_RUN = struct.Struct(">HHHQ")


class Frame(NamedTuple):
    """``stored`` bytes at ``offset`` of ``pack`` that decode by ``codec`` to ``plain`` bytes."""

    pack: int
    offset: int
    stored: int
    plain: int
    codec: int


@dataclass(slots=True)  # not frozen: there are millions, and making one takes three times as long when it is
class Run:
    """``count`` blocks of the page, from the block ``first`` on, lie one after the other from ``start`` of frame ``frame`` on."""

    first: int
    count: int
    frame: int
    start: int


def _no_blocks() -> Blocks:
    return Blocks(array("I"), b"")


@dataclass(frozen=True, slots=True)
class Locations:
    """``bases`` are for each delta frame, in their order, the first of its base blocks in ``base_blocks``, and their number."""

    frames: tuple[Frame, ...]
    runs: tuple[Run, ...]
    bases: tuple[tuple[int, int], ...] = ()
    base_blocks: Blocks = field(default_factory=_no_blocks)

    def delta_frames(self) -> Iterator[tuple[Frame, list[tuple[bytes, int]]]]:
        """Each delta frame with the ids and lengths of its base blocks."""
        table = list(self.base_blocks)
        deltas = (frame for frame in self.frames if frame.codec == PREFIX)
        for frame, (first, count) in zip(deltas, self.bases, strict=True):
            yield frame, table[first : first + count]


def encode_record(locations: Locations) -> bytes:
    base_blocks = locations.base_blocks
    parts = [_COUNTS.pack(len(locations.frames), len(locations.runs), len(base_blocks))]
    parts.extend(_FRAME.pack(f.pack, f.offset, f.stored, f.plain, f.codec) for f in locations.frames)
    parts.extend(starmap(_BASE.pack, locations.bases))
    parts.extend(_RUN.pack(r.first, r.count, r.frame, r.start) for r in locations.runs)
    parts.extend((encode_lengths(base_blocks.lengths), base_blocks.ids))
    return compress(b"".join(parts), 9)


def has_deltas(data: bytes, *, where: str) -> bool:
    """Whether a record speaks of delta frames: told without a look at the rest of it. Raises Damaged."""
    plain = decompress(data, limit=RECORD_BYTES_MAX, what="locations", where=where)
    if len(plain) < _COUNTS.size:
        raise Damaged(what="locations", where=where, problem="it ends too early")
    return bool(_COUNTS.unpack_from(plain)[2])


def decode_record(data: bytes, blocks: Blocks, *, page_start: int, where: str) -> Locations:
    """The locations of a page whose content begins at plain offset ``page_start``. Raises Damaged or ForbiddenValue."""
    plain = decompress(data, limit=RECORD_BYTES_MAX, what="locations", where=where)
    try:
        n_frames, n_runs, n_base = _COUNTS.unpack_from(plain)
        after_frames = _COUNTS.size + n_frames * _FRAME.size
        frames = tuple(map(Frame._make, _FRAME.iter_unpack(plain[_COUNTS.size : after_frames])))
        after_bases = after_frames + _BASE.size * sum(frame.codec == PREFIX for frame in frames)
        bases = tuple(_BASE.iter_unpack(plain[after_frames:after_bases]))
        after_runs = after_bases + n_runs * _RUN.size
        runs = tuple(starmap(Run, _RUN.iter_unpack(plain[after_bases:after_runs])))
    except struct.error as error:
        raise Damaged(what="locations", where=where, problem=str(error)) from None
    if len(frames) != n_frames or len(plain) != after_runs + n_base * (4 + ID_BYTES):
        raise Damaged(what="locations", where=where, problem="not as many as it says")
    ids_start = after_runs + 4 * n_base
    base_blocks = Blocks(decode_lengths(plain[after_runs:ids_start]), plain[ids_start:])
    for frame in frames:
        _check_frame(frame)
    _check_bases(bases, base_blocks)
    _check_runs(runs, frames, blocks, page_start)
    return Locations(frames, runs, bases, base_blocks)


def _check_frame(frame: Frame) -> None:
    _, offset, stored, plain, codec = frame
    if HEADER.size <= offset <= PACK_BYTES_MAX and 0 < stored <= STORED_MAX and 0 < plain <= FRAME_MAX and codec == ZSTD:
        return
    check_range("frame's offset", offset, HEADER.size, PACK_BYTES_MAX)
    check_range("frame's stored length", stored, 1, STORED_MAX)
    check_range("frame's length", plain, 1, FRAME_MAX)
    check_range("frame's codec", codec, RAW, PREFIX)
    if codec == RAW and stored != plain:
        raise ForbiddenValue(what="frame's stored length", value=str(stored), rule=f"{plain}, as it is not compressed")


def _check_bases(bases: Sequence[tuple[int, int]], table: Blocks) -> None:
    check_range("number of base blocks", len(table), 0, BASE_BLOCKS_MAX)
    for length in table.lengths:
        check_range("length of a base block", length, 1, BLOCK_MAX)
    if table.ids and ZERO_ID in split_ids(table.ids):
        raise ForbiddenValue(what="base block", value=ZERO_ID.hex(), rule="no run of zeros")
    for first, count in bases:
        check_range("base's last block", first + count, first + 1, len(table))
        check_range("length of a base", sum(table.lengths[first : first + count]), BASE_MIN, BASE_MAX)


def _check_runs(runs: Sequence[Run], frames: Sequence[Frame], blocks: Blocks, page_start: int) -> None:
    offsets = list(accumulate(blocks.lengths, initial=0))
    zeros = frozenset(blocks.zeros())
    for run in runs:
        first, number, start = run.first, run.frame, run.start
        end = first + run.count
        if not first < end <= len(blocks):
            check_range("run's last block", end, first + 1, len(blocks))
        if zeros and not zeros.isdisjoint(range(first, end)):
            raise ForbiddenValue(what="run", value=str(first), rule="no run of zeros")
        length = offsets[end] - offsets[first]
        if number == EARLIER:
            check_range("run's plain offset", start + length, length, page_start + offsets[first])
        elif number >= len(frames):
            check_range("run's frame", number, 0, len(frames) - 1)
        elif start + length > frames[number].plain:
            check_range("run's end in its frame", start + length, length, frames[number].plain)


def encode_table(lengths: Sequence[int]) -> bytes:
    """The beginning of a locations file, for the lengths of its records."""
    return MAGIC + struct.pack(f">I{len(lengths)}I", len(lengths), *lengths)


def table_bytes(pages: int) -> int:
    """Length of the table for that many block pages."""
    return len(MAGIC) + 4 + 4 * pages


def decode_table(data: bytes, pages: int, *, where: str) -> list[tuple[int, int]]:
    """(offset, length) of each page's record in the locations file. Raises Damaged or ForbiddenValue."""
    if len(data) != table_bytes(pages) or data[: len(MAGIC)] != MAGIC:
        raise Damaged(what="locations", where=where, problem="not a table of locations")
    count, *lengths = struct.unpack(f">I{pages}I", data[len(MAGIC) :])
    if count != pages:
        raise Damaged(what="locations", where=where, problem=f"{count} pages instead of {pages}")
    offset = len(data)
    table = []
    for length in lengths:
        check_range("length of a locations record", length, 1, RECORD_BYTES_MAX)
        table.append((offset, length))
        offset += length
    return table
