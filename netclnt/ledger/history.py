"""What runs did, and how much they fetched in each quarter of an hour; bounded, however often a slave runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from netclnt.ledger.database import Database
from netclnt.ledger.records import Run, RunImage
from netclnt.ledger.rows import checked, columns, crc, insert, marks, values
from netclnt.model import SIZE_MAX, check_range, check_text

RUNS_KEPT = 1000
NEWEST_KEPT = 200
"""Of the newest runs so many stay, whatever they did. Of those before them that found nothing to do go first, whatever
looking cost: a slave that looks every five minutes still knows what happened weeks ago."""

IMAGES_KEPT = 100_000
QUARTERS_KEPT = 100 * 24 * 4
"""More than a quarter of a year in which something is fetched all the time."""

_RUN = columns(Run)
_IMAGE = columns(RunImage)

_TRIM = (
    "DELETE FROM run WHERE id IN (SELECT id FROM run ORDER BY id > (SELECT max(id) FROM run) - ? DESC,"
    " code IS NOT NULL AND code = 0 AND images_changed = 0 AND NOT EXISTS (SELECT 1 FROM run_image WHERE run_image.run = run.id),"
    " id DESC LIMIT -1 OFFSET ?)"
)
_TRIM_IMAGES = "DELETE FROM run_image WHERE run < (SELECT run FROM run_image ORDER BY run DESC LIMIT 1 OFFSET ?)"
_TRIM_FETCHED = "DELETE FROM fetched WHERE quarter <= (SELECT quarter FROM fetched ORDER BY quarter DESC LIMIT 1 OFFSET ?)"


def start(connection: sqlite3.Connection, run: Run) -> bool:
    """Record that a run began, and trim the runs. False if the one before it has not ended, or never will."""
    before = connection.execute("SELECT code FROM run ORDER BY id DESC LIMIT 1").fetchone()
    row = values(run)
    connection.execute(f"INSERT INTO run ({_RUN}, crc) VALUES ({marks(len(row) + 1)})", (*row, crc(row)))
    connection.execute(_TRIM, (NEWEST_KEPT, RUNS_KEPT))
    connection.execute(_TRIM_FETCHED, (QUARTERS_KEPT,))
    return before is None or before[0] is not None


def note_fetched(connection: sqlite3.Connection, run_id: str, total: int, quarter: str) -> None:
    """A run has fetched ``total`` bytes by now; what is new of it was fetched in ``quarter``."""
    run = _run(connection, run_id)
    if run is None or total <= run.bytes_fetched:
        return
    _update(connection, replace(run, bytes_fetched=total))
    rows = connection.execute("SELECT quarter, bytes, crc FROM fetched WHERE quarter = ?", (quarter,)).fetchall()
    before = next((count for _, count in checked(rows)), 0)
    insert(connection, "fetched", "quarter, bytes", (quarter, before + total - run.bytes_fetched))


def change(connection: sqlite3.Connection, run_id: str, how: Callable[[Run], Run]) -> None:
    """Change what is known of a run. Does nothing for an unknown one (the ledger may have been made anew meanwhile)."""
    run = _run(connection, run_id)
    if run is not None:
        _update(connection, how(run))


def add_images(connection: sqlite3.Connection, run_id: str, images: Iterable[RunImage]) -> None:
    """Record what came of a run's images, and trim what came of those of older ones. Does nothing for an unknown run."""
    found = connection.execute("SELECT id FROM run WHERE run_id = ?", (run_id,)).fetchone()
    rows = [(*found, *values(image)) for image in images] if found else []
    for row in rows:
        insert(connection, "run_image", f"run, {_IMAGE}", row)
    if rows:
        connection.execute(_TRIM_IMAGES, (IMAGES_KEPT,))


def take_over(connection: sqlite3.Connection, runs: Iterable[Run], quarters: Iterable[tuple[str, int]]) -> None:
    """Into an empty ledger: runs, the oldest first, without what came of their images; and what was fetched when."""
    for run in runs:
        insert(connection, "run", _RUN, values(run))
    for quarter in quarters:
        insert(connection, "fetched", "quarter, bytes", quarter)


def newest(database: Database, limit: int) -> list[Run]:
    """Newest first."""
    return _runs(database, f"SELECT {_RUN}, crc FROM run ORDER BY id DESC LIMIT ?", limit)


def newest_that_fetched(database: Database, count: int, limit: int) -> list[Run]:
    """Of those that ended, having fetched at least so many bytes, the newest; newest first."""
    sql = f"SELECT {_RUN}, crc FROM run WHERE bytes_fetched >= ? AND seconds > 0 ORDER BY id DESC LIMIT ?"
    return _runs(database, sql, count, limit)


def _runs(database: Database, sql: str, *parameters: int) -> list[Run]:
    rows = database.rows(sql, parameters)
    with database.believed():
        return [Run(*row) for row in checked(rows)]


def images_of(database: Database, run_id: str) -> list[RunImage]:
    """What came of each image of a run, ordered by the bytes of their names."""
    rows = database.rows(
        f"SELECT run, {_IMAGE}, crc FROM run_image WHERE run = (SELECT id FROM run WHERE run_id = ?) ORDER BY image", (run_id,)
    )
    with database.believed():
        return [RunImage(*row[1:]) for row in checked(rows)]


def fetched(database: Database) -> list[tuple[str, int]]:
    """All quarters of an hour in which something was fetched, and the bytes, the oldest first."""
    return list(_fetched(database, "", "9"))


def fetched_between(database: Database, first: str, last: str) -> int:
    """Bytes fetched in the quarters of an hour from ``first`` to ``last``."""
    return sum(count for _, count in _fetched(database, first, last))


def _fetched(database: Database, first: str, last: str) -> Iterator[tuple[str, int]]:
    sql = "SELECT quarter, bytes, crc FROM fetched WHERE quarter BETWEEN ? AND ? ORDER BY quarter"
    rows = database.rows(sql, (first, last))
    with database.believed():
        for quarter, count in checked(rows):
            yield check_text("quarter", quarter, 16), check_range("bytes fetched", count, 0, SIZE_MAX)


def _run(connection: sqlite3.Connection, run_id: str) -> Run | None:
    rows = connection.execute(f"SELECT {_RUN}, crc FROM run WHERE run_id = ?", (run_id,)).fetchall()
    return next((Run(*row) for row in checked(rows)), None)


def _update(connection: sqlite3.Connection, run: Run) -> None:
    row = values(run)
    sql = f"UPDATE run SET ({_RUN}, crc) = ({marks(len(row) + 1)}) WHERE run_id = ?"
    connection.execute(sql, (*row, crc(row), run.run_id))


def quarter_of(moment: str) -> str:
    """The quarter of an hour, in UTC, that a time in RFC 3339 is in. All time zones begin a month with one."""
    then = datetime.fromisoformat(moment).astimezone(UTC)
    return f"{then:%Y-%m-%dT%H}:{then.minute // 15 * 15:02}"
