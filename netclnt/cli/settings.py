"""Where the config and the catalog's password come from: files, the environment, a command."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from netclnt.config import (
    REQUIRED,
    Layer,
    MasterConfig,
    SlaveConfig,
    Table,
    defaults,
    from_environment,
    from_flags,
    from_table,
    keys,
    read_tables,
    resolve,
)
from netclnt.errors import ConfigInvalid, ConfigMissing, StorageFailed

T = TypeVar("T", bound=Table)

SYSTEM_CONFIG = Path("/etc/netclnt/config.toml")
CREDENTIAL = "catalog-password"
_COMMAND_SECONDS = 60
_PASSWORD_MAX = 4096


def config_path(explicit: str | None, environment: Mapping[str, str]) -> Path:
    """The config that counts: the one asked for, else the first that exists of ``/etc`` and the XDG place, else where a new
    one belongs: ``/etc`` for root, the XDG place for others."""
    if explicit:
        return Path.cwd() / explicit
    own = _xdg(environment, "XDG_CONFIG_HOME", ".config") / "config.toml"
    for path in (SYSTEM_CONFIG, own):
        if path.exists():
            return path
    return SYSTEM_CONFIG if os.geteuid() == 0 else own


def state_path(environment: Mapping[str, str]) -> Path:
    """The default state directory."""
    return Path("/var/lib/netclnt") if os.geteuid() == 0 else _xdg(environment, "XDG_STATE_HOME", ".local/state")


def read_config(path: Path) -> str | None:
    """The config's text, or None if there is none. Raises StorageFailed, ConfigInvalid."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageFailed(action="read", path=str(path), errno=error.errno or 0, cause=error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        raise ConfigInvalid(path=str(path), problems=(("TOML", f"is not UTF-8: {error}"),)) from None


def load(table: type[T], explicit: str | None, environment: Mapping[str, str], flags: Mapping[str, object]) -> T:
    """One table: flag > environment > file > default. Raises ConfigMissing, ConfigInvalid, StorageFailed."""
    path = config_path(explicit, environment)
    text = read_config(path)
    if text is None and explicit:
        raise ConfigMissing(path=str(path), section="")
    tables = read_tables(text or "", path=path)
    given = layers(table, tables, environment, flags)
    required = {name for name, key in keys(table).items() if key.default is REQUIRED}
    if table.TABLE not in tables and not any(required & layer.keys() for layer in given[:-1]):
        raise ConfigMissing(path=str(path), section=table.TABLE)
    return resolve(table, *given, path=path)


def layers(
    table: type[Table], tables: Mapping[str, Mapping[str, object]], environment: Mapping[str, str], flags: Mapping[str, object]
) -> list[Layer]:
    """What says anything of a table's keys, the first one to decide it first, the defaults that depend on the host last."""
    given: list[Layer] = [
        from_flags(table, flags, directory=Path.cwd()),
        from_environment(table, environment),
        from_table(table, tables.get(table.TABLE, {})),
    ]
    return [*given, defaults(table, state=state_path(environment), layers=given)]


def only_role(explicit: str | None, environment: Mapping[str, str]) -> str | None:
    """The one role that the config has a table for; None if there are both, or none. Raises as :func:`load`."""
    path = config_path(explicit, environment)
    tables = read_tables(read_config(path) or "", path=path)
    return next(iter(tables)) if len(tables) == 1 else None


def catalog_password(config: MasterConfig | SlaveConfig, environment: Mapping[str, str]) -> str | None:
    """The password for the catalog, or None where the driver needs none from us. Raises ConfigInvalid, never with the secret."""
    prefix = f"{config.TABLE}."
    try:
        if config.password_file:
            return _first_line(config.password_file.read_bytes())
        if config.password_command:
            return _first_line(_output(config.password_command))
        directory = environment.get("CREDENTIALS_DIRECTORY")
        credential = Path(directory) / CREDENTIAL if directory else None
        return _first_line(credential.read_bytes()) if credential and credential.exists() else None
    except (OSError, ValueError) as error:
        key = "password_file" if config.password_file else "password_command" if config.password_command else CREDENTIAL
        problem = f"gives no password: {getattr(error, 'strerror', None) or error}"
        raise ConfigInvalid(path="", problems=((prefix + key, problem),)) from None


def _output(command: str) -> bytes:
    try:
        done = subprocess.run(
            shlex.split(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=_COMMAND_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"the command did not end within {_COMMAND_SECONDS} seconds") from None
    if done.returncode:
        raise ValueError(f"the command ended with exit code {done.returncode}")
    return done.stdout


def _first_line(data: bytes) -> str:
    try:
        line = data[:_PASSWORD_MAX].decode("utf-8").split("\n", 1)[0].removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    if not line:
        raise ValueError("it is empty")
    return line


def _xdg(environment: Mapping[str, str], variable: str, below_home: str) -> Path:
    base = environment.get(variable, "")
    return (Path(base) if base.startswith("/") else Path(environment.get("HOME") or "/") / below_home) / "netclnt"
