"""A config's text: a table written with every key explained, put beside or in place of what is there byte for byte."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping

import tomli_w

from netclnt.config.key import REQUIRED, Key
from netclnt.config.tables import Table, keys

_WIDTH = 100
_HEADER = re.compile(r"^[ \t]*\[\[?[ \t]*([A-Za-z0-9_-]+)", re.ASCII | re.MULTILINE)


def render(table: type[Table], values: Mapping[str, object]) -> str:
    """The table as commented TOML. ``values`` are raw, as TOML holds them; keys without a value stand there as comments."""
    return f"[{table.TABLE}]\n" + "".join(_block(key, values) for key in keys(table).values())


def replace_table(text: str, table: type[Table], rendered: str) -> str:
    """``text`` with ``rendered`` in place of its table, or after all else where it has none; everything else byte for byte.

    Lines are all that is looked at: the caller checks that the other tables still read the same.
    """
    span = _span(text, table.TABLE)
    if span:
        before, after = text[: span[0]], text[span[1] :]
    else:
        before, after = text, ""
        if before and not before.endswith("\n"):
            before += "\n"
        if before:
            before += "\n"
    return before + rendered + ("\n" + after if after else "")


def _span(text: str, name: str) -> tuple[int, int] | None:
    headers = list(_HEADER.finditer(text))
    for index, header in enumerate(headers):
        if header[1] == name:
            following = (other.start() for other in headers[index + 1 :] if other[1] != name)
            return header.start(), next(following, len(text))
    return None


def _block(key: Key, values: Mapping[str, object]) -> str:
    return "\n" + "".join(f"{line}\n" for line in _lines(key, values))


def _lines(key: Key, values: Mapping[str, object]) -> Iterator[str]:
    yield from (f"# {line}" for line in textwrap.wrap(key.about, _WIDTH))
    if key.name in values:
        yield _assignment(key.name, values[key.name])
        return
    shown = key.example if key.default in (REQUIRED, None, ()) else key.default
    if shown is not None:
        yield f"#{_assignment(key.name, shown)}"


def _assignment(name: str, value: object) -> str:
    if isinstance(value, dict):
        return f"{name} = {{{', '.join(f'{_value(key)} = {_value(one)}' for key, one in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"{name} = [{', '.join(_value(one) for one in value)}]"
    return f"{name} = {_value(value)}"


def _value(value: object) -> str:
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    return tomli_w.dumps({"x": whole}).removeprefix("x = ").rstrip("\n")
