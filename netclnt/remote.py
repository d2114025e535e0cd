"""Fetching what a slave must know before it fetches content: manifests and locations, in few round trips.

One round trip for the head and the table of locations, one for the missing pages and their locations. How long the table is
follows from the length of the head where there is one page of entries; else the table comes with the missing pages, and
locations take a third round trip, as do those of pages that are at hand though their content is not. Many missing pages of a
manifest whose predecessor is here come as page deltas, a round trip later; those that do not come so, as they are. Neighbouring
pages are read as one range.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Generator, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass

from netclnt.chunking import CHUNKER
from netclnt.errors import Damaged, ForbiddenValue, SourceMissing
from netclnt.localmanifests import LocalManifest, Manifests
from netclnt.locations import decode_table, table_bytes
from netclnt.manifest import Head, block_pages_of, decode_head, locations_path, manifest_path, page_offsets
from netclnt.model import Range
from netclnt.pagedeltas import (
    PAGES_IN_GROUP,
    WORTHWHILE_BYTES,
    Group,
    decode_group,
    decode_header,
    header_bytes,
    page_deltas_path,
    pages_of,
)
from netclnt.protocols import Source

_RANGE_MAX = 1 << 20


Table = list[tuple[int, int]]
"""(offset, length) of each page's record in a file of locations."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a file that is wanted: ``key`` is the caller's, ``digest`` what its SHA-256 must be (None: not known)."""

    path: str
    key: int
    offset: int
    length: int
    digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Pieces(Range):
    """Neighbouring pieces, read at once."""

    pieces: tuple[_Piece, ...]


def least_budget(head_bytes: int) -> int:
    """Bytes that a run must be allowed to come further with a version whose manifest is not here: the head of that, which is read
    first and as a whole, the table of locations beside it, and one range, with some room for what any run reads."""
    return head_bytes + head_bytes // 8 + _RANGE_MAX + _RANGE_MAX // 8


def fetch_manifest(
    digest: str, head_bytes: int, *, source: Source, manifests: Manifests, reuse: Sequence[LocalManifest]
) -> LocalManifest:
    """The manifest, from local disk if it is here; else fetched, with pages that are in ``reuse``, or came before an earlier
    fetch broke off, taken from there, and with the locations of the others (:attr:`LocalManifest.locations`).

    Raises Damaged when a page is not what its digest says, twice.
    """
    local = manifests.open(digest)
    if local is not None:
        return local
    begun = manifests.begun(digest)
    with closing(begun) if begun else nullcontext():
        return _fetch_rest(digest, head_bytes, source=source, manifests=manifests, reuse=reuse, begun=begun)


def _fetch_rest(
    digest: str,
    head_bytes: int,
    *,
    source: Source,
    manifests: Manifests,
    reuse: Sequence[LocalManifest],
    begun: LocalManifest | None,
) -> LocalManifest:
    data, table = _head_and_table(digest, head_bytes, source)
    head = decode_head(data, digest)
    at_hand = _at_hand(reuse) | (_came(begun) if begun else {})
    path = manifest_path(digest)
    offsets = page_offsets(head, head_bytes)
    pages = [_Piece(path, offset, offset, length, sha256) for sha256, offset, length in _pages(head, *offsets)]
    missing = [page for page in pages if page.digest not in at_hand]
    locations = _Locations(locations_path(digest), len(head.block_pages), table)
    new = [number for number, row in enumerate(head.block_pages) if row.digest not in at_hand]
    deltas = _Deltas(digest, head, offsets, reuse)

    def parts(*, with_locations: bool) -> Generator[tuple[int, bytes], None, None]:
        yield 0, data
        for page in pages:
            if page.digest in at_hand:
                manifest, offset = at_hand[page.digest]
                yield page.offset, manifest.page_bytes(offset, page.length)
        left = {page.offset: page for page in missing}
        if with_locations and reuse and sum(page.length for page in missing) >= WORTHWHILE_BYTES:
            for offset, content in deltas.fetch(left, locations, new, source):
                if left.pop(offset, None) is not None:
                    yield offset, content
        for piece, content in _fetch([*left.values(), *(locations.pieces(new) if with_locations else ())], source=source):
            if piece.path == path:
                yield piece.offset, content
            else:
                locations.take(piece, content)

    try:
        with closing(parts(with_locations=True)) as arriving:
            fetched = manifests.write(digest, head_bytes, arriving)
    except (Damaged, SourceMissing) as error:
        if _file_of(error) not in (locations_path(digest), deltas.path):
            raise
        fetched = manifests.write(digest, head_bytes, parts(with_locations=False))  # whoever has all content needs none
    fetched.locations.update(locations.records)
    fetched.locations_table = locations.table
    return fetched


class _Deltas:
    """Page deltas on their way. Nothing vouches for them: what came wrong, or not at all, is fetched as it is."""

    def __init__(self, digest: str, head: Head, offsets: tuple[list[int], list[int]], reuse: Sequence[LocalManifest]) -> None:
        self.path = page_deltas_path(digest)
        self._head = head
        self._pages = pages_of(head, offsets, _nothing)
        self._reuse = reuse

    def fetch(
        self, missing: Container[int], locations: _Locations, new: Sequence[int], source: Source
    ) -> Iterator[tuple[int, bytes]]:
        """(offset in the manifest, stored bytes) of pages, those at the ``missing`` offsets among them. Of the locations of the
        ``new`` pages comes along what can."""
        wanted = _Piece(self.path, 0, 0, header_bytes(self._head))
        try:
            arrived = list(_read([wanted, *locations.pieces(new)], source))
        except (Damaged, SourceMissing):  # there may be none: not every version has one before it
            return
        header = b""
        for piece, data in arrived:
            if piece is wanted:
                header = data
            else:
                locations.take(piece, data)
        with suppress(Damaged, ForbiddenValue):
            before, groups = decode_header(header, self._head, where=self.path)
            old = next((manifest for manifest in self._reuse if manifest.digest == before), None)
            if old is not None:
                useful = [group for group in groups if self._has(group, missing)]
                yield from self._fetch_groups(useful, old, locations, new, source)

    def _has(self, group: Group, missing: Container[int]) -> bool:
        offsets = self._pages[group.kind].offsets
        return any(offset in missing for offset in offsets[group.first : group.first + PAGES_IN_GROUP])

    def _fetch_groups(
        self, groups: Sequence[Group], old: LocalManifest, locations: _Locations, new: Sequence[int], source: Source
    ) -> Iterator[tuple[int, bytes]]:
        olds = pages_of(old.head, (old.entry_offsets, old.block_offsets), old.page_bytes)
        pieces = [_Piece(self.path, number, group.offset, group.length) for number, group in enumerate(groups)]
        for piece, data in _read([*pieces, *locations.pieces(new)], source):
            if piece.path != self.path:
                locations.take(piece, data)
                continue
            group = groups[piece.key]
            pages = self._pages[group.kind]
            with suppress(Damaged, ForbiddenValue):
                for number, stored in decode_group(data, group, pages, olds[group.kind], where=self.path):
                    yield pages.offsets[number], stored


def _nothing(offset: int, length: int) -> bytes:
    raise Damaged(what="manifest page", where=f"at {offset}", problem=f"{length} bytes that are not here yet")


def _at_hand(reuse: Sequence[LocalManifest]) -> dict[bytes | None, tuple[LocalManifest, int]]:
    """Where pages lie, by their digests."""
    return {
        digest: (manifest, offset)
        for manifest in reuse
        for digest, offset, _ in _pages(manifest.head, manifest.entry_offsets, manifest.block_offsets)
    }


def _came(begun: LocalManifest) -> dict[bytes | None, tuple[LocalManifest, int]]:
    """As :func:`_at_hand`, of a manifest some pages of which may be missing."""
    found: dict[bytes | None, tuple[LocalManifest, int]] = {}
    for digest, offset, length in _pages(begun.head, begun.entry_offsets, begun.block_offsets):
        with suppress(Damaged):  # the file ends before
            if hashlib.sha256(begun.page_bytes(offset, length)).digest() == digest:
                found[digest] = begun, offset
    return found


def _file_of(error: Damaged | SourceMissing) -> str:
    return error.path if isinstance(error, SourceMissing) else error.where


def _head_and_table(digest: str, head_bytes: int, source: Source) -> tuple[bytes, bytes]:
    """The head, and the table of locations as far as its length can be told beforehand; nothing vouches for that."""
    head = _Piece(manifest_path(digest), 0, 0, head_bytes, bytes.fromhex(digest))
    pages = block_pages_of(head_bytes, CHUNKER)
    table = _Piece(locations_path(digest), 0, 0, table_bytes(pages or 0))
    try:
        arrived = list(_read([head, table] if pages else [head], source))
    except (Damaged, SourceMissing):  # of which of the two? The head decides.
        arrived = list(_read([head], source))
    found = {piece.path: data for piece, data in _checked(arrived, source)}
    return found[head.path], found.get(table.path, b"")


def fetch_locations(manifest: LocalManifest, pages: Sequence[int], *, source: Source) -> dict[int, bytes]:
    """The encoded locations of some block pages, by the pages' numbers; those that came with the manifest are used once, then
    asked for anew. Nothing vouches for them: they may be damaged.

    Raises Damaged or ForbiddenValue when their table came damaged, twice.
    """
    came, table = dict(manifest.locations), manifest.locations_table
    manifest.locations.clear()
    manifest.locations_table = None
    records = {page: came[page] for page in pages if page in came}
    left = [page for page in pages if page not in records]
    if not left:
        return records
    try:
        return records | _records(manifest, left, source, table)
    except (Damaged, ForbiddenValue):
        return records | _records(manifest, left, source, None)


def _records(manifest: LocalManifest, pages: Sequence[int], source: Source, table: Table | None) -> dict[int, bytes]:
    path = locations_path(manifest.digest)
    if table is None:
        count = len(manifest.head.block_pages)
        ((_, data),) = source.fetch([Range(path, 0, table_bytes(count))])
        table = decode_table(data, count, where=path)
    return {piece.key: data for piece, data in _fetch([_Piece(path, page, *table[page]) for page in pages], source=source)}


class _Locations:
    """What is fetched of a file of locations beside the pages of its manifest: records, if its table is known, or else that."""

    def __init__(self, path: str, count: int, data: bytes) -> None:
        self._path = path
        self._count = count
        self.table: Table | None = None
        self.records: dict[int, bytes] = {}
        self._take_table(data)

    def pieces(self, pages: Sequence[int]) -> list[_Piece]:
        """What is still to be fetched: the records of some pages, or the table first."""
        if self.table is not None:
            return [_Piece(self._path, page, *self.table[page]) for page in pages if page not in self.records]
        return [_Piece(self._path, -1, 0, table_bytes(self._count))] if pages else []

    def take(self, piece: _Piece, data: bytes) -> None:
        if piece.key < 0:
            self._take_table(data)
        else:
            self.records[piece.key] = data

    def _take_table(self, data: bytes) -> None:
        with suppress(Damaged, ForbiddenValue):  # it is asked for again when locations are needed
            self.table = decode_table(data[: table_bytes(self._count)], self._count, where=self._path)


def _pages(head: Head, entry_offsets: Iterable[int], block_offsets: Iterable[int]) -> Iterator[tuple[bytes, int, int]]:
    """(digest, offset, length) of every page."""
    for page, offset in zip(head.entry_pages, entry_offsets, strict=True):
        yield page.digest, offset, page.stored
    for block_page, offset in zip(head.block_pages, block_offsets, strict=True):
        yield block_page.digest, offset, block_page.stored


def _fetch(pieces: Sequence[_Piece], *, source: Source) -> Iterator[tuple[_Piece, bytes]]:
    """The bytes of each piece, in any order; one that came damaged is asked for once more."""
    return _checked(_read(pieces, source), source)


def _checked(arrived: Iterable[tuple[_Piece, bytes]], source: Source) -> Iterator[tuple[_Piece, bytes]]:
    damaged: list[_Piece] = []
    for piece, data in arrived:
        if piece.digest is None or hashlib.sha256(data).digest() == piece.digest:
            yield piece, data
        else:
            damaged.append(piece)
    for piece, data in _read(damaged, source):
        if hashlib.sha256(data).digest() != piece.digest:
            where = f"{piece.path} at {piece.offset}"
            raise Damaged(what="manifest page", where=where, problem="not what its digest says, twice")
        yield piece, data


def _read(pieces: Sequence[_Piece], source: Source) -> Iterator[tuple[_Piece, bytes]]:
    for wanted, data in source.fetch(list(_joined(pieces))):
        for piece in wanted.pieces:
            start = piece.offset - wanted.offset
            yield piece, data[start : start + piece.length]


def _joined(pieces: Iterable[_Piece]) -> Iterator[_Pieces]:
    group: list[_Piece] = []
    for piece in sorted(pieces, key=_place):
        if group and not _continues(group, piece):
            yield _Pieces(group[0].path, group[0].offset, _end(group[-1]) - group[0].offset, tuple(group))
            group = []
        group.append(piece)
    if group:
        yield _Pieces(group[0].path, group[0].offset, _end(group[-1]) - group[0].offset, tuple(group))


def _continues(group: Sequence[_Piece], piece: _Piece) -> bool:
    first, last = group[0], group[-1]
    return piece.path == last.path and piece.offset == _end(last) and _end(piece) - first.offset <= _RANGE_MAX


def _place(piece: _Piece) -> tuple[bool, int]:
    # The manifest before its locations, which nobody vouches for: pages are on their way first.
    return piece.path.rpartition(".")[2] == "locations", piece.offset


def _end(piece: _Piece) -> int:
    return piece.offset + piece.length
