"""The catalog's twin in memory: plain dictionaries, with a knob for faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from netclnt import rows
from netclnt.errors import BadArgument, ForeignMaster, Incompatible, Locked, NetclntError, NoSuchImage, TrustError
from netclnt.model import GENERATION_MAX, CatalogState, HeldVersion, Kind, NewVersion, Refused, Report, Requirement, Version
from netclnt.namekeys import check_neighbour
from netclnt.naming import check_channel, check_name
from netclnt.protocols import OfferRows


@dataclass(frozen=True, slots=True)
class _Image:
    id: int
    kind: Kind
    generation: int


@dataclass(frozen=True, slots=True)
class _Event:
    action: str
    name: str
    number: int
    channel: str
    at: str
    generation: int


class MemoryCatalog:
    """A :class:`netclnt.protocols.Catalog`. ``faults``: errors that the next questions raise, one each, in order; ``refused``:
    images whose current version breaks a rule, and which."""

    def __init__(self) -> None:
        self.faults: list[NetclntError] = []
        self.refused: dict[str, TrustError] = {}
        self.reports: list[Report] = []
        self.servers: dict[str, tuple[int, str]] = {}
        self.queries = 0
        self._state: CatalogState | None = None
        self._images: dict[str, _Image] = {}
        self._versions: dict[str, dict[int, Version]] = {}
        self._channels: dict[str, tuple[str, int]] = {}
        self._events: list[_Event] = []
        self._holder = ""

    # --- reading

    def state(self) -> CatalogState:
        self._ask()
        if self._state is None:
            raise Incompatible(what="catalog schema", found="none", supported=str(rows.SCHEMA_VERSION))
        if self._state.min_reader > rows.SCHEMA_VERSION:
            raise Incompatible(what="catalog schema", found=str(self._state.min_reader), supported=str(rows.SCHEMA_VERSION))
        return self._state

    def current(self, *, generation: int, channel: str, refuse: Callable[[Refused], None] | None = None) -> Iterator[Version]:
        self._ask()
        check_channel(channel)
        for name in sorted(self._versions, key=str.encode):
            number = self._current_number(name, generation, channel)
            if number is None:
                continue
            if name not in self.refused:
                yield self._versions[name][number]
            elif refuse is None:
                raise self.refused[name]
            else:
                refuse(Refused(name, self._images[name].kind, self.refused[name]))

    def history(self, name: str, *, generation: int, channel: str) -> Sequence[HeldVersion]:
        self._ask()
        current = self._current_number(name, generation, channel)
        versions = [each for each in self._versions.get(name, {}).values() if each.generation <= generation]
        return [
            HeldVersion(
                each,
                current=each.number == current,
                retired=self._is_retired(each, generation),
                dropped=self._is_dropped(name, each.number, generation),
            )
            for each in sorted(versions, key=lambda each: -each.number)
        ]

    def published(self, *, after: int, until: int) -> Iterator[Version]:
        self._ask()
        every = [each for of in self._versions.values() for each in of.values() if not self._is_dropped(each.name, each.number)]
        yield from sorted((each for each in every if after < each.generation <= until), key=lambda each: each.generation)

    def offer_rows(self, table: str, *, after: int, until: int) -> Iterator[tuple[object, ...]]:
        self._ask()
        layout = rows.OFFER[table]
        generation = layout.column_names.index("generation")
        order = [generation, *(layout.column_names.index(name) for name in layout.key)]
        found = [row for row in self._rows(table) if after < rows.number(row[generation]) <= until]
        yield from sorted(found, key=lambda row: [row[at] for at in order])

    def close(self) -> None:
        """Nothing to close: the content stays for the next reader."""

    # --- writing

    def create(self, *, identity: str, hash_seed: int, chunker: str) -> None:
        self._ask()
        if self._state is not None:
            raise BadArgument(argument="memory", problem="there is a catalog in this database already")
        self._state = CatalogState(identity, hash_seed, chunker, rows.SCHEMA_VERSION, rows.MIN_READER, 0, 0, 0)

    def publish(self, new: NewVersion) -> Version:
        state = self.state()
        check_channel(new.channel)
        for other, image in self._images.items():
            check_neighbour(new.name, new.kind, other, image.kind)
        versions = self._versions.get(new.name, {})
        lifted = [each.number for each in self._events if each.name == new.name]
        version = rows.version_of(new, number=max(lifted, default=0) + 1, generation=state.generation + 1)
        self._raise_generation(state)
        self._images.setdefault(new.name, _Image(len(self._images) + 1, new.kind, version.generation))
        self._versions.setdefault(new.name, versions)[version.number] = version
        self._promoted(new.name, version.number, new.channel, new.created, version.generation)
        return version

    def promote(self, name: str, number: int, *, channel: str, at: str) -> int:
        state = self.state()
        check_channel(channel)
        if number not in self._versions.get(check_name(name), {}) or self._is_dropped(name, number):
            raise NoSuchImage(name=f"{name}@{number}")
        generation = self._raise_generation(state)
        self._promoted(name, number, channel, at, generation)
        return generation

    def retire(self, name: str, number: int | None, *, at: str) -> int:
        state = self.state()
        versions = self._versions.get(check_name(name), {})
        if not versions or (number is not None and number not in versions):
            raise NoSuchImage(name=name if number is None else f"{name}@{number}")
        generation = self._raise_generation(state)
        self._events.append(_Event(rows.RETIRE, name, rows.EVERY_NUMBER if number is None else number, "", at, generation))
        return generation

    def drop(self, versions: Sequence[tuple[str, int]], *, at: str) -> int:
        state = self.state()
        for name, number in versions:
            if number not in self._versions.get(check_name(name), {}):
                raise NoSuchImage(name=f"{name}@{number}")
        generation = self._raise_generation(state)
        self._events += [_Event(rows.DROP, name, number, "", at, generation) for name, number in versions]
        return generation

    def recover(self, head: CatalogState | None, offer: OfferRows | None, *, at: str) -> CatalogState:
        own = self._state
        known = own or head
        if known is None:
            raise BadArgument(argument="--recover", problem="needs a catalog or a store with a HEAD")
        if own and head and (own.identity, own.hash_seed) != (head.identity, head.hash_seed):
            raise ForeignMaster(expected=own.identity, found=head.identity)
        since = own.generation if own else 0
        if offer is not None:
            self._state = replace(known, generation=since)
            rows.check_history(self, offer, until=min(since, offer.state().generation))
            for name in rows.OFFER:
                for row in offer.offer_rows(name, after=since, until=offer.state().generation):
                    self._take_in(name, row)
        top = max(since, head.generation if head else 0)
        self._state = replace(known, generation=top + rows.GENERATIONS_LIFTED)
        for name in self._images:
            highest = max(each.number for each in self._events if each.name == name)
            self._events.append(_Event(rows.LIFT, name, highest + 1, "", at, self._state.generation))
        return self._state

    def _take_in(self, table: str, row: rows.Row) -> None:
        names = {image.id: name for name, image in self._images.items()}
        values: tuple[Any, ...] = row
        if table == rows.IMAGE.name:
            id_, name, _, _, _, kind, generation = values
            self._images[name] = _Image(id_, Kind(kind), generation)
        elif table == rows.VERSION.name:
            name, number = names[values[0]], values[1]
            columns = (name, self._images[name].kind, *values[1:], None, None, None)
            [self._versions.setdefault(name, {})[number]] = rows.versions_of([columns])
        elif table == rows.REQUIREMENT.name:
            image, number, _, name, range_, _ = values
            held = self._versions[names[image]]
            held[number] = replace(held[number], requires=(*held[number].requires, Requirement(name, range_)))
        elif table == rows.CHANNEL.name:
            self._channels[values[0]] = (values[1], values[2])
        else:
            _, action, image, number, channel, at, generation = values
            self._events.append(_Event(action, names[image], number, channel, at, generation))

    @contextmanager
    def writer_lock(self, holder: str) -> Iterator[None]:
        if self._holder:
            raise Locked(path="memory", holder=self._holder)
        self._holder = holder
        try:
            yield
        finally:
            self._holder = ""

    def report(self, report: Report) -> None:
        self._ask()
        self.reports.append(report)
        self.servers[report.server] = (report.generation, report.started)

    def seen(self, server: str, *, generation: int, at: str) -> None:
        self._ask()
        if server in self.servers:
            self.servers[server] = (generation, at)

    # --- inside

    def _ask(self) -> None:
        self.queries += 1
        if self.faults:
            raise self.faults.pop(0)

    def _raise_generation(self, state: CatalogState) -> int:
        self._state = replace(state, generation=state.generation + 1)
        return self._state.generation

    def _promoted(self, name: str, number: int, channel: str, at: str, generation: int) -> None:
        self._channels.setdefault(channel, (at, generation))
        self._events.append(_Event(rows.PROMOTE, name, number, channel, at, generation))

    def _standing(self, name: str, generation: int) -> list[_Event]:
        """An image's promotions that no later event called back, oldest first."""
        standing: list[_Event] = []
        for event in self._events:
            if event.name != name or event.generation > generation:
                continue
            if event.action == rows.PROMOTE:
                standing.append(event)
            elif event.action in (rows.RETIRE, rows.DROP):
                standing = [each for each in standing if event.number not in (rows.EVERY_NUMBER, each.number)]
        return standing

    def _current_number(self, name: str, generation: int, channel: str) -> int | None:
        return next((each.number for each in reversed(self._standing(name, generation)) if each.channel == channel), None)

    def _is_retired(self, version: Version, generation: int) -> bool:
        return all(each.number != version.number for each in self._standing(version.name, generation))

    def _is_dropped(self, name: str, number: int, generation: int = GENERATION_MAX) -> bool:
        dropped = (each for each in self._events if each.action == rows.DROP and each.generation <= generation)
        return any((each.name, each.number) == (name, number) for each in dropped)

    def _rows(self, table: str) -> list[rows.Row]:
        images = {name: image.id for name, image in self._images.items()}
        versions = [(images[name], each) for name, held in self._versions.items() for each in held.values()]
        events = enumerate(self._events, 1)
        found: dict[str, list[rows.Row]] = {
            rows.IMAGE.name: [rows.image_row(each.id, name, each.kind, each.generation) for name, each in self._images.items()],
            rows.VERSION.name: [rows.version_row(image, each) for image, each in versions],
            rows.REQUIREMENT.name: [row for image, each in versions for row in rows.requirement_rows(image, each)],
            rows.CHANNEL.name: [(name, *created) for name, created in self._channels.items()],
            rows.EVENT.name: [
                (event, each.action, images[each.name], each.number, each.channel, each.at, each.generation)
                for event, each in events
            ],
        }
        return found[table]
