"""Which images a command line means: patterns, and lists of names from a file."""

from __future__ import annotations

import sys
from pathlib import Path

from netclnt.errors import BadArgument, NoSuchImage, StorageFailed
from netclnt.model import NUMBER_MAX
from netclnt.naming import check_name
from netclnt.selection import Selection


def chosen(patterns: tuple[str, ...], *, from_file: str | None, null: bool) -> Selection | None:
    """None if nothing was given. Raises BadArgument, ForbiddenName for a listed name that can be no image's, StorageFailed."""
    if null and from_file is None:
        raise BadArgument(argument="-0", problem="has a meaning only with --from-file")
    for pattern in patterns:
        _check(pattern)
    if not patterns and from_file is None:
        return None
    names = None if from_file is None else frozenset(_names(from_file, "\0" if null else "\n"))
    return Selection(patterns=patterns, names=names)


def refuse_nothing(selection: Selection, found: int) -> None:
    """Patterns or a list that match nothing are an error; raises NoSuchImage. An empty list selects nothing and is none."""
    meant = [*selection.patterns, *sorted(selection.names or ())]
    if not found and meant and selection.names != frozenset():
        raise NoSuchImage(name=" ".join(meant))


def _check(pattern: str) -> None:
    bare = pattern.removeprefix("!")
    kind = bare.removeprefix("kind:")
    if not kind or not pattern.isprintable():
        raise BadArgument(
            argument=repr(pattern), problem="is no pattern", hint="a glob over names, kind:KIND, or ! and one of these"
        )


def _names(source: str, separator: str) -> list[str]:
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise StorageFailed(action="read", path=source, errno=error.errno or 0, cause=error.strerror or str(error)) from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadArgument(argument="--from-file", problem=f"{source} is not UTF-8") from None
    return [check_name(name) for name in text.split(separator) if name]


def numbered(text: str) -> tuple[str, int | None]:
    """Name and number of ``NAME@N``, or of ``NAME``. Raises ForbiddenName, BadArgument."""
    name, at, number = text.partition("@")
    if at and not (number.isascii() and number.isdecimal() and len(number) <= 10 and 0 < int(number) <= NUMBER_MAX):
        raise BadArgument(argument=text, problem="must be NAME@N, where N is a version's number")
    return check_name(name), int(number) if at else None
