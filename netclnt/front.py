"""The front of an assembly: pages become complete in any order; the digests of files follow in theirs, never ahead of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from netclnt.checking import BUFFER_SIZE, EMPTY_SHA256, read_parts
from netclnt.errors import ContentMismatch
from netclnt.localmanifests import LocalManifest
from netclnt.plainstage import PlainStage
from netclnt.plan import PagePlan


@dataclass(slots=True)
class Done:
    """How far it is, in order: plain bytes digested, of them reused; planned pages passed since somebody emptied the list."""

    plain: int = 0
    reused: int = 0
    pages: list[int] = field(default_factory=list)


class Front:
    """Follows the complete pages of one version in order: those of ``plans`` as they come, all others are complete already.

    ``on_page`` is called after each page. ``reused`` are the bytes that each planned page took from seeds. Used by one thread.
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
        self._awaited = set(plans)
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

    def take(self, number: int, late: bool) -> Iterator[int]:
        """Take a complete page, and go on as far as possible; yields each page whose late blocks are to be copied now."""
        self._awaited.discard(number)
        if late:
            self._late.add(number)
        while self._next < len(self._manifest.starts) and self._next not in self._awaited:
            if self._next in self._late:
                self._late.discard(self._next)
                yield self._next
                if self._next in self._awaited:
                    return
            self._pass(self._next)
            self._next += 1

    def refuse(self, number: int) -> None:
        """The page that was yielded is not complete after all."""
        self._awaited.add(number)

    def give_back(self) -> set[int]:
        """The pages that were taken and still lack their late blocks: they are awaited again."""
        late, self._late = self._late, set()
        self._awaited |= late
        return late

    def finish(self) -> None:
        """Digest what no page announced: complete pages at the end, and files without content."""
        while self._next < len(self._manifest.starts):
            self._pass(self._next)
            self._next += 1
        for entry in self._entries:
            if entry.sha256 and not entry.size and entry.sha256 != EMPTY_SHA256:
                raise ContentMismatch(self._image, entry.path, entry.sha256.hex(), EMPTY_SHA256.hex())

    def _pass(self, number: int) -> None:
        manifest = self._manifest
        plain = manifest.head.block_pages[number].plain
        left = plain
        while left:
            length = min(left, self._left)
            start = manifest.starts[number] + plain - left
            for part in read_parts(self._stage.read_into, start, length, self._buffer):
                self._digest.update(part)
            left -= length
            self._left -= length
            if not self._left:
                self._end_file()
        self.done.plain += plain
        if number in self.reused:
            self.done.reused += self.reused[number]
            self.done.pages.append(number)
        self._on_page(self.done)

    def _end_file(self) -> None:
        entry = self._entries[self._layout.files[self._file]]
        if self._digest.digest() != entry.sha256:
            raise ContentMismatch(self._image, entry.path, entry.sha256.hex(), self._digest.hexdigest())
        self._digest = hashlib.sha256()
        self._file += 1
        self._left = self._file_size(self._file)

    def _file_size(self, file: int) -> int:
        files = self._layout.files
        return self._entries[files[file]].size if file < len(files) else 0
