"""The connector to any database through its ODBC driver."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Protocol, Self

from netclnt.catalog import connstr, sqlite
from netclnt.catalog.connection import LOGIN_SECONDS, QUERY_SECONDS, Connector, Contended, Cursor
from netclnt.errors import (
    DeadlinePassed,
    DriverMissing,
    ForbiddenValue,
    Incompatible,
    LineBroken,
    LoginRefused,
    NetclntError,
    Unreachable,
)
from netclnt.rows import SCHEMA_VERSION


class _Cursor(Cursor, Protocol):
    def nextset(self) -> bool: ...


class _Raw(Protocol):
    """The part of a pyodbc connection that is used; pyodbc's own types are not found by type checkers."""

    autocommit: bool
    timeout: int

    def execute(self, sql: str, *params: object) -> _Cursor: ...

    def getinfo(self, what: int, /) -> str: ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...


# SQLSTATEs (ODBC reference, appendix A; PostgreSQL's and MariaDB's own ones beside them) and drivers' native codes
_NO_DRIVER = {"IM002", "IM003", "IM004", "IM012"}
_DENIED_LOGIN = {1044, 1045, 1698, 18456}
_NO_DATABASE = {1049, 4060}
_CONTENTION = {"40001", "40P01", "55P03"}
_CONTENTION_NATIVE = {1205, 1213}
_NO_TABLE = {"42P01", "42S02", "42703", "42S22", "3F000"}
_DENIED = {"42501"}
_DENIED_NATIVE = {1044, 1142, 1143, 1227}
_TOO_LONG = {"HYT00", "HYT01", "57014", "70100"}
_TOO_LONG_NATIVE = {1969, 3024}
_REFUSED = ("authentication failed", "no pg_hba.conf entry", "no password supplied", "not permitted to log in")
_BUSY_SERVER = ("too many", "remaining connection slots", "starting up", "shutting down", "recovery")


def _pyodbc() -> ModuleType:
    """Late: it is heavy, and a slave that reads a TOC never needs it."""
    try:
        return importlib.import_module("pyodbc")
    except ImportError as error:
        raise DriverMissing(driver="unixODBC", cause=str(error)) from error


class OdbcConnector(Connector):
    """``connection_string`` as the admin wrote it, ``password`` separately or None. Neither is ever part of an error."""

    def __init__(self, connection_string: str, *, password: str | None = None) -> None:
        super().__init__(f"odbc:{connstr.public(connection_string)}")
        self._string = connection_string if password is None else connstr.with_password(connection_string, password)
        self._given = (connection_string, password)
        self._secrets = connstr.secrets(self._string)
        self._may_create = False
        self._raw: _Raw | None = None
        self._engine = ""
        self._first = ""

    def clone(self) -> Self:
        string, password = self._given
        return type(self)(string, password=password)

    def allow_creation(self) -> None:
        self.close()
        self._may_create = True

    @property
    def table_options(self) -> str:
        if self._engine in ("MariaDB", "MySQL"):
            return " ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        return ""

    @contextmanager
    def translated(self) -> Iterator[None]:
        try:
            yield
        except UnicodeError as error:
            raise ForbiddenValue(what="text in the catalog", value=type(error).__name__, rule="valid Unicode") from None
        except self.foreign as error:
            translated = self._translate(*self._facts(error))
            if isinstance(translated, LineBroken | DeadlinePassed) and not isinstance(translated, Contended):
                self.close()
            raise translated from None

    def cursor(self, sql: str, params: Sequence[object]) -> Cursor:
        raw = self._open()
        if not self._first:
            return raw.execute(sql, *params)
        cursor = raw.execute(f"{self._first}; {sql}", *params)
        cursor.nextset()
        self._first = ""
        return cursor

    def begin(self) -> None:
        raw = self._open()
        if self._first:  # in the transaction, a rollback would undo it
            raw.execute(self._first).close()
            self._first = ""
        raw.autocommit = False

    def commit(self) -> None:
        raw = self._open()
        raw.commit()
        raw.autocommit = True

    def rollback(self) -> None:
        if self._raw is not None:
            try:
                self._raw.rollback()
                self._raw.autocommit = True
            except self.foreign:
                self.close()

    def close(self) -> None:
        raw, self._raw, self._first = self._raw, None, ""
        if raw is not None:
            with suppress(*self.foreign):
                raw.close()

    def _open(self) -> _Raw:
        if self._raw is None:
            pyodbc = _pyodbc()
            self.foreign = (pyodbc.Error,)
            try:
                raw: _Raw = pyodbc.connect(self._string + self._driver_options(), autocommit=True, timeout=LOGIN_SECONDS)
            except pyodbc.Error as error:
                raise self._translate_login(*self._facts(error)) from None
            self._raw = raw
            self._engine = raw.getinfo(pyodbc.SQL_DBMS_NAME)
            if self._engine == "PostgreSQL":
                # goes out with the first statement, in one round trip; as a start-up option, PgBouncer would refuse it
                self._first = f"SET statement_timeout = {QUERY_SECONDS * 1000}"
            else:
                with suppress(pyodbc.Error):  # some drivers have no such thing
                    raw.timeout = QUERY_SECONDS
        return self._raw

    def _driver_options(self) -> str:
        """What a driver must be told in any case; what the admin said of it comes first and counts."""
        pairs = connstr.parse(self._string)
        driver = connstr.lookup(pairs, "driver")
        if not driver:
            driver = _pyodbc().dataSources().get(connstr.lookup(pairs, "dsn"), "")
        options: dict[str, str] = {}
        if "sqlite" in driver.lower():
            # without BigInt, the driver cuts numbers to 32 bits, silently; without NoCreat, reading makes an empty database
            options = {"BigInt": "1", "Timeout": str(int(sqlite.BUSY_SECONDS * 1000))}
            if not self._may_create:
                options["NoCreat"] = "1"
        elif "postgres" in driver.lower() or "psql" in driver.lower():
            # prepared on the server, each statement would be followed by a DEALLOCATE and cost one more round trip
            options = {"UseServerSidePrepare": "0"}
        return "".join(f";{key}={value}" for key, value in options.items() if not connstr.lookup(pairs, key.lower()))

    def _facts(self, error: Exception) -> tuple[str, int, str]:
        """SQLSTATE, native code and text of a pyodbc error: ``args`` are (state, "[state] text (native) (function)")."""
        state, message = (str(part) for part in (*error.args, "", "")[:2])
        native = re.findall(r"\((-?\d+)\) \(SQL\w+\)", message)
        if any(secret in message for secret in self._secrets):
            message = "(the driver's text is withheld: it holds the password)"
        return state, int(native[-1]) if native else 0, " ".join(message.split())

    def _translate_login(self, state: str, native: int, cause: str) -> NetclntError:
        pairs = connstr.parse(self._string)
        user = connstr.lookup(pairs, "uid", "user", "username")
        busy = any(words in cause for words in _BUSY_SERVER)
        # PostgreSQL's driver has one SQLSTATE for every failure to connect; in any language, a refusal names the user
        named = "failed: FATAL" in cause and bool(user) and user in cause.partition("failed: ")[2] and not busy
        refused = named or any(words in cause for words in _REFUSED)
        if state in _NO_DRIVER or "Can't open lib" in cause:
            wanted = connstr.lookup(pairs, "driver") or connstr.lookup(pairs, "dsn")
            return DriverMissing(driver=wanted, cause=cause)
        if native in _NO_DATABASE or state == "3D000" or re.search(r"FATAL: +database .* does not exist", cause):
            return Incompatible(what="catalog schema", found="no such database", supported=str(SCHEMA_VERSION))
        if state.startswith("28") or native in _DENIED_LOGIN or refused:
            return LoginRefused(what="catalog", address=self.address, user=user, cause=cause)
        return Unreachable(what="catalog", address=self.address, cause=cause)

    def _translate(self, state: str, native: int, cause: str) -> NetclntError:
        if self._engine == "SQLite":
            text = re.sub(r"^\[\w+\] \[SQLite\]| \(\d+\) \(\d+\) \(SQL\w+\)$", "", cause)
            return sqlite.translate(native & 0xFF, text, self.address)
        if state in _CONTENTION or native in _CONTENTION_NATIVE or state.startswith("23"):
            return Contended(what="catalog", address=self.address, cause=cause)
        if state in _NO_TABLE:
            return Incompatible(what="catalog schema", found=cause, supported=str(SCHEMA_VERSION))
        if state in _DENIED or native in _DENIED_NATIVE:
            user = connstr.lookup(connstr.parse(self._string), "uid", "user", "username")
            return LoginRefused(what="catalog", address=self.address, user=user, cause=cause)
        if state in _TOO_LONG or native in _TOO_LONG_NATIVE:
            return DeadlinePassed(what="catalog", address=self.address, seconds=QUERY_SECONDS)
        return LineBroken(what="catalog", address=self.address, cause=cause)
