"""What the versions that lie here were made of when they came."""

from __future__ import annotations

import sqlite3

from netclnt.ledger.database import Database
from netclnt.ledger.records import Composition, Held
from netclnt.ledger.rows import checked, columns, insert, values

_COMPOSITION = columns(Composition)


class CompositionRecords:
    """Part of a ledger: its methods promise and raise what those of :class:`~netclnt.ledger.Ledger` do."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, name: str) -> list[Composition]:
        """Of those versions of an image of which it is known: what was found in its place was not assembled here, and an older
        release did not say."""
        return self._found(" WHERE name = ?", name)

    def all(self) -> list[Composition]:
        """Ordered by name."""
        return self._found("")

    def _found(self, where: str, *parameters: str) -> list[Composition]:
        rows = self._database.rows(f"SELECT {_COMPOSITION}, crc FROM composition{where} ORDER BY name, manifest", parameters)
        with self._database.believed():
            return [Composition(*row) for row in checked(rows)]


def note_composition(connection: sqlite3.Connection, composition: Composition | None) -> None:
    """In place of what was known of the same version; nothing for None."""
    if composition is not None:
        insert(connection, "composition", _COMPOSITION, values(composition))


def drop_composition(connection: sqlite3.Connection, token: str) -> None:
    """Of a kept version that goes, unless it is the one that is held, too."""
    connection.execute(
        "DELETE FROM composition WHERE (name, manifest) IN (SELECT name, manifest FROM kept WHERE token = ?) AND NOT EXISTS"
        " (SELECT 1 FROM held WHERE held.name = composition.name AND held.manifest = composition.manifest)",
        (token,),
    )


def trim_compositions(connection: sqlite3.Connection, held: Held) -> None:
    """Of an image's versions but the one held only those stay that are kept; their tokens are the digests of their manifests."""
    connection.execute(
        "DELETE FROM composition WHERE name = ? AND manifest <> ? AND NOT EXISTS"
        " (SELECT 1 FROM kept WHERE kept.token = composition.manifest)",
        (held.name, held.manifest),
    )
