"""From wanted blocks to reads of packs: which frames hold them, in which order, joined into long ranges.

Frames of a publish lie in the order of its content, and a frame may serve several pages in a row. So a frame is held back until
no page has asked for it for a while, and then read once for all of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from netclnt.locations import EARLIER, Frame, Locations
from netclnt.model import Blocks, Range
from netclnt.pack import pack_path

P = TypeVar("P")

_HELD_BACK = 48
"""Frames that wait for further pages: at 16 blocks a frame, three pages of blocks."""

_RANGE_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Piece(Generic[P]):
    """A block that is wanted: ``length`` bytes from ``start`` of its frame, for block number ``block`` of ``page``."""

    start: int
    length: int
    page: P
    block: int


@dataclass(slots=True)
class WantedFrame(Generic[P]):
    frame: Frame
    pieces: list[Piece[P]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FrameRange(Range, Generic[P]):
    """Neighbouring frames of one pack, read at once."""

    frames: tuple[WantedFrame[P], ...]

    def split(self, data: bytes) -> Iterator[tuple[WantedFrame[P], memoryview]]:
        """Each frame with its stored bytes."""
        view = memoryview(data)
        for wanted in self.frames:
            start = wanted.frame.offset - self.offset
            yield wanted, view[start : start + wanted.frame.stored]


class HeldBack(Generic[P]):
    """Collects pieces by frame; lets go of the frames that were not asked for of late."""

    def __init__(self) -> None:
        self._frames: OrderedDict[Frame, WantedFrame[P]] = OrderedDict()

    def add(self, frame: Frame, piece: Piece[P]) -> None:
        wanted = self._frames.get(frame)
        if wanted is None:
            wanted = self._frames[frame] = WantedFrame(frame)
        else:
            self._frames.move_to_end(frame)
        wanted.pieces.append(piece)

    def due(self) -> Iterator[WantedFrame[P]]:
        while len(self._frames) > _HELD_BACK:
            yield self._frames.popitem(last=False)[1]

    def rest(self) -> Iterator[WantedFrame[P]]:
        while self._frames:
            yield self._frames.popitem(last=False)[1]


def locate(locations: Locations, blocks: Blocks, missing: Collection[int]) -> Iterator[tuple[int, int, Frame | None, int]]:
    """(number, length, frame, start) of each missing block that the locations tell of; no frame means that it lies earlier in
    the version, at plain offset ``start``."""
    left = set(missing)
    for run in locations.runs:
        start = run.start
        for index in range(run.first, run.first + run.count):
            length = blocks.lengths[index]
            if index in left:
                left.discard(index)
                yield index, length, None if run.frame == EARLIER else locations.frames[run.frame], start
            start += length


def joined(frames: Iterable[WantedFrame[P]]) -> Iterator[FrameRange[P]]:
    """Join frames that come one after the other in a pack into ranges of up to a megabyte."""
    group: list[WantedFrame[P]] = []
    for wanted in frames:
        if group and not _continues(group, wanted.frame):
            yield _range(group)
            group = []
        group.append(wanted)
    if group:
        yield _range(group)


def _continues(group: list[WantedFrame[P]], frame: Frame) -> bool:
    first, last = group[0].frame, group[-1].frame
    return (
        frame.pack == last.pack
        and frame.offset == last.offset + last.stored
        and frame.offset + frame.stored - first.offset <= _RANGE_MAX
    )


def _range(group: list[WantedFrame[P]]) -> FrameRange[P]:
    first, last = group[0].frame, group[-1].frame
    return FrameRange(pack_path(first.pack), first.offset, last.offset + last.stored - first.offset, tuple(group))
