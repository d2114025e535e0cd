"""Planning a version: for all pages that are not complete, which blocks are here and which must be fetched.

Pages that a seed has as a whole need no look at their blocks. All other blocks are looked up together, by the hundred thousand:
each seed is then looked through once, which costs less than an index of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from netclnt.localmanifests import LocalManifest
from netclnt.model import ZERO_ID, Blocks, split_ids
from netclnt.plan import PagePlan, missing_page, plan_page, whole_page
from netclnt.seeds import Seeds

_LOOKED_UP_AT_ONCE = 1 << 18
"""Blocks: 60 MiB of ids and answers, as Python keeps them."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A page, its blocks, and their plan."""

    number: int
    blocks: Blocks
    plan: PagePlan


@dataclass(frozen=True, slots=True)
class _Unplanned:
    number: int
    blocks: Blocks
    staged: Sequence[bool]


def plan_pages(
    manifest: LocalManifest, seeds: Seeds, pages: Iterable[int], *, in_place: Callable[[int, Blocks], Sequence[bool]]
) -> Iterator[Planned]:
    """The plans of ``pages``, in no order. ``in_place`` says for each block of a page whether staging has it (empty: none)."""
    window: list[_Unplanned] = []
    count = 0
    for number in pages:
        blocks = manifest.blocks(number)
        staged = in_place(number, blocks)
        whole = None if staged else seeds.find_page(manifest.head.block_pages[number].digest)
        if whole:
            yield Planned(number, blocks, whole_page(blocks, *whole))
        elif not staged and not seeds:
            yield Planned(number, blocks, missing_page(blocks))
        else:
            window.append(_Unplanned(number, blocks, staged))
            count += len(blocks)
        if count >= _LOOKED_UP_AT_ONCE:
            yield from _plan_window(window, seeds)
            window, count = [], 0
    if window:
        yield from _plan_window(window, seeds)


def _plan_window(window: Sequence[_Unplanned], seeds: Seeds) -> Iterator[Planned]:
    ids: set[bytes] = set()
    for page in window:
        here = split_ids(page.blocks.ids)
        ids.update((id_ for id_, staged in zip(here, page.staged, strict=True) if not staged) if page.staged else here)
    ids.discard(ZERO_ID)
    found = seeds.find(ids)
    for page in window:
        yield Planned(page.number, page.blocks, plan_page(page.blocks, found.get, staged=page.staged))
