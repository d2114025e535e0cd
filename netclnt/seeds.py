"""Seeds: local content that blocks may be taken from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from threading import Lock

from netclnt.blockindex import Run
from netclnt.errors import Damaged
from netclnt.layout import Layout
from netclnt.localmanifests import LocalManifest
from netclnt.model import Entry
from netclnt.protocols import Reader, Stage

_KEPT_OPEN_MAX = 32
"""A seed of at most so many files keeps them open; files of a larger tree are opened for each use."""


class Local:
    """One content on local disk, read by plain offset. ``entries`` tells what it consists of, once somebody asks; ``open_file``
    opens the file with a path inside the content. Safe to use from several threads. The owner closes it.
    """

    def __init__(self, entries: Callable[[], Sequence[Entry]], open_file: Callable[[str], Reader]) -> None:
        self._tell_entries = entries
        self._open_file = open_file
        self._readers: dict[str, Reader] = {}
        self._lock = Lock()

    @cached_property
    def entries(self) -> Sequence[Entry]:
        return self._tell_entries()

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.entries)

    def parts(self, offset: int, length: int) -> Iterator[tuple[str, int, int]]:
        """(path, offset in that file, length) of each file that a range of plain bytes touches."""
        for number, start, part in self.layout.parts(offset, length):
            yield self.entries[number].path, start, part

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
        if len(self.layout.files) > _KEPT_OPEN_MAX:
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


class Seed(Local, ABC):
    """A local content whose blocks are known. Whether the bytes still are what it says is checked by whoever copies them."""

    pages: Mapping[bytes, int] = {}
    """Plain offsets of whole block pages by their digests, so that an unchanged page is found as one."""

    def share_entries(self, manifest: LocalManifest) -> None:
        """The version that ``manifest`` tells of may have entries in common with this seed, which are then decoded once."""

    @abstractmethod
    def find(self, ids: set[bytes]) -> Iterator[tuple[bytes, int]]:
        """(id, plain offset) of those of the blocks that are here; of a block that is here twice any place, or both.

        Raises Damaged when it finds that it does not know."""


class VersionSeed(Seed):
    """A whole version, its blocks known from its manifest, which it closes with itself."""

    def __init__(self, manifest: LocalManifest, open_file: Callable[[str], Reader]) -> None:
        super().__init__(lambda: manifest.entries, open_file)
        self.pages = dict(zip((page.digest for page in manifest.head.block_pages), manifest.starts, strict=True))
        self._manifest = manifest

    def share_entries(self, manifest: LocalManifest) -> None:
        """As :meth:`LocalManifest.share_entries`."""
        manifest.share_entries(self._manifest)

    def find(self, ids: set[bytes]) -> Iterator[tuple[bytes, int]]:
        return self._manifest.find(ids)

    def close(self) -> None:
        self._manifest.close()
        super().close()


class IndexedSeed(Seed):
    """A content with an index from the ids of its blocks to plain offsets, which it closes with itself."""

    def __init__(self, entries: Sequence[Entry], index: Run, open_file: Callable[[str], Reader]) -> None:
        super().__init__(lambda: entries, open_file)
        self._index = index

    def find(self, ids: set[bytes]) -> Iterator[tuple[bytes, int]]:
        try:
            for id_ in ids:
                value = self._index.find(id_)
                if value is not None:
                    yield id_, int.from_bytes(value, "little")
        except Damaged:
            self._index.path.unlink(missing_ok=True)  # the next run makes it anew
            raise

    def close(self) -> None:
        self._index.close()
        super().close()


class StagedSeed(IndexedSeed):
    """What lies in a staging area, which it closes with itself."""

    def __init__(self, entries: Sequence[Entry], index: Run, stage: Stage) -> None:
        super().__init__(entries, index, self._open)
        self._stage = stage
        self._files = entries
        self._numbers = {entry.path: number for number, entry in enumerate(entries)}

    def _open(self, path: str) -> Reader:
        number = self._numbers[path]
        return _StagedReader(self._stage, number, self._files[number].size)

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

    def __len__(self) -> int:
        return len(self._seeds)

    def find(self, ids: set[bytes]) -> dict[bytes, tuple[int, int]]:
        """For each of the blocks that is here the number of a seed and a plain offset in it."""
        found: dict[bytes, tuple[int, int]] = {}
        left = set(ids)
        for number, seed in enumerate(self._seeds):
            with suppress(Damaged):
                for id_, offset in seed.find(left):
                    found.setdefault(id_, (number, offset))
            left.difference_update(found)
            if not left:
                break
        return found

    def find_page(self, digest: bytes) -> tuple[int, int] | None:
        for number, seed in enumerate(self._seeds):
            offset = seed.pages.get(digest)
            if offset is not None:
                return number, offset
        return None

    def close(self) -> None:
        for seed in self._seeds:
            seed.close()
