"""Which published versions a master keeps: a rule over the catalog's rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from netclnt.model import Version
from netclnt.protocols import OfferRows
from netclnt.rows import DROP, EVENT, EVERY_NUMBER, IMAGE, PROMOTE, RETIRE, Row, number, text


class Known(NamedTuple):
    """A version, as far as it matters here: millions fit in memory."""

    name: str
    number: int
    manifest: str
    head_bytes: int

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"

    @property
    def history(self) -> str:
        """The version and what is in it: a catalog that was restored from a backup may give a number a second time."""
        return f"{self} {self.manifest}"


@dataclass(frozen=True, slots=True)
class Sorted:
    """All versions whose content is in the store: those ``live``, and those ``superseded``, which only the grace time keeps."""

    live: tuple[Known, ...]
    superseded: tuple[Known, ...]


def sort_versions(published: Iterable[Version], offer: OfferRows, *, generation: int, keep: int) -> Sorted:
    """Live is what is current in any channel, and of each image the newest ``keep`` versions that are not called back."""
    events = _events(offer, generation)
    live: list[Known] = []
    superseded: list[Known] = []
    for versions in _by_image(published):
        standing = list(_standing(events.get(versions[0].name, ())))
        current = {channel: of for of, channel in standing}
        newest = sorted({of for of, _ in standing}, reverse=True)[:keep]
        needed = {*current.values(), *newest}
        for version in versions:
            (live if version.number in needed else superseded).append(version)
    return Sorted(tuple(live), tuple(superseded))


def _by_image(published: Iterable[Version]) -> Iterable[list[Known]]:
    images: dict[str, list[Known]] = defaultdict(list)
    for each in published:
        images[each.name].append(Known(each.name, each.number, each.manifest, each.head_bytes))
    return images.values()


def _events(offer: OfferRows, generation: int) -> dict[str, list[tuple[str, int, str]]]:
    """(action, number, channel) of each image's events, in their order."""
    names = {number(row[0]): text(row[1]) for row in offer.offer_rows(IMAGE.name, after=0, until=generation)}
    events: dict[str, list[tuple[str, int, str]]] = defaultdict(list)
    for row in offer.offer_rows(EVENT.name, after=0, until=generation):
        name, event = _event(row, names)
        events[name].append(event)
    return events


def _event(row: Row, names: dict[int, str]) -> tuple[str, tuple[str, int, str]]:
    _, action, image, which, channel, *_ = row
    return names[number(image)], (text(action), number(which), text(channel))


def _standing(events: Iterable[tuple[str, int, str]]) -> Iterator[tuple[int, str]]:
    """The promotions (number, channel) that no later event called back, oldest first."""
    standing: list[tuple[int, str]] = []
    for action, which, channel in events:
        if action == PROMOTE:
            standing.append((which, channel))
        elif action in (RETIRE, DROP):
            standing = [each for each in standing if which not in (EVERY_NUMBER, each[0])]
    return iter(standing)
