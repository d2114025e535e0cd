"""Bringing one version into staging: manifest, seeds, plan, locations, and then the assembly.

The same steps serve an image of the root and the TOC of a catalog that is read from the store; up to the assembly they
change nothing outside the slave's state, so that a dry run takes them too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from netclnt.assemble import Work, assemble
from netclnt.chunking import check_chunker
from netclnt.errors import Damaged, ForbiddenValue, NetclntError, NoSpace
from netclnt.frames import HeldBack, Piece, locate
from netclnt.front import Done
from netclnt.localmanifests import LocalManifest, Manifests
from netclnt.locations import decode_record
from netclnt.plainstage import PlainStage
from netclnt.plan import PagePlan, plan_page, whole_page
from netclnt.protocols import Root, Source, Stage
from netclnt.remote import fetch_locations, fetch_manifest
from netclnt.seeds import Seed, Seeds


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
    vouches for; ``cloned`` says that the first seed's file is shared at equal offsets."""

    stage: Stage
    plain: PlainStage
    resumed: bool
    complete: Collection[int]
    cloned: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a version. ``pages`` as in :class:`netclnt.assemble.Work`; the rest is what it costs, in bytes: to fetch
    (frames only), to take from seeds, to write."""

    pages: Mapping[int, PagePlan]
    locations: Mapping[int, bytes]
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


def prepare(manifest: LocalManifest, root: Root, *, journal: Collection[int], base: Seed | None) -> Staging:
    """Open the staging area of a version; the caller closes its stage. A fresh one of a single file shares what it can with
    ``base``."""
    entries = manifest.entries  # refused, if they are to be, before there is anything in staging
    stage = root.stage(manifest.digest)
    try:
        resumed = any(stage.prepare(entries))
        plain = PlainStage(stage, manifest.layout)
        cloned = not resumed and not manifest.head.tree and base is not None and plain.clone(base)
    except BaseException:
        stage.close()
        raise
    return Staging(stage, plain, resumed, journal if resumed else (), cloned)


def make_plan(manifest: LocalManifest, seeds: Seeds, line: Line, staging: Staging | None) -> Plan:
    """Plan all pages that are not complete in staging, and get the locations of those with missing blocks."""
    pages: dict[int, PagePlan] = {}
    reuse = write = blocks_missing = 0
    for number, row in enumerate(manifest.head.block_pages):
        if staging and number in staging.complete:
            continue
        start, blocks = manifest.starts[number], manifest.blocks(number)
        resumed = staging.plain if staging and staging.resumed else None
        in_place = resumed.good_blocks(blocks, start=start, hash_seed=line.hash_seed) if resumed else []
        whole = None if in_place else seeds.find_page(row.digest)
        plan = whole_page(blocks, *whole) if whole else plan_page(blocks, seeds.find, staged=in_place)
        pages[number] = plan
        reuse += plan.reused
        blocks_missing += plan.blocks_missing
        offsets = list(accumulate(blocks.lengths, initial=start))
        write += plan.missing + sum(
            offsets[run.first + run.count] - offsets[run.first]
            for run in plan.runs
            if run.seed >= 0 and not (staging and staging.cloned and (run.seed, run.offset) == (0, offsets[run.first]))
        )
    lacking = [number for number, plan in pages.items() if plan.blocks_missing]
    locations = fetch_locations(manifest, lacking, source=line.source)
    return Plan(pages, locations, _frame_bytes(manifest, pages, locations), reuse, write, blocks_missing)


def check_space(root: Root, needed: int, *, path: str, make_room: Callable[[], None]) -> None:
    """Raise NoSpace unless so many bytes fit; ``make_room`` is called first where they do not."""
    if needed > root.free():
        make_room()
    free = root.free()
    if needed > free:
        raise NoSpace(path=path, needed=needed, free=free)


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
        seeds=seeds,
        cloned=0 if staging.cloned else None,
        holes=not (staging.cloned or staging.resumed),
        hash_seed=line.hash_seed,
        threads=line.threads,
    )

    def locations(pages: Sequence[int]) -> Mapping[int, bytes]:
        return fetch_locations(manifest, pages, source=line.source)

    assemble(work, stage=staging.plain, source=line.source, locate=locations, on_page=on_page)


def _frame_bytes(manifest: LocalManifest, pages: Mapping[int, PagePlan], locations: Mapping[int, bytes]) -> int:
    """The stored bytes of all frames that an assembly will fetch."""
    held = HeldBack[None]()
    total = 0
    for number in sorted(locations):
        blocks = manifest.blocks(number)
        try:
            record = decode_record(locations[number], blocks, page_start=manifest.starts[number], where=manifest.digest)
        except (Damaged, ForbiddenValue):
            continue
        for index, length, frame, start in locate(record, blocks, pages[number].missing_blocks()):
            if frame is not None:
                held.add(frame, Piece(start, length, None, index))
        total += sum(wanted.frame.stored for wanted in held.due())
    return total + sum(wanted.frame.stored for wanted in held.rest())
