"""A master's catalog in a database: the writing half.

Every writing transaction on the offer begins with raising the generation, which locks the one state row; all numbers are read
after that. So generations become visible in their order, none is missed and no number is given twice, whatever the engine's
isolation level. Row counts of UPDATEs are never relied on: engines count differently.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import TypeVar

from netclnt.catalog import schema
from netclnt.catalog.connection import Connector, Contended
from netclnt.catalog.lock import LOCK_FREE, WriterLock
from netclnt.catalog.reader import SqlReader
from netclnt.errors import BadArgument, ForeignMaster, Incompatible, NoSuchImage, Unreachable
from netclnt.model import CatalogState, NewVersion, Report, Version
from netclnt.namekeys import check_neighbour, name_hash, name_key, parents, twin_hash
from netclnt.naming import check_channel, check_name
from netclnt.protocols import OfferRows
from netclnt.rows import (
    CHANNEL,
    DROP,
    EVENT,
    EVERY_NUMBER,
    GENERATIONS_LIFTED,
    IMAGE,
    LIFT,
    MIN_READER,
    OFFER,
    PROMOTE,
    REQUIREMENT,
    RETIRE,
    SCHEMA_VERSION,
    VERSION,
    Row,
    Table,
    check_history,
    clean,
    image_row,
    kind_of,
    number,
    requirement_rows,
    state_row,
    text,
    version_of,
    version_row,
)

T = TypeVar("T")

ROWS_AT_ONCE = 100
SENTENCE_MAX = 1000

_BELIEVED_AHEAD = 1_000_000
"""A slave's report that is further ahead of what is known is not believed: slaves may write what they like there."""


class SqlCatalog(SqlReader):
    """A :class:`netclnt.protocols.Catalog` over any connector."""

    def __init__(self, connector: Connector) -> None:
        super().__init__(connector)
        self._lock: WriterLock | None = None

    # --- creation

    def create(self, *, identity: str, hash_seed: int, chunker: str) -> None:
        state = CatalogState(identity, hash_seed, chunker, SCHEMA_VERSION, MIN_READER, 0, 0, 0)
        self._create_tables()
        with self._connector.transaction():
            self._insert_state(state)

    def _create_tables(self) -> None:
        """Those that are not there; raises BadArgument if one of them holds anything."""
        self._connector.allow_creation()
        missing = [table for table in schema.TABLES if not self._is_there(table)]
        for table in missing:
            self._connector.change(schema.create_table(table, self._connector.table_options))

    def _insert_state(self, state: CatalogState) -> None:
        self._insert(schema.LOCK, [LOCK_FREE])
        self._insert(schema.STATE, [(1, *state_row(state))])

    def _is_there(self, table: Table) -> bool:
        """False if the table is absent; an empty one is what a creation broken off leaves."""
        try:
            [(count,)] = self._connector.select(f"SELECT COUNT(*) FROM {table.name}")
        except Incompatible:
            return False
        if number(count):
            raise BadArgument(argument=self._connector.address, problem="there is a catalog in this database already")
        return True

    # --- recovery

    def recover(self, head: CatalogState | None, offer: OfferRows | None, *, at: str) -> CatalogState:
        own = self._state_if_any()
        known = own or head
        if known is None:
            raise BadArgument(argument="--recover", problem="needs a catalog or a store with a HEAD")
        if own and head and (own.identity, own.hash_seed) != (head.identity, head.hash_seed):
            raise ForeignMaster(expected=own.identity, found=head.identity)
        if own is None:
            self._create_tables()

        def once() -> None:
            with self._connector.transaction():
                if own is None:
                    self._insert_state(replace(known, generation=0, schema_version=SCHEMA_VERSION, min_reader=MIN_READER))
                self._connector.change("UPDATE nc_state SET generation = generation + 1")  # which locks the row
                since = self.state().generation - 1
                if offer is not None:
                    self._take_in(offer, since)
                self._lift(max(since, head.generation if head else 0), at)

        self._retried(once)
        return self.state()

    def _state_if_any(self) -> CatalogState | None:
        try:
            return self.state()
        except (Incompatible, Unreachable):  # if it is a server that is away, the next statement says so again
            return None

    def _take_in(self, offer: OfferRows, since: int) -> None:
        """Insert the rows of all generations after ``since``."""
        until = offer.state().generation
        check_history(self, offer, until=min(since, until))
        for name, table in OFFER.items():
            rows = clean(table, offer.offer_rows(name, after=since, until=until))
            while some := list(islice(rows, ROWS_AT_ONCE)):
                self._insert(table, some)

    def _lift(self, known: int, at: str) -> None:
        """Raise the generation above ``known`` and any reported one, and each image's number above its own and any reported."""
        sql = "SELECT MAX(generation) FROM nc_report WHERE generation > ? AND generation < ?"
        [(reported,)] = self._connector.select(sql, (known, known + _BELIEVED_AHEAD))
        generation = (known if reported is None else number(reported)) + GENERATIONS_LIFTED
        sql = "SELECT image, MAX(number) FROM nc_event GROUP BY image"
        tops = [(number(image), number(top)) for image, top in self._connector.select(sql)]
        above = self._reported_numbers(max((top for _, top in tops), default=0) + _BELIEVED_AHEAD)
        event = self._next("event", EVENT)
        lifted = ((image, max(top, above.get(image, 0)) + 1) for image, top in tops)
        self._insert(EVENT, [(event + n, LIFT, *one, "", at, generation) for n, one in enumerate(lifted)])
        self._connector.change("UPDATE nc_state SET generation = ?", (generation,))

    def _reported_numbers(self, limit: int) -> dict[int, int]:
        """The highest number below the limit that slaves reported, by image."""
        sql = "SELECT name, MAX(number) FROM nc_report_image WHERE number < ? GROUP BY name"
        reported = {text(name): number(top) for name, top in self._connector.select(sql, (limit,))}
        images = self._connector.select("SELECT image, name FROM nc_image") if reported else ()
        return {number(image): reported[text(name)] for image, name in images if text(name) in reported}

    # --- the offer

    def publish(self, new: NewVersion) -> Version:
        version_of(new, number=1, generation=1)  # checks the values before anything is sent
        check_channel(new.channel)
        return self._write(lambda generation: self._publish(new, generation))

    def promote(self, name: str, number: int, *, channel: str, at: str) -> int:
        check_channel(channel)

        def write(generation: int) -> int:
            image = self._image_with(name, number)
            self._refuse_dropped(image, name, number)
            self._ensure_channel(channel, at, generation)
            self._event(PROMOTE, image, number, channel, at, generation)
            return generation

        return self._write(write)

    def retire(self, name: str, number: int | None, *, at: str) -> int:
        def write(generation: int) -> int:
            image = self._image_with(name, number)
            self._event(RETIRE, image, EVERY_NUMBER if number is None else number, "", at, generation)
            return generation

        return self._write(write)

    def drop(self, versions: Sequence[tuple[str, int]], *, at: str) -> int:
        def write(generation: int) -> int:
            event = self._next("event", EVENT)
            images = [(self._image_with(name, which), which) for name, which in versions]
            self._insert(EVENT, [(event + n, DROP, *one, "", at, generation) for n, one in enumerate(images)])
            return generation

        return self._write(write)

    @contextmanager
    def writer_lock(self, holder: str) -> Iterator[None]:
        lock = WriterLock(self._connector, holder)
        lock.take()
        self._lock = lock
        try:
            yield
        finally:
            self._lock = None
            lock.release()

    # --- what slaves tell

    def report(self, report: Report) -> None:
        self._retried(lambda: self._report(report))

    def seen(self, server: str, *, generation: int, at: str) -> None:
        sql = "UPDATE nc_server SET seen = ?, seen_generation = ? WHERE server_hash = ?"
        self._connector.change(sql, (at, generation, name_hash(server)))

    # --- inside

    def _publish(self, new: NewVersion, generation: int) -> Version:
        image = self._image_for(new, generation)
        # by the events, which name each version that was ever published, and numbers that a lost catalog may have given
        version = version_of(new, number=self._next("number", EVENT, "image = ?", image), generation=generation)
        self._insert(VERSION, [version_row(image, version)])
        self._insert(REQUIREMENT, requirement_rows(image, version))
        self._ensure_channel(new.channel, new.created, generation)
        self._event(PROMOTE, image, version.number, new.channel, new.created, generation)
        return version

    def _image_for(self, new: NewVersion, generation: int) -> int:
        """The number of the image that ``new`` belongs to, a new one if need be."""
        above = [name_hash(each) for each in parents(new.name)]
        key = name_key(new.name)
        sql = (
            "SELECT image, name, kind FROM nc_image WHERE name_hash = ? OR twin_hash = ? OR (name_key >= ? AND name_key < ?)"
            + " OR name_hash = ?" * len(above)
        )
        found = 0
        for image, name, kind in self._connector.select(
            sql, (name_hash(new.name), twin_hash(new.name), key + "2f", key + "30", *above)
        ):
            check_neighbour(new.name, new.kind, text(name), kind_of(kind))
            found = number(image)
        if not found:
            found = self._next("image", IMAGE)
            self._insert(IMAGE, [image_row(found, new.name, new.kind, generation)])
        return found

    def _image_with(self, name: str, which: int | None) -> int:
        """The number of the image that has the version ``which`` (any, for None). Raises NoSuchImage."""
        sql = "SELECT i.image FROM nc_image i JOIN nc_version v ON v.image = i.image WHERE i.name_hash = ?"
        params: tuple[object, ...] = (name_hash(check_name(name)),)
        if which is not None:
            sql, params = f"{sql} AND v.number = ?", (*params, which)
        rows = list(self._connector.select(sql, params))
        if not rows:
            raise NoSuchImage(name=name if which is None else f"{name}@{which}")
        return number(rows[0][0])

    def _refuse_dropped(self, image: int, name: str, which: int) -> None:
        sql = f"SELECT COUNT(*) FROM nc_event WHERE image = ? AND action = '{DROP}' AND number = ?"
        [(dropped,)] = self._connector.select(sql, (image, which))
        if number(dropped):
            raise NoSuchImage(name=f"{name}@{which}")

    def _ensure_channel(self, channel: str, at: str, generation: int) -> None:
        [(there,)] = self._connector.select("SELECT COUNT(*) FROM nc_channel WHERE channel = ?", (channel,))
        if not number(there):
            self._insert(CHANNEL, [(channel, at, generation)])

    def _event(self, action: str, image: int, which: int, channel: str, at: str, generation: int) -> None:
        self._insert(EVENT, [(self._next("event", EVENT), action, image, which, channel, at, generation)])

    def _next(self, column: str, table: Table, where: str = "", *params: object) -> int:
        condition = f" WHERE {where}" if where else ""
        [(highest,)] = self._connector.select(f"SELECT MAX({column}) FROM {table.name}{condition}", params)
        return 1 if highest is None else number(highest) + 1

    def _insert(self, table: Table, rows: Sequence[Row]) -> None:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[start : start + ROWS_AT_ONCE]
            self._connector.change(schema.insert(table, len(part)), [value for row in part for value in row])

    def _report(self, report: Report) -> None:
        token = secrets.token_hex(16)
        server = (name_hash(report.server), report.server)
        row = (
            token, *server, report.machine_id, report.generation, report.result, report.started, round(report.seconds * 1000),
            report.bytes_fetched, report.bytes_reused, report.error[:SENTENCE_MAX], report.hint[:SENTENCE_MAX],
        )  # fmt: skip
        latest = (report.machine_id, report.started, report.generation, report.result, token)
        columns = "machine_id = ?, seen = ?, seen_generation = ?, result = ?, report = ?"
        with self._connector.transaction():
            # Rows that nobody else has come first: SQLite cannot let two that have read go on to write, and MariaDB's locks
            # on the gap where a server's row is not yet would make two newcomers wait for each other.
            self._insert(schema.REPORT, [row])
            self._insert(schema.REPORT_IMAGE, [(token, at, name, of) for at, (name, of) in enumerate(report.images)])
            [(known,)] = self._connector.select("SELECT COUNT(*) FROM nc_server WHERE server_hash = ?", server[:1])
            if number(known):
                self._connector.change(f"UPDATE nc_server SET {columns} WHERE server_hash = ?", (*latest, server[0]))
            else:
                self._insert(schema.SERVER, [(*server, *latest)])

    def _write(self, body: Callable[[int], T]) -> T:
        """Run ``body`` with the new generation, in a transaction of which no other writer sees a part."""

        def once() -> T:
            with self._connector.transaction():
                self._connector.change("UPDATE nc_state SET generation = generation + 1")
                generation = self.state().generation
                if self._lock is not None:
                    self._lock.check()
                return body(generation)

        return self._retried(once)

    def _retried(self, once: Callable[[], T]) -> T:
        """The database may break off a transaction in favour of another's; that is retried, one time."""
        try:
            return once()
        except Contended:
            return once()
