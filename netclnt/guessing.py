"""What somebody meant who named what nobody knows."""

from __future__ import annotations

from collections.abc import Iterable


def closest(name: str, known: Iterable[str]) -> str | None:
    """The one that is most like ``name``, of those that are like it at all."""
    from difflib import get_close_matches  # noqa: PLC0415 - nothing to guess at in a run without a slip

    return next(iter(get_close_matches(name, list(known), n=1)), None)
