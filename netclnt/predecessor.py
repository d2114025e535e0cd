"""The version before the one that is being published, as the master's store has it: blocks of it are the bases of delta frames.

What is new most likely came in the place of something like it: of a tree in the file with the same path (or else name), and
within a file behind the block that the new ones follow, and before the one that follows them, wherever the old version has these:
what an archive or a file system holds is put in another order from time to time.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path

from netclnt.blockindex import Run, write_run
from netclnt.chunking import block_id
from netclnt.dedup import StoreIndex
from netclnt.errors import Damaged, SourceMissing
from netclnt.layout import Layout
from netclnt.locations import EARLIER, Frame, has_deltas
from netclnt.locations import Run as LocatedRun
from netclnt.model import ZERO_ID, Blocks, Bytes, Entry
from netclnt.pack import BASE_MAX, BASE_MIN
from netclnt.protocols import Store
from netclnt.storedframes import StoredFrames
from netclnt.storedmanifest import UNREADABLE, StoredManifest

_SLACK = 4 * 1024
"""Bytes behind the place of a block that its base takes in, and before where it is not known exactly; 16 KiB bring no more."""

_NAMESAKES_LOOKED_AT = 64
"""Of the files with one name."""

_PAGES_KEPT = 32
_END_BYTES = 8

Range = tuple[int, int]
"""Plain offsets in the old version: from, until."""


@dataclass(frozen=True, slots=True)
class BaseBlock:
    """A block of the old version, and where it lies in a plain frame."""

    id: bytes
    length: int
    frame: Frame
    start: int


@dataclass(frozen=True, slots=True)
class CarriedDelta:
    """A delta frame that the old version has for a page, the ids and lengths of its base blocks, and where in it blocks lie."""

    frame: Frame
    base: list[tuple[bytes, int]]
    runs: list[LocatedRun]


class Predecessor:
    """The version with the manifest ``digest``, whose head is ``head_bytes`` long. Nothing is read before the first question;
    where its blocks lie is then written to a file in ``scratch``. The owner closes it.

    One thread asks; :meth:`read` alone may be called from any.
    """

    def __init__(self, store: Store, index: StoreIndex, digest: str, head_bytes: int, *, hash_seed: int, scratch: Path) -> None:
        self._open = partial(StoredManifest, store, digest, head_bytes)
        self._index = index
        self._hash_seed = hash_seed
        self._scratch = scratch
        self._pages: OrderedDict[int, Blocks] = OrderedDict()
        self._frames = StoredFrames(store)
        self._begin = -1
        self._within: Range = 0, 0
        self._shift: int | None = None
        self._is_exact = False
        self._opened: Run | None = None
        self._is_lost = False

    def close(self) -> None:
        """Idempotent."""
        if self._opened is not None:
            self._opened.close()

    def around(self, path: str, begin: int, offset: int, length: int, *, behind: bytes | None) -> Range | None:
        """The old content at the place of a new block, which lies at plain ``offset`` of the new version, in the file ``path``
        that begins at ``begin``; None if there is none. Asked in order. ``behind`` is the id of the block right before if that is
        not new: where the old version has it, there the place begins."""
        if self._is_lost:
            return None
        with self._reading():
            if begin != self._begin:
                self._begin = begin
                self._enter(path)
            if behind is not None:
                self._follow(behind, offset)
            if self._shift is not None:
                low = offset + self._shift
                high = min(self._within[1], low + length + _SLACK)
                low = max(self._within[0], low if self._is_exact else low - _SLACK)
                self._is_exact = False
                return (low, high) if low < high else None
        return None

    def before(self, id_: bytes, offset: int, length: int, run: int) -> Range | None:
        """The old content right before a kept block of that ``length``, which follows ``run`` new bytes at plain ``offset`` of
        the new version: where that is another place than the one that was told of these. Asked in order, too."""
        if self._is_lost:
            return None
        with self._reading():
            expected = None if self._shift is None else offset + length + self._shift
            end = self._end_of(id_, expected)
            if end is not None and (expected is None or abs(end - expected) > _SLACK):
                begin = end - length
                return (max(begin - run, 0), begin) if begin else None
        return None

    def base(self, ranges: Iterable[Range]) -> list[BaseBlock]:
        """The blocks that lie in some ranges, each once, as many as one base may have; nothing if that is too little for one."""
        if self._is_lost:
            return []
        blocks: dict[bytes, int] = {}
        with self._reading():
            blocks.update(self._blocks(sorted(ranges)))
        base: list[BaseBlock] = []
        taken = 0
        for id_, length in blocks.items():
            place = self._index.find(id_) if id_ != ZERO_ID and taken + length <= BASE_MAX else None
            if place is not None:
                taken += length
                base.append(BaseBlock(id_, length, *place))
        return base if taken >= BASE_MIN else []

    def deltas_of(self, digest: bytes) -> list[CarriedDelta]:
        """The delta frames that the old version tells of for a page which it has as well: of use to who skipped it."""
        if self._is_lost:
            return []
        with self._reading():
            number = self._page_numbers.get(digest)
            if number is not None and has_deltas(record := self._manifest.record(number), where=self._manifest.locations_path):
                locations = self._manifest.locations(number, self._page(number), record)
                bases = dict(locations.delta_frames())
                runs: dict[Frame, list[LocatedRun]] = {frame: [] for frame in bases}
                for run in locations.runs:
                    if run.frame != EARLIER and locations.frames[run.frame] in bases:
                        runs[locations.frames[run.frame]].append(run)
                return [CarriedDelta(frame, base, runs[frame]) for frame, base in bases.items()]
        return []

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """A version that the store does not have as it should is no base: whoever verifies the store tells of it. It is lost for
        good then: else nearly each new block would have all of the manifest read, up to the damage."""
        try:
            yield
        except UNREADABLE:
            self._is_lost = True

    def read(self, base: Sequence[BaseBlock]) -> bytes | None:
        """The content of base blocks, joined; None if the store does not have it as it should: whoever verifies it tells that."""
        content: list[Bytes] = []
        try:
            for block in base:
                part = self._frames.plain(block.frame)[block.start : block.start + block.length]
                if block_id(part, self._hash_seed) != block.id:
                    return None
                content.append(part)
        except (Damaged, SourceMissing):
            return None
        return b"".join(content)

    # --- places

    @cached_property
    def _manifest(self) -> StoredManifest:
        return self._open()

    @cached_property
    def _page_numbers(self) -> dict[bytes, int]:
        return {row.digest: number for number, row in enumerate(self._manifest.head.block_pages)}

    @cached_property
    def _files(self) -> _Files:
        return _Files(self._manifest.entries())

    def _enter(self, path: str) -> None:
        """Go on in another file: at the beginning of the one that is like it."""
        head = self._manifest.head
        found = self._files.like(path) if path and head.tree else (0, head.size) if not path and not head.tree else None
        self._within = found or (0, head.size)
        self._shift = found[0] - self._begin if found else None
        self._is_exact = True

    def _follow(self, id_: bytes, offset: int) -> None:
        """Go on behind a kept block, which ends at plain ``offset`` of the new version: where expected, or else anywhere."""
        expected = None if self._shift is None else offset + self._shift
        end = self._end_of(id_, expected)
        if end is not None:
            self._shift = end - offset
            self._is_exact = True
            if not self._within[0] <= end <= self._within[1]:
                self._within = 0, self._manifest.head.size

    def _end_of(self, id_: bytes, expected: int | None) -> int | None:
        """Where a block ends in the old version, ``expected`` if it does so there as well; None if it is not in it."""
        number = -1 if expected is None else bisect_left(self._manifest.starts, expected) - 1
        if number >= 0:
            end = self._manifest.starts[number]
            for here, length in self._page(number):
                end += length
                if end == expected and here == id_:
                    return expected
        value = self._ends.find(id_)
        return None if value is None else int.from_bytes(value, "little")

    @cached_property
    def _ends(self) -> Run:
        """Where the old version's blocks end, by their ids: on disk, as they may be millions."""
        path = self._scratch / "predecessor"
        write_run(path, self._end_records(), value_size=_END_BYTES)
        run = self._opened = Run(path)
        path.unlink()
        return run

    def _end_records(self) -> Iterator[bytes]:
        for number in self._manifest.pages:
            end = self._manifest.starts[number]
            for id_, length in self._manifest.blocks(number):
                end += length
                if id_ != ZERO_ID:
                    yield id_ + end.to_bytes(_END_BYTES, "little")

    def _blocks(self, ranges: Iterable[Range]) -> Iterator[tuple[bytes, int]]:
        """(id, length) of the blocks that overlap some ranges, in order, as often as they do."""
        starts = self._manifest.starts
        for low, high in ranges:
            for number in range(max(bisect_right(starts, low) - 1, 0), bisect_left(starts, high)):
                end = starts[number]
                for id_, length in self._page(number):
                    begin, end = end, end + length
                    if begin < high and end > low:
                        yield id_, length

    def _page(self, number: int) -> Blocks:
        blocks = self._pages.get(number)
        if blocks is None:
            blocks = self._pages[number] = self._manifest.blocks(number)
            if len(self._pages) > _PAGES_KEPT:
                self._pages.popitem(last=False)
        else:
            self._pages.move_to_end(number)
        return blocks


class _Files:
    """Where the files of a tree lie, by their paths."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        layout = Layout(entries)
        self._ranges = {entries[number].path: place for number, place in zip(layout.files, layout.ranges(), strict=True)}

    def like(self, path: str) -> Range | None:
        """The file with this path; else, of those with its name, the one whose path is most like it; None if there is none."""
        return self._ranges.get(path) or self._ranges.get(self._renamed(path))

    def _renamed(self, path: str) -> str:
        parts = path.split("/")

        def likeness(other: str) -> tuple[int, int]:
            others = other.split("/")
            return _alike(parts[::-1], others[::-1]), _alike(parts, others)

        return max(islice(self._by_name.get(parts[-1], ()), _NAMESAKES_LOOKED_AT), key=likeness, default="")

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in self._ranges:
            found.setdefault(path.rpartition("/")[2], []).append(path)
        return found


def _alike(some: Sequence[str], others: Sequence[str]) -> int:
    """How many parts are the same from the beginning on."""
    count = 0
    for one, other in zip(some, others, strict=False):
        if one != other:
            break
        count += 1
    return count
