"""From content to the store: read, cut, look up, compress what is new into packs, and write the manifest.

The data flow down one line: ``items → stretches → blocks → frames → compressed frames → packs``. Frames are compressed by
several threads, files are read and digested by one each; everything else happens in the caller's.
"""

from __future__ import annotations

import hashlib
import tempfile
from array import array
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO

import xxhash

from netclnt.blockindex import Growing
from netclnt.chunking import CHUNKER, Stretch, WholeCutter, block_ids, cut
from netclnt.dedup import StoreIndex, encode_location
from netclnt.errors import SourceChanged
from netclnt.intake import Intake
from netclnt.locations import EARLIER, Frame, Locations, Run, encode_record, encode_table
from netclnt.manifest import (
    BlockPage,
    Head,
    encode_blocks,
    encode_entries,
    encode_head,
    ends_page,
    entry_pages,
    locations_path,
    manifest_path,
)
from netclnt.model import ZERO_ID, Blocks, Bytes, Entry, EntryType
from netclnt.pack import FRAME_MAX, PACK_BYTES_MAX, encode_frame
from netclnt.protocols import Content, Item, PackWriter, Store
from netclnt.workers import ordered_map

_FRAMES_AHEAD = 64
"""Frames in hand: enough for all threads to be busy while the next buffer is read and cut (8 MiB)."""

_WHOLE_MAX = 256 * 1024
_FILES_AHEAD = 32

_COPY_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class Settings:
    """How to ingest: zstd's ``level``, ``threads`` that compress, and a directory for ``scratch`` files."""

    level: int
    threads: int
    scratch: Path


@dataclass(frozen=True, slots=True)
class Ingested:
    """What is in the store now: the manifest's ``digest`` and length of its head, all entries, and what it took.

    ``bytes_new`` is the content no pack held before, ``bytes_stored`` what it takes compressed.
    """

    digest: str
    head_bytes: int
    head: Head
    entries: list[Entry]
    bytes_new: int
    bytes_stored: int


def ingest(
    content: Content,
    *,
    store: Store,
    index: StoreIndex,
    hash_seed: int,
    settings: Settings,
    records: IO[bytes],
    on_read: Callable[[int], None],
    damaged: Collection[str] = (),
) -> Ingested:
    """Bring a content into the store, durable, without making it known to anybody.

    Index records of the blocks that are new go to the file ``records``; ``on_read`` is told of bytes read; ``damaged`` are
    digests of manifests that are written anew though they are there.

    An interruption leaves only files that nothing refers to. Raises SourceChanged when the content changed meanwhile.
    """
    with (
        closing(_Packs(store, records)) as packs,
        Growing(settings.scratch / "seen", value_size=8) as seen,
        tempfile.TemporaryFile(dir=settings.scratch) as pages_file,
        Intake(on_read) as intake,
    ):
        pages = _Pages(pages_file, hash_seed)
        reader = _Reader(content, intake)
        frames = _Frames(reader, pages, seen, index, hash_seed)
        encode = partial(_encode, level=settings.level)
        for frame, codec, stored in ordered_map(
            encode, frames, threads=settings.threads, ahead=max(_FRAMES_AHEAD, settings.threads)
        ):
            packs.write(frame, codec, stored)
            pages.settle()
        pages.settle()
        packs.close()
        content.check_unchanged()
        # A manifest that is there vouches for its locations, also after a power cut: the names of packs come first.
        store.sync()

        def is_there(digest: str) -> bool:
            """With new blocks, locations that are there lead to others than the index does: to what is damaged, or doomed."""
            return not packs.bytes_new and digest not in damaged and store.size(manifest_path(digest)) is not None

        head, entry_stored = _head(content.tree, hash_seed, reader.entries, pages)
        digest, head_bytes = _write_manifest(store, head, entry_stored, pages, pages_file, is_there=is_there)
    return Ingested(digest, head_bytes, head, reader.entries, packs.bytes_new, packs.bytes_stored)


@dataclass(eq=False, slots=True)
class _NewFrame:
    """A frame being filled; ``location`` is known when it is written."""

    plain: bytearray = field(default_factory=bytearray)
    blocks: list[tuple[bytes, int]] = field(default_factory=list)
    location: Frame | None = None


def _encode(frame: _NewFrame, *, level: int) -> tuple[_NewFrame, int, Bytes]:
    codec, stored = encode_frame(frame.plain, level)
    return frame, codec, stored


class _Packs:
    """Writes compressed frames into packs, one after the other, and index records of their blocks into ``records``."""

    def __init__(self, store: Store, records: IO[bytes]) -> None:
        self._store = store
        self._records = records
        self._pack: PackWriter | None = None
        self.bytes_new = 0
        self.bytes_stored = 0

    def write(self, frame: _NewFrame, codec: int, stored: Bytes) -> None:
        pack = self._pack
        if pack is None or pack.size + len(stored) > PACK_BYTES_MAX:
            self.close()
            pack = self._pack = self._store.new_pack()
        frame.location = Frame(pack.pack, pack.size, len(stored), len(frame.plain), codec)
        pack.append(stored)
        self._records.write(b"".join([id_ + encode_location(frame.location, start) for id_, start in frame.blocks]))
        self.bytes_new += len(frame.plain)
        self.bytes_stored += len(stored)
        frame.plain = bytearray()
        frame.blocks = []

    def close(self) -> None:
        """Idempotent."""
        pack, self._pack = self._pack, None
        if pack is not None:
            pack.close()


class _Page:
    """One block page being filled, with where its blocks lie."""

    def __init__(self, start: int, hash_seed: int) -> None:
        self.start = start
        self.plain = 0
        self.data = 0
        self.check = xxhash.xxh3_128(seed=hash_seed)
        self.frames: dict[_NewFrame | Frame, int] = {}
        self._lengths = array("I")
        self._ids = bytearray()
        self._runs: list[list[int]] = []
        self._frame: _NewFrame | Frame | None = None
        self._next = -1

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, id_: bytes, length: int, frame: _NewFrame | Frame | None, start: int) -> None:
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
        del self._lengths, self._ids

    @property
    def runs(self) -> tuple[Run, ...]:
        return tuple(Run(*run) for run in self._runs)


class _Pages:
    """The pages of one version: complete ones in ``file``, and the locations of those whose frames are written."""

    def __init__(self, file: IO[bytes], hash_seed: int) -> None:
        self._file = file
        self._hash_seed = hash_seed
        self._unsettled: deque[tuple[int, _Page]] = deque()
        self.rows: list[BlockPage] = []
        self.records: list[bytes] = []
        self.blocks = 0
        self.data = 0
        self.open = _Page(0, hash_seed)

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
        self.records.append(b"")
        number = len(self.records) - 1
        page.forget_blocks()
        # At once where nothing is new: pages that wait for the end would be as many as the image has.
        if not self._settled(number, page):
            self._unsettled.append((number, page))
        self.open = _Page(page.start + page.plain, self._hash_seed)

    def settle(self) -> None:
        """Turn the locations of pages whose frames are all written into records."""
        while self._unsettled and self._settled(*self._unsettled[0]):
            self._unsettled.popleft()

    def _settled(self, number: int, page: _Page) -> bool:
        frames = [frame if isinstance(frame, Frame) else frame.location for frame in page.frames]
        located = tuple(frame for frame in frames if frame is not None)
        if len(located) < len(frames):
            return False
        self.records[number] = encode_record(Locations(located, page.runs))
        return True


class _Reader:
    """Reads the files of a content one after the other, digesting them on the way, and collects the entries."""

    def __init__(self, content: Content, intake: Intake) -> None:
        self._content = content
        self._intake = intake
        self._whole = WholeCutter()
        self.entries: list[Entry] = []

    def __iter__(self) -> Iterator[Stretch]:
        with closing(self._opened()) as opened:
            for item, file in opened:
                if file is None:
                    self.entries.append(Entry(item.path, item.type, item.mode, target=item.target))
                    continue
                with file:
                    if item.size is None or item.size > _WHOLE_MAX:
                        yield from self._in_parts(item, file)
                    else:
                        yield from self._at_once(item, file, item.size)

    def _opened(self) -> Generator[tuple[Item, BinaryIO | None], None, None]:
        """The items with their files, which are the taker's to close. Some are opened ahead, so that small ones are on their
        way from the disk together."""
        ahead: deque[tuple[Item, BinaryIO | None]] = deque()
        try:
            for item in self._content.items():
                ahead.append((item, self._content.open(item.path) if item.type is EntryType.FILE else None))
                if len(ahead) > _FILES_AHEAD:
                    yield ahead.popleft()
            while ahead:
                yield ahead.popleft()
        finally:
            for _, file in ahead:
                if file is not None:
                    file.close()

    def _in_parts(self, item: Item, file: BinaryIO) -> Iterator[Stretch]:
        with self._intake.file(file, size=item.size) as passing:
            yield from cut(passing.read)
        if item.size is not None and passing.size != item.size:
            raise SourceChanged(path=item.path)
        self.entries.append(Entry(item.path, item.type, item.mode, passing.size, passing.digest()))

    def _at_once(self, item: Item, file: BinaryIO, size: int) -> Iterator[Stretch]:
        """Without another thread: to hand over a small file takes longer than to read and digest it."""
        data = file.read(size + 1)  # one more, so that the end shows without a second call
        while len(data) < size and (more := file.read(size + 1 - len(data))):
            data += more
        if len(data) != size:
            raise SourceChanged(path=item.path)
        self._intake.on_read(size)
        yield from self._whole.cut(data)
        self.entries.append(Entry(item.path, item.type, item.mode, size, hashlib.sha256(data).digest()))


class _Frames:
    """Iterates over the frames of new blocks, as they fill; on the way it notes every block in the pages."""

    def __init__(self, stretches: _Reader, pages: _Pages, seen: Growing, index: StoreIndex, hash_seed: int) -> None:
        self._stretches = stretches
        self._pages = pages
        self._seen = seen
        self._index = index
        self._hash_seed = hash_seed
        self._frame = _NewFrame()

    def __iter__(self) -> Iterator[_NewFrame]:
        for stretch in self._stretches:
            if stretch.zeros:
                self._pages.open.add_zeros(stretch.zeros)
                if ends_page(len(self._pages.open), ZERO_ID):
                    self._pages.close_page()
            else:
                yield from self._blocks(stretch)
        self._pages.close_page()
        if self._frame.plain:
            yield self._frame

    def _blocks(self, stretch: Stretch) -> Iterator[_NewFrame]:
        data, seen, find = stretch.data, self._seen, self._index.find
        page = self._pages.open
        unchecked = position = 0
        for id_, length in zip(block_ids(stretch, self._hash_seed), stretch.lengths, strict=True):
            earlier = seen.find(id_)
            if earlier is not None:
                page.add(id_, length, None, int.from_bytes(earlier, "little"))
            else:
                seen.add(id_, (page.start + page.plain).to_bytes(8, "little"))
                known = find(id_)
                if known is not None:
                    page.add(id_, length, *known)
                else:
                    if len(self._frame.plain) + length > FRAME_MAX:
                        yield self._frame
                        self._frame = _NewFrame()
                    self._frame.blocks.append((id_, len(self._frame.plain)))
                    page.add(id_, length, self._frame, len(self._frame.plain))
                    self._frame.plain += data[position : position + length]
            position += length
            if ends_page(len(page), id_):
                page.check.update(data[unchecked:position])
                unchecked = position
                self._pages.close_page()
                page = self._pages.open
        page.check.update(data[unchecked:position])


def _head(tree: bool, hash_seed: int, entries: list[Entry], pages: _Pages) -> tuple[Head, tuple[bytes, ...]]:
    """The head of the manifest, and the entry pages as stored."""
    entry_rows, entry_stored = zip(*(encode_entries(page) for page in entry_pages(entries)), strict=True)
    head = Head(
        chunker=CHUNKER,
        tree=tree,
        hash_seed=hash_seed,
        size=sum(entry.size for entry in entries),
        data=pages.data,
        entries=len(entries),
        blocks=pages.blocks,
        entry_pages=entry_rows,
        block_pages=tuple(pages.rows),
    )
    return head, entry_stored


def _write_manifest(
    store: Store,
    head: Head,
    entry_stored: tuple[bytes, ...],
    pages: _Pages,
    pages_file: IO[bytes],
    *,
    is_there: Callable[[str], bool],
) -> tuple[str, int]:
    """Its digest, and the length of its head."""
    encoded = encode_head(head)
    digest = hashlib.sha256(encoded).hexdigest()
    if not is_there(digest):
        store.put(locations_path(digest), [encode_table([len(record) for record in pages.records]), *pages.records])
        store.put(manifest_path(digest), _parts(encoded, entry_stored, pages_file))
    store.sync()
    return digest, len(encoded)


def _parts(head: bytes, entry_stored: tuple[bytes, ...], pages_file: IO[bytes]) -> Iterator[bytes]:
    yield head
    yield from entry_stored
    pages_file.seek(0)
    while part := pages_file.read(_COPY_SIZE):
        yield part
