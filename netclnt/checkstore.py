"""Checking a store: that every version it offers can really be given to the last block.

Manifests by their digests, locations by their grammar, and of the frames that they lead to each block by its id: of delta
frames, too, as far as the index knows where the blocks of their bases lie; and page deltas by the pages that come of them. What
is damaged leaves the index and is noted, so that publishing the same content again heals it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate

import xxhash

from netclnt.chunking import block_id
from netclnt.damage import Damages
from netclnt.dedup import decode_location
from netclnt.deltacheck import DeltaCheck
from netclnt.errors import Damaged, SourceMissing, StorageError
from netclnt.events import ImageDone, Observer, Progressed
from netclnt.locations import Frame, Locations
from netclnt.manifest import locations_path
from netclnt.master import Master, locked, open_index
from netclnt.model import ZERO_ID, Blocks, CatalogState
from netclnt.moves import change_index
from netclnt.pack import pack_path
from netclnt.pagedeltas import page_deltas_path
from netclnt.protocols import Store
from netclnt.storedframes import StoredFrames, delta_places, places
from netclnt.storedmanifest import UNREADABLE, StoredManifest
from netclnt.subset import Subset
from netclnt.workers import ordered_map

_UNREADABLE = (*UNREADABLE, StorageError)
TOC_NAME = "TOC"


@dataclass(frozen=True, slots=True)
class StoreDamage:
    """``length`` bytes at ``offset`` of the store's file ``path`` are damaged; ``frame`` is the one, if it is one."""

    path: str
    offset: int
    length: int
    problem: str
    frame: Frame | None = None


@dataclass(frozen=True, slots=True)
class StoreVerdict:
    """What was found of one version; the TOC's name is ``TOC``, its number 0."""

    name: str
    version: int
    manifest: str
    head_bytes: int
    damage: tuple[StoreDamage, ...]


def check_store(master: Master, *, subset: Subset, observer: Observer) -> Iterator[StoreVerdict]:
    """Check every version whose content is in the store, and the TOC; ``subset`` says which pages' frames are read. Manifests are
    checked in any case. The store's damage is noted at the end: publishing heals it."""
    with locked(master) as (state, head), closing(open_index(master, state)) as index:
        checker = _Checker(master, subset, observer, DeltaCheck(master.store, index, state.hash_seed))
        damages = Damages(state.identity)
        published = master.catalog.published(after=0, until=state.generation)
        versions = ((each.name, each.number, each.manifest, each.head_bytes) for each in published)
        toc = [(TOC_NAME, 0, head.toc, head.toc_head_bytes)] if head else []
        for verdict in checker.all([*toc, *versions]):
            _note(damages, verdict, master)
            yield verdict
        _keep(damages, master, state, whole=subset.whole)


def _note(damages: Damages, verdict: StoreVerdict, master: Master) -> None:
    for damage in verdict.damage:
        if damage.path == page_deltas_path(verdict.manifest):
            damages.page_deltas.add(verdict.manifest)
            continue
        damages.concerned[verdict.manifest] = verdict.head_bytes
        if damage.frame is None:
            damages.manifests.add(verdict.manifest)
        elif master.store.size(damage.path) is None:
            damages.packs.add(damage.frame.pack)
        else:
            damages.frames.add((damage.frame.pack, damage.frame.offset))


def _keep(damages: Damages, master: Master, state: CatalogState, *, whole: bool) -> None:
    """Note the damage, with what an earlier check found elsewhere if this one did not look everywhere, and let the index forget
    those blocks."""
    if not whole:
        damages.add(Damages.load(master.state, identity=state.identity))
    damages.save(master.state)
    if damages.frames or damages.packs:
        with closing(open_index(master, state)) as index:
            change_index(index, master.store, lambda value: None if decode_location(value)[0] in damages else value)


@dataclass(slots=True)
class _Checker:
    master: Master
    subset: Subset
    observer: Observer
    deltas: DeltaCheck
    _seen: dict[bytes, tuple[StoreDamage, ...]] = field(default_factory=dict)
    _frames: StoredFrames = field(init=False)

    def __post_init__(self) -> None:
        self._frames = StoredFrames(self.master.store)

    def all(self, versions: Iterable[tuple[str, int, str, int]]) -> Iterator[StoreVerdict]:
        for name, number, digest, head_bytes in versions:
            damage = tuple(self._version(name, digest, head_bytes))
            self.observer(ImageDone(name, number, "damaged" if damage else "verified", 0, 0, 0.0))
            yield StoreVerdict(name, number, digest, head_bytes, damage)

    def _version(self, name: str, digest: str, head_bytes: int) -> Iterator[StoreDamage]:
        try:
            manifest = StoredManifest(self.master.store, digest, head_bytes)
            manifest.entries()
        except _UNREADABLE as error:
            yield StoreDamage(f"manifests/{digest[:2]}/{digest}.manifest", 0, 0, _problem(error))
            return
        check = _PageCheck(manifest, self.master.store, self._frames, self.deltas, self._seen, self.subset)
        threads, done = self.master.threads, 0
        for page, damage in enumerate(ordered_map(check, manifest.pages, threads=threads, ahead=threads * 2)):
            done += manifest.head.block_pages[page].plain
            self.observer(Progressed("check", name, done, manifest.head.size, 0, 0))
            yield from damage
        self.deltas.enter(digest, head_bytes)
        if (problem := self.deltas.problem_of_pages(manifest)) is not None:
            yield StoreDamage(page_deltas_path(digest), 0, 0, problem)


class _PageCheck:
    """Checks one page of a manifest; called from several threads. Pages that versions share are read once."""

    def __init__(
        self,
        manifest: StoredManifest,
        store: Store,
        frames: StoredFrames,
        deltas: DeltaCheck,
        seen: dict[bytes, tuple[StoreDamage, ...]],
        subset: Subset,
    ) -> None:
        self._manifest = manifest
        self._store = store
        self._frames = frames
        self._delta_check = deltas
        self._seen = seen
        self._subset = subset
        self._blocks = lru_cache(16)(manifest.blocks)

    def __call__(self, page: int) -> Sequence[StoreDamage]:
        manifest = self._manifest
        try:
            blocks = self._blocks(page)
        except _UNREADABLE as error:
            return [StoreDamage(manifest.path, 0, 0, _problem(error))]
        try:
            record = manifest.record(page)
            locations = manifest.locations(page, blocks, record)
        except _UNREADABLE as error:
            return [StoreDamage(locations_path(manifest.digest), 0, 0, _problem(error))]
        key = xxhash.xxh3_128_digest(manifest.head.block_pages[page].digest + record)
        if key not in self._seen:
            found: dict[int, list[tuple[Frame | None, int]]] = {}
            for number, frame, start in places(locations, blocks):
                found.setdefault(number, []).append((frame, start))
            looked_at = self._subset.chooses(key)
            damage = [*self._wrong(blocks, found), *self._deltas(locations, blocks)] if looked_at else []
            self._seen[key] = tuple(dict.fromkeys(damage))
        return self._seen[key]

    def _wrong(self, blocks: Blocks, found: dict[int, list[tuple[Frame | None, int]]]) -> Iterator[StoreDamage]:
        seed = self._manifest.head.hash_seed
        for number, (id_, length) in enumerate(blocks):
            if id_ == ZERO_ID:
                continue
            if number not in found:
                yield StoreDamage(locations_path(self._manifest.digest), 0, 0, "a block without a place")
            for frame, start in found.get(number, ()):
                if frame is None:
                    if not self._is_earlier(start, id_):
                        yield StoreDamage(locations_path(self._manifest.digest), 0, 0, "a block that is not where it says")
                    continue
                problem = self._problem_of(frame, start, length, id_, seed)
                if problem:
                    yield StoreDamage(pack_path(frame.pack), frame.offset, frame.stored, problem, frame)

    def _problem_of(self, frame: Frame, start: int, length: int, id_: bytes, seed: int) -> str:
        try:
            plain = self._frames.plain(frame)
        except _UNREADABLE as error:
            return _problem(error)
        return "" if block_id(plain[start : start + length], seed) == id_ else "a block is not what its id says"

    def _is_earlier(self, start: int, id_: bytes) -> bool:
        """Whether the block at that plain offset of the version has this id. Of a damaged page, which is told by itself, nothing
        is known to be otherwise."""
        page = bisect_right(self._manifest.starts, start) - 1
        try:
            blocks = self._blocks(page)
        except _UNREADABLE:
            return True
        offsets = accumulate(blocks.lengths, initial=self._manifest.starts[page])
        return any(at == start and blocks.id(number) == id_ for number, at in zip(range(len(blocks)), offsets, strict=False))

    def _deltas(self, locations: Locations, blocks: Blocks) -> Iterator[StoreDamage]:
        held: dict[Frame, list[tuple[bytes, int, int]]] = {}
        for number, frame, start in delta_places(locations, blocks):
            held.setdefault(frame, []).append((blocks.id(number), start, blocks.lengths[number]))
        for frame, base in locations.delta_frames():
            try:
                stored = self._store.read(pack_path(frame.pack), frame.offset, frame.stored)
                problem = self._delta_check.problem_of_frame(frame, stored, base, held.get(frame, ()))
            except _UNREADABLE as error:
                problem = _problem(error)
            if problem:
                yield StoreDamage(pack_path(frame.pack), frame.offset, frame.stored, problem, frame)


def _problem(error: Exception) -> str:
    if isinstance(error, Damaged):
        return error.problem
    if isinstance(error, SourceMissing):
        return "missing"
    return str(error)
