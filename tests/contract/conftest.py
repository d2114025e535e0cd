"""Catalogs of every engine, each in a fresh place, for the contract suites."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from netclnt.memory.catalog import MemoryCatalog
from tests.support.catalogs import MemoryPlace, Place, SqlPlace
from tests.support.databases import Missing, odbc_driver

SERVERS = ("postgresql", "mariadb")
SQL_ENGINES = ("sqlite", "sqlite-odbc", *SERVERS)
ENGINES = ("memory", *SQL_ENGINES)


def sql_place(engine: str, request: pytest.FixtureRequest, directory: Path) -> SqlPlace:
    if engine == "sqlite":
        return SqlPlace(f"sqlite:{directory / 'catalog.db'}")
    if engine == "sqlite-odbc":
        try:
            driver = odbc_driver("SQLite3", "SQLite")
        except Missing as missing:
            pytest.skip(str(missing))
        return SqlPlace(f"odbc:DRIVER={{{driver}}};Database={directory / 'catalog.db'}")
    database = request.getfixturevalue(engine).create_database()
    return SqlPlace(database.conn, database.password, database)


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a catalog can be created, on each engine and in memory."""
    chosen: Place = MemoryPlace(MemoryCatalog()) if request.param == "memory" else sql_place(request.param, request, tmp_path)
    yield chosen
    chosen.close()


@pytest.fixture(params=SQL_ENGINES)
def sql(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlPlace]:
    """As ``place``, without the one in memory."""
    chosen = sql_place(request.param, request, tmp_path)
    yield chosen
    chosen.close()


@pytest.fixture(params=SERVERS)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlPlace]:
    """As ``sql``, only on database servers."""
    chosen = sql_place(request.param, request, tmp_path)
    yield chosen
    chosen.close()
