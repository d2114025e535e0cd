"""The connector to a SQLite file: a master's embedded catalog, or a TOC."""

from __future__ import annotations

import errno
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self
from urllib.parse import quote

from netclnt.catalog.connection import Connector, Contended, Cursor
from netclnt.errors import (
    Damaged,
    ForbiddenValue,
    Incompatible,
    LineBroken,
    NetclntError,
    StorageFailed,
    Unreachable,
)
from netclnt.rows import OFFER, SCHEMA_VERSION

BUSY_SECONDS = 20.0
APPLICATION_ID = 0x6E63746C
"""Marks a TOC ("nctl") in a SQLite file's header."""

_SCHEMA_ENTRIES_MAX = 200
_TABLE = re.compile(
    r"CREATE TABLE nc_[a-z_]+ \((?:[a-z0-9_]+ (?:BIGINT|VARCHAR\([0-9]{1,4}\)) NOT NULL, )+"
    r"PRIMARY KEY \([a-z0-9_, ]+\)(?:, UNIQUE \([a-z0-9_, ]+\))*\)"
)


class SqliteConnector(Connector):
    """``untrusted``: a file from elsewhere, opened read-only and looked through before anything is read from it."""

    foreign = (sqlite3.Error,)

    def __init__(self, path: Path, *, untrusted: bool = False) -> None:
        super().__init__(f"sqlite:{path}")
        self._path = path
        self._untrusted = untrusted
        self._mode = "ro&immutable=1" if untrusted else "rw"
        self._raw: sqlite3.Connection | None = None

    def clone(self) -> Self:
        return type(self)(self._path, untrusted=self._untrusted)

    def allow_creation(self) -> None:
        self.close()
        self._mode = "rwc"

    @contextmanager
    def translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._translate(error) from error
        except UnicodeError as error:
            raise ForbiddenValue(what="text in the catalog", value=type(error).__name__, rule="valid Unicode") from None

    def cursor(self, sql: str, params: Sequence[object]) -> Cursor:
        return self._open().execute(sql, tuple(params))

    def begin(self) -> None:
        self._open().execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._open().execute("COMMIT")

    def rollback(self) -> None:
        if self._raw is not None and self._raw.in_transaction:
            with suppress(sqlite3.Error):
                self._raw.execute("ROLLBACK")

    def close(self) -> None:
        if self._raw is not None:
            self._raw.close()
            self._raw = None

    def _open(self) -> sqlite3.Connection:
        if self._raw is None:
            uri = f"file:{quote(str(self._path.absolute()))}?mode={self._mode}"
            raw = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
            raw.text_factory = _text
            try:
                if self._untrusted:
                    _harden(raw)
                    _check_schema(raw, str(self._path))
            except BaseException:
                raw.close()
                raise
            self._raw = raw
        return self._raw

    def _translate(self, error: sqlite3.Error) -> NetclntError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        return translate(code, str(error), self.address)


def translate(code: int, cause: str, address: str) -> NetclntError:
    """The error that a primary result code of SQLite becomes (https://sqlite.org/rescode.html)."""
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CONSTRAINT):
        return Contended(what="catalog", address=address, cause=cause)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT):
        return Damaged(what="catalog", where=address, problem=cause)
    if code == sqlite3.SQLITE_CANTOPEN:
        return Unreachable(what="catalog", address=address, cause=cause)
    if code == sqlite3.SQLITE_TOOBIG:
        return ForbiddenValue(what="value in the catalog", value=cause, rule="of a sane length")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR):
        numbers = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EACCES}
        return StorageFailed(action="write", path=address, errno=numbers.get(code, errno.EIO), cause=cause)
    if cause.startswith(("no such table", "no such column")):
        return Incompatible(what="catalog schema", found=cause, supported=str(SCHEMA_VERSION))
    return LineBroken(what="catalog", address=address, cause=cause)


def _text(stored: bytes) -> str | bytes:
    """Text; as bytes where it is not UTF-8, so that whoever reads the row refuses that, and not the whole answer with it."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


def _harden(raw: sqlite3.Connection) -> None:
    """What https://sqlite.org/security.html advises for files from elsewhere."""
    limits = {
        sqlite3.SQLITE_LIMIT_LENGTH: 1_000_000,
        sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
        sqlite3.SQLITE_LIMIT_COLUMN: 100,
        sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 20,
        sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 3,
        sqlite3.SQLITE_LIMIT_VDBE_OP: 25_000,
        sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 8,
        sqlite3.SQLITE_LIMIT_ATTACHED: 0,
        sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 50,
        sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 20,
        sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    }
    for category, limit in limits.items():
        raw.setlimit(category, limit)
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "query_only=ON"):
        raw.execute(f"PRAGMA {pragma}")


def _check_schema(raw: sqlite3.Connection, path: str) -> None:
    """Only plain tables in the words that :func:`netclnt.catalog.schema.create_table` writes, among them the offer's."""
    if raw.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise Damaged(what="TOC", where=path, problem="not a table of contents of netclnt")
    tables = set()
    entries = raw.execute("SELECT type, name, sql FROM sqlite_master").fetchmany(_SCHEMA_ENTRIES_MAX + 1)
    if len(entries) > _SCHEMA_ENTRIES_MAX:
        raise Damaged(what="TOC", where=path, problem="holds too many tables")
    for kind, name, sql in entries:
        if kind == "table" and isinstance(sql, str) and _TABLE.fullmatch(sql) and sql.startswith(f"CREATE TABLE {name} ("):
            tables.add(name)
        elif kind != "index" or sql is not None:
            raise Damaged(what="TOC", where=path, problem=f"holds a {str(kind)[:20]} that does not belong there")
    if not tables.issuperset(OFFER):
        raise Damaged(what="TOC", where=path, problem="lacks a table")
