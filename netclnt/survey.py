"""What of a store is needed, what waits in the trash, and what may go: looked at before anything is taken away."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from netclnt.events import Observer, Warned
from netclnt.kept import Known, Sorted, sort_versions
from netclnt.manifest import locations_path, manifest_path
from netclnt.marks import Marks, packs_of
from netclnt.master import Master, scratch
from netclnt.model import CatalogState
from netclnt.pack import HEADER, pack_path
from netclnt.pagedeltas import page_deltas_path
from netclnt.protocols import Store
from netclnt.storedmanifest import UNREADABLE, StoredManifest
from netclnt.trash import Trash

_FILE = re.compile(
    r"(?:packs/([0-9a-f]{2})/(\1[0-9a-f]{14})\.pack|manifests/([0-9a-f]{2})/(\3[0-9a-f]{62})\.(?:manifest|locations|pages))"
)
_LEFTOVER = re.compile(r"(?:packs|manifests)/[0-9a-f]{2}/\.[0-9a-f]{16,64}\.(?:manifest|locations|pages|pack)\.new")


@dataclass(frozen=True, slots=True)
class Policy:
    """``keep`` of each image the newest so many versions, and what is needed no longer for ``grace`` seconds. ``now`` in seconds
    since 1970, ``at`` the same as RFC 3339 in UTC."""

    keep: int
    grace: float
    now: float
    at: str


@dataclass(slots=True)
class Survey:
    """``manifests`` (length of the head by digest) are those that stay, ``expired`` the versions to drop; ``waiting`` and
    ``doomed`` are files of the store with their bytes, all others take ``bytes_kept``; of ``sparse`` packs less than half is
    needed."""

    marks: Marks
    trash: Trash
    manifests: dict[str, int]
    expired: tuple[Known, ...] = ()
    bytes_kept: int = 0
    waiting: dict[str, int] = field(default_factory=dict)
    doomed: dict[str, int] = field(default_factory=dict)
    sparse: set[int] = field(default_factory=set)


@contextmanager
def survey(
    master: Master, state: CatalogState, toc: tuple[str, int] | None, policy: Policy, observer: Observer
) -> Iterator[Survey]:
    """``toc`` are digest and length of the head of the TOC's manifest that HEAD names. Scratch files go with the block.

    Raises SourceMissing, Damaged, TrustError when what a live version needs cannot be told.
    """
    published = master.catalog.published(after=0, until=state.generation)
    versions = sort_versions(published, master.catalog, generation=state.generation, keep=policy.keep)
    old = Trash.load(master.state, identity=state.identity, now=policy.now)
    trash = Trash(state.identity, {each.history: old.versions.get(each.history, policy.now) for each in versions.superseded})
    expired = tuple(each for each in versions.superseded if trash.versions[each.history] + policy.grace <= policy.now)
    with Marks(scratch(master)) as marks:
        manifests = _mark(marks, versions, expired, toc, master.store, observer)
        found = Survey(marks, trash, manifests, expired)
        freed = _freed(expired, manifests, trash, master.store)
        _sort_files(found, old, freed, policy, master.store)
        yield found


def _mark(
    marks: Marks, versions: Sorted, expired: Iterable[Known], toc: tuple[str, int] | None, store: Store, observer: Observer
) -> dict[str, int]:
    """Count what is needed; returns the manifests that stay."""
    manifests = {each.manifest: each.head_bytes for each in versions.live} | (dict([toc]) if toc else {})
    for digest, head_bytes in manifests.items():
        marks.add(StoredManifest(store, digest, head_bytes))
    gone = {each.manifest for each in expired}
    for version in versions.superseded:
        if version.manifest in gone or version.manifest in manifests:
            continue
        manifests[version.manifest] = version.head_bytes
        try:
            marks.add(StoredManifest(store, version.manifest, version.head_bytes))
        except UNREADABLE as error:
            observer(Warned("damaged-version", f"{version}, which is superseded, is damaged: {error}"))
    return manifests


def _freed(expired: Iterable[Known], manifests: dict[str, int], trash: Trash, store: Store) -> dict[str, float]:
    """The files that only expired versions needed, and since when these are superseded."""
    freed: dict[str, float] = {}
    for version in expired:
        if version.manifest in manifests:
            continue
        since = trash.versions[version.history]
        paths = [path(version.manifest) for path in (manifest_path, locations_path, page_deltas_path)]
        with suppress(*UNREADABLE):
            paths += map(pack_path, packs_of([StoredManifest(store, version.manifest, version.head_bytes)]))
        for path in paths:
            freed[path] = max(since, freed.get(path, since))
    return freed


def _sort_files(found: Survey, old: Trash, freed: dict[str, float], policy: Policy, store: Store) -> None:
    for path, size in store.content():
        match = _FILE.fullmatch(path)
        if match is None:
            if _LEFTOVER.fullmatch(path):
                found.doomed[path] = size
            continue
        pack = int(match[2], 16) if match[2] else None
        if match[4] in found.manifests or pack in found.marks.needed:
            found.bytes_kept += size
            if pack is not None and found.marks.needed[pack] * 2 < size - HEADER.size:
                found.sparse.add(pack)
            continue
        since = found.trash.files[path] = old.files.get(path, freed.get(path, policy.now))
        (found.doomed if since + policy.grace <= policy.now else found.waiting)[path] = size
