"""Rows of checked tables: each carries the CRC-32 of its values, as a flipped bit in one of them would be believed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any
from zlib import crc32

from netclnt.ledger.records import Applied, Composition, Deferred, Held, Kept, OldPlace, Quarantine, Run, RunImage, Untold
from netclnt.model import Kind

_REAL = ("seconds", "forecast_seconds")
"""Columns of real numbers, which come back as such also where a whole one was put in."""

Record = Applied | Composition | Deferred | Held | Kept | OldPlace | Quarantine | Run | RunImage | Untold


def columns(kind: type[Record]) -> str:
    """The columns of a record's table, in the order of its fields."""
    return ", ".join(field.name for field in fields(kind))


def values(record: Record) -> tuple[Any, ...]:
    """A record's fields as SQLite gives them back."""
    return tuple(_value(field.name, getattr(record, field.name)) for field in fields(record))


def _value(name: str, value: object) -> object:
    if name in _REAL and isinstance(value, int):
        return float(value)
    return int(value) if isinstance(value, bool) else str(value) if isinstance(value, Kind) else value


def marks(count: int) -> str:
    return ", ".join("?" * count)


def insert(connection: sqlite3.Connection, table: str, names: str, row: tuple[Any, ...]) -> int | None:
    """Insert (or replace) a row of one of the checked tables; returns its number."""
    sql = f"INSERT OR REPLACE INTO {table} ({names}, crc) VALUES ({marks(len(row) + 1)})"
    return connection.execute(sql, (*row, crc(row))).lastrowid


def checked(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Rows without their CRC, which comes last; NULL where a row is of a release that had none. Raises ValueError."""
    for *row, found in rows:
        if found is not None and found != crc(tuple(row)):
            raise ValueError(f"a row is not what it was: {row!r}"[:200])
        yield tuple(row)


def crc(row: tuple[Any, ...]) -> int:
    return crc32(repr(row).encode())
