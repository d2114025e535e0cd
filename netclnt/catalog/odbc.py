"""The connector to any database through its ODBC driver."""

from __future__ import annotations

import importlib
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol, Self, cast

from netclnt.backoff import Backoff
from netclnt.callthread import Overdue
from netclnt.catalog import connstr, sqlite
from netclnt.catalog.connection import USUAL, Connector, Contended, Cursor, Patience
from netclnt.catalog.driver import Driver, Raw
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
from netclnt.events import Retried
from netclnt.rows import SCHEMA_VERSION

WHAT = "catalog"
"""How errors and events name the other end of this edge."""

_LATE = 5.0
"""Seconds beyond a time-out that the driver or the server keeps itself, and tells better of."""

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

# PostgreSQL's driver has one SQLSTATE for every failure to connect, and only a text beside it. The server writes that in the
# language of its lc_messages, which a client cannot choose before it is logged in; libpq's own words come in English, and two
# blanks between the severity and what the server says. In any language a refused login names the user.
_SERVER_SAYS = re.compile(r"failed: [^\s:]+:  (.*)", re.DOTALL)
_REFUSED = (
    *("authentication failed", "no pg_hba.conf entry", "no password supplied", "not permitted to log in"),
    "permission denied for database",
)
_BUSY_SERVER = ("too many", "remaining connection slots", "starting up", "shutting down", "recovery")


class _Pyodbc(Protocol):
    """The part of the module that is used."""

    Error: type[Exception]
    SQL_DBMS_NAME: int

    def connect(self, string: str, /, *, autocommit: bool, timeout: int) -> Raw: ...

    def dataSources(self) -> dict[str, str]: ...  # noqa: N802 - pyodbc's name


def _pyodbc() -> _Pyodbc:
    """Late: it is heavy, and a slave that reads a TOC never needs it."""
    try:
        return cast(_Pyodbc, importlib.import_module("pyodbc"))
    except ImportError as error:
        raise DriverMissing(driver="unixODBC", cause=str(error)) from error


class OdbcConnector(Connector):
    """``connection_string`` as the admin wrote it, ``password`` separately or None. Neither is ever part of an error."""

    def __init__(self, connection_string: str, *, password: str | None = None, patience: Patience = USUAL) -> None:
        super().__init__(f"odbc:{connstr.public(connection_string)}")
        self._string = connection_string if password is None else connstr.with_password(connection_string, password)
        self._given = (connection_string, password)
        self._secrets = connstr.secrets(self._string)
        self._patience = patience
        self._may_create = False
        self._driver: Driver | None = None
        self._engine = ""
        self._first = ""
        self._heard = False

    def clone(self) -> Self:
        string, password = self._given
        return type(self)(string, password=password, patience=Patience(timeout=self._patience.timeout))

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
        except Overdue as error:
            self.close()
            raise self._silent(error.seconds) from None
        except self.foreign as error:
            translated = self._translate(*self._facts(error))
            if isinstance(translated, LineBroken | DeadlinePassed) and not isinstance(translated, Contended):
                self.close()
            raise translated from None

    def cursor(self, sql: str, params: Sequence[object]) -> Cursor:
        driver = self._open()
        if self._first:
            cursor = driver.execute(f"{self._first}; {sql}", params, results=2, seconds=self._seconds)
        else:
            cursor = driver.execute(sql, params, seconds=self._seconds)
        self._first, self._heard = "", True
        return cursor

    def begin(self) -> None:
        driver = self._open()
        if self._first:  # in the transaction, a rollback would undo it
            driver.execute(self._first, (), seconds=self._seconds).close()
            self._first, self._heard = "", True

        def work(raw: Raw) -> None:
            raw.autocommit = False

        driver.call(work, seconds=self._seconds)

    def commit(self) -> None:
        def work(raw: Raw) -> None:
            raw.commit()
            raw.autocommit = True

        self._open().call(work, seconds=self._seconds)

    def rollback(self) -> None:
        def work(raw: Raw) -> None:
            raw.rollback()
            raw.autocommit = True

        if self._driver is not None:
            try:
                self._driver.call(work, seconds=self._patience.timeout)
            except self.foreign:
                self.close()

    def close(self) -> None:
        driver, self._driver, self._first = self._driver, None, ""
        if driver is not None:
            driver.close(seconds=self._patience.timeout)

    @property
    def _seconds(self) -> float:
        """How long to wait for the next statement's answer: longer than the server lets it run, if the server does that."""
        return self._patience.query + _LATE if self._heard else self._patience.timeout

    def _open(self) -> Driver:
        """Connected, if need be after some attempts."""
        backoff = Backoff(budget=self._patience.budget)
        while self._driver is None:
            try:
                self._connect()
            except (Unreachable, DeadlinePassed) as error:
                delay = backoff.failed(time.monotonic())
                if delay is None:
                    raise
                reason = error.cause if isinstance(error, Unreachable) else f"no answer for {error.seconds:g} s"
                self._patience.observer(Retried(what=WHAT, attempt=backoff.attempt, delay=round(delay, 3), reason=reason))
                time.sleep(delay)
        return self._driver

    def _connect(self) -> None:
        pyodbc = _pyodbc()
        self.foreign = (pyodbc.Error, Overdue)
        string, login = self._string + self._driver_options(), self._patience.login
        driver = Driver(lambda: pyodbc.connect(string, autocommit=True, timeout=max(1, round(login))))
        try:
            self._engine = driver.call(lambda raw: raw.getinfo(pyodbc.SQL_DBMS_NAME), seconds=login + _LATE)
            self._limit(driver, pyodbc.Error)
        except Overdue as error:
            driver.close(seconds=0)
            raise self._silent(error.seconds) from None
        except pyodbc.Error as error:
            driver.close(seconds=login)
            raise self._translate_login(*self._facts(error)) from None
        self._driver, self._heard = driver, False

    def _limit(self, driver: Driver, refused: type[Exception]) -> None:
        """Have the server itself break off what takes too long."""
        seconds = max(1, round(self._patience.query))
        if self._engine == "PostgreSQL":
            # goes out with the first statement, in one round trip; as a start-up option, PgBouncer would refuse it
            self._first = f"SET statement_timeout = {seconds * 1000}"
            return

        def work(raw: Raw) -> None:
            with suppress(refused):  # some drivers have no such thing
                raw.timeout = seconds

        driver.call(work, seconds=self._patience.timeout)

    def _silent(self, seconds: float) -> DeadlinePassed:
        return DeadlinePassed(what=WHAT, address=self.address, seconds=seconds)

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
        return state, int(native[-1]) if native else 0, message.strip()

    def _translate_login(self, state: str, native: int, told: str) -> NetclntError:
        pairs = connstr.parse(self._string)
        user = connstr.lookup(pairs, "uid", "user", "username")
        cause = " ".join(told.split())
        refused = any(words in cause for words in _REFUSED) or (
            _names(user, _SERVER_SAYS.search(told)) and not any(words in cause for words in _BUSY_SERVER)
        )
        if state in _NO_DRIVER or "Can't open lib" in cause:
            wanted = connstr.lookup(pairs, "driver") or connstr.lookup(pairs, "dsn")
            return DriverMissing(driver=wanted, cause=cause)
        if native in _NO_DATABASE or state == "3D000" or re.search(r"FATAL: +database .* does not exist", cause):
            return Incompatible(what="catalog schema", found="no such database", supported=str(SCHEMA_VERSION))
        if state.startswith("28") or native in _DENIED_LOGIN or refused:
            return LoginRefused(what=WHAT, address=self.address, user=user, cause=cause)
        return Unreachable(what=WHAT, address=self.address, cause=cause)

    def _translate(self, state: str, native: int, told: str) -> NetclntError:
        cause = " ".join(told.split())
        if self._engine == "SQLite":
            if native & 0xFF == sqlite3.SQLITE_INTERRUPT:
                return self._silent(self._patience.query)
            text = re.sub(r"^\[\w+\] \[SQLite\]| \(\d+\) \(\d+\) \(SQL\w+\)$", "", cause)
            return sqlite.translate(native & 0xFF, text, self.address)
        if state in _CONTENTION or native in _CONTENTION_NATIVE or state.startswith("23"):
            return Contended(what=WHAT, address=self.address, cause=cause)
        if state in _NO_TABLE:
            return Incompatible(what="catalog schema", found=cause, supported=str(SCHEMA_VERSION))
        if state in _DENIED or native in _DENIED_NATIVE:
            user = connstr.lookup(connstr.parse(self._string), "uid", "user", "username")
            return LoginRefused(what=WHAT, address=self.address, user=user, cause=cause)
        if state in _TOO_LONG or native in _TOO_LONG_NATIVE:
            return self._silent(self._patience.query)
        return LineBroken(what=WHAT, address=self.address, cause=cause)


def _names(user: str, said: re.Match[str] | None) -> bool:
    """Whether a server's words name the user."""
    return bool(user and said and re.search(rf"(?<!\w){re.escape(user)}(?!\w)", said[1]))
