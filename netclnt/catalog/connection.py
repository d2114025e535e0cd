"""What the catalog's SQL needs from a database driver, and the errors that a driver's answers become.

A connector opens lazily, in the driver's autocommit mode, so that a reader sends nothing but its SELECTs. It translates the
driver's errors where they arise, also while rows are fetched, and counts statements.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol, Self

from netclnt.errors import LineBroken
from netclnt.events import Observer, ignore

FETCH_ROWS = 500


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a database may keep us waiting. ``timeout`` is for its answer to a connection's first question, which is never a
    long one. ``budget`` is for trying to connect again and again while it cannot be reached; the observer is told of it."""

    timeout: float = 30.0
    budget: float = 0.0
    observer: Observer = ignore

    @property
    def login(self) -> float:
        return self.timeout / 2

    @property
    def query(self) -> float:
        """For any statement, all its rows included: many drivers hand out none before the last one came."""
        return self.timeout * 20


USUAL = Patience()


class Contended(LineBroken):
    """The database broke off a transaction in favour of another one's and asks to try it again."""


class Cursor(Protocol):
    """The part of a DB-API cursor that is used."""

    def fetchmany(self, size: int, /) -> Sequence[Iterable[object]]: ...

    def close(self) -> None: ...


class Connector(ABC):
    """One database, connected on first use. Not shared between threads."""

    foreign: tuple[type[Exception], ...] = ()
    """The driver's errors."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.statements = 0

    @property
    def table_options(self) -> str:
        """What this engine wants after a CREATE TABLE so that text is stored as Unicode and compared as bytes; known once
        anything was asked."""
        return ""

    def select(self, sql: str, params: Sequence[object] = ()) -> Iterator[tuple[object, ...]]:
        """The rows of one SELECT; sent when the first row is asked for."""
        with self.translated():
            self.statements += 1
            cursor = self.cursor(sql, params)
            try:
                while rows := cursor.fetchmany(FETCH_ROWS):
                    yield from map(tuple, rows)
            finally:
                # an answer not read to its end may be thrown away after its connection
                with suppress(*self.foreign):
                    cursor.close()

    def change(self, sql: str, params: Sequence[object] = ()) -> None:
        """Send one statement that gives no rows."""
        with self.translated():
            self.statements += 1
            self.cursor(sql, params).close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside count together, or not at all if an error leaves the block."""
        with self.translated():
            self.begin()
        try:
            yield
            with self.translated():
                self.commit()
        except BaseException:
            self.rollback()
            raise

    @abstractmethod
    def clone(self) -> Self:
        """Another connection to the same database, for use in another thread."""

    @abstractmethod
    def allow_creation(self) -> None:
        """Let the next connection make the database's file if there is none."""

    @abstractmethod
    def translated(self) -> AbstractContextManager[None]:
        """Turns the driver's errors into NetclntError."""

    @abstractmethod
    def cursor(self, sql: str, params: Sequence[object]) -> Cursor:
        """Send a statement. Called inside :meth:`translated`."""

    @abstractmethod
    def begin(self) -> None: ...

    @abstractmethod
    def commit(self) -> None: ...

    @abstractmethod
    def rollback(self) -> None:
        """Raises nothing: it is called when something else has failed already."""

    @abstractmethod
    def close(self) -> None:
        """Idempotent; raises nothing."""
