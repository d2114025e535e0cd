"""Reading a catalog or a TOC: the same SQL for both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netclnt.catalog import statements
from netclnt.catalog.connection import Connector
from netclnt.errors import Incompatible
from netclnt.model import CatalogState, HeldVersion, Version
from netclnt.naming import check_channel
from netclnt.rows import EVERY_NUMBER, PROMOTE, RETIRE, SCHEMA_VERSION, name_hash, number, state_of, text, versions_of

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

    def current(self, *, generation: int, channel: str) -> Iterator[Version]:
        yield from versions_of(self._connector.select(statements.CURRENT, (check_channel(channel), generation, generation)))

    def history(self, name: str, *, generation: int, channel: str) -> Sequence[HeldVersion]:
        key = (name_hash(name), generation)
        versions = list(versions_of(self._connector.select(statements.HISTORY, key)))
        events = list(self._connector.select(statements.HISTORY_EVENTS, key)) if versions else []
        current, retired = _fold(events, channel)
        return [HeldVersion(each, current=each.number == current, retired=each.number in retired) for each in versions]

    def published(self, *, after: int, until: int) -> Iterator[Version]:
        for low, high in self._ranges("nc_version", after, until):
            yield from versions_of(self._connector.select(statements.PUBLISHED, (low, high)))

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


def _fold(events: list[tuple[object, ...]], channel: str) -> tuple[int, set[int]]:
    """The current version's number in ``channel`` (0 if there is none) and the numbers retired in every channel, from an
    image's events in order."""
    promotions: list[tuple[int, str]] = []
    retired: set[int] = set()
    for action, which, where in events:
        of = number(which)
        if text(action) == PROMOTE:
            promotions.append((of, text(where)))
            retired.discard(of)
        elif text(action) == RETIRE:
            gone = {each for each, _ in promotions if of in (EVERY_NUMBER, each)}
            promotions = [each for each in promotions if each[0] not in gone]
            retired |= gone
    return next((of for of, where in reversed(promotions) if where == channel), 0), retired
