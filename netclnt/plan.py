"""The plan of one version: for each page, which blocks can be taken from where, and which must be fetched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from netclnt.model import ZERO_ID, Blocks

MISSING = -1
"""The blocks are nowhere here."""

ZEROS = -2
"""The blocks are runs of zeros."""

STAGED = -3
"""The blocks are in their place in staging already."""

Find = Callable[[bytes], tuple[int, int] | None]
"""Looks up a block id: (number of the seed, plain offset in it), or None."""


@dataclass(frozen=True, slots=True)
class PageRun:
    """``count`` blocks of a page from ``first`` on. ``seed`` is the number of the seed that has them, one after the other from
    its plain ``offset`` on, or one of MISSING, ZEROS, STAGED."""

    first: int
    count: int
    seed: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class PagePlan:
    """Runs cover the page without a gap. ``reused`` and ``missing`` count plain bytes, ``blocks_missing`` blocks."""

    runs: Sequence[PageRun]
    reused: int
    missing: int
    blocks_missing: int

    def missing_blocks(self) -> set[int]:
        """Their numbers in the page."""
        return {index for run in self.runs if run.seed == MISSING for index in range(run.first, run.first + run.count)}


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
            block_seed, block_offset = find(id_) or (MISSING, 0)
        if index == 0 or block_seed != seed or (seed >= 0 and block_offset != following):
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
    return PagePlan(tuple(runs), reused, missing, blocks_missing)


def whole_page(blocks: Blocks, seed: int, offset: int) -> PagePlan:
    """The plan of a page whose very content lies at a seed's plain ``offset``."""
    runs: list[PageRun] = []
    reused = first = 0
    begin = position = offset
    for index, (id_, length) in enumerate(blocks):
        if id_ == ZERO_ID:
            if index > first:
                runs.append(PageRun(first, index - first, seed, begin))
            runs.append(PageRun(index, 1, ZEROS))
            first, begin = index + 1, position + length
        else:
            reused += length
        position += length
    if len(blocks) > first:
        runs.append(PageRun(first, len(blocks) - first, seed, begin))
    return PagePlan(tuple(runs), reused, 0, 0)


def repair_page(blocks: Blocks, good: Sequence[bool], plan: PagePlan) -> PagePlan:
    """The plan of a page that is in staging but for the blocks that are not ``good``, which are to be fetched. As reused counts
    what ``plan`` had taken from seeds and is good."""

    def find(_: bytes) -> None:
        return None

    from_seeds = (index for run in plan.runs if run.seed >= 0 for index in range(run.first, run.first + run.count))
    reused = sum(blocks.lengths[index] for index in from_seeds if good[index])
    return replace(plan_page(blocks, find, staged=good), reused=reused)
