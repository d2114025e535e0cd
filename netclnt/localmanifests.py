"""Manifests kept on the slave: what it needs to reuse and to verify what it holds.

A cache of facts that the store can give again: whatever is missing or damaged is fetched or made anew.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

from netclnt.errors import Damaged, NetclntError, StorageFailed
from netclnt.layout import Layout
from netclnt.manifest import Head, check_entries, decode_blocks, decode_entries, decode_head, decode_lengths, page_offsets
from netclnt.model import ID_BYTES, ZERO_ID, Blocks, Entry, split_ids

_TRAILER_BYTES = 8
"""Behind the last page stands the length of the head, big-endian: only a whole file has it."""

OFFSET_BYTES = 8
"""Length of a value of an index of blocks: the plain offset of the block, little-endian."""


class LocalManifest:
    """One whole manifest on disk. Safe to read from several threads. The owner closes it."""

    def __init__(self, path: Path, digest: str) -> None:
        with reported("read", path):
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.path = path
        self.digest = digest
        try:
            end = max(os.fstat(self._descriptor).st_size - _TRAILER_BYTES, 0)
            head_bytes = int.from_bytes(self._read(end, _TRAILER_BYTES), "big")
            self.head: Head = decode_head(self._read(0, min(head_bytes, end)), digest)
        except NetclntError:
            self.close()
            raise
        self.entry_offsets, self.block_offsets = page_offsets(self.head, head_bytes)
        self._known: dict[bytes, Entry] | None = None
        self.locations: dict[int, bytes] = {}
        """The encoded locations that came with a manifest just fetched, by block page."""
        self.locations_table: list[tuple[int, int]] | None = None
        """Where the other ones lie in their file, if that came too."""

    @cached_property
    def entries(self) -> list[Entry]:
        """All entries of the version, checked against each other."""
        entries: list[Entry] = []
        for page, offset in zip(self.head.entry_pages, self.entry_offsets, strict=True):
            entries += decode_entries(page, self._read(offset, page.stored), where=str(self.path), known=self._known)
        check_entries(self.head, entries)
        return entries

    def share_entries(self, other: LocalManifest) -> None:
        """Let the two have the same entries where these are alike, as far as they are not decoded yet: versions of one image
        hardly differ, and an entry takes long to check."""
        self._known = other._known = {}

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.entries)

    @cached_property
    def starts(self) -> Sequence[int]:
        """The plain offset at which each block page begins."""
        rows = self.head.block_pages
        return array("Q", accumulate((row.plain for row in rows), initial=0))[: len(rows)]

    def blocks(self, page: int) -> Blocks:
        """The blocks of one page, checked against its digest."""
        row = self.head.block_pages[page]
        return decode_blocks(row, self._read(self.block_offsets[page], row.stored), where=str(self.path))

    def check(self) -> None:
        """Raise Damaged unless every page is what its digest says."""
        for page, offset in zip(self.head.entry_pages, self.entry_offsets, strict=True):
            self._check_page(page.digest, offset, page.stored)
        for block_page, offset in zip(self.head.block_pages, self.block_offsets, strict=True):
            self._check_page(block_page.digest, offset, block_page.stored)

    def _check_page(self, digest: bytes, offset: int, length: int) -> None:
        if hashlib.sha256(self._read(offset, length)).digest() != digest:
            raise Damaged(what="manifest page", where=f"{self.path} at {offset}", problem="not what its digest says")

    def page_bytes(self, offset: int, length: int) -> bytes:
        """A stored page, as it is."""
        return self._read(offset, length)

    def find(self, ids: set[bytes]) -> Iterator[tuple[bytes, int]]:
        """(id, plain offset) of every block that has one of the ids. All pages are looked through, and none is checked."""
        for row, start, position in zip(self.head.block_pages, self.starts, self.block_offsets, strict=True):
            here = split_ids(self._read(position + 4 * row.count, ID_BYTES * row.count))
            found = ids.intersection(here)
            if found:
                offsets = accumulate(decode_lengths(self._read(position, 4 * row.count)), initial=start)
                yield from ((id_, offset) for id_, offset in zip(here, offsets, strict=False) if id_ in found)

    def index_records(self, page: int) -> Iterator[bytes]:
        """For every block of a page its id and its plain offset, joined."""
        offset = self.starts[page]
        for id_, length in self.blocks(page):
            if id_ != ZERO_ID:
                yield id_ + offset.to_bytes(OFFSET_BYTES, "little")
            offset += length

    def _read(self, offset: int, length: int) -> bytes:
        with reported("read", self.path):
            data = os.pread(self._descriptor, length, offset)
        if len(data) != length:
            raise Damaged(what="manifest", where=str(self.path), problem=f"it ends at byte {offset + len(data)}")
        return data

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Manifests:
    """The directory of local manifests, by digest."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with reported("create", directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def __contains__(self, digest: str) -> bool:
        return self._path(digest).exists()

    def open(self, digest: str) -> LocalManifest | None:
        """The manifest if it is here and whole."""
        manifest = _opened(self._path(digest), digest)
        if manifest is None:
            return None
        try:
            manifest.check()
        except Damaged:
            manifest.close()
            return None
        return manifest

    def begun(self, digest: str) -> LocalManifest | None:
        """What had come of a manifest when its parts broke off. Each of its pages may be missing, and is to be checked."""
        return _opened(self._begun(digest), digest)

    def write(self, digest: str, head_bytes: int, parts: Iterable[tuple[int, bytes]]) -> LocalManifest:
        """Make a manifest of parts (offset, bytes) in any order; it is there whole or not at all, and durable: the ledger will
        refer to it, and without it neither a skip nor a verify can do. What came of parts that break off is :meth:`begun`."""
        path = self._path(digest)
        temporary = path.with_suffix(f".{os.getpid()}.new")  # a dry run may be fetching the same one
        with reported("write", path):
            try:
                with temporary.open("wb") as file:
                    _write_parts(file, head_bytes, parts)
                    file.flush()
                    os.fsync(file.fileno())
            except NetclntError:
                temporary.replace(self._begun(digest))
                raise
            temporary.replace(path)
            self._sync_names()
            self._begun(digest).unlink(missing_ok=True)
        return LocalManifest(path, digest)

    def _sync_names(self) -> None:
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def digests(self) -> list[str]:
        """Of all manifests that are here."""
        with reported("list", self._directory):
            return [path.stem for path in self._directory.glob("*.manifest")]

    def others(self, digests: Collection[str]) -> list[tuple[Path, int]]:
        """The files of all other manifests, finished or not, and their sizes."""
        with reported("list", self._directory):
            return list(sized(path for path in sorted(self._directory.iterdir()) if path.name.partition(".")[0] not in digests))

    def keep_only(self, digests: Collection[str]) -> None:
        """Forget all other manifests."""
        with reported("clean", self._directory):
            for path in list(self._directory.iterdir()):
                if path.name.partition(".")[0] not in digests:
                    path.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._directory / f"{digest}.manifest"

    def _begun(self, digest: str) -> Path:
        return self._directory / f"{digest}.begun"


def _opened(path: Path, digest: str) -> LocalManifest | None:
    """None where there is none, or its head is damaged."""
    if not path.exists():
        return None
    try:
        return LocalManifest(path, digest)
    except Damaged:
        return None


def _write_parts(file: BinaryIO, head_bytes: int, parts: Iterable[tuple[int, bytes]]) -> None:
    """Wherever the parts end, the trailer is written behind them."""
    end = 0
    try:
        for offset, data in parts:
            file.seek(offset)
            file.write(data)
            end = max(end, offset + len(data))
    finally:
        file.seek(end)
        file.write(head_bytes.to_bytes(_TRAILER_BYTES, "big"))


def sized(paths: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    """The files with their sizes, without those that went meanwhile: whoever only looks holds nothing. Raises OSError."""
    for path in paths:
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            continue
        yield path, size


@contextmanager
def reported(action: str, path: Path) -> Iterator[None]:
    """Turn an OSError of the state directory into StorageFailed."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(action=action, path=str(path), errno=error.errno or 0, cause=error.strerror or "") from None
