"""Publishing: a file or tree becomes a new version that every slave can find.

Order of writes: packs → manifest, locations → directories → catalog transaction → TOC → HEAD. What a crash leaves is either
unreferenced files, or a HEAD behind the catalog, which the next publish repairs first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netclnt.events import Observer, Progressed
from netclnt.heal import heal
from netclnt.ingest import Ingested
from netclnt.master import Master, Writing, scratch, split_records, store_content, write_head, writing
from netclnt.model import CatalogState, Entry, Kind, NewVersion, Requirement, Version
from netclnt.protocols import Catalog, Content, Item, Store
from netclnt.storedmanifest import UNREADABLE, StoredManifest

_PROGRESS_STEP = 8 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """What to publish a content as. ``created`` is the time of publishing, RFC 3339 in UTC."""

    name: str
    kind: Kind
    channel: str
    note: str
    requires: tuple[Requirement, ...]
    created: str


@dataclass(frozen=True, slots=True)
class Published:
    """``new`` is False when the current version has the same content and requirements already. Of the content, ``bytes_new``
    were in no pack before; compressed they take ``bytes_stored``."""

    version: Version
    new: bool
    bytes_new: int
    bytes_stored: int


def publish(content: Content, request: Request, *, master: Master, observer: Observer) -> Published:
    """Bring a content into the store and make it the current version of its image in the request's channel.

    Raises CatalogBehindStore, ForeignMaster, Locked, SourceChanged, Unpublishable, BadArgument and storage errors.
    """
    content = _Listed(content)
    watcher = _Watcher(observer, request.name, sum(item.size or 0 for item in content.items()))
    with writing(master) as held:
        # What is stored so far is in this file before any index knows of it: an interruption leaves it for the next writer.
        with master.unfinished.open("w+b") as records:
            current = _current(master.catalog, request, held.state)
            before = (current.manifest, current.head_bytes) if current else None
            done = store_content(content, master, held, records, watcher, before=before)
            is_new = not (current and _same_terms(current, request) and _same_content(master.store, current, done))
            version = master.catalog.publish(_new_version(request, done)) if is_new or current is None else current
            records.seek(0)
            if is_new or done.bytes_new:
                generation = version.generation if is_new else held.index.generation
                held.index.add(split_records(records), generation=generation)
        master.unfinished.unlink()
        _after(master, held, is_new)
        return Published(version, is_new, done.bytes_new, done.bytes_stored)


def _after(master: Master, held: Writing, is_new: bool) -> None:
    """What was stored heals others, too; what is offered is told last."""
    if held.damages:
        heal(held.damages, master.store, held.index, scratch=scratch(master)).save(master.state)
    if is_new:
        write_head(master, master.catalog.state(), held.index, held.damages)


class _Listed:
    """A content whose items are asked for once: a walk over a large tree takes its time."""

    def __init__(self, content: Content) -> None:
        self._items = tuple(content.items())
        self.tree = content.tree
        self.open = content.open
        self.check_unchanged = content.check_unchanged

    def items(self) -> Iterator[Item]:
        return iter(self._items)


class _Watcher:
    """Tells the observer of bytes read, not more often than every few megabytes."""

    def __init__(self, observer: Observer, image: str, total: int) -> None:
        self._observer = observer
        self._image = image
        self._total = total
        self._done = 0
        self._told = 0

    def __call__(self, size: int) -> None:
        self._done += size
        if self._done - self._told >= _PROGRESS_STEP:
            self._told = self._done
            self._observer(Progressed("read", self._image, self._done, self._total, 0, 0))


def _current(catalog: Catalog, request: Request, state: CatalogState) -> Version | None:
    history = catalog.history(request.name, generation=state.generation, channel=request.channel)
    return next((held.version for held in history if held.current), None)


def _same_terms(current: Version, request: Request) -> bool:
    """Whether a version has the request's kind and requirements; another note alone makes no new version."""
    return current.kind is request.kind and set(current.requires) == set(request.requires)


def _same_content(store: Store, current: Version, done: Ingested) -> bool:
    """Whether a version has the same entries, bit by bit: the manifest may differ with the library that compressed it."""
    if current.manifest == done.digest:
        return True
    if (current.tree, current.size, current.entries) != (done.head.tree, done.head.size, done.head.entries):
        return False
    try:
        return read_entries(store, current) == done.entries
    except UNREADABLE:
        return False  # a new version takes the damaged one's place


def read_entries(store: Store, version: Version) -> list[Entry]:
    """All entries of a version, from the store."""
    return StoredManifest(store, version.manifest, version.head_bytes).entries()


def _new_version(request: Request, done: Ingested) -> NewVersion:
    return NewVersion(
        name=request.name,
        kind=request.kind,
        manifest=done.digest,
        head_bytes=done.head_bytes,
        tree=done.head.tree,
        size=done.head.size,
        entries=done.head.entries,
        blocks=done.head.blocks,
        sha256=done.entries[0].sha256.hex(),
        chunker=done.head.chunker,
        created=request.created,
        note=request.note,
        channel=request.channel,
        requires=request.requires,
    )
