"""Publishing: a file or tree becomes a new version that every slave can find.

Order of writes: packs → manifest, locations → directories → catalog transaction → TOC → HEAD. What a crash leaves is either
unreferenced files, or a HEAD behind the catalog, which the next publish repairs first.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from netclnt.dedup import RECORD, StoreIndex, catch_up
from netclnt.errors import CatalogBehindStore, ForeignMaster, NoSpace, StorageFailed
from netclnt.events import Observer, Progressed
from netclnt.head import HEAD_PATH, StoreHead, decode_store_head, encode_store_head
from netclnt.ingest import Ingested, Settings, ingest
from netclnt.manifest import decode_entries, decode_head, manifest_path, page_offsets
from netclnt.model import ID_BYTES, CatalogState, Entry, Kind, NewVersion, Requirement, Version
from netclnt.protocols import Catalog, Content, Item, Store

_PROGRESS_STEP = 8 << 20


@dataclass(frozen=True, slots=True)
class Master:
    """A master's parts. ``toc(generation)`` brings the local TOC file up to that generation and gives it as a content;
    ``state`` is the directory of the index of blocks and of scratch files, outside the store; ``holder`` says who locks.
    """

    catalog: Catalog
    store: Store
    toc: Callable[[int], Content]
    state: Path
    level: int
    threads: int
    holder: str


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
    with _writing(master) as (state, index):
        with tempfile.TemporaryFile(dir=_scratch(master)) as records:
            done = _ingest(content, master, state, index, records, watcher)
            current = _current(master.catalog, request, state)
            if current and _same_terms(current, request) and _same_content(master.store, current, done):
                return Published(current, False, done.bytes_new, done.bytes_stored)
            version = master.catalog.publish(_new_version(request, done))
            records.seek(0)
            index.add(_split(records), generation=version.generation)
        _write_head(master, master.catalog.state(), index)
        return Published(version, True, done.bytes_new, done.bytes_stored)


def refresh_head(master: Master) -> None:
    """Bring the store's TOC and HEAD up to the catalog's generation, if they are behind (a new catalog's first step too)."""
    with _writing(master):
        pass


@contextmanager
def _writing(master: Master) -> Iterator[tuple[CatalogState, StoreIndex]]:
    """Hold both locks, with an index and a HEAD that are up to the catalog's state."""
    with _own_files(master.state), master.store.lock(master.holder), master.catalog.writer_lock(master.holder):
        state = master.catalog.state()
        head = read_head(master.store)
        if head is not None and head.state.identity != state.identity:
            raise ForeignMaster(expected=state.identity, found=head.state.identity)
        if head is not None and head.state.generation > state.generation:
            raise CatalogBehindStore(catalog_generation=state.generation, store_generation=head.state.generation)
        _scratch(master)
        with closing(StoreIndex(master.state / "index", identity=state.identity)) as index:
            if head is None or not _holds(master, after=head.state.generation, until=state.generation):
                index.forget()
            catch_up(index, master.store, master.catalog.published(after=index.generation, until=state.generation))
            if head is None or head.state != state:
                _write_head(master, state, index)
            yield state, index


def _holds(master: Master, *, after: int, until: int) -> bool:
    """Whether the manifests of all versions published in between are in the store: one restored from a backup lacks them, and
    packs that the index tells of."""
    published = master.catalog.published(after=after, until=until)
    return all(master.store.size(manifest_path(version.manifest)) is not None for version in published)


@contextmanager
def _own_files(directory: Path) -> Iterator[None]:
    """An OSError becomes a storage error: it is of the state directory, as the edges translate their own."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(path=str(directory), needed=0, free=0) from error
        cause = error.strerror or str(error)
        raise StorageFailed(action="write", path=str(directory), errno=error.errno or 0, cause=cause) from error


def read_head(store: Store) -> StoreHead | None:
    """The store's HEAD, or None for a store that has none yet."""
    size = store.size(HEAD_PATH)
    return None if size is None else decode_store_head(store.read(HEAD_PATH, 0, size))


def _write_head(master: Master, state: CatalogState, index: StoreIndex) -> None:
    with tempfile.TemporaryFile(dir=_scratch(master)) as records:
        toc = _ingest(master.toc(state.generation), master, state, index, records, lambda _: None)
        records.seek(0)
        index.add(_split(records), generation=index.generation)
    master.store.put(HEAD_PATH, [encode_store_head(StoreHead(state, toc.digest, toc.head_bytes))])
    master.store.sync()


def _ingest(
    content: Content,
    master: Master,
    state: CatalogState,
    index: StoreIndex,
    records: IO[bytes],
    on_read: Callable[[int], None],
) -> Ingested:
    return ingest(
        content,
        store=master.store,
        index=index,
        hash_seed=state.hash_seed,
        settings=Settings(level=master.level, threads=master.threads, scratch=_scratch(master)),
        records=records,
        on_read=on_read,
    )


def _scratch(master: Master) -> Path:
    path = master.state / "scratch"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


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
    return read_entries(store, current) == done.entries


def read_entries(store: Store, version: Version) -> list[Entry]:
    """All entries of a version, from the store."""
    path = manifest_path(version.manifest)
    head = decode_head(store.read(path, 0, version.head_bytes), version.manifest)
    entries: list[Entry] = []
    for page, offset in zip(head.entry_pages, page_offsets(head, version.head_bytes)[0], strict=True):
        entries += decode_entries(page, store.read(path, offset, page.stored), where=path)
    return entries


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


def _split(records: IO[bytes]) -> Iterator[bytes]:
    while record := records.read(ID_BYTES + RECORD.size):
        yield record
