"""Reading a catalog or a TOC: the same SQL for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from netclnt.catalog import statements
from netclnt.catalog.connection import Connector
from netclnt.errors import Incompatible
from netclnt.model import CatalogState, HeldVersion, Refused, Version
from netclnt.namekeys import name_hash
from netclnt.naming import check_channel
from netclnt.rows import (
    DROP,
    EVERY_NUMBER,
    OFFER,
    PROMOTE,
    RETIRE,
    SCHEMA_VERSION,
    number,
    state_of,
    text,
    versions_of,
)

GENERATIONS_AT_ONCE = 1000
"""Width of a range of generations: a driver may hold all rows of an answer in memory."""


class SqlReader:
    """A :class:`netclnt.protocols.CatalogReader` over any connector. Only SELECTs are sent."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    @property
    def queries(self) -> int:
        return self._connector.statements

    def state(self) -> CatalogState:
        """The one row. Its columns are those of schema version 1 and stay for ever; so ``min_reader`` can always be read."""
        rows = list(self._connector.select(statements.STATE))
        if len(rows) != 1:
            raise Incompatible(what="catalog schema", found=f"{len(rows)} state rows", supported=str(SCHEMA_VERSION))
        state = state_of(rows[0])
        if state.min_reader > SCHEMA_VERSION:
            raise Incompatible(what="catalog schema", found=str(state.min_reader), supported=str(SCHEMA_VERSION))
        return state

    def current(self, *, generation: int, channel: str, refuse: Callable[[Refused], None] | None = None) -> Iterator[Version]:
        rows = self._connector.select(statements.CURRENT, (check_channel(channel), generation, generation))
        yield from versions_of(rows, refuse)

    def history(self, name: str, *, generation: int, channel: str) -> Sequence[HeldVersion]:
        key = (name_hash(name), generation)
        versions = list(versions_of(self._connector.select(statements.HISTORY, key)))
        events = list(self._connector.select(statements.HISTORY_EVENTS, key))
        standing, dropped = _standing(events), {number(which) for action, which, _ in events if text(action) == DROP}
        current = next((of for of, where in reversed(standing) if where == channel), None)
        offered = {of for of, _ in standing}
        return [
            HeldVersion(each, each.number == current, retired=each.number not in offered, dropped=each.number in dropped)
            for each in versions
        ]

    def published(self, *, after: int, until: int) -> Iterator[Version]:
        for low, high in self._ranges("nc_version", after, until):
            yield from versions_of(self._connector.select(statements.PUBLISHED, (low, high)))

    def offer_rows(self, table: str, *, after: int, until: int) -> Iterator[tuple[object, ...]]:
        wanted = OFFER[table]
        for low, high in self._ranges(table, after, until):
            yield from self._connector.select(statements.rows_between(table, wanted.column_names, wanted.key), (low, high))

    def close(self) -> None:
        self._connector.close()

    def _ranges(self, table: str, after: int, until: int) -> Iterator[tuple[int, int]]:
        """Ranges (both ends inside) that cover all rows of ``table`` in ``after < generation <= until``."""
        while True:
            [(first,)] = self._connector.select(statements.next_generation(table), (after, until))
            if first is None:
                return
            low = number(first)
            after = min(low + GENERATIONS_AT_ONCE - 1, until)
            yield low, after


def _standing(events: list[tuple[object, ...]]) -> list[tuple[int, str]]:
    """The promotions (number, channel) that no later event called back, oldest first, from an image's events in order."""
    standing: list[tuple[int, str]] = []
    for action, which, channel in events:
        called = number(which)
        if text(action) == PROMOTE:
            standing.append((called, text(channel)))
        elif text(action) in (RETIRE, DROP):
            standing = [each for each in standing if called not in (EVERY_NUMBER, each[0])]
    return standing
