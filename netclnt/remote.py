"""Fetching what a slave must know before it fetches content: manifests and locations, in few round trips.

One round trip for the head, one for the missing pages and the table of locations, one for the locations of the pages that
have missing blocks. Neighbouring pages are read as one range.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from netclnt.errors import Damaged, ForbiddenValue
from netclnt.localmanifests import LocalManifest, Manifests
from netclnt.locations import decode_table, table_bytes
from netclnt.manifest import Head, decode_head, locations_path, manifest_path, page_offsets
from netclnt.model import Range
from netclnt.protocols import Source

_RANGE_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a file that is wanted: ``key`` is the caller's, ``digest`` what its SHA-256 must be (None: not known)."""

    key: int
    offset: int
    length: int
    digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Pieces(Range):
    """Neighbouring pieces, read at once."""

    pieces: tuple[_Piece, ...]


def fetch_manifest(
    digest: str, head_bytes: int, *, source: Source, manifests: Manifests, reuse: Sequence[LocalManifest]
) -> LocalManifest:
    """The manifest, from local disk if it is here; else fetched, with pages that are in ``reuse`` taken from there.

    Raises Damaged when a page is not what its digest says, twice.
    """
    local = manifests.open(digest)
    if local is not None:
        return local
    path = manifest_path(digest)
    ((_, data),) = _fetch(path, [_Piece(0, 0, head_bytes, bytes.fromhex(digest))], source=source)
    head = decode_head(data, digest)
    known = {
        page_digest: (manifest, offset, length)
        for manifest in reuse
        for page_digest, offset, length in _pages(manifest.head, manifest.entry_offsets, manifest.block_offsets)
    }
    wanted = list(_pages(head, *page_offsets(head, head_bytes)))

    def parts() -> Iterator[tuple[int, bytes]]:
        yield 0, data
        missing = []
        for page_digest, offset, length in wanted:
            if page_digest in known:
                manifest, old_offset, _ = known[page_digest]
                yield offset, manifest.page_bytes(old_offset, length)
            else:
                missing.append(_Piece(offset, offset, length, page_digest))
        yield from _fetch(path, missing, source=source)

    return manifests.write(digest, head_bytes, parts())


def fetch_locations(manifest: LocalManifest, pages: Sequence[int], *, source: Source) -> dict[int, bytes]:
    """The encoded locations of some block pages, by the pages' numbers. Nothing vouches for them: they may be damaged.

    Raises Damaged or ForbiddenValue when their table came damaged, twice.
    """
    if not pages:
        return {}
    try:
        return _locations(manifest, pages, source)
    except (Damaged, ForbiddenValue):
        return _locations(manifest, pages, source)


def _locations(manifest: LocalManifest, pages: Sequence[int], source: Source) -> dict[int, bytes]:
    path = locations_path(manifest.digest)
    count = len(manifest.head.block_pages)
    ((_, data),) = source.fetch([Range(path, 0, table_bytes(count))])
    table = decode_table(data, count, where=path)
    return dict(_fetch(path, [_Piece(page, *table[page]) for page in pages], source=source))


def _pages(head: Head, entry_offsets: Iterable[int], block_offsets: Iterable[int]) -> Iterator[tuple[bytes, int, int]]:
    """(digest, offset, length) of every page."""
    for page, offset in zip(head.entry_pages, entry_offsets, strict=True):
        yield page.digest, offset, page.stored
    for block_page, offset in zip(head.block_pages, block_offsets, strict=True):
        yield block_page.digest, offset, block_page.stored


def _fetch(path: str, pieces: Sequence[_Piece], *, source: Source) -> Iterator[tuple[int, bytes]]:
    """(key, bytes) of each piece, in any order; one that came damaged is asked for once more."""
    damaged: list[_Piece] = []
    for piece, data in _read(path, pieces, source):
        if piece.digest is None or hashlib.sha256(data).digest() == piece.digest:
            yield piece.key, data
        else:
            damaged.append(piece)
    for piece, data in _read(path, damaged, source):
        if hashlib.sha256(data).digest() != piece.digest:
            raise Damaged(what="manifest page", where=f"{path} at {piece.offset}", problem="not what its digest says, twice")
        yield piece.key, data


def _read(path: str, pieces: Sequence[_Piece], source: Source) -> Iterator[tuple[_Piece, bytes]]:
    for wanted, data in source.fetch(list(_joined(path, pieces))):
        for piece in wanted.pieces:
            start = piece.offset - wanted.offset
            yield piece, data[start : start + piece.length]


def _joined(path: str, pieces: Iterable[_Piece]) -> Iterator[_Pieces]:
    group: list[_Piece] = []
    for piece in sorted(pieces, key=_offset):
        if group and (piece.offset != _end(group[-1]) or _end(piece) - group[0].offset > _RANGE_MAX):
            yield _Pieces(path, group[0].offset, _end(group[-1]) - group[0].offset, tuple(group))
            group = []
        group.append(piece)
    if group:
        yield _Pieces(path, group[0].offset, _end(group[-1]) - group[0].offset, tuple(group))


def _offset(piece: _Piece) -> int:
    return piece.offset


def _end(piece: _Piece) -> int:
    return piece.offset + piece.length
