"""The files of a config as they were read: their tables, their profiles, and what is wrong with them as such."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from netclnt.config.hooks import HooksConfig
from netclnt.config.positions import key_lines
from netclnt.config.tables import MasterConfig, SlaveConfig, keys
from netclnt.guessing import closest

PROFILE = "profile"
"""The table of profiles: ``[profile.NAME.slave]`` has keys of ``[slave]``."""

PATHS = "paths"
"""The table of where images lie; the same as ``slave.paths``."""

TABLES: tuple[type[MasterConfig], type[SlaveConfig]] = (MasterConfig, SlaveConfig)

_TOLD_LINE = r"\(at line (\d+), column \d+\)$"
"""As tomllib's errors end."""
_PROFILE_NAME = r"[A-Za-z0-9_-]{1,64}"
_ROLES = tuple(table.TABLE for table in TABLES)
_NAMES = (*_ROLES, HooksConfig.TABLE)

Tables = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Problem:
    """``where`` is a key as ``slave.keep``, a variable or a flag, empty for a whole file; its ``text`` continues that. ``file``
    is the one it stands in."""

    where: str
    text: str
    file: ConfigFile | None = None

    @property
    def line(self) -> int | None:
        return self.file.line(self.where) if self.file else None

    @property
    def pair(self) -> tuple[str, str]:
        """As :class:`~netclnt.errors.ConfigInvalid` has it."""
        place = self.file.place(self.where) if self.file else ""
        return f"{place} {self.where}".strip(), self.text


@dataclass(frozen=True, eq=False)
class ConfigFile:
    """One file. ``name`` is how it is told beside the others (``conf.d/10-site.toml``). ``unusable`` says why it could not be
    read, as the continuation of its name; an ``absent`` one is where it would be."""

    path: Path
    name: str = ""
    text: str = ""
    document: Mapping[str, object] = field(default_factory=dict)
    unusable: str = ""
    absent: bool = False

    @classmethod
    def of(cls, text: str, *, path: Path, name: str = "") -> ConfigFile:
        try:
            return cls(path, name, text, tomllib.loads(text))
        except (ValueError, RecursionError) as error:  # tomllib's own, and what a number or a nesting without end makes of it
            return cls(path, name, text, unusable=f"is no TOML: {error}")

    @cached_property
    def tables(self) -> dict[str, dict[str, object]]:
        """The tables of the roles, and of hooks."""
        return _tables_of(self.document)

    @cached_property
    def paths(self) -> Mapping[str, object]:
        """The table ``[paths]``; empty if there is none."""
        found = self.document.get(PATHS)
        return found if isinstance(found, dict) else {}

    @cached_property
    def profiles(self) -> dict[str, dict[str, dict[str, object]]]:
        """Those tables of each profile."""
        found = self.document.get(PROFILE)
        return {name: _tables_of(one) for name, one in found.items() if isinstance(one, dict)} if isinstance(found, dict) else {}

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the file, but for the keys of its tables."""
        if self.unusable:
            return (Problem("", self.unusable, self),)
        return tuple(Problem(where, text, self) for where, text in _problems(self.document))

    @cached_property
    def _lines(self) -> dict[tuple[str, ...], int]:
        return key_lines(self.text)

    def line(self, where: str) -> int | None:
        """The line on which a key stands, given as ``slave.keep``; of a file that cannot be used, that of the reason."""
        if self.unusable:
            told = re.search(_TOLD_LINE, self.unusable, re.ASCII)
            return int(told[1]) if told else None
        return self._lines.get(tuple(where.split(".")))

    def place(self, where: str) -> str:
        line = self.line(where) if self.name else None
        return self.name if line is None else f"{self.name}:{line}"


@dataclass(frozen=True)
class ConfigFiles:
    """All files of a config, ``main`` and those of conf.d; each one's keys win over those of the files before it."""

    main: ConfigFile
    drop_ins: tuple[ConfigFile, ...] = ()

    @property
    def path(self) -> Path:
        return self.main.path

    @property
    def files(self) -> tuple[ConfigFile, ...]:
        """Those that are there."""
        return self.drop_ins if self.main.absent else (self.main, *self.drop_ins)

    @property
    def roles(self) -> list[str]:
        """The roles that there is a table for, in any file."""
        return [role for role in _ROLES if any(role in file.tables for file in self.files)]

    @property
    def profiles(self) -> list[str]:
        return sorted({name for file in self.files for name in file.profiles})

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(problem for file in self.files for problem in file.problems)


def unknown(name: str, known: Iterable[str], what: str) -> str:
    """The problem of a name that nobody knows, with a guess at what was meant."""
    close = closest(name, known)
    return f"is an unknown {what}" + (f"; did you mean {close}?" if close else "")


def _tables_of(values: Mapping[str, object]) -> dict[str, dict[str, object]]:
    return {name: value for name, value in values.items() if name in _NAMES and isinstance(value, dict)}


def _problems(document: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        if name == PROFILE:
            yield from _profile_problems(value)
        elif name == PATHS and isinstance(value, dict):
            if PATHS in _tables_of(document).get(SlaveConfig.TABLE, {}):
                yield name, f"cannot stand beside {SlaveConfig.TABLE}.{PATHS}; keep one of them"
        elif name not in (*_NAMES, PATHS):
            yield name, unknown(name, (*_NAMES, PROFILE, PATHS), "table" if isinstance(value, dict) else "key")
        elif not isinstance(value, dict):
            yield name, f"must be a table, [{name}]"


def _profile_problems(profiles: object) -> Iterator[tuple[str, str]]:
    if not isinstance(profiles, dict):
        yield PROFILE, "must be a table of profiles, [profile.NAME.slave] or [profile.NAME.master]"
        return
    for name, tables in profiles.items():
        where = f"{PROFILE}.{name}"
        if not re.fullmatch(_PROFILE_NAME, name, re.ASCII):
            yield where, "has a name that is not made of 1 to 64 letters, digits, '_' and '-'"
        if not isinstance(tables, dict):
            yield where, f"must hold tables, [{where}.slave] or [{where}.master]"
            continue
        for role, value in tables.items():
            if role not in _NAMES:
                owner = _ROLES[-1] if role in keys(SlaveConfig) else _ROLES[0] if role in keys(MasterConfig) else None
                text = f"belongs into [{where}.{owner}]" if owner else unknown(role, _NAMES, "table of a profile")
                yield f"{where}.{role}", text
            elif not isinstance(value, dict):
                yield f"{where}.{role}", f"must be a table, [{where}.{role}]"
