"""The edge to catalogs: databases through ODBC, SQLite files, and TOCs."""

from __future__ import annotations

from pathlib import Path

from netclnt.catalog.connection import Connector
from netclnt.catalog.odbc import OdbcConnector
from netclnt.catalog.sqlite import SqliteConnector
from netclnt.catalog.writer import SqlCatalog
from netclnt.errors import BadArgument

__all__ = ["open_catalog", "open_connector"]


def open_catalog(conn: str, *, password: str | None = None) -> SqlCatalog:
    """The catalog that CONN names (``odbc:`` + connection string, ``odbc:DSN=name``, or ``sqlite:FILE``).

    Nothing is contacted before the first question. The caller closes it. ``password`` goes to the ODBC driver and nowhere
    else. Raises BadArgument for a CONN of another form.
    """
    return SqlCatalog(open_connector(conn, password=password))


def open_connector(conn: str, *, password: str | None = None) -> Connector:
    """The connection below :func:`open_catalog`, for what is no part of the offer."""
    scheme, _, rest = conn.partition(":")
    if scheme == "odbc" and rest:
        return OdbcConnector(rest, password=password)
    if scheme == "sqlite" and rest:
        return SqliteConnector(Path(rest))
    raise BadArgument(argument="catalog", problem="is neither odbc:CONNECTION-STRING nor sqlite:FILE")
