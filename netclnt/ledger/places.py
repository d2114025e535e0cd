"""Which images lie in another root than the main one, which roots there are, and old places that images have moved from."""

from __future__ import annotations

import sqlite3
from typing import Any

from netclnt.ledger.database import Database
from netclnt.ledger.records import Kept, OldPlace
from netclnt.ledger.rows import checked, columns, insert, values
from netclnt.model import check_hex, check_range, check_text
from netclnt.naming import check_name

MAIN = ""
"""Stands for the main root, whose marker has a place of its own; a further root is known by its marker."""

_OLD_PLACE = columns(OldPlace)
_KEPT = columns(Kept)


class PlaceRecords:
    """Part of a ledger: its methods promise and raise what those of :class:`~netclnt.ledger.Ledger` do."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def roots(self) -> dict[str, str]:
        """The paths of the further roots by their markers."""
        rows = self._database.rows("SELECT marker, path, crc FROM root ORDER BY path, marker")
        with self._database.believed():
            return {check_hex("marker", marker, 32): check_text("path", path, 4096) for marker, path in checked(rows)}

    def remember_root(self, marker: str, path: str) -> None:
        with self._database.transaction() as connection:
            insert(connection, "root", "marker, path", (check_hex("marker", marker, 32), path))

    def forget_root(self, marker: str) -> None:
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM root WHERE marker = ?", (marker,))

    def all(self) -> dict[str, str]:
        """The marker of the root of each image that does not lie in the main one."""
        rows = self._database.rows("SELECT name, root, crc FROM place")
        with self._database.believed():
            return {check_name(name): check_hex("marker", root, 32) for name, root in checked(rows)}

    def old(self) -> list[OldPlace]:
        """All places that images have moved from and that are not settled yet."""
        rows = self._database.rows(f"SELECT {_OLD_PLACE}, crc FROM old_place ORDER BY name, root")
        with self._database.believed():
            return [_old_place(row) for row in checked(rows)]

    def settle(self, old: OldPlace, *, kept_since: str | None = None) -> None:
        """Nothing more is to be done about an old place: what lay there is kept aside ``since`` a time, or is none of ours."""
        with self._database.transaction() as connection:
            if kept_since is not None:
                kept = Kept(old.name, old.number, old.manifest, old.manifest, kept_since)
                insert(connection, "kept", _KEPT, values(kept))
            connection.execute("DELETE FROM old_place WHERE name = ? AND root = ?", (old.name, old.root))


def _old_place(row: tuple[Any, ...]) -> OldPlace:
    name, root, number, manifest, look, keep = row
    return OldPlace(name, root, number, manifest, look, bool(check_range("flag", keep, 0, 1)))


def note_place(connection: sqlite3.Connection, name: str, root: str, moved_from: OldPlace | None) -> None:
    """An image lies in a root now, whatever lay there before; and has an old place, if it ``moved_from`` one."""
    connection.execute("DELETE FROM old_place WHERE name = ? AND root = ?", (name, root))
    connection.execute("DELETE FROM place WHERE name = ?", (name,))
    if root != MAIN:
        insert(connection, "place", "name, root", (name, root))
    if moved_from is not None:
        insert(connection, "old_place", _OLD_PLACE, values(moved_from))
