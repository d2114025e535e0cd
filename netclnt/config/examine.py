"""A whole config looked at: each key with its value and where that comes from, and all that is wrong anywhere in it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from netclnt.config.files import TABLES, ConfigFiles, Problem, unknown
from netclnt.config.hooks import VARIABLES, HooksConfig
from netclnt.config.key import REQUIRED, Key
from netclnt.config.layers import Given, Layer, Origin, defaults, from_environment, from_files, is_set_up
from netclnt.config.readers import Unfit
from netclnt.config.resolve import deciding, read_values, unknown_keys
from netclnt.config.tables import MasterConfig, SlaveConfig, Table, keys

MASK = "***"
"""What stands in place of a secret."""

_PREFIX = "NETCLNT_"
ALL_TABLES: tuple[type[Table], ...] = (*TABLES, HooksConfig)
"""Those of the roles, and what belongs to none."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of a table, its value as TOML would hold it (None: it has none), and who decides it (None: its own default).
    ``problem`` says why that cannot be used; the value is then left out, for nobody knows what was meant by it."""

    role: str
    key: Key
    value: object
    given: Given | None
    changed: bool
    problem: str = ""

    @property
    def name(self) -> str:
        return f"{self.role}.{self.key.name}"

    @property
    def origin(self) -> Origin:
        return self.given.origin if self.given else Origin.DEFAULT

    @property
    def place(self) -> str:
        """``FILE:LINE``, a variable or a flag; empty for a default."""
        if self.given is None or self.given.origin is Origin.DEFAULT:
            return ""
        if self.given.file is None:
            return self.given.where
        line = self.given.file.line(self.given.where)
        return f"{self.given.file.path}:{line}" if line else str(self.given.file.path)

    @property
    def text(self) -> str:
        """The value as its variable in the environment would be set."""
        return _words(self.value)


def role_settings(table: type[Table], layers: Sequence[Layer]) -> Iterator[Setting]:
    """All keys of a table, in the order of a written config."""
    for name, key in keys(table).items():
        given = deciding(name, layers)
        if given is None:
            missing = key.default is REQUIRED
            yield Setting(table.TABLE, key, None if missing else key.default, None, False, "is missing" if missing else "")
            continue
        try:
            read = key.read(given.value)
        except Unfit as error:
            yield Setting(table.TABLE, key, None, given, True, str(error))
        else:
            changed = given.origin is not Origin.DEFAULT and read != key.default
            yield Setting(table.TABLE, key, _public(key, given.value), given, changed)


def all_problems(files: ConfigFiles, environment: Mapping[str, str], *, state: Path) -> list[Problem]:
    """What is wrong in any file, any profile and the environment, each thing once; also what no single key can say, without a
    profile and with each. Sorted by file and line. ``state`` is the host's default state directory."""
    found: dict[tuple[str, str], Problem] = {}
    for problem in _problems(files, environment, state):
        found.setdefault(problem.pair, problem)
    places = {file: place for place, file in enumerate(files.files)}
    return sorted(found.values(), key=lambda one: (places[one.file] if one.file else len(places), one.line or 0))


def _problems(files: ConfigFiles, environment: Mapping[str, str], state: Path) -> Iterator[Problem]:
    yield from files.problems
    yield from _unknown_variables(environment)
    everywhere: set[Problem] = set()
    for profile in (None, *files.profiles):
        values: dict[str, Mapping[str, object]] = {}
        between: list[Problem] = []
        for table in ALL_TABLES:
            own = list(from_files(table, files, profile))
            given = [from_environment(table, environment), *own]
            if own or is_set_up(table, files, given):
                layers = [*given, defaults(table, state=state, layers=given)]
                for layer in layers:
                    yield from _layer_problems(table, layer)
                values[table.TABLE], problems = read_values(table, layers)
                between += problems
        between += _between_roles(values)
        yield from (_in_profile(problem, profile) for problem in between if problem not in everywhere)
        everywhere |= set(between if profile is None else ())


def _layer_problems(table: type[Table], layer: Layer) -> Iterator[Problem]:
    """Those of its keys and values, also of what another layer overrules."""
    known = keys(table)
    yield from unknown_keys(table, layer)
    for name, given in layer.items():
        if name in known:
            try:
                known[name].read(given.value)
            except Unfit as error:
                yield given.problem(str(error))


def _in_profile(problem: Problem, profile: str | None) -> Problem:
    """What is wrong between keys, told with the profile in which it is."""
    if profile is None or problem.file is not None or problem.where.startswith(_PREFIX):
        return problem
    return Problem(problem.where, f"{problem.text} (with profile {profile})")


def _between_roles(values: Mapping[str, Mapping[str, object]]) -> Iterator[Problem]:
    """A relay's slave must keep its own files out of what the master's slaves can read."""
    store = values.get(MasterConfig.TABLE, {}).get("store")
    for name in ("state", "identity", "password_file") if isinstance(store, Path) else ():
        path = values.get(SlaveConfig.TABLE, {}).get(name)
        if isinstance(path, Path) and isinstance(store, Path) and path.is_relative_to(store):
            yield Problem(f"{SlaveConfig.TABLE}.{name}", "must not lie inside the master's store: slaves can read all of it")


def _unknown_variables(environment: Mapping[str, str]) -> Iterator[Problem]:
    known = {key.variable for table in ALL_TABLES for key in keys(table).values() if not key.only_in_file} | _OTHER_VARIABLES
    for name in sorted(environment):
        if name.startswith(_PREFIX) and name not in known and name not in VARIABLES:
            yield Problem(name, unknown(name, known, "variable"))


_OTHER_VARIABLES = {_PREFIX + name for name in ("CONFIG", "PROFILE", "JSON", "QUIET", "VERBOSE", "COLOR", "PROGRESS")}
"""Of the global options, which are no keys."""


def variables(environment: Mapping[str, str]) -> list[str]:
    """The variables that say a key."""
    return sorted({given.where for table in ALL_TABLES for given in from_environment(table, environment).values()})


def _public(key: Key, value: object) -> object:
    """A value that can be used, without any secret in it."""
    if key.name == "password_command" and isinstance(value, str):
        return _command_name(value)
    if key.secret and isinstance(value, str):
        parts = urlsplit(value)
        return f"{parts.scheme}://{parts.netloc}/{MASK}" if parts.scheme and parts.netloc else MASK
    return MASK if key.secret else value


def _command_name(command: str) -> str:
    """A command without its arguments: somebody may have written the password itself there."""
    words = command.split()
    return words[0] if len(words) == 1 else f"{words[0]} {MASK}"


def _words(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return shlex.join(f"{name}={one}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return shlex.join(_words(one) for one in value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
