"""The roots of one slave: where each image belongs, where it lies, and all of them behind the face of one.

Only a slave with ``[paths]`` in its config has this: with one root, that is all there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import PurePath

from netclnt.errors import RootNotMounted, StorageError
from netclnt.ledger.places import MAIN
from netclnt.model import Entry
from netclnt.protocols import Facts, Reader, Root, Stage
from netclnt.selection import Named, Selection


@dataclass(frozen=True, slots=True)
class Rule:
    """Images that ``selection`` matches belong in the root at ``path``, as the config has it."""

    selection: Selection
    path: str


@dataclass(frozen=True, slots=True)
class Place:
    """One root: ``mark`` is its marker (``""`` the main one's), or what stands for that of a root that was never met; ``path`` is
    absolute. In place of one that cannot be used stands the error that says why."""

    mark: str
    path: str
    opened: Root | StorageError

    @property
    def root(self) -> Root:
        """Raises the error of a root that cannot be used."""
        if isinstance(self.opened, StorageError):
            raise self.opened
        return self.opened

    @property
    def missing(self) -> StorageError | None:
        return self.opened if isinstance(self.opened, StorageError) else None


def overlapping(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Of these directories each that lies inside another one, and that one."""
    known = [PurePath(path) for path in paths]
    for inner in known:
        for outer in known:
            if inner != outer and inner.is_relative_to(outer):
                yield str(inner), str(outer)


class Places:
    """:class:`netclnt.protocols.Root` of several: an image is looked for where it lies, a staging area or kept version in the
    root that has it.

    ``configured`` are the places of the rules by their paths; ``others`` those that are remembered only, as something of ours may
    lie there. ``lying`` is the mark of the root of each image that does not lie in the main one.
    """

    def __init__(
        self,
        main: Place,
        configured: Mapping[str, Place],
        rules: Sequence[Rule],
        *,
        others: Sequence[Place] = (),
        lying: Mapping[str, str],
    ) -> None:
        self._main = main
        self._configured = configured
        self.rules = rules
        self._lying = dict(lying)
        self._places = {place.mark: place for place in (main, *configured.values(), *others)}
        self._needed = {main.mark, *(place.mark for place in configured.values())}

    # --- where what is

    def home(self, image: Named) -> Place:
        """Where an image belongs: by the first rule that matches it."""
        rule = next((rule for rule in self.rules if image in rule.selection), None)
        return self._main if rule is None else self._configured[rule.path]

    def of(self, name: str) -> Place:
        """Where a held image lies; the main root for others."""
        return self.marked(self._lying.get(name, MAIN))

    def marked(self, mark: str) -> Place:
        place = self._places.get(mark)
        return place if place is not None else Place(mark, "", RootNotMounted(path=f"the root with the mark {mark}"))

    def settled(self, name: str, mark: str) -> None:
        """An image lies there now."""
        self._lying[name] = mark

    @property
    def incomplete(self) -> bool:
        """Whether a root that images belong in cannot be used."""
        return any(place.missing for place in self._places.values() if place.mark in self._needed)

    @property
    def unneeded(self) -> Sequence[Place]:
        """Roots that no rule leads to, and in which no held image lies."""
        used = self._needed.union(self._lying.values())
        return [place for mark, place in self._places.items() if mark not in used]

    @property
    def _roots(self) -> list[Root]:
        return [place.opened for place in self._places.values() if not isinstance(place.opened, StorageError)]

    # --- Root

    @contextmanager
    def lock(self, holder: str) -> Iterator[None]:
        """All that can be used, always in the same order."""
        with ExitStack() as stack:
            for _, place in sorted(self._places.items()):
                if not place.missing:
                    stack.enter_context(place.root.lock(holder))
            yield

    def facts(self, name: str, paths: Sequence[str]) -> Sequence[Facts | None]:
        return self.of(name).root.facts(name, paths)

    def type(self, name: str) -> str:
        return self.of(name).root.type(name)

    def open(self, name: str, path: str) -> Reader:
        return self.of(name).root.open(name, path)

    def secure(self, name: str) -> None:
        self.of(name).root.secure(name)

    def tree(self, name: str) -> Iterator[Entry]:
        return self.of(name).root.tree(name)

    def files(self) -> Iterator[tuple[str, Facts]]:
        for root in self._roots:
            yield from root.files()

    def stage(self, token: str) -> Stage:
        return self._with(lambda root: token in root.staged()).stage(token)

    def staged(self) -> Sequence[str]:
        return sorted({token for root in self._roots for token in root.staged()})

    def staged_path(self, token: str) -> str:
        return self._with(lambda root: token in root.staged()).staged_path(token)

    def discard(self, token: str) -> None:
        for root in self._roots:
            root.discard(token)

    def show(self, token: str, name: str, *, keep: str | None) -> None:
        self.of(name).root.show(token, name, keep=keep)

    def take(self, name: str, other: Root) -> bool:
        return self.of(name).root.take(name, other)

    def put_away(self, name: str, *, keep: str | None) -> None:
        self.of(name).root.put_away(name, keep=keep)

    def kept(self) -> Sequence[str]:
        return sorted({token for root in self._roots for token in root.kept()})

    def keeps(self, token: str) -> bool:
        return any(root.keeps(token) for root in self._roots)

    def staged_bytes(self, token: str) -> int:
        return sum(root.staged_bytes(token) for root in self._roots)

    def kept_bytes(self, token: str) -> int:
        return sum(root.kept_bytes(token) for root in self._roots)

    def open_kept(self, token: str, path: str) -> Reader:
        return self._with(lambda root: root.keeps(token)).open_kept(token, path)

    def drop(self, token: str) -> None:
        for root in self._roots:
            root.drop(token)

    def free(self) -> int:
        """In the main root: whoever needs room for an image asks the one that it belongs in."""
        return self._main.root.free()

    def free_files(self) -> int | None:
        """As :meth:`free`."""
        return self._main.root.free_files()

    def _with(self, has: Callable[[Root], bool]) -> Root:
        return next(filter(has, self._roots), self._main.root)
