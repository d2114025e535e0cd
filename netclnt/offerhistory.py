"""What was done to a master's offer, as its catalog tells it: each publish, promote, retire and drop, the newest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from netclnt.protocols import OfferRows
from netclnt.rows import DROP, EVENT, EVERY_NUMBER, IMAGE, PROMOTE, RETIRE, VERSION, Table, free_text, number, text

PUBLISH = "publish"

_TOLD = (PROMOTE, RETIRE, DROP)
_GENERATIONS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class OfferChange:
    """``action`` is ``publish``, ``promote``, ``retire``, or ``drop`` (the content left the store, by ``gc``). ``version`` is
    None for all versions of the image; ``channel`` empty for all channels. ``at`` is RFC 3339, UTC, by the writer's clock."""

    at: str
    action: str
    image: str
    version: int | None
    channel: str
    generation: int
    note: str = ""


def offer_changes(catalog: OfferRows) -> Iterator[OfferChange]:
    """Newest first; asks for some generations at once, as far as they are wanted."""
    until = catalog.state().generation
    names = {number(row["image"]): text(row["name"]) for row in _rows(catalog, IMAGE, 0, until)}
    while until > 0:
        after = max(0, until - _GENERATIONS_AT_ONCE)
        yield from sorted(_between(catalog, names, after, until), key=lambda change: change.generation, reverse=True)
        until = after


def _between(catalog: OfferRows, names: Mapping[int, str], after: int, until: int) -> Iterator[OfferChange]:
    """Those of some generations, in no order. What is published is promoted in the same generation: one line tells both."""
    notes = {
        (number(row["generation"]), number(row["image"]), number(row["number"])): free_text(row["note"])
        for row in _rows(catalog, VERSION, after, until)
    }
    for row in _rows(catalog, EVENT, after, until):
        generation, image, version = number(row["generation"]), number(row["image"]), number(row["number"])
        action, note = text(row["action"]), notes.get((generation, image, version))
        if action in _TOLD and image in names:
            yield OfferChange(
                at=text(row["created"]),
                action=PUBLISH if note is not None and action == PROMOTE else action,
                image=names[image],
                version=None if version == EVERY_NUMBER else version,
                channel=text(row["channel"]),
                generation=generation,
                note=note or "",
            )


def _rows(catalog: OfferRows, table: Table, after: int, until: int) -> Iterator[dict[str, object]]:
    for row in catalog.offer_rows(table.name, after=after, until=until):
        yield dict(zip(table.column_names, row, strict=True))
