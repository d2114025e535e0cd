"""New frames and pages while they fill, and how they are put down: frames in packs, pages in one file, and their locations.

A delta frame holds the same blocks as a plain one at the same places, and lies in a pack of delta frames: so the plain ones stay
one behind the other.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

import xxhash

from netclnt.dedup import encode_location
from netclnt.locations import BASE_BLOCKS_MAX, EARLIER, Frame, Locations, Run, encode_record
from netclnt.manifest import BlockPage, encode_blocks
from netclnt.model import ID_BYTES, ZERO_ID, Blocks, Bytes
from netclnt.pack import PACK_BYTES_MAX, PREFIX, encode_delta, encode_frame
from netclnt.predecessor import BaseBlock, CarriedDelta, Predecessor, Range
from netclnt.protocols import PackWriter, Store
from netclnt.storedmanifest import Records

_SAVED_MIN = 8
"""A delta frame is worth its place if it saves one part in so many of what the plain one takes, less its base's ids."""

_QUICK_LEVEL = 3
_MUCH_LEFT = 0.25
"""The share of the plain form that a delta frame must take for a level above the quick one to be tried."""


@dataclass(eq=False, slots=True)
class NewFrame:
    """A frame being filled. ``places`` are where its blocks came in, in the version before; ``base`` is what lies there. Its
    ``location``, and that of its ``delta`` form if it has one, are known when it is written."""

    plain: bytearray = field(default_factory=bytearray)
    blocks: list[tuple[bytes, int]] = field(default_factory=list)
    places: list[Range] = field(default_factory=list)
    base: list[BaseBlock] = field(default_factory=list)
    location: Frame | None = None
    delta: Frame | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """What is to be stored of a frame; ``delta`` is its other form, if that pays."""

    frame: NewFrame
    codec: int
    stored: Bytes
    delta: bytes | None


def encode(frame: NewFrame, *, level: int, predecessor: Predecessor | None) -> Encoded:
    """Compress a frame, for itself and against its base. Any thread may."""
    codec, stored = encode_frame(frame.plain, level)
    base = predecessor.read(frame.base) if predecessor and frame.base else None
    delta = _encode_delta(frame.plain, base, level, len(stored) - ID_BYTES * len(frame.base)) if base else None
    return Encoded(frame, codec, stored, delta)


def _encode_delta(plain: Bytes, base: bytes, level: int, limit: int) -> bytes | None:
    """The delta form of a frame, if it pays against ``limit`` bytes. Where the base does nearly all the work, a quick level does
    as well; only where there is more left, the usual one is worth its time."""
    delta = encode_delta(plain, base, min(level, _QUICK_LEVEL))
    if limit * _MUCH_LEFT < len(delta) < limit and level > _QUICK_LEVEL:
        delta = encode_delta(plain, base, level)
    return delta if len(delta) <= limit - limit / _SAVED_MIN else None


class Packs:
    """Writes compressed frames into packs, and index records of their blocks into ``records``."""

    def __init__(self, store: Store, records: IO[bytes]) -> None:
        self._records = records
        self._frames = _Pack(store)
        self._deltas = _Pack(store)
        self.bytes_new = 0
        self.bytes_stored = 0

    def write(self, encoded: Encoded) -> None:
        frame, plain = encoded.frame, len(encoded.frame.plain)
        frame.location = self._frames.append(encoded.stored, plain, encoded.codec)
        self.bytes_stored += len(encoded.stored)
        if encoded.delta is not None:
            frame.delta = self._deltas.append(encoded.delta, plain, PREFIX)
            self.bytes_stored += len(encoded.delta)
        self._records.write(b"".join([id_ + encode_location(frame.location, start) for id_, start in frame.blocks]))
        self.bytes_new += plain
        frame.plain = bytearray()
        frame.blocks = []

    def close(self) -> None:
        """Idempotent."""
        try:
            self._frames.close()
        finally:
            self._deltas.close()


class _Pack:
    """Writes packs, one after the other."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pack: PackWriter | None = None

    def append(self, stored: Bytes, plain: int, codec: int) -> Frame:
        pack = self._pack
        if pack is None or pack.size + len(stored) > PACK_BYTES_MAX:
            self.close()
            pack = self._pack = self._store.new_pack()
        location = Frame(pack.pack, pack.size, len(stored), plain, codec)
        pack.append(stored)
        return location

    def close(self) -> None:
        pack, self._pack = self._pack, None
        if pack is not None:
            pack.close()


class Page:
    """One block page being filled, with where its blocks lie."""

    def __init__(self, start: int, hash_seed: int) -> None:
        self.start = start
        self.plain = 0
        self.data = 0
        self.check = xxhash.xxh3_128(seed=hash_seed)
        self.frames: dict[NewFrame | Frame, int] = {}
        self.carried: list[CarriedDelta] = []
        self._lengths = array("I")
        self._ids = bytearray()
        self._runs: list[list[int]] = []
        self._frame: NewFrame | Frame | None = None
        self._next = -1

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, id_: bytes, length: int, frame: NewFrame | Frame | None, start: int) -> None:
        """Append a block that lies at ``start`` of ``frame``, or of this version's earlier content if that is None."""
        if frame is self._frame and start == self._next:
            self._runs[-1][1] += 1
        else:
            number = EARLIER if frame is None else self.frames.setdefault(frame, len(self.frames))
            self._runs.append([len(self._lengths), 1, number, start])
            self._frame = frame
        self._next = start + length
        self.data += length
        self._append(id_, length)

    def add_zeros(self, length: int) -> None:
        self._next = -1
        self._append(ZERO_ID, length)

    def _append(self, id_: bytes, length: int) -> None:
        self._lengths.append(length)
        self._ids += id_
        self.plain += length

    @property
    def blocks(self) -> Blocks:
        return Blocks(self._lengths, bytes(self._ids))

    def forget_blocks(self) -> None:
        """They are written; what says where they lie stays."""
        del self._lengths, self._ids, self.check

    def locations(self) -> Locations | None:
        """Where the blocks lie; None while a frame is not written. As many delta frames are told of as a record has room for."""
        frames = [frame if isinstance(frame, Frame) else frame.location for frame in self.frames]
        located = [frame for frame in frames if frame is not None]
        if len(located) < len(frames):
            return None
        table = _BaseTable()
        bases: list[tuple[int, int]] = []
        in_deltas: list[Run] = []
        runs = [Run(*run) for run in self._runs]
        for delta in (*self._deltas(runs), *self.carried):
            if table.has_room(delta.base):
                in_deltas += [Run(run.first, run.count, len(located), run.start) for run in delta.runs]
                located.append(delta.frame)
                bases.append(table.add(delta.base))
        return Locations(tuple(located), (*in_deltas, *runs), tuple(bases), table.blocks)

    def _deltas(self, runs: Sequence[Run]) -> Iterator[CarriedDelta]:
        for number, frame in enumerate(self.frames):
            if isinstance(frame, NewFrame) and frame.delta is not None:
                base = [(block.id, block.length) for block in frame.base]
                yield CarriedDelta(frame.delta, base, [run for run in runs if run.frame == number])


class _BaseTable:
    """The base blocks of one page, each once where one base begins with what another ended with, as neighbours' do."""

    def __init__(self) -> None:
        self.blocks = Blocks(array("I"), b"")

    def has_room(self, base: Sequence[tuple[bytes, int]]) -> bool:
        return len(self.blocks) + len(base) <= BASE_BLOCKS_MAX

    def add(self, base: Sequence[tuple[bytes, int]]) -> tuple[int, int]:
        """The number of the first of the blocks in the table, and how many they are."""
        blocks, ids = self.blocks, b"".join(id_ for id_, _ in base)
        shared = next(n for n in range(min(len(base), len(blocks)), -1, -1) if blocks.ids.endswith(ids[: n * ID_BYTES]))
        first = len(blocks) - shared
        blocks.lengths.extend(length for _, length in base[shared:])
        blocks.ids += ids[shared * ID_BYTES :]
        return first, len(base)


class Pages:
    """The pages of one version: complete ones in ``file``, and the locations of those whose frames are written."""

    def __init__(self, file: IO[bytes], records: Records, hash_seed: int, predecessor: Predecessor | None) -> None:
        self._file = file
        self._records = records
        self._predecessor = predecessor
        self._hash_seed = hash_seed
        self._unsettled: deque[tuple[int, Page]] = deque()
        self.rows: list[BlockPage] = []
        self.blocks = 0
        self.data = 0
        self.open = Page(0, hash_seed)

    def close_page(self) -> None:
        """End the open page and begin the next."""
        page = self.open
        if not len(page):
            return
        row, stored = encode_blocks(page.blocks, page.check.digest())
        self._file.write(stored)
        self.rows.append(row)
        self.blocks += len(page)
        self.data += page.data
        number = self._records.reserve()
        page.forget_blocks()
        if self._predecessor is not None:
            page.carried = self._predecessor.deltas_of(row.digest)
        # At once where nothing is new: pages that wait for the end would be as many as the image has.
        if not self._settled(number, page):
            self._unsettled.append((number, page))
        self.open = Page(page.start + page.plain, self._hash_seed)

    def settle(self) -> None:
        """Turn the locations of pages whose frames are all written into records."""
        while self._unsettled and self._settled(*self._unsettled[0]):
            self._unsettled.popleft()

    def _settled(self, number: int, page: Page) -> bool:
        locations = page.locations()
        if locations is None:
            return False
        self._records.put(number, encode_record(locations))
        return True
