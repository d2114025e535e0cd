"""From the layers of what is given to a checked table: flag > environment > profile > file > default, all problems at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from netclnt.config.files import Problem, unknown
from netclnt.config.key import REQUIRED, Shape
from netclnt.config.layers import Given, Layer
from netclnt.config.readers import Unfit
from netclnt.config.tables import Table, keys
from netclnt.errors import ConfigInvalid

T = TypeVar("T", bound=Table)


_ALTERNATIVES = {
    "host_key": "known_hosts",
    "known_hosts": "host_key",
    "password_file": "password_command",
    "password_command": "password_file",
}
"""Keys of which one decides, each with its other."""


def resolve(table: type[T], *layers: Layer, path: Path, problems: tuple[Problem, ...] = ()) -> T:
    """The table's value; the first layer that has a key decides it. Raises ConfigInvalid with every problem of every layer, and
    with those that are known already."""
    values, more = read_values(table, layers)
    problems = (*problems, *more)
    if problems:
        raise ConfigInvalid(path=str(path), problems=tuple(problem.pair for problem in problems))
    return table(**values)


_PLACEHOLDERS: dict[Shape, object] = {Shape.PATH: Path("/nonexistent"), Shape.CONN: "sqlite:/nonexistent"}


def salvage(table: type[T], *layers: Layer) -> tuple[T, frozenset[str], tuple[tuple[str, str], ...]]:
    """The table's value, the keys of it that cannot be used, and all problems. Such a key has its default, or where there is none
    a placeholder that means nothing."""
    values, problems = read_values(table, layers)
    broken = {name: key for name, key in keys(table).items() if name not in values}
    for name, key in broken.items():
        values[name] = _PLACEHOLDERS.get(key.shape, "") if key.default is REQUIRED else key.default
    return table(**values), frozenset(broken), tuple(problem.pair for problem in problems)


def read_values(table: type[Table], layers: Sequence[Layer]) -> tuple[dict[str, object], tuple[Problem, ...]]:
    """The values of the keys that can be used, and all problems."""
    known = keys(table)
    problems: list[Problem] = []
    values: dict[str, object] = {}
    for layer in layers:
        problems += unknown_keys(table, layer)
    for name, key in known.items():
        given = deciding(name, layers)
        if given is not None:
            try:
                values[name] = key.read(given.value)
            except Unfit as error:
                problems.append(given.problem(str(error)))
        elif key.default is REQUIRED:
            problems.append(Problem(f"{table.TABLE}.{name}", f"is missing ({key.flag} {key.metavar})"))
        else:
            values[name] = key.default
    problems += _conflicts(table, values)
    return values, tuple(problems)


def unknown_keys(table: type[Table], layer: Layer) -> Iterator[Problem]:
    known = keys(table)
    return (given.problem(unknown(name, known, "key")) for name, given in layer.items() if name not in known)


def deciding(name: str, layers: Sequence[Layer]) -> Given | None:
    """What the first layer says that has the key, or the key that stands for the same in another way."""
    other = _ALTERNATIVES.get(name, name)
    first = next((layer for layer in layers if name in layer or other in layer), {})
    return first.get(name)


def _conflicts(table: type[Table], values: Mapping[str, object]) -> Iterator[Problem]:
    """What no single key can say. Looks only at values that were read well."""
    for name, text in _contradictions(values):
        yield Problem(f"{table.TABLE}.{name}", text)


def _contradictions(values: Mapping[str, object]) -> Iterable[tuple[str, str]]:
    if values.get("password_file") and values.get("password_command"):
        yield "password_command", "cannot stand beside password_file; keep one of them"
    if values.get("host_key") and values.get("known_hosts"):
        yield "host_key", "cannot stand beside known_hosts; keep one of them"
    store, root, state = values.get("store"), values.get("root"), values.get("state")
    if isinstance(store, Path):
        catalog = values.get("catalog")
        if isinstance(catalog, str) and catalog.startswith("sqlite:") and Path(catalog[7:]).is_relative_to(store):
            yield "catalog", "must not lie inside the store: slaves can read all of it"
        elif isinstance(state, Path) and state.is_relative_to(store):
            yield "state", "must not lie inside the store: slaves can read all of it"
    yield from _overlaps(root, values.get("paths"))
    if isinstance(root, Path) and isinstance(state, Path) and state.is_relative_to(root):
        yield "state", "must not lie inside the root: an image may have that name"


def _overlaps(root: object, paths: object) -> Iterator[tuple[str, str]]:
    """Of the root and the further ones none may lie inside another."""
    further = {directory for _, directory in paths} if isinstance(paths, tuple) else set()
    places = sorted(further | ({root} if isinstance(root, Path) else set()))
    for inner in places:
        for outer in places:
            if outer in inner.parents:
                yield "paths", f"lead to {inner}, which must not lie inside {outer}: images of both could fall together"
