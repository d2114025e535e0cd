"""The ledger's tables, version by version."""

from __future__ import annotations

APPLICATION_ID = 0x6E636C74
"""``nclt`` in the file's header (SQLite's file format, offset 68), so that a ledger is known from any other database."""

_FIRST = (
    "CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE applied (id INTEGER PRIMARY KEY CHECK (id = 1), identity TEXT NOT NULL, generation INTEGER NOT NULL,"
    " schema_version INTEGER NOT NULL, assignment_revision INTEGER NOT NULL, statement_number INTEGER NOT NULL,"
    " selection TEXT NOT NULL)",
    "CREATE TABLE held (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, number INTEGER NOT NULL,"
    " manifest TEXT NOT NULL, tree INTEGER NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL, generation INTEGER NOT NULL,"
    " shown_at TEXT NOT NULL, pinned INTEGER NOT NULL, damaged INTEGER NOT NULL)",
    "CREATE TABLE fact (held INTEGER NOT NULL REFERENCES held (id), path TEXT NOT NULL, size INTEGER NOT NULL,"
    " mtime INTEGER NOT NULL, inode INTEGER NOT NULL, PRIMARY KEY (held, path)) WITHOUT ROWID",
    "CREATE TABLE kept (token TEXT PRIMARY KEY, name TEXT NOT NULL, number INTEGER NOT NULL, manifest TEXT NOT NULL)"
    " WITHOUT ROWID",
    "CREATE TABLE journal (manifest TEXT NOT NULL, page INTEGER NOT NULL, PRIMARY KEY (manifest, page)) WITHOUT ROWID",
    "CREATE TABLE run (id INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, command TEXT NOT NULL, started TEXT NOT NULL,"
    " ended TEXT NOT NULL, code INTEGER, generation INTEGER NOT NULL, images_changed INTEGER NOT NULL,"
    " bytes_fetched INTEGER NOT NULL, bytes_reused INTEGER NOT NULL, seconds REAL NOT NULL, message TEXT NOT NULL)",
)

CHECKED = ("setting", "applied", "held", "kept", "quarantine")
"""Tables each of whose rows carries the CRC-32 of its values: a flipped bit in one of them would be believed, where SQLite's own
structures and the facts, which are compared with the files, show it."""

_SECOND = (
    "CREATE TABLE quarantine (name TEXT NOT NULL, manifest TEXT NOT NULL, number INTEGER NOT NULL, generation INTEGER NOT NULL,"
    " since TEXT NOT NULL, problem TEXT NOT NULL, PRIMARY KEY (name, manifest)) WITHOUT ROWID",
    "ALTER TABLE kept ADD COLUMN since TEXT NOT NULL DEFAULT ''",
    *(f"ALTER TABLE {table} ADD COLUMN crc INTEGER" for table in CHECKED),
)

_THIRD = (
    *(
        f"ALTER TABLE run ADD COLUMN {column}"
        for column in (
            *("images_failed INTEGER NOT NULL DEFAULT 0", "images_left INTEGER NOT NULL DEFAULT 0"),
            *("forecast_bytes INTEGER", "forecast_seconds REAL", "nights_left INTEGER"),
            *("process TEXT NOT NULL DEFAULT ''", "crc INTEGER"),
        )
    ),
    "CREATE TABLE run_image (run INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE, image TEXT NOT NULL,"
    " result TEXT NOT NULL, version INTEGER, bytes_fetched INTEGER NOT NULL, bytes_reused INTEGER NOT NULL,"
    " seconds REAL NOT NULL, message TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (run, image)) WITHOUT ROWID",
    "CREATE TABLE fetched (quarter TEXT PRIMARY KEY, bytes INTEGER NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID",
)

_FOURTH = (
    "CREATE TABLE root (marker TEXT PRIMARY KEY, path TEXT NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE place (name TEXT PRIMARY KEY, root TEXT NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE old_place (name TEXT NOT NULL, root TEXT NOT NULL, number INTEGER NOT NULL, manifest TEXT NOT NULL,"
    " look TEXT NOT NULL, keep INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (name, root)) WITHOUT ROWID",
)

_FIFTH = (
    "CREATE TABLE deferred (name TEXT PRIMARY KEY, number INTEGER NOT NULL, manifest TEXT NOT NULL, since TEXT NOT NULL,"
    " crc INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE untold (name TEXT PRIMARY KEY, number INTEGER NOT NULL, manifest TEXT NOT NULL, from_number INTEGER NOT NULL,"
    " result TEXT NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID",
)

_SIXTH = (
    "CREATE TABLE composition (name TEXT NOT NULL, manifest TEXT NOT NULL, reused INTEGER NOT NULL, fetched INTEGER NOT NULL,"
    " zeros INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (name, manifest)) WITHOUT ROWID",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH, _SIXTH)
"""Statements that lead from ``user_version`` n to n + 1. Published ones never change; new ones are appended."""
