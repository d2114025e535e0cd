"""A manifest and its locations as they lie in the store, read by the master page by page."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

from netclnt.errors import Damaged, SourceMissing, TrustError
from netclnt.locations import Locations, decode_record, decode_table, encode_table, table_bytes
from netclnt.manifest import decode_blocks, decode_entries, decode_head, locations_path, manifest_path, page_offsets
from netclnt.model import Blocks, Entry
from netclnt.pagedeltas import Pages, pages_of
from netclnt.protocols import Store

_RECORDS_IN_MEMORY = 1 << 20

UNREADABLE = (Damaged, SourceMissing, TrustError)
"""What a StoredManifest raises where it is not what the digest or the grammar says, whatever is asked for."""


class StoredManifest:
    """Raises :data:`UNREADABLE`."""

    def __init__(self, store: Store, digest: str, head_bytes: int) -> None:
        self._store = store
        self.digest = digest
        self.head_bytes = head_bytes
        self.path = manifest_path(digest)
        self.locations_path = locations_path(digest)
        self.head = decode_head(store.read(self.path, 0, head_bytes), digest)
        self._entry_offsets, self._block_offsets = page_offsets(self.head, head_bytes)

    @property
    def pages(self) -> range:
        """The numbers of the block pages."""
        return range(len(self.head.block_pages))

    @cached_property
    def starts(self) -> Sequence[int]:
        """The plain offset at which each block page begins."""
        rows = self.head.block_pages
        return array("Q", accumulate((row.plain for row in rows), initial=0))[: len(rows)]

    def entries(self) -> list[Entry]:
        entries: list[Entry] = []
        for page, offset in zip(self.head.entry_pages, self._entry_offsets, strict=True):
            entries += decode_entries(page, self._store.read(self.path, offset, page.stored), where=self.path)
        return entries

    def pages_by_kind(self) -> tuple[Pages, Pages]:
        """The entry pages and the block pages."""
        read = partial(self._store.read, self.path)
        return pages_of(self.head, (self._entry_offsets, self._block_offsets), read)

    def blocks(self, page: int) -> Blocks:
        row = self.head.block_pages[page]
        return decode_blocks(row, self._store.read(self.path, self._block_offsets[page], row.stored), where=self.path)

    @cached_property
    def _table(self) -> list[tuple[int, int]]:
        count = len(self.head.block_pages)
        return decode_table(self._store.read(self.locations_path, 0, table_bytes(count)), count, where=self.locations_path)

    def record(self, page: int) -> bytes:
        """The encoded locations of a page."""
        return self._store.read(self.locations_path, *self._table[page])

    def locations(self, page: int, blocks: Blocks, record: bytes) -> Locations:
        """What a page's record says, checked against its blocks."""
        return decode_record(record, blocks, page_start=self.starts[page], where=self.locations_path)

    def located(self) -> Iterator[tuple[int, Blocks, Locations]]:
        """Each page with its blocks and where they lie."""
        for page in self.pages:
            blocks = self.blocks(page)
            yield page, blocks, self.locations(page, blocks, self.record(page))

    def put_records(self, records: Records) -> None:
        """Replace the locations of all pages. Whoever reads the old ones keeps them while the file is open."""
        self._store.put(self.locations_path, records.parts())


class Records:
    """Where the blocks of pages lie, encoded, in the file ``file``: of a version that changed all over that is much."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._offsets = array("Q")
        self._lengths = array("I")
        self._end = 0

    def reserve(self) -> int:
        """Room for one more page, behind all others; returns its number."""
        self._offsets.append(0)
        self._lengths.append(0)
        return len(self._lengths) - 1

    def add(self, record: bytes) -> None:
        """One more page, with its record."""
        self.put(self.reserve(), record)

    def put(self, page: int, record: bytes) -> None:
        self._file.write(record)
        self._offsets[page], self._lengths[page] = self._end, len(record)
        self._end += len(record)

    def parts(self) -> Iterator[bytes]:
        """The locations file, when all is put."""
        yield encode_table(self._lengths)
        for offset, length in zip(self._offsets, self._lengths, strict=True):
            self._file.seek(offset)
            yield self._file.read(length)


@contextmanager
def new_records(scratch: Path) -> Iterator[Records]:
    """Records that are on disk, in a file of ``scratch`` without a name, where they are many."""
    with SpooledTemporaryFile(max_size=_RECORDS_IN_MEMORY, dir=str(scratch)) as file:
        yield Records(file)
