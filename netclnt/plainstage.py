"""A stage addressed by plain offsets: one address space over all files of the version."""

from __future__ import annotations

from netclnt.layout import Layout
from netclnt.model import Bytes
from netclnt.protocols import Stage
from netclnt.seeds import Seed


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
        """Copy from a seed, as far as its files go: what is missing shows when the page is checked."""
        for file, file_offset, part in self._layout.parts(offset, length):
            for path, from_offset, piece in seed.parts(seed_offset, part):
                with seed.reader(path) as reader:
                    self._stage.copy(file, file_offset, reader, from_offset, piece)
                file_offset += piece
            seed_offset += part

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
