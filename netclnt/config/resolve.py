"""From TOML text, environment and flags to a checked config: flag > environment > file > default, all problems at once."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from os.path import normpath
from pathlib import Path
from typing import TypeVar

from netclnt.config.key import REQUIRED, Key, Shape
from netclnt.config.readers import Unfit
from netclnt.config.tables import Config, MasterConfig, SlaveConfig, Table, keys
from netclnt.errors import ConfigInvalid, ConfigMissing

T = TypeVar("T", bound=Table)
Problem = tuple[str, str]

TABLES: tuple[type[MasterConfig], type[SlaveConfig]] = (MasterConfig, SlaveConfig)

_TRUE = frozenset(("1", "true", "yes", "on"))
_FALSE = frozenset(("0", "false", "no", "off"))


@dataclass(frozen=True, slots=True)
class Given:
    """A raw value (as TOML would hold it) and where a person finds it: ``slave.keep``, ``NETCLNT_KEEP``, ``--keep``."""

    value: object
    where: str


Layer = Mapping[str, Given]


def read_tables(text: str, *, path: Path) -> dict[str, dict[str, object]]:
    """The TOML text's tables, unchecked but for their names. Raises ConfigInvalid."""
    tables, problems = salvage_tables(text)
    if problems:
        raise ConfigInvalid(path=str(path), problems=problems)
    return tables


def salvage_tables(text: str) -> tuple[dict[str, dict[str, object]], tuple[Problem, ...]]:
    """The tables that can be used, and all problems."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib's own, and what a number or a nesting without end makes of it
        return {}, (("TOML", str(error)),)
    names = [table.TABLE for table in TABLES]
    problems: list[Problem] = []
    for name, value in document.items():
        if name not in names:
            problems.append((name, _unknown(name, names, "table" if isinstance(value, dict) else "key")))
        elif not isinstance(value, dict):
            problems.append((name, f"must be a table, [{name}]"))
    return {name: value for name, value in document.items() if name in names and isinstance(value, dict)}, tuple(problems)


def from_table(table: type[Table], values: Mapping[str, object]) -> Layer:
    return {name: Given(value=value, where=f"{table.TABLE}.{name}") for name, value in values.items()}


def from_environment(table: type[Table], environment: Mapping[str, str]) -> Layer:
    """The table's keys that the environment sets; an empty variable counts as not set. Lists are split as a shell's words."""
    layer = {}
    for name, key in keys(table).items():
        raw = environment.get(key.variable, "")
        if raw:
            layer[name] = Given(value=_from_words(key, raw), where=key.variable)
    return layer


def from_flags(table: type[Table], flags: Mapping[str, object], *, directory: Path) -> Layer:
    """The table's keys among a command's parameters; None and ``()`` count as not given. Paths are relative to ``directory``."""
    layer = {}
    for name, key in keys(table).items():
        raw = flags.get(name)
        if raw is not None and raw != ():
            layer[name] = Given(value=_from_flag(key, raw, directory), where=key.flag)
    return layer


def defaults(table: type[Table], *, state: Path, layers: Iterable[Layer]) -> Layer:
    """Defaults that depend on the host: the state directory, and a master's catalog inside it."""
    layer = {"state": Given(value=str(state), where=f"{table.TABLE}.state")}
    if table is MasterConfig:
        chosen = next((one["state"].value for one in layers if "state" in one), str(state))
        layer["catalog"] = Given(value=f"sqlite:{chosen}/catalog.sqlite", where=f"{table.TABLE}.catalog")
    return layer


_ALTERNATIVES = {
    "host_key": "known_hosts",
    "known_hosts": "host_key",
    "password_file": "password_command",
    "password_command": "password_file",
}
"""Keys of which one decides, each with its other."""


def resolve(table: type[T], *layers: Layer, path: Path) -> T:
    """The table's value; the first layer that has a key decides it. Raises ConfigInvalid with every problem of every layer."""
    values, problems = _values(table, layers)
    if problems:
        raise ConfigInvalid(path=str(path), problems=problems)
    return table(**values)


_PLACEHOLDERS: dict[Shape, object] = {Shape.PATH: Path("/nonexistent"), Shape.CONN: "sqlite:/nonexistent"}


def salvage(table: type[T], *layers: Layer) -> tuple[T, frozenset[str], tuple[Problem, ...]]:
    """The table's value, the keys of it that cannot be used, and all problems. Such a key has its default, or where there is none
    a placeholder that means nothing."""
    values, problems = _values(table, layers)
    broken = {name: key for name, key in keys(table).items() if name not in values}
    for name, key in broken.items():
        values[name] = _PLACEHOLDERS.get(key.shape, "") if key.default is REQUIRED else key.default
    return table(**values), frozenset(broken), problems


def _values(table: type[Table], layers: Sequence[Layer]) -> tuple[dict[str, object], tuple[Problem, ...]]:
    """The values of the keys that can be used, and all problems."""
    known = keys(table)
    problems: list[Problem] = []
    values: dict[str, object] = {}
    for layer in layers:
        problems += [(given.where, _unknown(name, known, "key")) for name, given in layer.items() if name not in known]
    for name, key in known.items():
        given = _given(name, layers)
        if given is not None:
            try:
                values[name] = key.read(given.value)
            except Unfit as error:
                problems.append((given.where, str(error)))
        elif key.default is REQUIRED:
            problems.append((f"{table.TABLE}.{name}", f"is missing ({key.flag} {key.metavar})"))
        else:
            values[name] = key.default
    problems += _conflicts(table, values)
    return values, tuple(problems)


def _given(name: str, layers: Sequence[Layer]) -> Given | None:
    """What the first layer says that has the key, or the key that stands for the same in another way."""
    other = _ALTERNATIVES.get(name, name)
    first = next((layer for layer in layers if name in layer or other in layer), {})
    return first.get(name)


def require(config: Config, table: type[T]) -> T:
    """The config's table of that type. Raises ConfigMissing."""
    found = config.master if table is MasterConfig else config.slave
    if not isinstance(found, table):
        raise ConfigMissing(path=str(config.path), section=table.TABLE)
    return found


def _conflicts(table: type[Table], values: Mapping[str, object]) -> Iterable[Problem]:
    """What no single key can say. Looks only at values that were read well."""
    prefix = table.TABLE
    if values.get("password_file") and values.get("password_command"):
        yield f"{prefix}.password_command", "cannot stand beside password_file; keep one of them"
    if values.get("host_key") and values.get("known_hosts"):
        yield f"{prefix}.host_key", "cannot stand beside known_hosts; keep one of them"
    store = values.get("store")
    if isinstance(store, Path):
        catalog = values.get("catalog")
        state = values.get("state")
        if isinstance(catalog, str) and catalog.startswith("sqlite:") and Path(catalog[7:]).is_relative_to(store):
            yield f"{prefix}.catalog", "must not lie inside the store: slaves can read all of it"
        elif isinstance(state, Path) and state.is_relative_to(store):
            yield f"{prefix}.state", "must not lie inside the store: slaves can read all of it"


def _unknown(name: str, known: Iterable[str], what: str) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f"is an unknown {what}" + (f"; did you mean {close[0]}?" if close else "")


def _from_words(key: Key, raw: str) -> object:
    """One text as the TOML value it stands for; what cannot be converted is returned as it is, for the reader to refuse."""
    if key.shape is Shape.FLAG:
        return True if raw.lower() in _TRUE else False if raw.lower() in _FALSE else raw
    try:
        if key.shape is Shape.NUMBER and raw.strip().isdecimal():
            return int(raw)
        if key.shape in (Shape.TEXTS, Shape.PATHS):
            return shlex.split(raw)
    except ValueError:  # a quote that is not closed, or more digits than Python converts
        return raw
    return raw


def _from_flag(key: Key, raw: object, directory: Path) -> object:
    if key.shape is Shape.PATHS and isinstance(raw, tuple):
        return [_absolute(directory, one) for one in raw]
    if isinstance(raw, tuple):
        return list(raw)
    if not isinstance(raw, str):
        return raw
    if key.shape is Shape.PATH:
        return _absolute(directory, raw)
    if key.shape is Shape.CONN and raw.startswith("sqlite:") and raw != "sqlite:":
        return f"sqlite:{_absolute(directory, raw[7:])}"
    return _from_words(key, raw)


def _absolute(directory: Path, path: str) -> str:
    return normpath(directory / path) if path else path
