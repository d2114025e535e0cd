"""From wanted blocks to reads of packs: which frames hold them, in which order, joined into long ranges.

Frames of a publish lie in the order of its content, and a frame may serve several pages in a row. So a frame is held back until
no page has asked for it for a while, and then read once for all of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Generic, TypeVar

from netclnt.errors import Damaged, ForbiddenValue
from netclnt.locations import EARLIER, Frame, Locations, decode_record
from netclnt.model import Blocks, Range
from netclnt.pack import PREFIX, pack_path
from netclnt.plan import PagePlan

P = TypeVar("P")

_HELD_BACK_PAGES = 3
"""A frame that so many pages in a row did not ask for is not waited with any longer."""

_HELD_BACK_FRAMES = 48
"""Frames that wait for further pages, at most: at 16 blocks a frame, three pages of blocks."""

_RANGE_MAX = 1 << 20


@dataclass(slots=True)
class Piece(Generic[P]):
    """Blocks that are wanted: ``count`` of them from number ``first`` of ``page`` on; they lie in a row, from ``start`` of
    their frame on."""

    page: P
    first: int
    count: int
    start: int


@dataclass(slots=True)
class WantedFrame(Generic[P]):
    """A frame and all that is wanted of it. ``asked`` is the number of the last page that did, in the order of the asking."""

    frame: Frame
    asked: int
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
        self._page = 0

    def add(self, frame: Frame, piece: Piece[P]) -> None:
        wanted = self._frames.get(frame)
        if wanted is None:
            wanted = self._frames[frame] = WantedFrame(frame, self._page)
        else:
            wanted.asked = self._page
            self._frames.move_to_end(frame)
        wanted.pieces.append(piece)

    def due(self) -> Iterator[WantedFrame[P]]:
        """Ends a page: what need not be waited with any longer."""
        self._page += 1
        while self._frames:
            oldest = next(iter(self._frames.values()))
            if len(self._frames) <= _HELD_BACK_FRAMES and self._page - oldest.asked <= _HELD_BACK_PAGES:
                return
            yield self._frames.popitem(last=False)[1]

    def rest(self) -> Iterator[WantedFrame[P]]:
        while self._frames:
            yield self._frames.popitem(last=False)[1]


def located(
    record: bytes, blocks: Blocks, plan: PagePlan, *, page_start: int, where: str, deltas: Container[Frame]
) -> Iterator[tuple[int, int, Frame | None, int]]:
    """What :func:`locate` tells of a plan's missing blocks by the encoded locations of their page; nothing if damaged."""
    try:
        locations = decode_record(record, blocks, page_start=page_start, where=where)
    except (Damaged, ForbiddenValue):
        return  # nothing vouches for locations: one that is out of range is as good as damaged
    offsets = list(accumulate(blocks.lengths, initial=0))
    yield from locate(locations, offsets, ((run.first, run.count) for run in plan.missing_runs()), deltas=deltas)


def locate(
    locations: Locations, offsets: Sequence[int], missing: Iterable[tuple[int, int]], *, deltas: Container[Frame]
) -> Iterator[tuple[int, int, Frame | None, int]]:
    """Where missing blocks of a page lie, as far as locations tell, each block once: (first block, count, frame, start in it). No
    frame means that they lie earlier in the version, from plain offset ``start`` on.

    ``offsets`` are those of the page's blocks and of its end; ``missing`` are runs of blocks (first, count); ``deltas`` the delta
    frames that can be used: of any other the plain form is taken."""
    left = sum(_bits(first, count) for first, count in missing)
    for run in locations.runs:
        frame = None if run.frame == EARLIER else locations.frames[run.frame]
        if frame is not None and frame.codec == PREFIX and frame not in deltas:
            continue
        here = left & _bits(run.first, run.count)
        left ^= here
        while here:
            first = (here & -here).bit_length() - 1
            rest = here >> first
            count = (~rest & (rest + 1)).bit_length() - 1
            here ^= _bits(first, count)
            yield first, count, frame, run.start + offsets[first] - offsets[run.first]


def _bits(first: int, count: int) -> int:
    return ((1 << count) - 1) << first


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
