"""Files of a new version whose staged content is known to be right without a look at it, and the plain bytes they cover.

A file that both versions have alike, and that looks exactly as it did when its content was last vouched for, is not read again:
the same trust as that of a run which finds nothing to do.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence

from netclnt.layout import Layout
from netclnt.model import Blocks, Entry, EntryType
from netclnt.protocols import Facts


def unchanged(old: Sequence[Entry], new: Sequence[Entry], facts: Mapping[str, Facts]) -> Iterator[tuple[int, Facts]]:
    """The numbers of the ``new`` entries that are files with content and were the same in the ``old`` version, which looked as
    ``facts`` say."""
    before = {entry.path: entry for entry in old}
    for number, entry in enumerate(new):
        if entry.type is not EntryType.FILE or not entry.size or entry.path not in facts:
            continue
        if (old_entry := before.get(entry.path)) is entry or old_entry == entry:
            yield number, facts[entry.path]


class Settled:
    """The files of a version, by the numbers of their entries, whose staged content nobody need read: ``linked`` are second names
    of live ones; others were digested whole on their way in. Blocks never span files. Any thread may add one."""

    def __init__(self, layout: Layout, linked: Collection[int]) -> None:
        self._layout = layout
        self._files = set(linked)
        ranges = zip(layout.files, layout.ranges(), strict=True)
        self.linked = sum(end - begin for file, (begin, end) in ranges if file in self._files)
        """Plain bytes of the linked ones, all told."""

    def __bool__(self) -> bool:
        return bool(self._files)

    def __contains__(self, file: int) -> bool:
        return file in self._files

    def add(self, file: int) -> None:
        """The file was digested, and is what its entry says."""
        self._files.add(file)

    def covers(self, offset: int, length: int) -> bool:
        """Whether a range of plain bytes lies wholly in settled files."""
        return self._files.issuperset(self._layout.touched(offset, length))

    def blocks(self, blocks: Blocks, start: int) -> Sequence[bool]:
        """For each block of a page that begins at plain offset ``start`` whether it is of a settled file; empty if none is."""
        touched = self._layout.touched(start, sum(blocks.lengths))
        if self._files.isdisjoint(touched):
            return ()
        if self._files.issuperset(touched):
            return [True] * len(blocks)
        found: list[bool] = []
        begins = self._layout.starts
        end, settled = start, False
        for length in blocks.lengths:
            if start >= end:  # the first block of a file
                index = bisect_right(begins, start)
                end = begins[index] if index < len(begins) else self._layout.size
                settled = self._layout.files[index - 1] in self._files
            found.append(settled if start + length <= end else self.covers(start, length))
            start += length
        return found if any(found) else ()
