"""The catalog's tables: the offer's (:mod:`netclnt.rows`) and those that stay at the master.

Portable: VARCHAR and BIGINT only, nothing NULL, each table one CREATE TABLE statement with its keys inside, so that a
creation broken off on an engine without transactional DDL can go on with the next table. Names begin with ``nc_``: the
tables may live in a database of other programs. No column that text is looked up by needs a collation: such columns are
hex digits or lower-case words.
"""

from __future__ import annotations

from netclnt.rows import OFFER, STATE_COLUMNS, Table

_NUMBER = "BIGINT"
_NAME = "VARCHAR(255)"
_DIGEST = "VARCHAR(64)"
_TIME = "VARCHAR(32)"
_TEXT = "VARCHAR(4000)"

STATE = Table(
    "nc_state",
    (
        ("row_id", _NUMBER),
        (STATE_COLUMNS[0], "VARCHAR(32)"),
        (STATE_COLUMNS[1], "VARCHAR(16)"),
        (STATE_COLUMNS[2], "VARCHAR(64)"),
        *((name, _NUMBER) for name in STATE_COLUMNS[3:]),
    ),
    ("row_id",),
)
LOCK = Table(
    "nc_lock",
    (
        ("row_id", _NUMBER),
        ("token", "VARCHAR(32)"),
        ("holder", "VARCHAR(1000)"),
        ("host", _NAME),
        ("boot", "VARCHAR(64)"),
        ("process", _NUMBER),
        ("alive", _NUMBER),
    ),
    ("row_id",),
)
SERVER = Table(
    "nc_server",
    (
        ("server_hash", _DIGEST),
        ("server", _NAME),
        ("machine_id", "VARCHAR(64)"),
        ("seen", _TIME),
        ("seen_generation", _NUMBER),
        ("result", "VARCHAR(16)"),
        ("report", "VARCHAR(32)"),
    ),
    ("server_hash",),
)
ASSIGNMENT = Table(
    "nc_assignment",
    (
        ("event", _NUMBER),
        ("server_hash", _DIGEST),
        ("server", _NAME),
        ("role", "VARCHAR(16)"),
        ("parent", _NAME),
        ("created", _TIME),
        ("generation", _NUMBER),
    ),
    ("event",),
    (("server_hash", "event"), ("generation", "event")),
)
SUBSCRIPTION = Table(
    "nc_subscription",
    (
        ("event", _NUMBER),
        ("server_hash", _DIGEST),
        ("server", _NAME),
        ("action", "VARCHAR(16)"),
        ("pattern", "VARCHAR(1000)"),
        ("created", _TIME),
        ("generation", _NUMBER),
    ),
    ("event",),
    (("server_hash", "event"), ("generation", "event")),
)
REPORT = Table(
    "nc_report",
    (
        ("report", "VARCHAR(32)"),
        ("server_hash", _DIGEST),
        ("server", _NAME),
        ("machine_id", "VARCHAR(64)"),
        ("generation", _NUMBER),
        ("result", "VARCHAR(16)"),
        ("started", _TIME),
        ("milliseconds", _NUMBER),
        ("bytes_fetched", _NUMBER),
        ("bytes_reused", _NUMBER),
        ("error", _TEXT),
        ("hint", _TEXT),
    ),
    ("report",),
    (("server_hash", "started", "report"),),
)
REPORT_IMAGE = Table(
    "nc_report_image",
    (("report", "VARCHAR(32)"), ("position", _NUMBER), ("name", _NAME), ("number", _NUMBER)),
    ("report", "position"),
)
TABLES = (STATE, LOCK, *OFFER.values(), SERVER, ASSIGNMENT, SUBSCRIPTION, REPORT, REPORT_IMAGE)
"""In the order of their creation: the state's table first, its row last."""

TOC_TABLES = (STATE, *OFFER.values())


def create_table(table: Table, options: str = "") -> str:
    """The statement that creates a table; ``options`` are the engine's own words after it."""
    columns = [f"{name} {kind} NOT NULL" for name, kind in table.columns]
    keys = [f"PRIMARY KEY ({', '.join(table.key)})", *(f"UNIQUE ({', '.join(columns)})" for columns in table.unique)]
    return f"CREATE TABLE {table.name} ({', '.join(columns + keys)}){options}"


def insert(table: Table, rows: int = 1) -> str:
    """The statement that inserts so many whole rows."""
    row = f"({', '.join('?' * len(table.columns))})"
    return f"INSERT INTO {table.name} ({', '.join(table.column_names)}) VALUES {', '.join([row] * rows)}"
