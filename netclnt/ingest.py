"""From content to the store: read, cut, look up, compress what is new into packs, and write the manifest.

The data flow down one line: ``items → stretches → blocks → frames → compressed frames → packs``. Frames are compressed by
several threads, also against the version before, if there was one; files are read and digested by one thread each; everything
else happens in the caller's.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO

from netclnt.blockindex import Growing
from netclnt.chunking import CHUNKER, Stretch, WholeCutter, block_ids, cut
from netclnt.dedup import StoreIndex
from netclnt.errors import SourceChanged
from netclnt.filling import NewFrame, Packs, Pages, encode
from netclnt.intake import Intake
from netclnt.manifest import Head, encode_entries, encode_head, ends_page, entry_pages, locations_path, manifest_path
from netclnt.model import ZERO_ID, Entry, EntryType
from netclnt.pack import FRAME_MAX
from netclnt.predecessor import Predecessor, Range
from netclnt.protocols import Content, Item, Store
from netclnt.storedmanifest import Records
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

    ``bytes_new`` is the content no pack held before, ``bytes_stored`` what it takes compressed, delta frames included.
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
    predecessor: Predecessor | None = None,
) -> Ingested:
    """Bring a content into the store, durable, without making it known to anybody.

    What is new is stored as a difference to ``predecessor``, too, a version that slaves very likely have, where that pays.
    Index records of the blocks that are new go to the file ``records``; ``on_read`` is told of bytes read; ``damaged`` are
    digests of manifests that are written anew though they are there.

    An interruption leaves only files that nothing refers to. Raises SourceChanged when the content changed meanwhile.
    """
    with (
        closing(Packs(store, records)) as packs,
        Growing(settings.scratch / "seen", value_size=8) as seen,
        tempfile.TemporaryFile(dir=settings.scratch) as pages_file,
        tempfile.TemporaryFile(dir=settings.scratch) as records_file,
        Intake(on_read) as intake,
    ):
        located = Records(records_file)
        pages = Pages(pages_file, located, hash_seed, predecessor)
        reader = _Reader(content, intake)
        frames = _Frames(reader, pages, seen, index, predecessor, hash_seed)
        work = partial(encode, level=settings.level, predecessor=predecessor)
        for encoded in ordered_map(work, frames, threads=settings.threads, ahead=max(_FRAMES_AHEAD, settings.threads)):
            packs.write(encoded)
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
        digest, head_bytes = _write_manifest(store, head, entry_stored, located, pages_file, is_there=is_there)
    return Ingested(digest, head_bytes, head, reader.entries, packs.bytes_new, packs.bytes_stored)


class _Reader:
    """Reads the files of a content one after the other, digesting them on the way, and collects the entries. ``path`` is that of
    the file whose stretches come, ``begin`` the plain offset at which it begins."""

    def __init__(self, content: Content, intake: Intake) -> None:
        self._content = content
        self._intake = intake
        self._whole = WholeCutter()
        self.entries: list[Entry] = []
        self.path = ""
        self.begin = 0

    def __iter__(self) -> Iterator[Stretch]:
        with closing(self._opened()) as opened:
            for item, file in opened:
                if file is None:
                    self.entries.append(Entry(item.path, item.type, item.mode, target=item.target))
                    continue
                self.path = item.path
                with file:
                    if item.size is None or item.size > _WHOLE_MAX:
                        yield from self._in_parts(item, file)
                    else:
                        yield from self._at_once(item, file, item.size)
                self.begin += self.entries[-1].size

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

    def __init__(
        self,
        reader: _Reader,
        pages: Pages,
        seen: Growing,
        index: StoreIndex,
        predecessor: Predecessor | None,
        hash_seed: int,
    ) -> None:
        self._reader = reader
        self._pages = pages
        self._seen = seen
        self._index = index
        self._predecessor = predecessor
        self._hash_seed = hash_seed
        self._frame = NewFrame()

    def __iter__(self) -> Iterator[NewFrame]:
        for stretch in self._reader:
            if stretch.zeros:
                self._pages.open.add_zeros(stretch.zeros)
                if ends_page(len(self._pages.open), ZERO_ID):
                    self._pages.close_page()
            else:
                yield from self._blocks(stretch)
        self._pages.close_page()
        if self._frame.plain:
            yield self._filled()

    def _blocks(self, stretch: Stretch) -> Iterator[NewFrame]:
        data, seen, find = stretch.data, self._seen, self._index.find
        page = self._pages.open
        unchecked = position = 0
        behind: bytes | None = None  # the id of the kept block right before, and since then so many bytes are new
        run = 0
        for id_, length in zip(block_ids(stretch, self._hash_seed), stretch.lengths, strict=True):
            earlier = seen.find(id_)
            if earlier is not None:
                page.add(id_, length, None, int.from_bytes(earlier, "little"))
                behind, run = id_, 0
            else:
                seen.add(id_, (page.start + page.plain).to_bytes(8, "little"))
                known = find(id_)
                if known is not None:
                    if run:
                        self._place_before(id_, page.start + page.plain, length, run)
                    page.add(id_, length, *known)
                    behind, run = id_, 0
                else:
                    if len(self._frame.plain) + length > FRAME_MAX:
                        yield self._filled()
                        self._frame = NewFrame()
                    self._place_around(page.start + page.plain, length, behind)
                    behind, run = None, run + length
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

    def _place_around(self, offset: int, length: int, behind: bytes | None) -> None:
        if self._predecessor is not None:
            reader = self._reader
            self._note_place(self._predecessor.around(reader.path, reader.begin, offset, length, behind=behind))

    def _place_before(self, id_: bytes, offset: int, length: int, run: int) -> None:
        if self._predecessor is not None:
            self._note_place(self._predecessor.before(id_, offset, length, min(run, len(self._frame.plain))))

    def _note_place(self, place: Range | None) -> None:
        if place is not None:
            self._frame.places.append(place)

    def _filled(self) -> NewFrame:
        """The frame, complete, with its base."""
        frame = self._frame
        if self._predecessor is not None and frame.places:
            frame.base = self._predecessor.base(frame.places)
        return frame


def _head(tree: bool, hash_seed: int, entries: list[Entry], pages: Pages) -> tuple[Head, tuple[bytes, ...]]:
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
    located: Records,
    pages_file: IO[bytes],
    *,
    is_there: Callable[[str], bool],
) -> tuple[str, int]:
    """Its digest, and the length of its head."""
    encoded = encode_head(head)
    digest = hashlib.sha256(encoded).hexdigest()
    if not is_there(digest):
        store.put(locations_path(digest), located.parts())
        store.put(manifest_path(digest), _parts(encoded, entry_stored, pages_file))
    store.sync()
    return digest, len(encoded)


def _parts(head: bytes, entry_stored: tuple[bytes, ...], pages_file: IO[bytes]) -> Iterator[bytes]:
    yield head
    yield from entry_stored
    pages_file.seek(0)
    while part := pages_file.read(_COPY_SIZE):
        yield part
