"""On which line of a TOML text each key stands: what tomllib does not tell."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping

_TRIED_MAX = 1 << 18
_DEPTH_MAX = 8
"""A statement is tried anew with each line that may end it: after so many characters in vain, or so deep in tables, nothing more
is looked for."""

_ENDS = ("]", "}", '"""', "'''")
"""What a statement of several lines can end with."""

KeyPath = tuple[str, ...]


def key_lines(text: str) -> dict[KeyPath, int]:
    """Line numbers, from 1, of tables and keys by their path, in inline tables and behind dots, too. What stands behind the first
    statement that is no TOML has none."""
    found: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for number, statement, parsed in _statements(text):
        is_header = statement.lstrip().startswith("[")
        paths = list(_paths(parsed, () if is_header else table))
        for path in paths:
            found.setdefault(path, number)
        if is_header:
            table = max(paths, key=len)
    return found


def _statements(text: str) -> Iterator[tuple[int, str, Mapping[str, object]]]:
    """Each statement with its first line's number. A statement is over when it can be read alone: none can be read half."""
    pending: list[str] = []
    tried = 0
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        pending.append(line)
        if len(pending) > 1 and not any(end in line for end in _ENDS):
            continue
        statement = "\n".join(pending)
        try:
            parsed = tomllib.loads(statement)
        except (ValueError, RecursionError):
            tried += len(statement)
            if tried > _TRIED_MAX:
                return
            continue
        if parsed:
            yield number - len(pending) + 1, statement, parsed
        pending = []


def _paths(value: object, above: KeyPath) -> Iterator[KeyPath]:
    """The paths of a parsed statement's keys below ``above``; an array of tables counts as a table."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict) and len(above) < _DEPTH_MAX:
        for name, inner in value.items():
            yield (*above, name)
            yield from _paths(inner, (*above, name))
