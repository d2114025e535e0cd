"""A stage addressed by plain offsets: one address space over all files of the version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from netclnt.errors import StorageError, StorageFailed
from netclnt.layout import Layout
from netclnt.model import Bytes
from netclnt.protocols import Reader, Stage
from netclnt.seeds import Seed


class _SeedUnreadable(Exception):
    """A seed's file is gone or cannot be read."""


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

    def write(self, offset: int, data: Bytes) -> None:
        view = memoryview(data)
        for file, file_offset, length in self._layout.parts(offset, len(view)):
            self._stage.write(file, file_offset, [view[:length]])
            view = view[length:]

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

    def copy_within(self, offset: int, from_offset: int, length: int, buffer: bytearray) -> None:
        """Copy content that was staged already; at most one block."""
        view = memoryview(buffer)[:length]
        self.read_into(from_offset, view)
        self.write(offset, view)

    def read_into(self, offset: int, buffer: memoryview) -> int:
        done = 0
        for file, file_offset, part in self._layout.parts(offset, len(buffer)):
            got = self._stage.read_into(file, file_offset, buffer[done : done + part])
            done += got
            if got < part:
                break
        return done
