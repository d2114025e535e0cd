"""Where a version's plain offsets lie in its files."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

from netclnt.model import Entry, EntryType


class Layout:
    """Maps the plain bytes of a version (all files, one after the other, in the order of the entries) to its files."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.files = [number for number, entry in enumerate(entries) if entry.type is EntryType.FILE and entry.size]
        """Numbers of the entries that have content, in order."""
        self.starts: list[int] = []
        """The plain offset at which each of those begins."""
        offset = 0
        for number in self.files:
            self.starts.append(offset)
            offset += entries[number].size
        self.size = offset

    def ranges(self) -> Iterator[tuple[int, int]]:
        """(begin, end) of the plain bytes of each of those files."""
        return pairwise((*self.starts, self.size))

    def is_file(self, offset: int, length: int) -> bool:
        """Whether a range of plain bytes is exactly one file."""
        index = bisect_right(self.starts, offset) - 1
        end = self.starts[index + 1] if index + 1 < len(self.starts) else self.size
        return (offset, offset + length) == (self.starts[index], end)

    def touched(self, offset: int, length: int) -> Sequence[int]:
        """The numbers of the files that a range of plain bytes touches."""
        return self.files[bisect_right(self.starts, offset) - 1 : bisect_left(self.starts, offset + length)] if length else ()

    def parts(self, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
        """(entry number, offset in its file, length) of each file that a range of plain bytes touches; nothing behind the end."""
        index = bisect_right(self.starts, offset) - 1
        length = min(length, self.size - offset)
        while length > 0:
            start = self.starts[index]
            end = self.starts[index + 1] if index + 1 < len(self.starts) else self.size
            part = min(length, end - offset)
            yield self.files[index], offset - start, part
            offset += part
            length -= part
            index += 1
