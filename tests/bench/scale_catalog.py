"""What a catalog of 10,000 images with 20 versions each costs those who read it: memory above all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import pyodbc

from netclnt.catalog.schema import insert
from netclnt.model import Kind, Version
from netclnt.rows import EVENT, IMAGE, PROMOTE, VERSION, Table, image_row, version_row
from netclnt.rows import Row as TableRow
from tests.bench.measure import Bench, Cost, Row
from tests.bench.report import Goal
from tests.bench.scale_pair import Pair, fresh, totals
from tests.support.databases import Missing, PostgreSQL, odbc_driver, running

SECTION = "scale"
MEMORY = 256 << 20
IMAGES, QUICK_IMAGES = 10_000, 50
VERSIONS = 20
CASE = "catalog of 10,000 images × 20 versions: {}"
ENGINES = ("postgresql", "sqlite-odbc")
GOALS = tuple(
    Goal(CASE.format(words), f"netclnt, {engine}", "peak", MEMORY)
    for engine in ENGINES
    for words in ("diff", "list", "sync --dry-run")
)


def large_catalog(bench: Bench) -> Iterator[Row]:
    """A slave that holds none of the images looks at all of them; the master lists them."""
    directory = bench.scratch / "catalog"
    try:
        with running(PostgreSQL) as server:
            database = server.create_database()
            yield from _asked(Pair(bench, directory, database.conn, database.password), ENGINES[0])
    except Missing as missing:
        bench.note(f"{CASE.format('PostgreSQL')}: {missing}")
    try:
        driver = odbc_driver("SQLite3", "SQLite")
    except Missing as missing:
        bench.note(f"{CASE.format('SQLite')}: {missing}")
        return
    yield from _asked(Pair(bench, directory, f"odbc:DRIVER={{{driver}}};Database={directory / 'catalog'};BigInt=1"), ENGINES[1])


def _asked(pair: Pair, engine: str) -> Iterator[Row]:
    with fresh(pair):
        image = pair.directory / "image"
        image.write_bytes(b"all images of this catalog")
        pair.publish(image)
        _enlarge(pair, QUICK_IMAGES if pair.bench.quick else IMAGES)
        yield _row(pair.slave("diff", codes=[4]), "diff", engine)
        yield _row(pair.master("list"), "list", engine)
        yield _row(pair.slave("sync", "--dry-run"), "sync --dry-run", engine)


def _enlarge(pair: Pair, count: int) -> None:
    """Add images beside the first, as rows; all their versions have its content."""
    password = f";PWD={{{pair.password}}}" if pair.password else ""
    with closing(pyodbc.connect(pair.conn.removeprefix("odbc:") + password)) as connection:
        first = _first_version(connection)
        for image in range(2, count + 2):
            generation = 2 + (image - 2) * VERSIONS
            name = f"site-{image % 100:02}/image-{image:06}"
            versions = [replace(first, name=name, number=n + 1, generation=generation + n) for n in range(VERSIONS)]
            _insert(connection, IMAGE, [image_row(image, name, Kind.IMAGE, generation)])
            _insert(connection, VERSION, [version_row(image, version) for version in versions])
            events = [
                (each.generation, PROMOTE, image, each.number, "stable", each.created, each.generation) for each in versions
            ]
            _insert(connection, EVENT, events)
        connection.execute("UPDATE nc_state SET generation = ?", (1 + count * VERSIONS,))
        connection.commit()


def _first_version(connection: pyodbc.Connection) -> Version:
    columns = ", ".join(VERSION.column_names[1:])
    _, manifest, head_bytes, tree, size, entries, blocks, sha256, chunker, created, note, generation = connection.execute(
        f"SELECT {columns} FROM nc_version"
    ).fetchone()
    return Version(
        name="image", kind=Kind.IMAGE, number=1, manifest=manifest, head_bytes=head_bytes, tree=bool(tree), size=size,
        entries=entries, blocks=blocks, sha256=sha256, chunker=chunker, created=created, note=note, generation=generation,
    )  # fmt: skip


def _insert(connection: pyodbc.Connection, table: Table, rows: Sequence[TableRow]) -> None:
    connection.execute(insert(table, len(rows)), [value for row in rows for value in row])


def _row(cost: Cost, words: str, engine: str) -> Row:
    return cost.row(SECTION, CASE.format(words), f"netclnt, {engine}", **(totals(cost) if cost.events("summary") else {}))
