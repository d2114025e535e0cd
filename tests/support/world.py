"""A master and a slave in one process: the real work over in-memory twins, or over real edges where a test brings them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from netclnt.catalog.toc import open_toc, update_toc
from netclnt.events import Event, ImageDone, Observer, Planned, Summed
from netclnt.files.source import open_content
from netclnt.ledger import Ledger
from netclnt.localmanifests import Manifests
from netclnt.master import Master, refresh_head
from netclnt.memory.catalog import MemoryCatalog
from netclnt.memory.content import MemoryContent
from netclnt.memory.root import MemoryRoot
from netclnt.memory.source import MemorySource
from netclnt.memory.store import MemoryStore
from netclnt.model import DEFAULT_CHANNEL, Kind, Requirement
from netclnt.protocols import Content
from netclnt.publish import Published, Request, publish
from netclnt.result import Result
from netclnt.selection import Selection
from netclnt.slave import Slave
from netclnt.storecatalog import StoreCatalog
from netclnt.sync import forecast, sync
from netclnt.verify import Verdict, verify

IDENTITY = "0123456789abcdef" * 2
HASH_SEED = 0x0123456789ABCDEF
CHUNKER = "fastcdc2020/4k-16k-64k"


@dataclass
class World:
    """``store_catalog`` makes the slave read the catalog from the store. ``events`` are those of the last call;
    ``max_retire`` is the slave's."""

    directory: Path
    store_catalog: bool = False
    max_retire: int = 50
    catalog: MemoryCatalog = field(default_factory=MemoryCatalog)
    store: MemoryStore = field(default_factory=MemoryStore)
    root: MemoryRoot = field(default_factory=MemoryRoot)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.catalog.create(identity=IDENTITY, hash_seed=HASH_SEED, chunker=CHUNKER)
        self._clock = itertools.count()
        self.toc_root = MemoryRoot()
        self.ledger = Ledger(":memory:")
        self.source = MemorySource(self.store.files)
        self.manifests = Manifests(self.directory / "manifests")
        (self.directory / "master").mkdir()
        refresh_head(self.master())

    # --- the master

    def master(self) -> Master:
        return Master(
            catalog=self.catalog,
            store=self.store,
            toc=self._toc,
            state=self.directory / "master",
            level=1,
            threads=2,
            holder="test",
        )

    def _toc(self, generation: int) -> Content:
        path = self.directory / "master" / "toc.sqlite"
        update_toc(path, self.catalog, generation)
        content = open_content(path)
        data = path.read_bytes()
        content.close()
        return MemoryContent({"": data})

    def publish(
        self,
        name: str,
        files: bytes | Mapping[str, bytes],
        *,
        links: Mapping[str, str] | None = None,
        kind: Kind = Kind.IMAGE,
        requires: tuple[Requirement, ...] = (),
    ) -> Published:
        self.events.clear()
        content = MemoryContent({"": files} if isinstance(files, bytes) else files, links or {})
        request = Request(name, kind, DEFAULT_CHANNEL, "", requires, "2026-11-23T00:00:00Z")
        return publish(content, request, master=self.master(), observer=self.events.append)

    # --- the slave

    def slave(self, **changes: object) -> Slave:
        slave = Slave(
            name="store-1",
            machine_id="f" * 32,
            root=self.root,
            root_path="/root",
            ledger=self.ledger,
            manifests=self.manifests,
            open_catalog=lambda: self.from_store() if self.store_catalog else self.catalog,
            source=self.source,
            seed_roots={},
            scratch=self.directory / "scratch",
            selection=Selection(),
            channel=DEFAULT_CHANNEL,
            adopt=False,
            keep=1,
            max_retire=self.max_retire,
            report=True,
            threads=2,
            holder="test",
            now=lambda: "2026-11-23T00:00:00Z",
            monotonic=time.monotonic,
        )
        return replace(slave, **changes)

    def from_store(self) -> StoreCatalog:
        path = self.directory / "toc.sqlite"

        def opened():
            path.write_bytes(self.toc_root.live["toc.sqlite"].data)
            return open_toc(path)

        return StoreCatalog(
            self.source, root=self.toc_root, manifests=Manifests(self.directory / "toc"), open_toc=opened, threads=2
        )

    def sync(self, selection: Selection | None = None, **changes: object) -> Result:
        self.events.clear()
        return sync(self.slave(**changes), selection, observer=self.events.append)

    def sync_observed(self, observer: Observer) -> Result:
        """A sync that may be stopped by its observer."""
        return sync(self.slave(adopt=True), None, observer=observer)

    def forecast(self, selection: Selection | None = None, **changes: object) -> Result:
        self.events.clear()
        return forecast(self.slave(**changes), selection, observer=self.events.append)

    def verify(self) -> list[Verdict]:
        return list(verify(self.slave(), Selection(), observer=self.events.append))

    # --- what came of it

    def live(self, name: str) -> bytes | None:
        node = self.root.live.get(name)
        return None if node is None else bytes(node.data)

    @property
    def done(self) -> list[ImageDone]:
        return [event for event in self.events if isinstance(event, ImageDone)]

    @property
    def planned(self) -> list[Planned]:
        return [event for event in self.events if isinstance(event, Planned)]

    @property
    def summary(self) -> Summed:
        return next(event for event in self.events if isinstance(event, Summed))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One with nothing published yet."""
    made = World(tmp_path)
    yield made
    made.ledger.close()
