"""The plan of one version: for each page, which blocks can be taken from where, and which must be fetched."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import overload

from netclnt.model import ZERO_ID, Blocks

MISSING = -1
"""The blocks are nowhere here."""

ZEROS = -2
"""The blocks are runs of zeros."""

STAGED = -3
"""The blocks are in their place in staging already."""

_NOWHERE = (MISSING, 0)

Find = Callable[[bytes], tuple[int, int] | None]
"""Looks up a block id: (number of the seed, plain offset in it), or None."""


@dataclass(slots=True)  # not frozen: one is made for each run, which takes three times as long when it is
class PageRun:
    """``count`` blocks of a page from ``first`` on. ``seed`` is the number of the seed that has them, one after the other from
    its plain ``offset`` on, or one of MISSING, ZEROS, STAGED."""

    first: int
    count: int
    seed: int
    offset: int = 0


class PageRuns(Sequence[PageRun]):
    """Runs that cover a page without a gap, in a few bytes each: a plan of millions of blocks lies in memory until it is carried
    out. Only blocks of seeds have an offset."""

    __slots__ = ("_counts", "_offsets", "_seeds")

    def __init__(self, runs: Sequence[PageRun]) -> None:
        self._counts = array("H", [run.count for run in runs]).tobytes()
        self._seeds = array("h", [run.seed for run in runs]).tobytes()
        self._offsets = array("Q", [run.offset for run in runs if run.seed >= 0]).tobytes()

    def __len__(self) -> int:
        return len(self._seeds) // 2

    def __iter__(self) -> Iterator[PageRun]:
        offsets = iter(memoryview(self._offsets).cast("Q"))
        first = 0
        for count, seed in zip(memoryview(self._counts).cast("H"), memoryview(self._seeds).cast("h"), strict=True):
            yield PageRun(first, count, seed, next(offsets) if seed >= 0 else 0)
            first += count

    @overload
    def __getitem__(self, index: int) -> PageRun: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PageRun]: ...
    def __getitem__(self, index: int | slice) -> PageRun | Sequence[PageRun]:
        return tuple(self)[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)


@dataclass(frozen=True, slots=True)
class PagePlan:
    """``reused`` and ``missing`` count plain bytes, ``blocks_missing`` blocks."""

    runs: Sequence[PageRun]
    reused: int
    missing: int
    blocks_missing: int

    def missing_runs(self) -> Iterator[PageRun]:
        return (run for run in self.runs if run.seed == MISSING)


def plan_page(blocks: Blocks, find: Find, *, staged: Sequence[bool] = ()) -> PagePlan:
    """Plan one page. ``staged`` says for each block whether it is in its place already (empty: none is)."""
    runs: list[PageRun] = []
    reused = missing = blocks_missing = 0
    first, seed, offset, following = 0, ZEROS, 0, 0
    for index, (id_, length) in enumerate(blocks):
        if staged and staged[index]:
            block_seed, block_offset = STAGED, 0
        elif id_ == ZERO_ID:
            block_seed, block_offset = ZEROS, 0
        else:
            block_seed, block_offset = find(id_) or _NOWHERE
        if block_seed != seed or (seed >= 0 and block_offset != following):
            if index:
                runs.append(PageRun(first, index - first, seed, offset))
            first, seed, offset = index, block_seed, block_offset
        following = block_offset + length
        if block_seed == MISSING:
            missing += length
            blocks_missing += 1
        elif block_seed >= 0:
            reused += length
    runs.append(PageRun(first, len(blocks) - first, seed, offset))
    return PagePlan(PageRuns(runs), reused, missing, blocks_missing)


def missing_page(blocks: Blocks) -> PagePlan:
    """The plan of a page of which nothing is here."""
    if blocks.zeros():
        return plan_page(blocks, _find_nothing)
    count = len(blocks)
    return PagePlan(PageRuns([PageRun(0, count, MISSING)]), 0, sum(blocks.lengths), count)


def whole_page(blocks: Blocks, seed: int, offset: int) -> PagePlan:
    """The plan of a page whose very content lies at a seed's plain ``offset``."""
    zeros = blocks.zeros()
    if not zeros:
        return PagePlan(PageRuns([PageRun(0, len(blocks), seed, offset)]), sum(blocks.lengths), 0, 0)
    offsets = list(accumulate(blocks.lengths, initial=offset))
    runs: list[PageRun] = []
    first = 0
    for index in zeros:
        if index > first:
            runs.append(PageRun(first, index - first, seed, offsets[first]))
        runs.append(PageRun(index, 1, ZEROS))
        first = index + 1
    if len(blocks) > first:
        runs.append(PageRun(first, len(blocks) - first, seed, offsets[first]))
    return PagePlan(PageRuns(runs), offsets[-1] - offset - sum(blocks.lengths[index] for index in zeros), 0, 0)


def repair_page(blocks: Blocks, good: Sequence[bool], plan: PagePlan | None) -> PagePlan:
    """The plan of a page that is in staging but for the blocks that are not ``good``, which are to be fetched. As reused counts
    what ``plan``, if there was one, had taken from seeds and is good."""
    runs = plan.runs if plan else ()
    from_seeds = (index for run in runs if run.seed >= 0 for index in range(run.first, run.first + run.count))
    reused = sum(blocks.lengths[index] for index in from_seeds if good[index])
    return replace(plan_page(blocks, _find_nothing, staged=good), reused=reused)


def _find_nothing(_: bytes) -> None:
    return None
