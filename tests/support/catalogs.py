"""Catalogs to test with: places where one can be opened again and again, and versions to publish."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from netclnt.catalog import open_catalog, open_connector
from netclnt.catalog.writer import SqlCatalog
from netclnt.memory.catalog import MemoryCatalog
from netclnt.model import DEFAULT_CHANNEL, Kind, NewVersion
from netclnt.protocols import Catalog, CatalogReader
from tests.support.databases import Database

IDENTITY = "0123456789abcdef" * 2
HASH_SEED = (1 << 64) - 2
CHUNKER = "fastcdc2020/4k-16k-64k"
AT = "2026-11-23T00:00:00Z"


class Place(Protocol):
    """Where a catalog is or can be created."""

    def open(self) -> Catalog: ...

    def create(self) -> Catalog: ...

    def close(self) -> None: ...


@dataclass
class MemoryPlace:
    catalog: MemoryCatalog

    def open(self) -> MemoryCatalog:
        return self.catalog

    def create(self) -> MemoryCatalog:
        self.catalog.create(identity=IDENTITY, hash_seed=HASH_SEED, chunker=CHUNKER)
        return self.catalog

    def close(self) -> None:
        self.catalog.close()


@dataclass
class SqlPlace:
    conn: str
    password: str | None = None
    database: Database | None = None
    opened: list[SqlCatalog] = field(default_factory=list)

    def open(self) -> SqlCatalog:
        self.opened.append(open_catalog(self.conn, password=self.password))
        return self.opened[-1]

    def create(self) -> SqlCatalog:
        catalog = self.open()
        catalog.create(identity=IDENTITY, hash_seed=HASH_SEED, chunker=CHUNKER)
        return catalog

    def run(self, statement: str, *params: object) -> None:
        """One statement beside the catalog, as an admin or another program would send it."""
        connector = open_connector(self.conn, password=self.password)
        connector.change(statement, params)
        connector.close()

    def rows(self, statement: str, *params: object) -> list[tuple[Any, ...]]:
        connector = open_connector(self.conn, password=self.password)
        try:
            return list(connector.select(statement, params))
        finally:
            connector.close()

    def close(self) -> None:
        for catalog in self.opened:
            catalog.close()


def new_version(name: str, **changes: Any) -> NewVersion:
    """A version to publish that differs from others where ``changes`` say so."""
    values: dict[str, Any] = {
        "name": name,
        "kind": Kind.IMAGE,
        "manifest": "a" * 64,
        "head_bytes": 100,
        "tree": False,
        "size": 1 << 45,
        "entries": 1,
        "blocks": 3,
        "sha256": "b" * 64,
        "chunker": CHUNKER,
        "created": AT,
        "note": "",
    }
    return NewVersion(**(values | changes))


def offered(catalog: CatalogReader, generation: int | None = None, channel: str = DEFAULT_CHANNEL) -> dict[str, int]:
    """Name → current version number, in the catalog's order."""
    wanted = catalog.state().generation if generation is None else generation
    return {each.name: each.number for each in catalog.current(generation=wanted, channel=channel)}


def all_rows(catalog: Catalog, tables: Iterator[str]) -> dict[str, list[tuple[object, ...]]]:
    until = catalog.state().generation
    return {table: list(catalog.offer_rows(table, after=0, until=until)) for table in tables}
