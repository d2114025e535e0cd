"""Bringing one version into staging: manifest, seeds, plan, locations, and then the assembly.

The same steps serve an image of the root and the TOC of a catalog that is read from the store; up to the assembly they
change nothing outside the slave's state, so that a dry run takes them too.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from netclnt.assemble import Work, assemble
from netclnt.bases import Bases, find_bases
from netclnt.chunking import check_chunker
from netclnt.errors import ForbiddenValue, NetclntError, NoSpace, StorageFailed
from netclnt.frames import HeldBack, Piece, located
from netclnt.front import Done
from netclnt.localmanifests import LocalManifest, Manifests
from netclnt.model import Blocks, EntryType
from netclnt.plainstage import PlainStage
from netclnt.plan import PagePlan
from netclnt.planning import Planned, plan_pages
from netclnt.protocols import Facts, Root, Source, Stage
from netclnt.remote import fetch_locations, fetch_manifest
from netclnt.seeds import Seed, Seeds
from netclnt.settled import Settled, unchanged


@dataclass(frozen=True, slots=True)
class Wanted:
    """A version to bring: the image's name for messages, the manifest's digest and the length of its head."""

    image: str
    manifest: str
    head_bytes: int


@dataclass(frozen=True, slots=True)
class Line:
    """What all versions of one run are brought with."""

    source: Source
    manifests: Manifests
    hash_seed: int
    threads: int


@dataclass(frozen=True, slots=True)
class Staging:
    """A stage that is prepared. ``resumed`` says that files were there already; ``complete`` are the pages that the journal
    vouches for; ``cloned`` says that the first seed's file is shared at equal offsets; ``settled`` are the files that are second
    names of live ones; ``to_make`` is the number of files that are not there yet."""

    stage: Stage
    plain: PlainStage
    resumed: bool
    complete: Collection[int]
    cloned: bool
    settled: Settled
    to_make: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a version. ``pages``, ``locations`` and ``bases`` as in :class:`netclnt.assemble.Work`; the rest is what it
    costs, in bytes: to fetch (frames only), to take from seeds, to write."""

    pages: Mapping[int, PagePlan]
    locations: Mapping[int, bytes]
    bases: Bases
    bytes_fetch: int
    bytes_reuse: int
    bytes_write: int
    blocks_missing: int


def get_manifest(wanted: Wanted, line: Line, *, reuse: Iterable[str]) -> LocalManifest:
    """The manifest of a version, its chunker checked; the caller closes it. ``reuse`` are digests of manifests to take pages
    from."""
    old = [manifest for manifest in map(line.manifests.open, reuse) if manifest is not None]
    try:
        manifest = fetch_manifest(wanted.manifest, wanted.head_bytes, source=line.source, manifests=line.manifests, reuse=old)
    finally:
        for each in old:
            each.close()
    try:
        check_chunker(manifest.head.chunker)
        if manifest.head.hash_seed != line.hash_seed:
            raise ForbiddenValue(what="hash seed", value=f"{manifest.head.hash_seed:016x}", rule="the catalog's")
    except NetclntError:
        manifest.close()
        raise
    return manifest


@dataclass(frozen=True, slots=True)
class Base:
    """The version of an image that is shown. ``facts`` are how its files looked when their content was last vouched for; empty
    where that does not count."""

    name: str
    seed: Seed
    facts: Mapping[str, Facts]


def prepare(manifest: LocalManifest, root: Root, *, journal: Collection[int], base: Base | None) -> Staging:
    """Open the staging area of a version; the caller closes its stage. It shares with ``base`` what it can: of a tree the files
    that are unchanged, of a fresh single file its blocks."""
    if base is not None:
        base.seed.share_entries(manifest)
    entries = manifest.entries  # refused, if they are to be, before there is anything in staging
    stage = root.stage(manifest.digest)
    try:
        there = stage.prepare(entries)
        resumed = any(there)
        plain = PlainStage(stage, manifest.layout)
        cloned = not resumed and not manifest.head.tree and base is not None and plain.clone(base.seed)
        same = unchanged(base.seed.entries, entries, base.facts) if base is not None and base.facts else ()
        linked = stage.link(base.name, same) if base is not None and manifest.head.tree else ()
        settled = Settled(manifest.layout, linked)
    except BaseException:
        stage.close()
        raise
    to_make = sum(entry.type is EntryType.FILE for entry in entries) - sum(there) - len(linked) - cloned
    return Staging(stage, plain, resumed, journal if resumed else (), cloned, settled, to_make)


def make_plan(manifest: LocalManifest, seeds: Seeds, line: Line, staging: Staging | None) -> Plan:
    """Plan all pages that are not complete in staging, and get the locations of those with missing blocks."""
    complete = staging.complete if staging else ()
    resumed = staging.plain if staging and staging.resumed else None
    cloned = staging is not None and staging.cloned
    settled = staging.settled if staging else Settled(manifest.layout, ())

    def in_place(number: int, blocks: Blocks) -> Sequence[bool]:
        start = manifest.starts[number]
        known = settled.blocks(blocks, start)
        return resumed.good_blocks(blocks, start=start, hash_seed=line.hash_seed, known=known) if resumed else known

    pages: dict[int, PagePlan] = {}
    reuse, write, blocks_missing = settled.linked, 0, 0
    rows = zip(manifest.starts, manifest.head.block_pages, strict=True)
    wanted = [
        number for number, (start, row) in enumerate(rows) if number not in complete and not settled.covers(start, row.plain)
    ]
    for planned in plan_pages(manifest, seeds, wanted, in_place=in_place):
        plan = pages[planned.number] = planned.plan
        reuse += plan.reused
        blocks_missing += plan.blocks_missing
        write += plan.missing + plan.reused
        if cloned and plan.reused:
            write -= _shared(planned, manifest.starts[planned.number])
    lacking = sorted(number for number, plan in pages.items() if plan.blocks_missing)
    locations = fetch_locations(manifest, lacking, source=line.source)
    bases = find_bases(manifest, pages, locations, seeds)
    return Plan(pages, locations, bases, _frame_bytes(manifest, pages, locations, bases), reuse, write, blocks_missing)


def check_space(root: Root, needed: int, *, files: int, path: str) -> None:
    """Raise NoSpace unless so many bytes fit, StorageFailed unless so many files do."""
    free = root.free()
    if needed > free:
        raise NoSpace(path=path, needed=needed, free=free)
    free_files = root.free_files()
    if free_files is not None and files > free_files:
        cause = f"no free inodes: {files} are needed, {free_files} are left"
        raise StorageFailed(action="create", path=path, errno=errno.ENOSPC, cause=cause)


def fill(
    wanted: Wanted,
    manifest: LocalManifest,
    plan: Plan,
    seeds: Seeds,
    staging: Staging,
    line: Line,
    *,
    on_page: Callable[[Done], None],
) -> None:
    """Complete the version in staging, every block and every file checked. Raises as :func:`netclnt.assemble.assemble`."""
    work = Work(
        image=wanted.image,
        manifest=manifest,
        plans=plan.pages,
        locations=plan.locations,
        bases=plan.bases,
        seeds=seeds,
        settled=staging.settled,
        cloned=0 if staging.cloned else None,
        holes=not (staging.cloned or staging.resumed),
        hash_seed=line.hash_seed,
        threads=line.threads,
    )

    def locations(pages: Sequence[int]) -> Mapping[int, bytes]:
        return fetch_locations(manifest, pages, source=line.source)

    assemble(work, stage=staging.plain, source=line.source, locate=locations, on_page=on_page)


def _shared(planned: Planned, start: int) -> int:
    """The bytes of a page from ``start`` on that staging shares with the first seed."""
    offsets = list(accumulate(planned.blocks.lengths, initial=start))
    return sum(
        offsets[run.first + run.count] - offsets[run.first]
        for run in planned.plan.runs
        if (run.seed, run.offset) == (0, offsets[run.first])
    )


def _frame_bytes(manifest: LocalManifest, pages: Mapping[int, PagePlan], locations: Mapping[int, bytes], bases: Bases) -> int:
    """The stored bytes of all frames that an assembly will fetch."""
    held, some = HeldBack[None](), Piece(None, 0, 0, 0)
    total = 0
    for number in sorted(locations):
        blocks, start = manifest.blocks(number), manifest.starts[number]
        found = located(locations[number], blocks, pages[number], page_start=start, where=manifest.digest, deltas=bases)
        for _, _, frame, _ in found:
            if frame is not None:
                held.add(frame, some)
        total += sum(wanted.frame.stored for wanted in held.due())
    return total + sum(wanted.frame.stored for wanted in held.rest())
