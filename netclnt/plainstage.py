"""A stage addressed by plain offsets: one address space over all files of the version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from netclnt.checking import good_blocks
from netclnt.errors import StorageError, StorageFailed
from netclnt.layout import Layout
from netclnt.model import Blocks
from netclnt.protocols import Digester, Reader, Stage
from netclnt.seeds import Seed

_COPY_SIZE = 1 << 20

_LARGE = 256 << 20
"""From so many bytes on a file is worth a digester: starting one takes as long as digesting 100 MB."""


class _SeedUnreadable(Exception):
    """A seed's file is gone or cannot be read."""


def neighbours(writes: Iterable[tuple[int, memoryview]]) -> Iterator[tuple[int, list[memoryview]]]:
    """Join contents (plain offset, bytes) that come one after the other and lie so, each to be written in one go."""
    begin = end = 0
    views: list[memoryview] = []
    for offset, view in writes:
        if views and offset != end:
            yield begin, views
            views = []
        if not views:
            begin = offset
        views.append(view)
        end = offset + len(view)
    if views:
        yield begin, views


def _taken(views: list[memoryview], length: int) -> Iterator[memoryview]:
    """Take so many bytes off the buffers, which are in a row from the last to the first."""
    while length:
        view = views.pop()
        if len(view) > length:
            views.append(view[length:])
            view = view[:length]
        length -= len(view)
        yield view


@contextmanager
def _opened(seed: Seed, path: str) -> Iterator[Reader]:
    with ExitStack() as stack:
        try:
            reader = stack.enter_context(seed.reader(path))
        except StorageError:
            raise _SeedUnreadable from None
        yield reader


class PlainStage:
    """Reads and writes a stage's files by plain offset. As safe for threads as the stage."""

    def __init__(self, stage: Stage, layout: Layout) -> None:
        self._stage = stage
        self._layout = layout

    def clone(self, seed: Seed) -> bool:
        """Share all blocks with a seed, if both are one file with content, the seed's can be read, and the disk knows how."""
        if len(self._layout.files) != 1 or len(seed.layout.files) != 1:
            return False
        ((path, _, _),) = seed.parts(0, 1)
        with suppress(_SeedUnreadable), _opened(seed, path) as reader:
            return self._stage.clone(self._layout.files[0], reader)
        return False

    def write(self, offset: int, data: Sequence[memoryview]) -> list[tuple[int, Sequence[memoryview]]]:
        """Write the buffers one after the other at ``offset``: each file once. Returns the files that were written whole, by the
        numbers of their entries, with their content."""
        views = list(reversed(data))
        whole: list[tuple[int, Sequence[memoryview]]] = []
        for file, file_offset, length in self._layout.parts(offset, sum(map(len, data))):
            content = list(_taken(views, length))
            self._stage.write(file, file_offset, content)
            if self._layout.is_file(offset, length):
                whole.append((file, content))
            offset += length
        return whole

    def zero(self, offset: int, length: int) -> None:
        for file, file_offset, part in self._layout.parts(offset, length):
            self._stage.zero(file, file_offset, part)

    def copy(self, offset: int, seed: Seed, seed_offset: int, length: int) -> None:
        """Copy from a seed, as far as its files go and can be read: what is missing shows when the page is checked."""
        for file, file_offset, part in self._layout.parts(offset, length):
            for path, from_offset, piece in seed.parts(seed_offset, part):
                with suppress(_SeedUnreadable), _opened(seed, path) as reader:
                    self._copy_part(file, file_offset, reader, from_offset, piece)
                file_offset += piece
            seed_offset += part

    def _copy_part(self, file: int, file_offset: int, reader: Reader, from_offset: int, length: int) -> None:
        try:
            self._stage.copy(file, file_offset, reader, from_offset, length)
        except StorageFailed:
            # Which side failed? A seed that cannot be read is no reason to stop; a disk that cannot be written is one.
            buffer = memoryview(bytearray(length))
            try:
                got = reader.read_into(from_offset, buffer)
            except StorageError:
                raise _SeedUnreadable from None
            self._stage.write(file, file_offset, [buffer[:got]])

    def copy_within(self, offset: int, from_offset: int, length: int) -> None:
        """Copy content that was staged already, from an earlier offset; it may go on with what is being copied."""
        buffer = memoryview(bytearray(min(length, offset - from_offset, _COPY_SIZE)))
        for done in range(0, length, len(buffer)):
            view = buffer[: length - done]
            self.read_into(from_offset + done, view)
            self.write(offset + done, [view])

    def good_blocks(self, blocks: Blocks, *, start: int, hash_seed: int, known: Sequence[bool] = ()) -> list[bool]:
        """For each block of a page whether it is in its place, or ``known`` to be; empty where nothing was ever written to the
        page."""
        length = sum(blocks.lengths)
        if not known and not any(self.data_ranges(start, length)):
            return []
        return good_blocks(self.read_into, blocks, start=start, hash_seed=hash_seed, known=known)

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """(plain offset, length) of the parts of a range that may hold data; all the rest are holes."""
        for file, file_offset, part in self._layout.parts(offset, length):
            for begin, size in self._stage.data_ranges(file, file_offset, part):
                yield offset + begin - file_offset, size
            offset += part

    def digester(self, hash_seed: int) -> Digester | None:
        """A digester of a version that is one large file with content, as ``Stage.digester``; else None."""
        if len(self._layout.files) != 1 or self._layout.size < _LARGE:
            return None
        return self._stage.digester(self._layout.files[0], hash_seed=hash_seed)

    def read_into(self, offset: int, buffer: memoryview) -> int:
        done = 0
        for file, file_offset, part in self._layout.parts(offset, len(buffer)):
            got = self._stage.read_into(file, file_offset, buffer[done : done + part])
            done += got
            if got < part:
                break
        return done
