"""What ``init`` does to this host's own files: a table in the config, directories. Nothing is overwritten unasked."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from netclnt.cli.session import Session
from netclnt.cli.settings import config_path, read_config, state_path
from netclnt.cli.storage import storage
from netclnt.config import Key, Layer, Table, defaults, from_environment, from_flags, from_table, keys, read_tables, resolve
from netclnt.config.readers import Unfit
from netclnt.config.text import render, replace_table
from netclnt.errors import BadArgument

T = TypeVar("T", bound=Table)

CONFIG_MODE = 0o640


@dataclass(frozen=True, slots=True)
class Setup(Generic[T]):
    """What the config will say. ``text`` is the file's whole new text, None if it says so already."""

    path: Path
    config: T
    text: str | None


def plan_table(table: type[T], session: Session, flags: Mapping[str, object], *, force: bool) -> Setup[T]:
    """Put the flags (and the environment) into the config's table, in mind only.

    Raises ConfigInvalid, and BadArgument where the config says otherwise already and ``force`` is not given.
    """
    path = config_path(session.options.config, session.environment)
    text = read_config(path) or ""
    tables = read_tables(text, path=path)
    old = tables.get(table.TABLE)
    given = {**from_environment(table, session.environment), **from_flags(table, flags, directory=Path.cwd())}
    layers: list[Layer] = [given, from_table(table, old or {})]
    layers.append(defaults(table, state=state_path(session.environment), layers=layers))
    config = resolve(table, *layers, path=path)
    if old is not None and not _refuse_differences(table, path, old, given, force=force):
        return Setup(path, config, None)
    values = {name: value.value for layer in reversed(layers) for name, value in layer.items()}
    new = replace_table(text, table, render(table, values))
    if read_tables(new, path=path) != tables | {table.TABLE: values}:
        raise BadArgument(
            argument=str(path), problem=f"the table [{table.TABLE}] cannot be replaced safely", hint=f"edit {path} by hand"
        )
    return Setup(path, config, new)


def write_config(path: Path, text: str) -> None:
    """Replace the config whole and durably; a new one can be read by owner and group, an old one keeps owner and mode."""
    with storage("write", path):
        target = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=target.parent, prefix=".config.", encoding="utf-8", delete=False) as file:
            try:
                _dress(file.fileno(), target)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(target)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def make_directory(path: Path, *, parents: bool, mode: int = 0o755) -> bool:
    """Whether it had to be made. Raises StorageFailed; also for a missing parent, unless ``parents``."""
    with storage("create", path):
        if path.is_dir():
            return False
        path.mkdir(mode=mode, parents=parents)
        return True


def _refuse_differences(table: type[Table], path: Path, old: Mapping[str, object], given: Layer, *, force: bool) -> bool:
    """Whether something given differs from what the config says; that is refused unless ``force``."""
    known = keys(table)
    differing = {name: value for name, value in given.items() if not _same(known[name], value.value, old)}
    if differing and not force:
        listed = "; ".join(f"{name} is {old.get(name, known[name].default)!r} there" for name in differing)
        raise BadArgument(
            argument=", ".join(value.where for value in differing.values()),
            problem=f"{path} says otherwise: {listed}",
            hint=f"to change it: netclnt init {table.TABLE} --force and the same flags",
        )
    return bool(differing)


def _same(key: Key, value: object, old: Mapping[str, object]) -> bool:
    """Whether a value that can be used means what the config says."""
    try:
        return key.read(value) == (key.read(old[key.name]) if key.name in old else key.default)
    except Unfit:
        return False


def _dress(descriptor: int, target: Path) -> None:
    try:
        old = target.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, CONFIG_MODE)
        return
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, old.st_uid, old.st_gid)
