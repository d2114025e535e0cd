"""What ``init`` does to this host's own files: a table in the config, directories. Nothing is overwritten unasked."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from netclnt.cli import settings
from netclnt.cli.session import Session
from netclnt.cli.storage import storage
from netclnt.config import ConfigFile, ConfigFiles, Key, Layer, Table, from_files, keys, resolve
from netclnt.config.readers import Unfit
from netclnt.config.text import render, replace_table
from netclnt.errors import BadArgument

T = TypeVar("T", bound=Table)

CONFIG_MODE = 0o640


@dataclass(frozen=True, slots=True)
class Setup(Generic[T]):
    """What the config will say. ``text`` is the file's whole new text, None if it says so already. ``unwritten`` are the
    variables that count for this run alone."""

    path: Path
    config: T
    text: str | None
    unwritten: tuple[str, ...] = ()


def plan_table(table: type[T], session: Session, flags: Mapping[str, object], *, force: bool) -> Setup[T]:
    """Put the flags into the config's table, in mind only; the environment counts, but is not written.

    Raises ConfigInvalid, and BadArgument where the config says otherwise already and ``force`` is not given, or where a flag
    would have no effect in it.
    """
    if session.options.profile is not None:
        raise BadArgument(argument="--profile", problem="init writes the config itself, not a profile of it")
    files = settings.read(session.options.config, session.environment, new=True)
    file = files.main
    own = file.tables.get(table.TABLE)
    layers = settings.layers(table, files, session.environment, flags)
    given, environment = layers[:2]
    config = resolve(table, *layers, path=file.path, problems=files.problems)
    unwritten = tuple(value.where for name, value in environment.items() if name not in given)
    _refuse_overruled(table, files, given)
    if own is not None and not _refuse_differences(table, file.path, own, given, force=force):
        return Setup(file.path, config, None, unwritten)
    decided = {name for layer in layers[1:-1] for name in layer}
    fresh = {name: value.value for name, value in layers[-1].items() if name not in decided}
    values = fresh | (own or {}) | {name: value.value for name, value in given.items()}
    return Setup(file.path, config, _new_text(table, file, values), unwritten)


def _new_text(table: type[Table], file: ConfigFile, values: dict[str, object]) -> str:
    new = replace_table(file.text, table, render(table, values))
    read = ConfigFile.of(new, path=file.path)
    if read.document != dict(file.document) | {table.TABLE: values}:
        raise BadArgument(
            argument=str(file.path),
            problem=f"the table [{table.TABLE}] cannot be replaced safely",
            hint=f"edit {file.path} by hand",
        )
    for problem in read.problems:
        raise BadArgument(argument=problem.where, problem=problem.text, hint=f"edit {file.path} by hand")
    return new


def _refuse_overruled(table: type[Table], files: ConfigFiles, given: Layer) -> None:
    """Raises BadArgument for a flag that another file of the config would overrule."""
    known = keys(table)
    for file in reversed(files.drop_ins):
        there = {name: value.value for layer in from_files(table, ConfigFiles(file), None) for name, value in layer.items()}
        for name, value in given.items():
            if name in there and not _same(known[name], value.value, there):
                raise BadArgument(
                    argument=value.where,
                    problem=f"{file.path} says otherwise, and counts before {files.path}",
                    hint=f"change it there: {file.path}",
                )


def write_config(path: Path, text: str) -> None:
    """As :func:`write_file`; a new config can be read by owner and group."""
    write_file(path, text, mode=CONFIG_MODE)


def write_file(path: Path, text: str, *, mode: int) -> None:
    """Replace a file whole and durably; a new one gets the mode, an old one keeps owner and mode."""
    with storage("write", path):
        target = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".config.", delete=False) as file:
            try:
                _dress(file.fileno(), target, mode)
                file.write(text.encode(errors="surrogateescape"))  # an admin's known_hosts may have bytes of any kind
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


def _dress(descriptor: int, target: Path, mode: int) -> None:
    try:
        old = target.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, mode)
        return
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, old.st_uid, old.st_gid)
