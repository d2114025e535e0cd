"""The difference between the master's offer and what a slave holds: values in, changes out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from netclnt.errors import BrakeApplied, ForbiddenName
from netclnt.model import Kind, Version
from netclnt.naming import twin_key
from netclnt.selection import Selection

_BRAKE_FROM = 5
"""Fewer images than this may come and go as they like, as long as any is offered."""


_NOWHERE: Mapping[str, str] = {}


class Action(StrEnum):
    NEW = "new"
    UPDATE = "update"
    REPLACE_FOREIGN = "replace-foreign"
    RETIRE = "retire"
    PINNED = "pinned"


class HeldImage(Protocol):
    """What the diff looks at of an image that the ledger knows."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def number(self) -> int: ...
    @property
    def manifest(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def pinned(self) -> bool: ...
    @property
    def damaged(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. ``local`` is the version held, ``offered`` the one to come; ``size`` in bytes; ``note`` for people;
    ``suspect`` says that what lies at the image's place is not what the ledger knows."""

    action: Action
    kind: Kind
    name: str
    local: int | None
    offered: Version | None
    size: int
    note: str = ""
    suspect: bool = False

    @property
    def to_do(self) -> bool:
        """Whether a sync would act on it."""
        return self.action in (Action.NEW, Action.UPDATE, Action.REPLACE_FOREIGN)


def diff(
    offered: Sequence[Version],
    held: Iterable[HeldImage],
    *,
    selection: Selection,
    is_foreign: Callable[[str], bool],
    max_retire: int,
    refused: Collection[str] = (),
    moves: Mapping[str, str] = _NOWHERE,
) -> list[Change]:
    """All changes inside the selection: configurations last, otherwise by name.

    ``offered`` names clash with none another; ``refused`` are names that are offered, too, in versions that cannot be taken: they
    stay as they are. ``moves`` are directories by the names of the held images that belong there and lie elsewhere.
    ``is_foreign`` says whether something that the ledger does not know lies at the place where an image belongs. Raises
    BrakeApplied for an offer that lacks more than ``max_retire`` percent of what is held inside the selection.
    """
    known = {image.name: image for image in held}
    names = {version.name for version in offered}.union(refused)
    _brake(names, [image.name for image in known.values() if image in selection], max_retire)
    changes = [
        _change(version, known.get(version.name), is_foreign, moves.get(version.name, ""))
        for version in offered
        if version in selection
    ]
    changes += [
        Change(Action.RETIRE, image.kind, image.name, image.number, None, image.size, "no longer offered; stays here")
        for image in known.values()
        if image.name not in names and image in selection
    ]
    return sorted((change for change in changes if change is not None), key=_order)


def _change(version: Version, image: HeldImage | None, is_foreign: Callable[[str], bool], moves_to: str) -> Change | None:
    if image is None:
        if is_foreign(version.name):
            note = "a file that netclnt did not put there"
            return Change(Action.REPLACE_FOREIGN, version.kind, version.name, None, version, version.size, note, suspect=True)
        return Change(Action.NEW, version.kind, version.name, None, version, version.size)
    is_same = (image.number, image.manifest) == (version.number, version.manifest)
    if is_same and not image.damaged and not moves_to:
        return None
    if image.pinned and not is_same:
        return Change(Action.PINNED, version.kind, version.name, image.number, version, version.size, "stays until unpinned")
    if moves_to and is_foreign(version.name):
        note = f"moves to {moves_to}, where something lies that is not known"
        action = Action.REPLACE_FOREIGN
        return Change(action, version.kind, version.name, image.number, version, version.size, note, suspect=True)
    note = "local copy is damaged" if image.damaged else "called back" if version.number < image.number else ""
    if moves_to:
        note = f"moves to {moves_to}" + (f"; {note}" if note else "")
    return Change(Action.UPDATE, version.kind, version.name, image.number, version, version.size, note, image.damaged)


def clashes(names: Iterable[str]) -> Iterator[tuple[str, ForbiddenName]]:
    """Each of the names that cannot lie in one root with another one of them, and why: they fall together when case is ignored,
    or one lies inside the other. A name may be told more than once."""
    seen: dict[str, str] = {}
    for name in names:
        key = twin_key(name)
        if key in seen:
            yield name, ForbiddenName(name=name, rule=f"the same as {seen[key]!r} where case does not count")
            yield seen[key], ForbiddenName(name=seen[key], rule=f"the same as {name!r} where case does not count")
        seen[key] = name
    for key, name in seen.items():
        parent = key
        while "/" in parent:
            parent = parent.rpartition("/")[0]
            if parent in seen:
                yield name, ForbiddenName(name=name, rule=f"inside the image {seen[parent]!r}")
                yield seen[parent], ForbiddenName(name=seen[parent], rule=f"the image {name!r} lies inside")


def _brake(names: Collection[str], known: Sequence[str], max_retire: int) -> None:
    gone = sum(name not in names for name in known)
    if gone * 100 > max_retire * len(known) and (not names or len(known) >= _BRAKE_FROM):
        raise BrakeApplied(limit="max_retire", problem=f"{gone} of the {len(known)} images that are held are no longer offered")


def _order(change: Change) -> tuple[bool, bytes]:
    return change.kind is Kind.CONFIGURATION, change.name.encode()
