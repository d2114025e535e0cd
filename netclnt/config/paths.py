"""The key that says which images lie in another directory than the root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from netclnt.config import readers
from netclnt.config.key import Key, Shape
from netclnt.config.readers import Unfit
from netclnt.model import Kind

_KIND = "kind:"


def placements(value: object) -> tuple[tuple[str, Path], ...]:
    """Patterns and absolute directories, in their order, from a table or from texts ``PATTERN=DIR``."""
    found: dict[str, Path] = {}
    for pattern, directory in _pairs(value):
        if pattern in found:
            raise Unfit(f"names {pattern} twice")
        found[_pattern(pattern)] = _directory(pattern, directory)
    return tuple(found.items())


def _pairs(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        yield from value.items()
        return
    for text in readers.texts(value):
        pattern, separator, directory = text.partition("=/")
        if not separator:
            raise Unfit(f"must be PATTERN=DIR, with an absolute directory, and not {text}")
        yield pattern, f"/{directory}"


def _pattern(pattern: str) -> str:
    readers.text(pattern)
    if pattern.startswith("!"):
        raise Unfit(
            f"cannot use {pattern}: an image lies where the first pattern that matches it says; put a more exact one first"
        )
    if pattern.startswith(_KIND) and pattern.removeprefix(_KIND) not in set(Kind):
        raise Unfit(f"names a kind that there is not: {pattern}; there are {', '.join(Kind)}")
    return pattern


def _directory(pattern: str, directory: object) -> Path:
    if isinstance(directory, dict):
        raise Unfit(f"needs quotes around a pattern that begins with {pattern}")
    try:
        return readers.path(directory)
    except Unfit as error:
        raise Unfit(f"of {pattern} {error}") from None


PATHS = Key(
    name="paths",
    about="Images that lie elsewhere than in the root: a pattern (a glob over names, or kind:KIND) and the directory that takes"
    " the root's place for what it matches. The first one that matches counts. The table [paths] says the same.",
    read=placements,
    default=(),
    shape=Shape.TEXTS,
    metavar="PATTERN=DIR",
    example=["drivers/*=/srv/drivers", "kind:software=/srv/software"],
)
