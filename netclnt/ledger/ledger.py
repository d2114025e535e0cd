"""The ledger's questions and answers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from netclnt.errors import ForbiddenValue
from netclnt.ledger.database import Database
from netclnt.ledger.records import Applied, Held, Kept, Run
from netclnt.model import NUMBER_MAX, Kind, check_hex, check_range
from netclnt.protocols import Facts

BUSY_SECONDS = 60.0
RUNS_KEPT = 1000

_IDENTITY = "identity"
_MARKER = "marker"
_SIGN = 1 << 63

_APPLIED = ", ".join(field.name for field in fields(Applied))
_HELD = ", ".join(field.name for field in fields(Held))
_KEPT = ", ".join(field.name for field in fields(Kept))
_RUN = ", ".join(field.name for field in fields(Run))


class Ledger:
    """A slave's ledger; a context manager that closes it. Belongs to the thread that opened it.

    Made if there is none (``":memory:"`` for one without a file). Each writing method is one transaction, durable when it
    returns. ``busy`` is how many seconds to wait for another program that holds the file. ``readonly`` never writes to disk.
    All methods raise only LedgerDamaged, LedgerBusy, Incompatible, NoSpace and StorageFailed.
    """

    def __init__(self, path: Path | str, *, busy: float = BUSY_SECONDS, readonly: bool = False) -> None:
        self._database = Database(path, busy=busy, readonly=readonly)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent."""
        self._database.close()

    def check(self) -> None:
        """Read the whole file; raises LedgerDamaged if it contradicts itself."""
        self._database.check()

    # --- the master followed, the root served

    def identity(self) -> str | None:
        """The origin that this slave follows; None before first contact."""
        return self._setting(_IDENTITY, 32)

    def set_identity(self, identity: str) -> None:
        self._set(_IDENTITY, check_hex("identity", identity, 32))

    def marker(self) -> str | None:
        """The root's marker; None before first contact."""
        return self._setting(_MARKER, 32)

    def set_marker(self, marker: str) -> None:
        self._set(_MARKER, check_hex("marker", marker, 32))

    def applied(self) -> Applied | None:
        """What was last fully applied; None if nothing was."""
        rows = self._database.rows(f"SELECT {_APPLIED} FROM applied")
        with self._database.believed():
            return Applied(*rows[0]) if rows else None

    def set_applied(self, applied: Applied) -> None:
        values = tuple(getattr(applied, field.name) for field in fields(applied))
        with self._database.transaction() as connection:
            connection.execute(f"INSERT OR REPLACE INTO applied (id, {_APPLIED}) VALUES (1, ?, ?, ?, ?, ?, ?)", values)

    # --- images held

    def held(self) -> list[Held]:
        """All images, ordered by the bytes of their names."""
        rows = self._database.rows(f"SELECT {_HELD} FROM held ORDER BY name")
        with self._database.believed():
            return [_held(row) for row in rows]

    def get(self, name: str) -> Held | None:
        rows = self._database.rows(f"SELECT {_HELD} FROM held WHERE name = ?", (name,))
        with self._database.believed():
            return _held(rows[0]) if rows else None

    def facts(self, name: str, path: str | None = None) -> dict[str, Facts]:
        """How each path of the image (or the one path) looked when it was recorded; empty for an unknown one."""
        return dict(self.all_facts(name, path)).get(name, {})

    def all_facts(self, name: str | None = None, path: str | None = None) -> Iterator[tuple[str, dict[str, Facts]]]:
        """Name and facts of each image (or of the one; or of one path), ordered by name, in one question."""
        wanted = {column: value for column, value in (("held.name", name), ("fact.path", path)) if value is not None}
        where = " AND ".join(f"{column} = ?" for column in wanted) or "1"
        rows = self._database.rows(
            "SELECT held.name, fact.path, fact.size, fact.mtime, fact.inode FROM held JOIN fact ON fact.held = held.id"
            f" WHERE {where} ORDER BY held.name",
            tuple(wanted.values()),
        )
        images: dict[str, dict[str, Facts]] = {}
        with self._database.believed():
            for image, some in groupby(rows, itemgetter(0)):
                images[_text(image)] = _all_facts(some)
        yield from images.items()

    def record(self, held: Held, facts: Mapping[str, Facts]) -> None:
        """Step 5 of the order of writes, in one transaction: the image's row and its facts are replaced, and the journal of its
        manifest is cleared."""
        row = tuple(getattr(held, field.name) for field in fields(held))
        with self._database.transaction() as connection:
            _forget(connection, held.name)
            cursor = connection.execute(f"INSERT INTO held ({_HELD}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            connection.executemany(
                "INSERT INTO fact (held, path, size, mtime, inode) VALUES (?, ?, ?, ?, ?)",
                ((cursor.lastrowid, path, fact.size, fact.mtime, _signed(fact.inode)) for path, fact in facts.items()),
            )
            connection.execute("DELETE FROM journal WHERE manifest = ?", (held.manifest,))

    def forget(self, name: str) -> None:
        """Remove an image's row and facts. An unknown one is fine."""
        with self._database.transaction() as connection:
            _forget(connection, name)

    def mark_damaged(self, name: str, damaged: bool) -> None:
        with self._database.transaction() as connection:
            connection.execute("UPDATE held SET damaged = ? WHERE name = ?", (damaged, name))

    # --- versions kept aside

    def keep(self, name: str, number: int, manifest: str, token: str) -> None:
        """Remember a kept version; one of the same token is replaced."""
        kept = Kept(name, number, manifest, token)
        with self._database.transaction() as connection:
            values = (kept.name, kept.number, kept.manifest, kept.token)
            connection.execute(f"INSERT OR REPLACE INTO kept ({_KEPT}) VALUES (?, ?, ?, ?)", values)

    def kept(self, name: str | None = None) -> list[Kept]:
        """Kept versions of one image, or of all; ordered by name, then oldest number first."""
        where, parameters = ("", ()) if name is None else (" WHERE name = ?", (name,))
        rows = self._database.rows(f"SELECT {_KEPT} FROM kept{where} ORDER BY name, number, token", parameters)
        with self._database.believed():
            return [Kept(*row) for row in rows]

    def drop_kept(self, token: str) -> None:
        """Forget a kept version. An unknown one is fine."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM kept WHERE token = ?", (token,))

    # --- pages staged

    def journal(self, manifest: str) -> set[int]:
        """Pages of a manifest that are complete and durable in staging."""
        rows = self._database.rows("SELECT page FROM journal WHERE manifest = ?", (manifest,))
        with self._database.believed():
            return {check_range("page", page, 0, NUMBER_MAX) for (page,) in rows}

    def journal_add(self, manifest: str, pages: Iterable[int]) -> None:
        """Call it only behind ``Stage.sync``."""
        with self._database.transaction() as connection:
            rows = ((manifest, page) for page in pages)
            connection.executemany("INSERT OR IGNORE INTO journal (manifest, page) VALUES (?, ?)", rows)

    def journal_clear(self, manifest: str) -> None:
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM journal WHERE manifest = ?", (manifest,))

    # --- runs

    def start_run(self, run_id: str, command: str, started: str) -> None:
        """Record that a run began; of the runs only the newest :data:`RUNS_KEPT` stay."""
        run = Run(run_id, command, started)
        values = tuple(getattr(run, field.name) for field in fields(run))
        with self._database.transaction() as connection:
            connection.execute(f"INSERT INTO run ({_RUN}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
            connection.execute("DELETE FROM run WHERE id <= (SELECT max(id) FROM run) - ?", (RUNS_KEPT,))

    def end_run(
        self,
        run_id: str,
        *,
        ended: str,
        code: int,
        generation: int = 0,
        images_changed: int = 0,
        bytes_fetched: int = 0,
        bytes_reused: int = 0,
        seconds: float = 0.0,
        message: str = "",
    ) -> None:
        """Record how a run ended. Does nothing for an unknown one (the ledger may have been made anew meanwhile)."""
        values = (ended, code, generation, images_changed, bytes_fetched, bytes_reused, seconds, message, run_id)
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE run SET ended = ?, code = ?, generation = ?, images_changed = ?, bytes_fetched = ?, bytes_reused = ?,"
                " seconds = ?, message = ? WHERE run_id = ?",
                values,
            )

    def runs(self, limit: int = RUNS_KEPT) -> list[Run]:
        """The newest runs, newest first."""
        rows = self._database.rows(f"SELECT {_RUN} FROM run ORDER BY id DESC LIMIT ?", (limit,))
        with self._database.believed():
            return [Run(*row) for row in rows]

    # --- inside

    def _setting(self, key: str, digits: int) -> str | None:
        rows = self._database.rows("SELECT value FROM setting WHERE key = ?", (key,))
        with self._database.believed():
            return check_hex(key, rows[0][0], digits) if rows else None

    def _set(self, key: str, value: str) -> None:
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO setting (key, value) VALUES (?, ?)", (key, value))


def _forget(connection: sqlite3.Connection, name: str) -> None:
    connection.execute("DELETE FROM fact WHERE held IN (SELECT id FROM held WHERE name = ?)", (name,))
    connection.execute("DELETE FROM held WHERE name = ?", (name,))


def _held(row: tuple[Any, ...]) -> Held:
    name, kind, number, manifest, tree, size, sha256, generation, shown_at, pinned, damaged = row
    flags = [bool(check_range("flag", flag, 0, 1)) for flag in (tree, pinned, damaged)]
    return Held(name, Kind(kind), number, manifest, flags[0], size, sha256, generation, shown_at, flags[1], flags[2])


def _all_facts(rows: Iterable[tuple[Any, ...]]) -> dict[str, Facts]:
    """Of one image. Column by column: there may be a million of them."""
    _, paths, sizes, mtimes, inodes = zip(*rows, strict=True)
    # SQLite's integers are no larger than 64 bits: only that they are integers is to be checked
    if set(map(type, chain(sizes, mtimes, inodes))) != {int} or min(sizes) < 0:
        raise ForbiddenValue(what="facts", value=repr((sizes[:1], mtimes[:1], inodes[:1])), rule="whole numbers")
    if set(map(type, paths)) != {str}:
        raise TypeError("a path that is no text")
    if min(inodes) < 0:
        inodes = tuple(inode % (2 * _SIGN) for inode in inodes)
    return dict(zip(paths, map(Facts, sizes, mtimes, inodes), strict=True))


def _signed(inode: int) -> int:
    """Inodes are unsigned 64-bit numbers, SQLite's integers signed ones."""
    return inode - 2 * _SIGN if inode >= _SIGN else inode


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} instead of text")
    return value
