"""Locations: where the blocks of a manifest's pages lie. Outside the signed content, so that gc may write new ones.

A locations file is ``NCLOCAT1``, the number of block pages (4), the length of each page's record (4 each), and the records, all
big-endian. A record is one zstd frame of: number of frames (2), number of runs (2); for each frame its pack (8), offset in
the pack (4), stored length (4), plain length (4), codec (1); for each run its first block in the page (2), number of
blocks (2), frame (2), and plain offset in that frame (8). Frame :data:`EARLIER` means: the same bytes lie earlier in this
very version, at that plain offset. Runs of zeros have no location. A block may be in several runs: any of them serves.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from netclnt.errors import Damaged, ForbiddenValue
from netclnt.model import ZERO_ID, Blocks, check_range
from netclnt.pack import FRAME_MAX, HEADER, PACK_BYTES_MAX, RAW, STORED_MAX, ZSTD, compress, decompress

MAGIC = b"NCLOCAT1"
EARLIER = 0xFFFF
RECORD_BYTES_MAX = 64 * 1024

_COUNTS = struct.Struct(">HH")
_FRAME = struct.Struct(">QIIIB")
_RUN = struct.Struct(">HHHQ")


@dataclass(frozen=True, slots=True)
class Frame:
    """``stored`` bytes at ``offset`` of ``pack`` that decode by ``codec`` to ``plain`` bytes."""

    pack: int
    offset: int
    stored: int
    plain: int
    codec: int


@dataclass(frozen=True, slots=True)
class Run:
    """``count`` blocks of the page, from the block ``first`` on, lie one after the other from ``start`` of frame ``frame`` on."""

    first: int
    count: int
    frame: int
    start: int


@dataclass(frozen=True, slots=True)
class Locations:
    frames: tuple[Frame, ...]
    runs: tuple[Run, ...]


def encode_record(locations: Locations) -> bytes:
    parts = [_COUNTS.pack(len(locations.frames), len(locations.runs))]
    parts.extend(_FRAME.pack(f.pack, f.offset, f.stored, f.plain, f.codec) for f in locations.frames)
    parts.extend(_RUN.pack(r.first, r.count, r.frame, r.start) for r in locations.runs)
    return compress(b"".join(parts), 9)


def decode_record(data: bytes, blocks: Blocks, *, page_start: int, where: str) -> Locations:
    """The locations of a page whose content begins at plain offset ``page_start``. Raises Damaged or ForbiddenValue."""
    plain = decompress(data, limit=RECORD_BYTES_MAX, what="locations", where=where)
    try:
        n_frames, n_runs = _COUNTS.unpack_from(plain)
        middle = _COUNTS.size + n_frames * _FRAME.size
        frames = tuple(Frame(*row) for row in _FRAME.iter_unpack(plain[_COUNTS.size : middle]))
        runs = tuple(Run(*row) for row in _RUN.iter_unpack(plain[middle:]))
    except struct.error as error:
        raise Damaged(what="locations", where=where, problem=str(error)) from None
    if len(frames) != n_frames or len(runs) != n_runs:
        raise Damaged(what="locations", where=where, problem="not as many as it says")
    for frame in frames:
        _check_frame(frame)
    for run in runs:
        _check_run(run, frames, blocks, page_start)
    return Locations(frames, runs)


def _check_frame(frame: Frame) -> None:
    check_range("frame's offset", frame.offset, HEADER.size, PACK_BYTES_MAX)
    check_range("frame's stored length", frame.stored, 1, STORED_MAX)
    check_range("frame's length", frame.plain, 1, FRAME_MAX)
    check_range("frame's codec", frame.codec, RAW, ZSTD)
    if frame.codec == RAW and frame.stored != frame.plain:
        raise ForbiddenValue(
            what="frame's stored length", value=str(frame.stored), rule=f"{frame.plain}, as it is not compressed"
        )


def _check_run(run: Run, frames: Sequence[Frame], blocks: Blocks, page_start: int) -> None:
    check_range("run's last block", run.first + run.count, run.first + 1, len(blocks))
    if ZERO_ID in (blocks.id(index) for index in range(run.first, run.first + run.count)):
        raise ForbiddenValue(what="run", value=str(run.first), rule="no run of zeros")
    length = sum(blocks.lengths[run.first : run.first + run.count])
    if run.frame == EARLIER:
        check_range("run's plain offset", run.start + length, length, page_start + sum(blocks.lengths[: run.first]))
    else:
        check_range("run's frame", run.frame, 0, len(frames) - 1)
        check_range("run's end in its frame", run.start + length, length, frames[run.frame].plain)


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
