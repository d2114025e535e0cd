"""One connection of pyodbc's, with all that belongs to it kept in one thread of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

from netclnt.callthread import CallThread
from netclnt.catalog.connection import Cursor

T = TypeVar("T")


class RawCursor(Cursor, Protocol):
    def nextset(self) -> bool: ...


class Raw(Protocol):
    """The part of a pyodbc connection that is used; pyodbc's own types are not found by type checkers."""

    autocommit: bool
    timeout: int

    def execute(self, sql: str, *params: object) -> RawCursor: ...

    def getinfo(self, what: int, /) -> str: ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...


class Driver:
    """A connection that ``connect`` makes with the first call. Every call raises what pyodbc raises, and
    :class:`~netclnt.callthread.Overdue` after ``seconds``; then only :meth:`close` is left."""

    def __init__(self, connect: Callable[[], Raw]) -> None:
        self._connect = connect
        self._raw: Raw | None = None
        self._cursors: dict[int, RawCursor] = {}
        self._numbers = itertools.count()
        self._thread = CallThread(self._farewell)

    def call(self, work: Callable[[Raw], T], *, seconds: float) -> T:
        """Do ``work`` in the thread. What it returns must not be the driver's."""
        return self._thread.call(lambda: work(self._opened()), seconds=seconds)

    def execute(self, sql: str, params: Sequence[object], *, results: int = 1, seconds: float) -> Rows:
        """Send ``sql``, which gives so many results, and return the rows of the last one."""

        def work(raw: Raw) -> int:
            cursor = raw.execute(sql, *params)
            for _ in range(results - 1):
                cursor.nextset()
            number = next(self._numbers)
            self._cursors[number] = cursor
            return number

        return Rows(self, self.call(work, seconds=seconds), seconds)

    def fetch(self, cursor: int, count: int, *, seconds: float) -> list[tuple[object, ...]]:
        """The next rows; when they are fewer than ``count`` they are the last ones, and the cursor is gone."""

        def work(_: Raw) -> list[tuple[object, ...]]:
            rows = [tuple(row) for row in self._cursors[cursor].fetchmany(count)]
            if len(rows) < count:
                self._cursors.pop(cursor).close()
            return rows

        return self.call(work, seconds=seconds)

    def forget(self, cursor: int, *, seconds: float) -> None:
        self.call(lambda _: self._cursors.pop(cursor).close(), seconds=seconds)

    def close(self, *, seconds: float) -> None:
        self._thread.end(seconds=seconds)

    def _opened(self) -> Raw:
        if self._raw is None:
            self._raw = self._connect()
        return self._raw

    def _farewell(self) -> None:
        raw, self._raw = self._raw, None
        for cursor in self._cursors.values():
            with suppress(Exception):
                cursor.close()
        self._cursors.clear()
        if raw is not None:
            with suppress(Exception):
                raw.close()


class Rows:
    """A :class:`~netclnt.catalog.connection.Cursor` that holds a number in place of pyodbc's own one: what is the driver's must
    not end in another thread, which would wait there for a call that never returns."""

    def __init__(self, driver: Driver, cursor: int, seconds: float) -> None:
        self._driver = driver
        self._cursor = cursor
        self._seconds = seconds
        self._over = False

    def fetchmany(self, size: int, /) -> list[tuple[object, ...]]:
        if self._over:
            return []
        rows = self._driver.fetch(self._cursor, size, seconds=self._seconds)
        self._over = len(rows) < size
        return rows

    def close(self) -> None:
        if not self._over:
            self._driver.forget(self._cursor, seconds=self._seconds)
