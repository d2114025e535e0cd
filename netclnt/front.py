"""The front of an assembly: pages become complete in any order; the digests of files follow in theirs, never ahead of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

import xxhash

from netclnt.checking import BUFFER_SIZE, EMPTY_SHA256, read_parts, segments, wrong_blocks, zero_parts
from netclnt.errors import ContentMismatch
from netclnt.localmanifests import LocalManifest
from netclnt.model import ZERO_ID, Blocks
from netclnt.plainstage import PlainStage
from netclnt.plan import PagePlan
from netclnt.protocols import Digester, DigesterLost
from netclnt.settled import Settled

if TYPE_CHECKING:
    from hashlib import _Hash as HASH

T = TypeVar("T")

_TELL_SECONDS = 0.5


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
    ended: list[tuple[int, bytes]] = field(default_factory=list)


class Front:
    """Follows the complete pages of one version in order: those of ``plans`` as they come, all others are complete already.

    ``settled`` files are passed over: a page that has some cannot be checked as a whole, so its other blocks are looked at one by
    one. ``on_page`` is called after each page, and while one is awaited. ``reused`` are the bytes that each planned page took
    from seeds; ``awaited`` the pages that are not complete. Used by one thread.
    """

    def __init__(
        self,
        image: str,
        manifest: LocalManifest,
        plans: Mapping[int, PagePlan],
        settled: Settled,
        stage: PlainStage,
        on_page: Callable[[Done], None],
    ) -> None:
        self._image = image
        self._manifest = manifest
        self._settled = settled
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
        self._digester = None if manifest.head.tree else stage.digester(manifest.head.hash_seed)
        self.reused = {number: plan.reused for number, plan in plans.items()}
        self.done = Done(reused=settled.linked)

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

    def next_of(self, complete: SimpleQueue[T]) -> T:
        """The next of what becomes complete. Until it comes, ``on_page`` is called now and then: over a thin line a page takes
        long, and more of it has been fetched each time."""
        while True:
            try:
                return complete.get(timeout=_TELL_SECONDS)
            except Empty:
                self._on_page(self.done)

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
        if not self._is_good(page, number):
            self.awaited.add(number)
            return False
        for file, digest in page.ended:
            entry = self._entries[self._layout.files[file]]
            if digest != entry.sha256:
                raise ContentMismatch(self._image, entry.path, entry.sha256.hex(), digest.hex())
        self._digest, self._file, self._left = page.digest, page.file, page.left
        self._next += 1
        self.done.plain += row.plain
        if number in self.reused:
            self.done.reused += self.reused[number]
            self.done.pages.append(number)
        self._on_page(self.done)
        return True

    def _is_good(self, page: _Digesting, number: int) -> bool:
        """Digest the content of a page; whether it is what the manifest says, settled files apart."""
        start, row = self._manifest.starts[number], self._manifest.head.block_pages[number]
        if self._settled.covers(start, row.plain):
            self._skip(page, row.plain)
            return True
        if self._digester is not None:
            try:
                return self._is_good_beside(self._digester, page, number)
            except DigesterLost:
                self._digester = None
                self._catch_up(page, number)
        blocks = self._manifest.blocks(number)
        settled = self._settled.blocks(blocks, start)
        return self._others_are_good(page, blocks, settled, start) if settled else self._read(page, number) == row.check

    def _is_good_beside(self, digester: Digester, page: _Digesting, number: int) -> bool:
        """The same, of a lone file, by another process."""
        row, blocks = self._manifest.head.block_pages[number], self._manifest.blocks(number)
        parts = [(zeros, length) for zeros, _, length in segments(blocks)]
        sha256 = digester.page(self._manifest.starts[number], parts, row.check)
        if sha256 is None:
            return False
        page.left -= row.plain
        if not page.left:
            page.ended.append((page.file, sha256))
        return True

    def _catch_up(self, page: _Digesting, number: int) -> None:
        """Digest once more what another process knew: the pages before this one."""
        page.left = self._file_size(page.file)
        for earlier in range(number):
            self._read(page, earlier)

    def _others_are_good(self, page: _Digesting, blocks: Blocks, settled: Sequence[bool], start: int) -> bool:
        """Digest those blocks of a page that are not in settled files; whether all of them are what their ids say."""
        for first, count, length in _stretches(blocks, settled):
            if settled[first]:
                self._skip(page, length)
            elif blocks.id(first) == ZERO_ID:
                for part in self._sparse_parts(start, length):
                    self._update(page, part)
            else:
                content = memoryview(self._buffer)[:length]
                offsets = list(accumulate(blocks.lengths[first : first + count], initial=0))
                got = self._stage.read_into(start, content)
                if got < length or wrong_blocks(content, offsets, blocks, first, self._manifest.head.hash_seed):
                    return False
                self._update(page, content)
            start += length
        return True

    def _skip(self, page: _Digesting, length: int) -> None:
        """Pass over a part of the version that lies in settled files."""
        while length and length >= page.left:
            length -= page.left
            self._next_file(page)
        page.left -= length

    def _read(self, page: _Digesting, number: int) -> bytes:
        """Digest the content of a page on both counts; returns what its check should be."""
        manifest = self._manifest
        check = xxhash.xxh3_128(seed=manifest.head.hash_seed)
        for zeros, offset, length in segments(manifest.blocks(number)):
            start = manifest.starts[number] + offset
            for part in self._sparse_parts(start, length) if zeros else self._parts(start, length):
                if not zeros:
                    check.update(part)
                self._update(page, part)
        return check.digest()

    def _parts(self, start: int, length: int) -> Iterator[memoryview]:
        return read_parts(self._stage.read_into, start, length, self._buffer)

    def _sparse_parts(self, start: int, length: int) -> Iterator[memoryview]:
        """The content of a range that should be zeros. Holes are not read, which would take memory for them."""
        end = start + length
        for begin, size in self._stage.data_ranges(start, length):
            yield from zero_parts(begin - start)
            yield from self._parts(begin, size)
            start = begin + size
        yield from zero_parts(end - start)

    def _update(self, page: _Digesting, part: memoryview) -> None:
        """Digest a part of the version, which may hold several files."""
        while part and len(part) >= page.left:
            page.digest.update(part[: page.left])
            if self._layout.files[page.file] not in self._settled:
                page.ended.append((page.file, page.digest.digest()))
            part = part[page.left :]
            self._next_file(page)
        page.digest.update(part)
        page.left -= len(part)

    def _next_file(self, page: _Digesting) -> None:
        page.digest, page.file = hashlib.sha256(), page.file + 1
        page.left = self._file_size(page.file)

    def _file_size(self, file: int) -> int:
        files = self._layout.files
        return self._entries[files[file]].size if file < len(files) else 0


def _stretches(blocks: Blocks, settled: Sequence[bool]) -> Iterator[tuple[int, int, int]]:
    """(first, count, length) of neighbouring blocks that are all settled; or none is, and they fit into a buffer; or a run of
    zeros alone."""
    first = total = 0
    for index, (id_, length) in enumerate(blocks):
        fits = settled[index] or (total + length <= BUFFER_SIZE and ZERO_ID not in (id_, blocks.id(first)))
        if index and not (settled[index] == settled[first] and fits):
            yield first, index - first, total
            first, total = index, 0
        total += length
    yield first, len(blocks) - first, total
