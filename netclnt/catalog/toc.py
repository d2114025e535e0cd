"""The TOC: the catalog's current offer as one SQLite file, read by the same SQL as a catalog.

A TOC grows where it lies: rows are inserted in the order of their generations into pages that stay where they are, so that
from one generation to the next most of the file's blocks are equal. It holds no time of its own making.
"""

from __future__ import annotations

import os
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from netclnt.catalog import schema
from netclnt.catalog.connection import Contended
from netclnt.catalog.reader import SqlReader
from netclnt.catalog.sqlite import APPLICATION_ID, SqliteConnector
from netclnt.errors import Damaged, ForbiddenValue, Incompatible, LineBroken, StorageFailed, Unreachable
from netclnt.model import CatalogState, check_range
from netclnt.protocols import Catalog
from netclnt.rows import OFFER, SCHEMA_VERSION, clean, state_row

_PAGE_BYTES = 4096


def open_toc(path: Path) -> SqlReader:
    """A reader of a TOC that may come from anywhere; the file must not change while it is open.

    Nothing is opened before the first question; what is then no sound TOC raises Damaged.
    """
    return SqlReader(SqliteConnector(path, untrusted=True))


def update_toc(path: Path, catalog: Catalog, generation: int) -> None:
    """Bring the TOC at ``path`` to ``generation`` of ``catalog``, durably: by the rows that came since, where it is sound and of
    the same origin; else (or if it is not there, or ahead) from nothing, and shown by a rename. One that is up to date is not
    touched."""
    state = catalog.state()
    check_range("generation", generation, 0, state.generation)
    wanted = replace(
        state, schema_version=SCHEMA_VERSION, generation=generation, assignment_revision=0
    )  # what is assigned to servers is no part of the offer
    with closing(SqliteConnector(path)) as connector:
        own = _sound_state(connector)
        if own == wanted:
            return
        if own and (own.identity, own.hash_seed) == (wanted.identity, wanted.hash_seed) and own.generation <= generation:
            _fill(connector, catalog, wanted, after=own.generation)
            return
    _build(path, catalog, wanted)


def _sound_state(connector: SqliteConnector) -> CatalogState | None:
    """The state of a TOC that can be added to; None if it must be built anew."""
    try:
        [(problem,)] = connector.select("PRAGMA quick_check(1)")
        [(mark,)] = connector.select("PRAGMA application_id")
        own = SqlReader(connector).state()
    except Contended:
        raise
    except (Damaged, Incompatible, ForbiddenValue, LineBroken, Unreachable):
        return None
    sound = problem == "ok" and mark == APPLICATION_ID and own.schema_version == SCHEMA_VERSION
    return own if sound else None


def _build(path: Path, catalog: Catalog, wanted: CatalogState) -> None:
    new = path.with_name(path.name + ".new")
    _remove(new)
    connector = SqliteConnector(new)
    connector.allow_creation()
    with closing(connector):
        for pragma in (f"page_size={_PAGE_BYTES}", f"application_id={APPLICATION_ID}", f"user_version={SCHEMA_VERSION}"):
            connector.change(f"PRAGMA {pragma}")
        for table in schema.TOC_TABLES:
            connector.change(schema.create_table(table))
        _fill(connector, catalog, wanted, after=0)
    # a journal that the old file left behind would be played into the new one
    _remove(path)
    try:
        new.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise StorageFailed(action="rename", path=str(path), errno=error.errno or 0, cause=str(error)) from error


def _fill(connector: SqliteConnector, catalog: Catalog, wanted: CatalogState, *, after: int) -> None:
    with connector.transaction():
        for name, table in OFFER.items():
            statement = schema.insert(table)
            for row in clean(table, catalog.offer_rows(name, after=after, until=wanted.generation)):
                connector.change(statement, row)
        connector.change("DELETE FROM nc_state")
        connector.change(schema.insert(schema.STATE), (1, *state_row(wanted)))


def _remove(path: Path) -> None:
    try:
        for each in (path.with_name(path.name + "-journal"), path):
            with suppress(FileNotFoundError):
                each.unlink()
    except OSError as error:
        raise StorageFailed(action="remove", path=str(path), errno=error.errno or 0, cause=str(error)) from error
