"""Files of a new version that are taken as they lie: which those are, and which plain bytes need no other work.

A file that both versions have alike, and that looks exactly as it did when its content was last vouched for, is not read again:
the same trust as that of a run which finds nothing to do.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import accumulate

from netclnt.layout import Layout
from netclnt.model import Blocks, Entry, EntryType
from netclnt.protocols import Facts


def unchanged(old: Sequence[Entry], new: Sequence[Entry], facts: Mapping[str, Facts]) -> Iterator[tuple[int, Facts]]:
    """The numbers of the ``new`` entries that are files with content and were the same in the ``old`` version, which looked as
    ``facts`` say."""
    before = {entry.path: entry for entry in old}
    for number, entry in enumerate(new):
        if entry.type is EntryType.FILE and entry.size and entry.path in facts and before.get(entry.path) == entry:
            yield number, facts[entry.path]


class Linked:
    """The files of a version that staging has as second names of live ones, by the numbers of their entries, and where their
    bytes lie among the version's plain ones."""

    def __init__(self, layout: Layout, files: Collection[int]) -> None:
        self._files = frozenset(files)
        self._begins, self._ends = array("Q"), array("Q")
        for file, (begin, end) in zip(layout.files, layout.ranges(), strict=True):
            if file not in self._files:
                continue
            if self._ends and self._ends[-1] == begin:
                self._ends[-1] = end
            else:
                self._begins.append(begin)
                self._ends.append(end)
        self.size = sum(self._ends) - sum(self._begins)
        """Plain bytes, all told."""

    def __bool__(self) -> bool:
        return bool(self._begins)

    def __contains__(self, file: int) -> bool:
        return file in self._files

    def covers(self, offset: int, length: int) -> bool:
        """Whether a range of plain bytes lies wholly in linked files."""
        index = bisect_right(self._begins, offset) - 1
        return index >= 0 and offset + length <= self._ends[index]

    def blocks(self, blocks: Blocks, start: int) -> Sequence[bool]:
        """For each block of a page that begins at plain offset ``start`` whether it lies in linked files; empty if none does."""
        if not self._begins:
            return ()
        offsets = accumulate(blocks.lengths, initial=start)
        found = [self.covers(offset, length) for offset, length in zip(offsets, blocks.lengths, strict=False)]
        return found if any(found) else ()
