"""What a ledger remembers for hooks: versions whose activation they deferred, and those ``after_image`` has yet to hear of."""

from __future__ import annotations

import sqlite3

from netclnt.ledger.database import Database
from netclnt.ledger.records import Deferred, Held, Untold
from netclnt.ledger.rows import checked, columns, insert, values

_DEFERRED = columns(Deferred)
_UNTOLD = columns(Untold)


class HookRecords:
    """Part of a ledger: its methods promise and raise what those of :class:`~netclnt.ledger.Ledger` do."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def deferred(self) -> list[Deferred]:
        """All, ordered by name. The version of one may no longer be offered."""
        rows = self._database.rows(f"SELECT {_DEFERRED}, crc FROM deferred ORDER BY name")
        with self._database.believed():
            return [Deferred(*row) for row in checked(rows)]

    def defer(self, entry: Deferred) -> None:
        """Remember that a version lies complete in staging and is not shown yet; of each image the last one. Lasts until the
        image is recorded or the staging area is gone. One that was deferred before keeps the moment since when."""
        with self._database.transaction() as connection:
            held = connection.execute("SELECT manifest FROM deferred WHERE name = ?", (entry.name,)).fetchone()
            if held is None or held[0] != entry.manifest:
                insert(connection, "deferred", _DEFERRED, values(entry))

    def untold(self) -> list[Untold]:
        """Images that ``after_image`` has not ended well for since they were recorded, ordered by name."""
        rows = self._database.rows(f"SELECT {_UNTOLD}, crc FROM untold ORDER BY name")
        with self._database.believed():
            return [Untold(*row) for row in checked(rows)]

    def told(self, name: str, manifest: str) -> None:
        """``after_image`` knows of this version."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM untold WHERE name = ? AND manifest = ?", (name, manifest))


def note_recorded(connection: sqlite3.Connection, held: Held, untold: Untold | None) -> None:
    """An image is recorded: neither that version of it is deferred nor an older one; ``after_image`` is to hear of it, if so."""
    connection.execute(
        "DELETE FROM deferred WHERE name = ? AND (manifest = ? OR number < ?)", (held.name, held.manifest, held.number)
    )
    if untold is not None:
        insert(connection, "untold", _UNTOLD, values(untold))
