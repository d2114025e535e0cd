"""The SELECTs over the offer: one text for every engine, a catalog and a TOC alike.

A ``?`` for each value; no LIMIT (ranges of keys bound an answer instead); each filters by generation, so that what another
writer adds meanwhile is not seen.
"""

from __future__ import annotations

from netclnt.rows import DROP, IMAGE_COLUMNS, PROMOTE, REQUIREMENT_COLUMNS, RETIRE, STATE_COLUMNS, VERSION_COLUMNS


def _columns(alias: str, names: tuple[str, ...]) -> str:
    return ", ".join(_bare(f"{alias}.{name}") for name in names)


def _bare(column: str) -> str:
    """The column's value, as a column of no table: for each table that an answer's columns come from, PostgreSQL's driver asks
    the server about that table first, and a far server's answer takes its time."""
    return f"COALESCE({column}, {column})"


_VERSIONS = f"""SELECT {_columns("i", IMAGE_COLUMNS)}, {_columns("v", VERSION_COLUMNS)}, {_columns("q", REQUIREMENT_COLUMNS)}
FROM nc_version v
JOIN nc_image i ON i.image = v.image
LEFT JOIN nc_requirement q ON q.image = v.image AND q.number = v.number"""

STATE = f"SELECT {', '.join(map(_bare, STATE_COLUMNS))} FROM nc_state"

CURRENT = f"""SELECT {_columns("i", IMAGE_COLUMNS)}, {_columns("v", VERSION_COLUMNS)}, {_columns("q", REQUIREMENT_COLUMNS)}
FROM (
  SELECT p.image AS image, MAX(p.event) AS event FROM nc_event p
  WHERE p.action = '{PROMOTE}' AND p.channel = ? AND p.generation <= ? AND NOT EXISTS (
    SELECT 1 FROM nc_event r
    WHERE r.action IN ('{RETIRE}', '{DROP}') AND r.image = p.image AND r.event > p.event AND r.generation <= ?
    AND r.number IN (0, p.number))
  GROUP BY p.image) c
JOIN nc_event e ON e.event = c.event
LEFT JOIN nc_version v ON v.image = e.image AND v.number = e.number
LEFT JOIN nc_image i ON i.image = e.image
LEFT JOIN nc_requirement q ON q.image = v.image AND q.number = v.number
ORDER BY i.name_key, q.position"""
"""Parameters: channel, generation, generation. The current version is the one of the newest promotion not called back later.
An event whose version or image is gone gives NULLs, which are refused, instead of an offer that is silently smaller."""

HISTORY = f"""{_VERSIONS}
WHERE i.name_hash = ? AND v.generation <= ?
ORDER BY v.number DESC, q.position"""

HISTORY_EVENTS = """SELECT e.action, e.number, e.channel
FROM nc_event e JOIN nc_image i ON i.image = e.image
WHERE i.name_hash = ? AND e.generation <= ?
ORDER BY e.event"""

PUBLISHED = f"""{_VERSIONS}
WHERE v.generation >= ? AND v.generation <= ? AND NOT EXISTS (
  SELECT 1 FROM nc_event d WHERE d.action = '{DROP}' AND d.image = v.image AND d.number = v.number)
ORDER BY v.generation, v.image, v.number, q.position"""


def next_generation(table: str) -> str:
    """The first generation in a range that has rows."""
    return f"SELECT MIN(generation) FROM {table} WHERE generation > ? AND generation <= ?"


def rows_between(table: str, columns: tuple[str, ...], key: tuple[str, ...]) -> str:
    order = ", ".join(("generation", *key))
    return f"SELECT {', '.join(columns)} FROM {table} WHERE generation >= ? AND generation <= ? ORDER BY {order}"
