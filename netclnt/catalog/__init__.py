"""The edge to catalogs: databases through ODBC, SQLite files, and TOCs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from netclnt.catalog import connstr
from netclnt.catalog.connection import USUAL, Connector, Patience
from netclnt.catalog.lock import current_writer
from netclnt.catalog.odbc import OdbcConnector
from netclnt.catalog.sqlite import SqliteConnector
from netclnt.catalog.writer import SqlCatalog
from netclnt.errors import BadArgument, Damaged

__all__ = ["Patience", "check_file", "missing_tls", "open_catalog", "open_connector", "writer_of"]


def open_catalog(conn: str, *, password: str | None = None, patience: Patience = USUAL) -> SqlCatalog:
    """The catalog that CONN names (``odbc:`` + connection string, ``odbc:DSN=name``, or ``sqlite:FILE``).

    Nothing is contacted before the first question. The caller closes it. ``password`` goes to the ODBC driver and nowhere
    else. Raises BadArgument for a CONN of another form.
    """
    return SqlCatalog(open_connector(conn, password=password, patience=patience))


def open_connector(conn: str, *, password: str | None = None, patience: Patience = USUAL) -> Connector:
    """The connection below :func:`open_catalog`, for what is no part of the offer."""
    scheme, _, rest = conn.partition(":")
    if scheme == "odbc" and rest:
        return OdbcConnector(rest, password=password, patience=patience)
    if scheme == "sqlite" and rest:
        return SqliteConnector(Path(rest))
    raise BadArgument(argument="catalog", problem="is neither odbc:CONNECTION-STRING nor sqlite:FILE")


def missing_tls(conn: str) -> str:
    """What to add to CONN so that nobody on the way reads or changes what the database says; ``""`` where that is not needed, or
    not known. Raises BadArgument."""
    scheme, _, rest = conn.partition(":")
    return connstr.missing_tls(rest) if scheme == "odbc" else ""


def writer_of(conn: str, *, password: str | None = None, patience: Patience = USUAL) -> tuple[str, bool] | None:
    """Who holds the catalog's lock now: its own words, and whether it counts as dead; None for nobody. Takes no lock."""
    with closing(open_connector(conn, password=password, patience=patience)) as connector:
        return current_writer(connector)


def check_file(path: Path) -> None:
    """Read a SQLite catalog's file through. Raises Damaged if it contradicts itself."""
    with closing(SqliteConnector(path)) as connector:
        found = list(connector.select("PRAGMA quick_check(1)"))
        if found != [("ok",)]:
            raise Damaged(what="catalog", where=connector.address, problem=str(found[0][0]) if found else "no answer")
