"""The ledger's questions and answers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from netclnt.errors import ForbiddenValue
from netclnt.ledger import history
from netclnt.ledger.composition import CompositionRecords, drop_composition, note_composition, trim_compositions
from netclnt.ledger.database import Database
from netclnt.ledger.hooks import HookRecords, note_recorded
from netclnt.ledger.places import PlaceRecords, note_place
from netclnt.ledger.records import Applied, Composition, Held, Kept, OldPlace, Quarantine, Run, RunImage, Untold
from netclnt.ledger.rows import checked, columns, crc, insert, values
from netclnt.model import NUMBER_MAX, Kind, check_hex, check_range
from netclnt.protocols import Facts

BUSY_SECONDS = 60.0

_IDENTITY = "identity"
_MARKER = "marker"
_REBUILDING = "rebuilding"
_SIGN = 1 << 63

_APPLIED = columns(Applied)
_HELD = columns(Held)
_KEPT = columns(Kept)
_QUARANTINE = columns(Quarantine)


class Ledger:
    """A slave's ledger; a context manager that closes it. Belongs to the thread that opened it.

    Made if there is none (``":memory:"`` for one without a file). Each writing method is one transaction, durable when it
    returns. ``busy`` is how many seconds to wait for another program that holds the file. ``readonly`` never writes to disk.
    All methods raise only LedgerDamaged, LedgerBusy, Incompatible, NoSpace and StorageFailed; opening also LedgerForeign and
    LedgerLinked.
    """

    def __init__(self, path: Path | str, *, busy: float = BUSY_SECONDS, readonly: bool = False) -> None:
        self._database = Database(path, busy=busy, readonly=readonly)
        self.places = PlaceRecords(self._database)
        self.hooks = HookRecords(self._database)
        self.compositions = CompositionRecords(self._database)
        self._run_id = ""

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
        self.identity(), self.marker(), self.applied(), self.held(), self.kept(), self.quarantined(), self.runs()
        self.fetched_quarters(), self.hooks.deferred(), self.hooks.untold()
        self.places.roots(), self.places.all(), self.places.old(), self.compositions.all()

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

    def rebuilding(self) -> bool:
        """Whether this ledger takes the place of a lost one, and what lies in the root is still to be recognized."""
        return self._setting(_REBUILDING, 2) is not None

    def set_rebuilding(self, rebuilding: bool) -> None:
        if rebuilding:
            self._set(_REBUILDING, "01")
            return
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM setting WHERE key = ?", (_REBUILDING,))

    def applied(self) -> Applied | None:
        """What was last fully applied; None if nothing was."""
        rows = self._database.rows(f"SELECT {_APPLIED}, crc FROM applied")
        with self._database.believed():
            return next((Applied(*row) for row in checked(rows)), None)

    def set_applied(self, applied: Applied) -> None:
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM applied")
            insert(connection, "applied", _APPLIED, values(applied))

    # --- images held

    def held(self) -> list[Held]:
        """All images, ordered by the bytes of their names."""
        rows = self._database.rows(f"SELECT {_HELD}, crc FROM held ORDER BY name")
        with self._database.believed():
            return [_held(row) for row in checked(rows)]

    def get(self, name: str) -> Held | None:
        rows = self._database.rows(f"SELECT {_HELD}, crc FROM held WHERE name = ?", (name,))
        with self._database.believed():
            return next((_held(row) for row in checked(rows)), None)

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

    def record(
        self,
        held: Held,
        facts: Mapping[str, Facts],
        *,
        place: str | None = None,
        moved_from: OldPlace | None = None,
        untold: Untold | None = None,
        composition: Composition | None = None,
    ) -> None:
        """Step 5 of the order of writes, in one transaction: the image's row and its facts are replaced, the journal of its
        manifest is cleared, and no version of it is in quarantine. ``place`` is the marker of the root that it lies in now
        (``""`` for the main one), None where that did not change; ``untold`` is what the hook ``after_image`` is to hear of;
        ``composition`` is None for what this run did not assemble."""
        with self._database.transaction() as connection:
            _record(connection, held, facts)
            connection.execute("DELETE FROM quarantine WHERE name = ?", (held.name,))
            note_recorded(connection, held, untold)
            trim_compositions(connection, held)
            note_composition(connection, composition)
            if place is not None:
                note_place(connection, held.name, place, moved_from)

    def correct(self, held: Held, facts: Mapping[str, Facts] | None) -> bool:
        """Record what a look at an image found: how it looks now that it was seen to be whole, or that it is ``damaged`` (None).
        Nothing is written, and False returned, where the ledger no longer holds that version: another run was faster."""
        with self._database.transaction() as connection:
            found = self.get(held.name)
            if found is None or (found.manifest, found.shown_at) != (held.manifest, held.shown_at):
                return False
            if facts is None:
                _set_damaged(connection, found)
            else:
                _record(connection, replace(found, damaged=False), facts)
        return True

    def forget(self, name: str) -> None:
        """Remove an image's row and facts. An unknown one is fine."""
        with self._database.transaction() as connection:
            _forget(connection, name)
            for table in ("place", "composition"):
                connection.execute(f"DELETE FROM {table} WHERE name = ?", (name,))

    # --- versions kept aside

    def keep(self, name: str, number: int, manifest: str, token: str, since: str = "") -> None:
        """Remember a kept version; one of the same token is replaced."""
        kept = Kept(name, number, manifest, token, since)
        with self._database.transaction() as connection:
            insert(connection, "kept", _KEPT, values(kept))

    def kept(self, name: str | None = None) -> list[Kept]:
        """Kept versions of one image, or of all; ordered by name, then oldest number first."""
        where, parameters = ("", ()) if name is None else (" WHERE name = ?", (name,))
        rows = self._database.rows(f"SELECT {_KEPT}, crc FROM kept{where} ORDER BY name, number, token", parameters)
        with self._database.believed():
            return [Kept(*row) for row in checked(rows)]

    def drop_kept(self, token: str) -> None:
        """Forget a kept version. An unknown one is fine. Called before the root drops it: no claim is left."""
        with self._database.transaction() as connection:
            drop_composition(connection, token)
            connection.execute("DELETE FROM kept WHERE token = ?", (token,))

    # --- versions in quarantine

    def quarantine(self, entry: Quarantine) -> None:
        """Put a version into quarantine. Lasts until another version of the image is recorded."""
        with self._database.transaction() as connection:
            insert(connection, "quarantine", _QUARANTINE, values(entry))

    def quarantined(self) -> list[Quarantine]:
        """All, ordered by name, then by number."""
        rows = self._database.rows(f"SELECT {_QUARANTINE}, crc FROM quarantine ORDER BY name, number")
        with self._database.believed():
            return [Quarantine(*row) for row in checked(rows)]

    # --- pages staged

    def journal(self, manifest: str) -> set[int]:
        """Pages of a manifest that are complete and durable in staging."""
        rows = self._database.rows("SELECT page FROM journal WHERE manifest = ?", (manifest,))
        with self._database.believed():
            return {check_range("page", page, 0, NUMBER_MAX) for (page,) in rows}

    def journal_add(
        self, manifest: str, pages: Iterable[int], *, fetched: int = 0, at: str = "", composition: Composition | None = None
    ) -> None:
        """Call it only behind ``Stage.sync``. ``fetched`` are the bytes that the run of :meth:`start_run` fetched until now, all
        told, which is ``at`` (RFC 3339): so they count also if it is killed. ``composition`` is that of the whole version."""
        quarter = history.quarter_of(at) if fetched else ""
        with self._changing_runs() as connection:
            rows = ((manifest, page) for page in pages)
            connection.executemany("INSERT OR IGNORE INTO journal (manifest, page) VALUES (?, ?)", rows)
            note_composition(connection, composition)
            if fetched and self._run_id:
                history.note_fetched(connection, self._run_id, fetched, quarter)

    def journal_clear(self, manifest: str) -> None:
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM journal WHERE manifest = ?", (manifest,))

    def discard(self, manifest: str) -> None:
        """Forget what is staged of a version: its journal, and that it was deferred. Called before the root discards it."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM journal WHERE manifest = ?", (manifest,))
            connection.execute("DELETE FROM deferred WHERE manifest = ?", (manifest,))

    # --- runs

    def start_run(self, run_id: str, command: str, started: str, *, process: str = "") -> bool:
        """Record that a run began; of the runs the newest stay, and those that did something longer (:mod:`.history`). False if
        the one before it has not ended, or never will."""
        self._run_id, run = run_id, Run(run_id, command, started, process=process)
        with self._database.transaction() as connection:
            return history.start(connection, run)

    def note_fetched(self, total: int, *, at: str) -> None:
        """As with :meth:`journal_add`, where no page is complete."""
        quarter = history.quarter_of(at)
        with self._changing_runs() as connection:
            history.note_fetched(connection, self._run_id, total, quarter)

    def fetched(self, *, since: str, until: str) -> int:
        """Bytes that runs fetched between two times (RFC 3339), both to the quarter of an hour; killed ones included, as far as
        they were noted. Known for the last hundred days at least."""
        return history.fetched_between(self._database, history.quarter_of(since), history.quarter_of(until))

    def end_run(
        self,
        run_id: str,
        *,
        ended: str,
        code: int,
        generation: int = 0,
        images_changed: int = 0,
        images_failed: int = 0,
        images_left: int = 0,
        bytes_fetched: int = 0,
        bytes_reused: int = 0,
        seconds: float = 0.0,
        message: str = "",
        forecast_bytes: int | None = None,
        forecast_seconds: float | None = None,
        nights_left: int | None = None,
        images: Iterable[RunImage] = (),
    ) -> None:
        """Record how a run ended, and what came of its images. Does nothing for an unknown one (the ledger may have been made
        anew meanwhile)."""
        quarter = history.quarter_of(ended)
        with self._changing_runs() as connection:
            history.note_fetched(connection, run_id, bytes_fetched, quarter)
            history.change(
                connection,
                run_id,
                lambda run: replace(
                    run,
                    ended=ended,
                    code=code,
                    generation=generation,
                    images_changed=images_changed,
                    images_failed=images_failed,
                    images_left=images_left,
                    bytes_reused=bytes_reused,
                    seconds=seconds,
                    message=message,
                    forecast_bytes=forecast_bytes,
                    forecast_seconds=forecast_seconds,
                    nights_left=nights_left,
                ),
            )
            history.add_images(connection, run_id, images)

    def runs(self, limit: int = history.RUNS_KEPT) -> list[Run]:
        """The newest runs, newest first."""
        return history.newest(self._database, limit)

    def runs_that_fetched(self, count: int, *, limit: int) -> list[Run]:
        """Of those that ended, having fetched at least so many bytes, the newest; newest first."""
        return history.newest_that_fetched(self._database, count, limit)

    def fetched_quarters(self) -> list[tuple[str, int]]:
        """All quarters of an hour in which something was fetched, and the bytes, the oldest first."""
        return history.fetched(self._database)

    def take_over_runs(self, runs: Iterable[Run], quarters: Iterable[tuple[str, int]]) -> None:
        """Into a new ledger, of the one before it: :meth:`runs` that ended, and :meth:`fetched_quarters`."""
        with self._database.transaction() as connection:
            history.take_over(connection, runs, quarters)

    def run_images(self, run_id: str) -> list[RunImage]:
        """What came of each image of a run, ordered by the bytes of their names; empty where that is not known any more."""
        return history.images_of(self._database, run_id)

    # --- inside

    @contextmanager
    def _changing_runs(self) -> Iterator[sqlite3.Connection]:
        with self._database.believed(), self._database.transaction() as connection:
            yield connection

    def _setting(self, key: str, digits: int) -> str | None:
        rows = self._database.rows("SELECT key, value, crc FROM setting WHERE key = ?", (key,))
        with self._database.believed():
            return next((check_hex(key, value, digits) for _, value in checked(rows)), None)

    def _set(self, key: str, value: str) -> None:
        with self._database.transaction() as connection:
            insert(connection, "setting", "key, value", (key, value))


def _record(connection: sqlite3.Connection, held: Held, facts: Mapping[str, Facts]) -> None:
    _forget(connection, held.name)
    number = insert(connection, "held", _HELD, values(held))
    connection.executemany(
        "INSERT INTO fact (held, path, size, mtime, inode) VALUES (?, ?, ?, ?, ?)",
        ((number, path, fact.size, fact.mtime, _signed(fact.inode)) for path, fact in facts.items()),
    )
    connection.execute("DELETE FROM journal WHERE manifest = ?", (held.manifest,))


def _set_damaged(connection: sqlite3.Connection, held: Held) -> None:
    row = (crc(values(replace(held, damaged=True))), held.name)
    connection.execute("UPDATE held SET damaged = 1, crc = ? WHERE name = ?", row)


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
