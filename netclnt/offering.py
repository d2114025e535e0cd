"""Changing what is offered without publishing: a version becomes current in a channel, or is called back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netclnt.errors import NoSuchImage, SourceMissing
from netclnt.manifest import manifest_path
from netclnt.master import Master, write_head, writing
from netclnt.model import HeldVersion
from netclnt.naming import check_channel, check_name
from netclnt.rows import CHANNEL, text


@dataclass(frozen=True, slots=True)
class Offered:
    """``current`` is the number of the image's current version in each channel, 0 where it has none; ``changed`` is False when it
    was so already."""

    name: str
    current: dict[str, int]
    generation: int
    changed: bool


def promote(master: Master, name: str, number: int, *, channel: str, at: str) -> Offered:
    """Make a version current in a channel. Raises NoSuchImage, also for what gc dropped, and as publish does."""
    check_channel(channel)
    with writing(master) as held:
        known = _history(master, name, held.state.generation, channel)
        version = next((each for each in known if each.version.number == number and not each.dropped), None)
        if version is None:
            raise NoSuchImage(name=f"{name}@{number}")
        if master.store.size(manifest_path(version.version.manifest)) is None:
            raise SourceMissing(path=manifest_path(version.version.manifest), cause="not in the store")
        generation = held.state.generation
        if not version.current:
            generation = master.catalog.promote(name, number, channel=channel, at=at)
            write_head(master, master.catalog.state(), held.index, held.damages)
        return Offered(name, {channel: number}, generation, not version.current)


def retire(master: Master, name: str, number: int | None, *, at: str) -> Offered:
    """Call a version back in all channels, all of the image for None; the one promoted before it is current again. Raises
    NoSuchImage, and as publish does."""
    with writing(master) as held:
        rows = master.catalog.offer_rows(CHANNEL.name, after=0, until=held.state.generation)
        channels = sorted(text(row[0]) for row in rows)
        known = _history(master, name, held.state.generation, channels[0]) if channels else ()
        meant = [each for each in known if number in (None, each.version.number)]
        if not meant:
            raise NoSuchImage(name=name if number is None else f"{name}@{number}")
        generation = held.state.generation
        changed = not all(each.retired for each in meant)
        if changed:
            generation = master.catalog.retire(name, number, at=at)
            write_head(master, master.catalog.state(), held.index, held.damages)
        current = {channel: _current(_history(master, name, generation, channel)) for channel in channels}
        return Offered(name, current, generation, changed)


def _history(master: Master, name: str, generation: int, channel: str) -> Iterable[HeldVersion]:
    return list(master.catalog.history(check_name(name), generation=generation, channel=channel))


def _current(history: Iterable[HeldVersion]) -> int:
    return next((each.version.number for each in history if each.current), 0)
