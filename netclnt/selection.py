"""Which images are meant: patterns over names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol


class Named(Protocol):
    """What a selection looks at."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """``patterns`` are globs over whole names (``*`` matches ``/`` too), ``kind:KIND``, and either of them behind ``!`` to
    exclude. Selected is what any of the including ones matches (all, if there are none) and none of the excluding ones.
    ``names`` are meant literally, from a list; None means that there was no list, an empty one selects nothing.
    """

    patterns: tuple[str, ...] = ()
    names: Collection[str] | None = None

    def __contains__(self, image: Named) -> bool:
        if self.names is not None and image.name not in self.names:
            return False
        including = [pattern for pattern in self.patterns if not pattern.startswith("!")]
        excluding = [pattern[1:] for pattern in self.patterns if pattern.startswith("!")]
        if any(_matches(pattern, image) for pattern in excluding):
            return False
        return not including or any(_matches(pattern, image) for pattern in including)


def rank(image: Named, patterns: Sequence[str]) -> int:
    """The place of the first of the patterns that selects the image; behind all of them if none does."""
    return next((place for place, pattern in enumerate(patterns) if image in Selection((pattern,))), len(patterns))


def _matches(pattern: str, image: Named) -> bool:
    if pattern.startswith("kind:"):
        return fnmatchcase(image.kind, pattern.removeprefix("kind:"))
    return fnmatchcase(image.name, pattern)
