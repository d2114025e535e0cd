"""What says anything of a table's keys: flags, the environment, the config's files and profiles, defaults of this host."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from os.path import normpath
from pathlib import Path

from netclnt.config.files import PATHS, PROFILE, TABLES, ConfigFile, ConfigFiles, Problem
from netclnt.config.key import REQUIRED, Key, Shape
from netclnt.config.tables import MasterConfig, Table, keys

_TRUE = frozenset(("1", "true", "yes", "on"))
_FALSE = frozenset(("0", "false", "no", "off"))


class Origin(StrEnum):
    """What kind of place a value comes from, the strongest first."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    PROFILE = "profile"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Given:
    """A raw value (as TOML would hold it) and where a person finds it: ``slave.keep``, ``NETCLNT_KEEP``, ``--keep``."""

    value: object
    where: str
    origin: Origin = Origin.FILE
    file: ConfigFile | None = None

    def problem(self, text: str) -> Problem:
        return Problem(self.where, text, self.file)


Layer = Mapping[str, Given]


def from_table(
    table: type[Table], values: Mapping[str, object], *, file: ConfigFile | None = None, profile: str | None = None
) -> Layer:
    """A file's table, or that of a profile in it."""
    prefix = table.TABLE if profile is None else f"{PROFILE}.{profile}.{table.TABLE}"
    origin = Origin.FILE if profile is None else Origin.PROFILE
    return {name: Given(value, f"{prefix}.{name}", origin, file) for name, value in values.items()}


def from_files(table: type[Table], files: ConfigFiles, profile: str | None) -> Iterator[Layer]:
    """The files' tables, the first one to decide a key first: a profile before all else, later files before earlier ones."""
    for file in reversed(files.files if profile else ()):
        if table.TABLE in (tables := file.profiles.get(profile or "", {})):
            yield from_table(table, tables[table.TABLE], file=file, profile=profile)
    for file in reversed(files.files):
        if file.paths and PATHS in keys(table):
            yield {PATHS: Given(file.paths, PATHS, Origin.FILE, file)}
        if table.TABLE in file.tables:
            yield from_table(table, file.tables[table.TABLE], file=file)


def from_environment(table: type[Table], environment: Mapping[str, str]) -> Layer:
    """The table's keys that the environment sets; an empty variable counts as not set. Lists are split as a shell's words."""
    layer = {}
    for name, key in keys(table).items():
        raw = "" if key.only_in_file else environment.get(key.variable, "")
        if raw:
            layer[name] = Given(_from_words(key, raw), key.variable, Origin.ENVIRONMENT)
    return layer


def from_flags(table: type[Table], flags: Mapping[str, object], *, directory: Path) -> Layer:
    """The table's keys among a command's parameters; None and ``()`` count as not given. Paths are relative to ``directory``."""
    layer = {}
    for name, key in keys(table).items():
        raw = flags.get(name)
        if raw is not None and raw != ():
            layer[name] = Given(_from_flag(key, raw, directory), key.flag, Origin.FLAG)
    return layer


def defaults(table: type[Table], *, state: Path, layers: Iterable[Layer]) -> Layer:
    """Defaults that depend on the host: the state directory, and a master's catalog inside it."""
    if "state" not in keys(table):
        return {}
    layer = {"state": Given(str(state), f"{table.TABLE}.state", Origin.DEFAULT)}
    if table is MasterConfig:
        chosen = next((one["state"].value for one in layers if "state" in one), str(state))
        layer["catalog"] = Given(f"sqlite:{chosen}/catalog.sqlite", f"{table.TABLE}.catalog", Origin.DEFAULT)
    return layer


def is_set_up(table: type[Table], files: ConfigFiles, layers: Iterable[Layer]) -> bool:
    """Whether this host is meant to have that role: a file has a table of it, or something says a key that this role must have,
    and no other one has."""
    roles: tuple[type[Table], ...] = TABLES
    others = {name for role in roles if role is not table for name in keys(role)}
    own = {name for name, key in keys(table).items() if key.default is REQUIRED and name not in others}
    return table.TABLE in files.roles or any(own & layer.keys() for layer in layers)


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
