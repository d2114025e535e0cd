"""The further roots of a slave, opened: those that its config names, and those in which something of ours may still lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from netclnt.config import SlaveConfig
from netclnt.errors import ConfigInvalid, RootNotMounted, StorageError
from netclnt.files.root import DirectoryRoot, open_root
from netclnt.files.workarea import Ownership
from netclnt.ledger import Ledger
from netclnt.ledger.places import MAIN
from netclnt.places import Place, Places, Rule, overlapping
from netclnt.selection import Selection


def open_places(
    config: SlaveConfig, ledger: Ledger, main: DirectoryRoot, *, ownership: Ownership | None, stack: ExitStack
) -> Places:
    """All roots; ``stack`` closes the further ones. One that cannot be used is no reason to stop. What is met for the first time
    gets a marker, which the ledger remembers. Raises ConfigInvalid for two that are one directory, or of which one lies inside
    another."""
    opener = _Opener(ledger, ownership, stack)
    places = {str(path): opener.open(path) for path in config.further_roots}
    met = {place.mark for place in places.values()}
    others = [opener.open_remembered(mark, Path(path)) for mark, path in ledger.places.roots().items() if mark not in met]
    of_main = Place(MAIN, main.path, main)
    problems = tuple(_problems(main, of_main, [*places.values(), *others]))
    if problems:
        raise ConfigInvalid(path="", problems=problems)
    for mark, path in opener.marks.items():
        ledger.places.remember_root(mark, path)
    rules = [Rule(Selection((pattern,)), str(path)) for pattern, path in config.paths]
    return Places(of_main, {str(config.root): of_main} | places, rules, others=others, lying=ledger.places.all())


class _Opener:
    """``marks`` are those that the ledger does not know yet, or knows at another path."""

    def __init__(self, ledger: Ledger, ownership: Ownership | None, stack: ExitStack) -> None:
        self._ownership = ownership
        self._stack = stack
        self._known = {path: mark for mark, path in ledger.places.roots().items()}
        self._rebuilding = ledger.rebuilding()
        self.marks: dict[str, str] = {}

    def open(self, path: Path) -> Place:
        known = self._known.get(str(path))
        try:
            if known is None and self._rebuilding:
                _check_marked(path)
            root = self._opened(path, known)
        except StorageError as error:
            return Place(known or f"?{path}", str(path), error)
        mark = root.marker or ""
        if mark != known:
            self.marks[mark] = str(path)
        return Place(mark, root.path, root)

    def open_remembered(self, mark: str, path: Path) -> Place:
        """A root that the config no longer names."""
        try:
            return Place(mark, str(path), self._opened(path, mark))
        except StorageError as error:
            return Place(mark, str(path), error)

    def _opened(self, path: Path, known: str | None) -> DirectoryRoot:
        return self._stack.enter_context(open_root(path, marker=known, ownership=self._ownership))


def _check_marked(path: Path) -> None:
    """There was a ledger, and nobody knows whether it had met this root: one without a mark is not mounted, as far as that can
    be told. Raises RootNotMounted."""
    with open_root(path, marker=None, writable=False) as root:
        if root.marker is None:
            raise RootNotMounted(path=root.path)


def _problems(main: DirectoryRoot, of_main: Place, further: list[Place]) -> Iterator[tuple[str, str]]:
    usable = [place for place in further if place.missing is None]
    seen = {main.marker: of_main.path}
    for place in usable:
        if place.mark in seen:
            yield "paths", f"{place.path} is the same directory as {seen[place.mark]}, or a copy of it: both have the same mark"
        seen[place.mark] = place.path
    for inner, outer in overlapping([of_main.path, *(place.path for place in usable)]):
        yield "paths", f"{inner} must not lie inside the root {outer}"


def mark_places(config: SlaveConfig, ledger: Ledger, main: DirectoryRoot, *, anew: bool) -> None:
    """Put the markers into the further roots, and remember them; ``anew`` for roots that take another one's place. Raises what
    says why one cannot be used, and ConfigInvalid as :func:`open_places`."""
    if anew:
        paths = set(map(str, config.further_roots))
        for mark, path in ledger.places.roots().items():
            if path in paths:
                ledger.places.forget_root(mark)
    known = {path: mark for mark, path in ledger.places.roots().items()}
    for place in config.further_roots:
        with open_root(place, marker=known.get(str(place))) as root:
            ledger.places.remember_root(root.marker or "", str(place))
    with ExitStack() as stack:
        open_places(config, ledger, main, ownership=None, stack=stack)
