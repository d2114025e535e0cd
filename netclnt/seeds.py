"""Seeds: local content that blocks may be taken from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

from netclnt.blockindex import Run
from netclnt.errors import Damaged
from netclnt.layout import Layout
from netclnt.model import Entry
from netclnt.protocols import Reader, Stage

_KEPT_OPEN_MAX = 32
"""A seed of at most so many files keeps them open; files of a larger tree are opened for each use."""


class Local:
    """One content on local disk, read by plain offset. ``open_file`` opens the file with a path inside the content. Safe to use
    from several threads. The owner closes it.
    """

    def __init__(self, entries: Sequence[Entry], open_file: Callable[[str], Reader]) -> None:
        self.layout = Layout(entries)
        self._entries = entries
        self._open_file = open_file
        self._keep = len(self.layout.files) <= _KEPT_OPEN_MAX
        self._readers: dict[str, Reader] = {}
        self._lock = Lock()

    def parts(self, offset: int, length: int) -> Iterator[tuple[str, int, int]]:
        """(path, offset in that file, length) of each file that a range of plain bytes touches."""
        for number, start, part in self.layout.parts(offset, length):
            yield self._entries[number].path, start, part

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill a buffer from a plain offset; returns the bytes read, fewer only where a file is shorter than it should be."""
        done = 0
        for path, start, part in self.parts(offset, len(buffer)):
            with self.reader(path) as reader:
                got = reader.read_into(start, buffer[done : done + part])
            done += got
            if got < part:
                break
        return done

    @contextmanager
    def reader(self, path: str) -> Iterator[Reader]:
        """The file, open; usable from several threads at once."""
        if not self._keep:
            reader = self._open_file(path)
            try:
                yield reader
            finally:
                reader.close()
            return
        with self._lock:
            kept = self._readers.get(path)
            if kept is None:
                kept = self._readers[path] = self._open_file(path)
        yield kept

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()


class Seed(Local):
    """A local content whose blocks are known: an index from ids to plain offsets, which it closes with itself.

    ``pages`` maps digests of block pages to plain offsets, so that an unchanged page is found as a whole. Whether the bytes
    still are what the index says is checked by whoever copies them.
    """

    def __init__(self, entries: Sequence[Entry], index: Run, pages: dict[bytes, int], open_file: Callable[[str], Reader]) -> None:
        super().__init__(entries, open_file)
        self.index = index
        self.pages = pages

    def close(self) -> None:
        self.index.close()
        super().close()


class StagedSeed(Seed):
    """What lies in a staging area, which it closes with itself."""

    def __init__(self, entries: Sequence[Entry], index: Run, stage: Stage) -> None:
        super().__init__(entries, index, {}, self._open)
        self._stage = stage
        self._numbers = {entry.path: number for number, entry in enumerate(entries)}

    def _open(self, path: str) -> Reader:
        number = self._numbers[path]
        return _StagedReader(self._stage, number, self._entries[number].size)

    def close(self) -> None:
        super().close()
        self._stage.close()


class _StagedReader:
    """A Reader of one staged file."""

    def __init__(self, stage: Stage, file: int, size: int) -> None:
        self._stage = stage
        self._file = file
        self.size = size

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> int:
        return self._stage.read_into(self._file, offset, buffer)

    def close(self) -> None:
        """The stage stays open for its other files."""


class Seeds:
    """Several seeds, asked one after the other; the first that has a block serves. Closes them."""

    def __init__(self, seeds: Sequence[Seed]) -> None:
        self._seeds = seeds

    def __getitem__(self, number: int) -> Seed:
        return self._seeds[number]

    def find(self, id_: bytes) -> tuple[int, int] | None:
        for number, seed in enumerate(self._seeds):
            try:
                value = seed.index.find(id_)
            except Damaged:
                seed.index.path.unlink(missing_ok=True)  # the next run makes it anew
                continue
            if value is not None:
                return number, int.from_bytes(value, "little")
        return None

    def find_page(self, digest: bytes) -> tuple[int, int] | None:
        for number, seed in enumerate(self._seeds):
            offset = seed.pages.get(digest)
            if offset is not None:
                return number, offset
        return None

    def close(self) -> None:
        for seed in self._seeds:
            seed.close()
