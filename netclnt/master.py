"""A master's parts, and what every writer does first: lock, compare HEAD with the catalog, bring index and HEAD up to it."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from netclnt.damage import Damages
from netclnt.dedup import RECORD, StoreIndex, catch_up
from netclnt.errors import CatalogBehindStore, ForeignMaster, NoSpace, StorageFailed
from netclnt.head import HEAD_PATH, StoreHead, decode_store_head, encode_store_head
from netclnt.ingest import Ingested, Settings, ingest
from netclnt.manifest import manifest_path
from netclnt.model import ID_BYTES, CatalogState
from netclnt.pagedeltas import encode_page_deltas, page_deltas_path
from netclnt.predecessor import Predecessor
from netclnt.protocols import Catalog, Content, Store
from netclnt.storedmanifest import UNREADABLE, StoredManifest
from netclnt.unfinished import adopt

EPOCH_PATH = ".epoch"
"""A random word in the store, another one since packs were last taken away or put together: an index that knows another one may
tell of blocks where they are no longer, and is made anew."""

_EPOCH_BYTES_MAX = 64


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

    @property
    def unfinished(self) -> Path:
        """The index records of what a publish under way has stored so far."""
        return self.state / "unfinished"


@dataclass(frozen=True, slots=True)
class Writing:
    """What a writer has while it holds both locks. ``head`` is the store's as it was found, ``damages`` what the last check of
    the store found."""

    state: CatalogState
    head: StoreHead | None
    index: StoreIndex
    damages: Damages


def refresh_head(master: Master) -> None:
    """Bring the store's TOC and HEAD up to the catalog's generation, if they are behind (a new catalog's first step too)."""
    with writing(master):
        pass


@contextmanager
def writing(master: Master) -> Iterator[Writing]:
    """Hold both locks, with an index and a HEAD that are up to the catalog's state."""
    with locked(master) as (state, head), _opened(master, state) as index:
        damages = Damages.load(master.state, identity=state.identity)
        restored = index.generation > state.generation  # catalog and store, from a backup: packs that came later are gone
        if head is None or restored or not _holds(master, after=head.state.generation, until=state.generation):
            index.forget()
        published = master.catalog.published(after=index.generation, until=state.generation)
        catch_up(index, master.store, published, damages=damages)
        adopt(master.unfinished, master.store, index, hash_seed=state.hash_seed, scratch=scratch(master))
        if head is None or head.state != state or head.toc in damages.concerned:
            write_head(master, state, index, damages)
        yield Writing(state, head, index, damages)


@contextmanager
def locked(master: Master) -> Iterator[tuple[CatalogState, StoreHead | None]]:
    """Hold both locks, with a HEAD (None in a new store) that is of this catalog and not ahead of it. Nothing is changed."""
    with own_files(master.state), master.store.lock(master.holder), master.catalog.writer_lock(master.holder):
        state = master.catalog.state()
        head = read_head(master.store)
        if head is not None and head.state.identity != state.identity:
            raise ForeignMaster(expected=state.identity, found=head.state.identity)
        if head is not None and head.state.generation > state.generation:
            raise CatalogBehindStore(catalog_generation=state.generation, store_generation=head.state.generation)
        yield state, head


@contextmanager
def _opened(master: Master, state: CatalogState) -> Iterator[StoreIndex]:
    scratch(master)
    with closing(open_index(master, state)) as index:
        yield index


def open_index(master: Master, state: CatalogState) -> StoreIndex:
    """The index as it is, if it knows the store's epoch; the caller closes it and holds the store's lock."""
    return StoreIndex(master.state / "index", identity=state.identity, epoch=_epoch(master.store))


def _epoch(store: Store) -> str:
    size = store.size(EPOCH_PATH)
    return "" if size is None else store.read(EPOCH_PATH, 0, min(size, _EPOCH_BYTES_MAX)).decode("ascii", "replace")


def _holds(master: Master, *, after: int, until: int) -> bool:
    """Whether the manifests of all versions published in between are in the store: one restored from a backup lacks them, and
    packs that the index tells of."""
    published = master.catalog.published(after=after, until=until)
    return all(master.store.size(manifest_path(version.manifest)) is not None for version in published)


@contextmanager
def own_files(directory: Path) -> Iterator[None]:
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


def write_head(master: Master, state: CatalogState, index: StoreIndex, damages: Damages) -> None:
    """Put the TOC of that state, and then HEAD, into the store."""
    with tempfile.TemporaryFile(dir=scratch(master)) as records:
        old, held = read_head(master.store), Writing(state, None, index, damages)
        before = (old.toc, old.toc_head_bytes) if old else None
        toc = store_content(master.toc(state.generation), master, held, records, lambda _: None, before=before)
        records.seek(0)
        index.add(split_records(records), generation=index.generation)
    master.store.put(HEAD_PATH, [encode_store_head(StoreHead(state, toc.digest, toc.head_bytes))])
    master.store.sync()


def store_content(
    content: Content,
    master: Master,
    held: Writing,
    records: IO[bytes],
    on_read: Callable[[int], None],
    *,
    before: tuple[str, int] | None,
) -> Ingested:
    """Bring a content into the store as the master's settings say; see :func:`netclnt.ingest.ingest`. ``before`` is the
    manifest (its digest, the length of its head) of the version that slaves very likely have."""
    seed, directory = held.state.hash_seed, scratch(master)
    with ExitStack() as stack:
        predecessor = None
        if before is not None:
            predecessor = Predecessor(master.store, held.index, *before, hash_seed=seed, scratch=directory)
            stack.enter_context(closing(predecessor))
        done = ingest(
            content,
            store=master.store,
            index=held.index,
            hash_seed=seed,
            settings=Settings(level=master.level, threads=master.threads, scratch=directory),
            records=records,
            on_read=on_read,
            damaged=held.damages.manifests,
            predecessor=predecessor,
        )
    if before is not None and before[0] != done.digest:
        _put_page_deltas(master.store, StoredManifest(master.store, done.digest, done.head_bytes), before)
    return done


def _put_page_deltas(store: Store, new: StoredManifest, before: tuple[str, int]) -> None:
    """Beside a manifest what makes it of the one before, if that is readable: nothing depends on it."""
    with suppress(*UNREADABLE):
        old = StoredManifest(store, *before)
        parts = encode_page_deltas(new.pages_by_kind(), old.pages_by_kind(), before=old.digest)
        if parts:
            store.put(page_deltas_path(new.digest), parts)


def scratch(master: Master) -> Path:
    """The directory for scratch files."""
    path = master.state / "scratch"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def split_records(records: IO[bytes]) -> Iterator[bytes]:
    """The index records that a file holds from where it stands."""
    while record := records.read(ID_BYTES + RECORD.size):
        yield record
