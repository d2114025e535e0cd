"""The front of an assembly: pages become complete in any order; the digests of files follow in theirs, never ahead of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import xxhash

from netclnt.checking import BUFFER_SIZE, EMPTY_SHA256, read_parts, segments
from netclnt.errors import ContentMismatch
from netclnt.localmanifests import LocalManifest
from netclnt.plainstage import PlainStage
from netclnt.plan import PagePlan

if TYPE_CHECKING:
    from hashlib import _Hash as HASH


@dataclass(slots=True)
class Done:
    """How far it is, in order: plain bytes digested, of them reused; planned pages passed since somebody emptied the list."""

    plain: int = 0
    reused: int = 0
    pages: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Digesting:
    """How far the digests would be behind a page: the one that is open, its file's number among those with content, and the bytes
    which that still lacks; and the files that ended, with theirs."""

    digest: HASH
    file: int
    left: int
    ended: list[tuple[int, HASH]] = field(default_factory=list)


class Front:
    """Follows the complete pages of one version in order: those of ``plans`` as they come, all others are complete already.

    ``on_page`` is called after each page. ``reused`` are the bytes that each planned page took from seeds; ``awaited`` the pages
    that are not complete. Used by one thread.
    """

    def __init__(
        self,
        image: str,
        manifest: LocalManifest,
        plans: Mapping[int, PagePlan],
        stage: PlainStage,
        on_page: Callable[[Done], None],
    ) -> None:
        self._image = image
        self._manifest = manifest
        self._stage = stage
        self._on_page = on_page
        self.awaited = set(plans)
        self._late: set[int] = set()
        self._next = 0
        self._digest = hashlib.sha256()
        self._buffer = bytearray(BUFFER_SIZE)
        self._entries = manifest.entries
        self._layout = manifest.layout
        self._file = 0
        self._left = self._file_size(0)
        self.reused = {number: plan.reused for number, plan in plans.items()}
        self.done = Done()

    def take(self, number: int, late: bool) -> None:
        """A page is complete; but for its late blocks, if so."""
        self.awaited.discard(number)
        if late:
            self._late.add(number)

    def ready(self) -> Iterator[tuple[int, bool]]:
        """The pages that can be digested now, in order, and whether their late blocks are to be copied before; each is to be
        digested before the next is asked for."""
        while self._next < len(self._manifest.starts) and self._next not in self.awaited:
            yield self._next, self._next in self._late

    def ahead(self) -> Iterator[int]:
        """The complete pages that are not digested yet, those that lack late blocks left out."""
        pages = range(self._next, len(self._manifest.starts))
        return (number for number in pages if number not in self.awaited and number not in self._late)

    def give_back(self) -> set[int]:
        """The pages that were taken and still lack their late blocks: they are awaited again."""
        late, self._late = self._late, set()
        self.awaited |= late
        return late

    def finish(self) -> None:
        """Look at what no page tells of: files without content."""
        for entry in self._entries:
            if entry.sha256 and not entry.size and entry.sha256 != EMPTY_SHA256:
                raise ContentMismatch(self._image, entry.path, entry.sha256.hex(), EMPTY_SHA256.hex())

    def digest(self, number: int) -> bool:
        """Digest the page that is ready. False if its content is not what its check says: it is awaited again, as though it had
        not been looked at. Raises ContentMismatch for a file that ends in it."""
        self._late.discard(number)
        page = _Digesting(self._digest.copy(), self._file, self._left)
        row = self._manifest.head.block_pages[number]
        if self._read(page, number) != row.check:
            self.awaited.add(number)
            return False
        for file, digest in page.ended:
            entry = self._entries[self._layout.files[file]]
            if digest.digest() != entry.sha256:
                raise ContentMismatch(self._image, entry.path, entry.sha256.hex(), digest.hexdigest())
        self._digest, self._file, self._left = page.digest, page.file, page.left
        self._next += 1
        self.done.plain += row.plain
        if number in self.reused:
            self.done.reused += self.reused[number]
            self.done.pages.append(number)
        self._on_page(self.done)
        return True

    def _read(self, page: _Digesting, number: int) -> bytes:
        """Digest the content of a page on both counts; returns what its check should be."""
        manifest = self._manifest
        check = xxhash.xxh3_128(seed=manifest.head.hash_seed)
        for zeros, offset, length in segments(manifest.blocks(number)):
            for part in read_parts(self._stage.read_into, manifest.starts[number] + offset, length, self._buffer):
                if not zeros:
                    check.update(part)
                self._update(page, part)
        return check.digest()

    def _update(self, page: _Digesting, part: memoryview) -> None:
        """Digest a part of the version, which may hold several files."""
        while part and len(part) >= page.left:
            page.digest.update(part[: page.left])
            page.ended.append((page.file, page.digest))
            part = part[page.left :]
            page.digest, page.file = hashlib.sha256(), page.file + 1
            page.left = self._file_size(page.file)
        page.digest.update(part)
        page.left -= len(part)

    def _file_size(self, file: int) -> int:
        files = self._layout.files
        return self._entries[files[file]].size if file < len(files) else 0
