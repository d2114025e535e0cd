"""Bases of delta frames on the slave: which of them the seeds have as a whole, and where.

A base is used unseen: what is wrong with it shows by the ids of the blocks that come out, and these are then fetched in their
plain form.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from netclnt.errors import Damaged, ForbiddenValue, StorageError
from netclnt.frames import located
from netclnt.localmanifests import LocalManifest
from netclnt.locations import Frame, decode_record, has_deltas
from netclnt.model import Bytes
from netclnt.pack import PREFIX, decode_frame
from netclnt.plan import PagePlan
from netclnt.seeds import Seeds

_LOOKED_UP_AT_ONCE = 1 << 17
"""Base blocks: 30 MiB of ids and answers, as Python keeps them."""

_FRAMES_MAX = 1 << 17
"""Delta frames of one version that are made use of (32 GB of new content): where their bases lie is kept in memory."""

_PART = struct.Struct("=HQI")
"""Consecutive base blocks of one seed: its number, plain offset in it, length."""

Base = list[tuple[bytes, int]]
"""Ids and lengths of the base blocks of a frame."""


class Bases:
    """The delta frames whose bases are here, and how to decode them (all other frames too). Any thread may ask."""

    def __init__(self, seeds: Seeds, parts: Mapping[Frame, bytes]) -> None:
        self._seeds = seeds
        self._parts = parts

    def __contains__(self, frame: object) -> bool:
        return frame in self._parts

    def decode(self, frame: Frame, stored: Bytes, *, where: str) -> Bytes:
        """The plain bytes of a frame. Raises Damaged, also when its base is no longer what it was, as far as that shows."""
        base = self._read(frame, where) if frame.codec == PREFIX else b""
        return decode_frame(frame.codec, stored, plain=frame.plain, where=where, base=base)

    def _read(self, frame: Frame, where: str) -> bytearray:
        parts = list(_PART.iter_unpack(self._parts.get(frame, b"")))
        base = bytearray(sum(length for _, _, length in parts))
        view = memoryview(base)
        begin = 0
        try:
            for seed, offset, length in parts:
                if self._seeds[seed].read_into(offset, view[begin : begin + length]) < length:
                    raise Damaged(what="base", where=where, problem="a seed ends too early")
                begin += length
        except StorageError as error:
            raise Damaged(what="base", where=where, problem=str(error)) from None
        if not base:
            raise Damaged(what="base", where=where, problem="no base of this frame is here")
        return base


NO_BASES = Bases(Seeds(()), {})
"""Whoever has these takes all frames in their plain form."""


def find_bases(manifest: LocalManifest, plans: Mapping[int, PagePlan], records: Mapping[int, bytes], seeds: Seeds) -> Bases:
    """The bases that are here of all delta frames that hold missing blocks. ``records`` are the pages' encoded locations; those
    that are damaged tell of none."""
    parts: dict[Frame, bytes] = {}
    window: dict[Frame, Base] = {}
    count = 0
    for frame, base in _wanted(manifest, plans, records) if seeds else ():
        if len(parts) + len(window) >= _FRAMES_MAX:
            break
        if frame not in parts and frame not in window:
            window[frame] = base
            count += len(base)
        if count >= _LOOKED_UP_AT_ONCE:
            parts.update(_look_up(window, seeds))
            window, count = {}, 0
    if window:
        parts.update(_look_up(window, seeds))
    return Bases(seeds, parts)


def _wanted(manifest: LocalManifest, plans: Mapping[int, PagePlan], records: Mapping[int, bytes]) -> Iterator[tuple[Frame, Base]]:
    for number in sorted(records):
        record, page_start, where = records[number], manifest.starts[number], manifest.digest
        with suppress(Damaged, ForbiddenValue):
            if has_deltas(record, where=where):
                blocks = manifest.blocks(number)
                bases = dict(decode_record(record, blocks, page_start=page_start, where=where).delta_frames())
                found = located(record, blocks, plans[number], page_start=page_start, where=where, deltas=bases)
                yield from ((frame, bases[frame]) for _, _, frame, _ in found if frame in bases)


def _look_up(window: Mapping[Frame, Base], seeds: Seeds) -> Iterator[tuple[Frame, bytes]]:
    """Of each frame whose base blocks are all here, where they are."""
    found = seeds.find({id_ for base in window.values() for id_, _ in base})
    for frame, base in window.items():
        if all(id_ in found for id_, _ in base):
            yield frame, b"".join(_PART.pack(*part) for part in _joined((*found[id_], length) for id_, length in base))


def _joined(places: Iterable[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """(seed, plain offset, length) of blocks, with those put together that come one after the other in a seed."""
    last, begin, size = -1, 0, 0
    for seed, offset, length in places:
        if seed == last and offset == begin + size:
            size += length
            continue
        if size:
            yield last, begin, size
        last, begin, size = seed, offset, length
    if size:
        yield last, begin, size
