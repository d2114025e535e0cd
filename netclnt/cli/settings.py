"""Where the config and the catalog's password come from: files, the environment, a command."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from netclnt.config import (
    TABLES,
    ConfigFile,
    ConfigFiles,
    HooksConfig,
    Layer,
    MasterConfig,
    Problem,
    SlaveConfig,
    Table,
    defaults,
    from_environment,
    from_files,
    from_flags,
    is_set_up,
    resolve,
)
from netclnt.config.resolve import read_values
from netclnt.errors import BadArgument, ConfigInvalid, ConfigMissing, StorageFailed

T = TypeVar("T", bound=Table)

NAME = "config.toml"
SYSTEM_CONFIG = Path("/etc/netclnt") / NAME
DROP_INS = "conf.d"
CREDENTIAL = "catalog-password"
_COMMAND_SECONDS = 60
_PASSWORD_MAX = 4096
_CONFIG_MAX = 1 << 20


def config_path(explicit: str | None, environment: Mapping[str, str]) -> Path:
    """The config that counts: the one asked for, else the first that is there of systemd's configuration directory, ``/etc`` and
    the XDG place, else where a new one belongs: the first of these for root, and for others the last unless systemd named one.
    Raises StorageFailed where that cannot be told."""
    if explicit:
        return here() / explicit
    given = _first_directory(environment, "CONFIGURATION_DIRECTORY")
    own = _xdg(environment, "XDG_CONFIG_HOME", ".config") / NAME
    places = [*([given / NAME] if given else []), SYSTEM_CONFIG, own]
    there = next((path for path in places if _is_there(path) or _is_there(path.parent / DROP_INS)), None)
    return there or (places[0] if given or os.geteuid() == 0 else own)


def here() -> Path:
    """The working directory. One that was removed (a sync may have replaced it) has no path: what is relative to it stays so, and
    is refused as any relative path."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path()


def _is_there(path: Path) -> bool:
    """Raises StorageFailed: one that cannot be looked at may be the one that counts."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unreadable(path, error) from None
    return True


def state_path(environment: Mapping[str, str]) -> Path:
    """The default state directory."""
    if given := _first_directory(environment, "STATE_DIRECTORY"):
        return given
    return Path("/var/lib/netclnt") if os.geteuid() == 0 else _xdg(environment, "XDG_STATE_HOME", ".local/state")


def read(explicit: str | None, environment: Mapping[str, str], *, new: bool = False) -> ConfigFiles:
    """The config's files, as far as they can be used. Raises StorageFailed, and ConfigMissing for one that was asked for, unless
    it may be ``new``, or it is the usual name of a config of which only conf.d is there: hooks and units name it so."""
    path = config_path(explicit, environment)
    drop_ins = tuple(_read_drop_ins(path.parent / DROP_INS))
    try:
        main = _read_file(path, path.name, asked_for=bool(explicit))
    except FileNotFoundError:
        if explicit and not new and not (drop_ins and path.name == NAME):
            raise ConfigMissing(path=str(path), section="") from None
        main = ConfigFile(path, path.name, absent=True)
    return ConfigFiles(main, drop_ins)


def _read_drop_ins(directory: Path) -> Iterator[ConfigFile]:
    """By their names. Raises StorageFailed; one that cannot be read may be the one that counts."""
    try:
        paths = sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise _unreadable(directory, error) from None
    for path in paths:
        if path.suffix == ".toml" and not path.name.startswith("."):
            try:
                yield _read_file(path, f"{directory.name}/{path.name}")
            except FileNotFoundError as error:
                raise _unreadable(path, error) from None


def _read_file(path: Path, name: str, *, asked_for: bool = False) -> ConfigFile:
    """One that others can change, who could have this program run their commands, is not used, unless it was ``asked_for`` by its
    name. Raises FileNotFoundError, StorageFailed."""
    try:
        with open(path, "rb", opener=None if asked_for else _open_at_once) as file:
            why = "" if asked_for else _why_untrusted(os.fstat(file.fileno()), path)
            data = b"" if why else file.read(_CONFIG_MAX + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(data) > _CONFIG_MAX:
        why = f"is larger than {_CONFIG_MAX >> 20} MiB: that is no config"
    try:
        text = "" if why else data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        why = f"is not UTF-8: {error}"
    return ConfigFile(path, name, unusable=why) if why else ConfigFile.of(text, path=path, name=name)


def _open_at_once(path: str, flags: int) -> int:
    """A pipe that lies where configs are searched must not keep every command waiting for whoever would write to it."""
    return os.open(path, flags | os.O_NONBLOCK)


def _why_untrusted(found: os.stat_result, path: Path) -> str:
    """ssh(1) judges its user's config likewise."""
    if stat.S_ISFIFO(found.st_mode):
        return "is a pipe: that is no config"
    if found.st_uid not in (0, os.geteuid()):
        return f"belongs to user {found.st_uid}, neither to root nor to the user that runs this: chown root {path}"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be changed by others, mode {stat.S_IMODE(found.st_mode):04o}: chmod go-w {path}"
    return ""


def _unreadable(path: Path, error: OSError) -> StorageFailed:
    return StorageFailed(action="read", path=str(path), errno=error.errno or 0, cause=error.strerror or str(error))


def load(
    table: type[T],
    explicit: str | None,
    environment: Mapping[str, str],
    flags: Mapping[str, object],
    *,
    profile: str | None = None,
) -> T:
    """One table: flag > environment > profile > file > default. Raises ConfigMissing, ConfigInvalid, StorageFailed, and
    BadArgument for a profile that is not there."""
    return _load(table, read(explicit, environment), environment, flags, profile)


def load_with_hooks(
    explicit: str | None, environment: Mapping[str, str], flags: Mapping[str, object], *, profile: str | None
) -> tuple[SlaveConfig, HooksConfig]:
    """The slave's table and that of hooks, which may be missing; the problems of both at once. Raises as :func:`load`."""
    files = read(explicit, environment)
    given = list(from_files(HooksConfig, files, profile))
    slave = _load(SlaveConfig, files, environment, flags, profile, read_values(HooksConfig, given)[1])
    return slave, resolve(HooksConfig, *given, path=files.path)


def _load(
    table: type[T],
    files: ConfigFiles,
    environment: Mapping[str, str],
    flags: Mapping[str, object],
    profile: str | None,
    problems: tuple[Problem, ...] = (),
) -> T:
    check_profile(files, profile)
    given = layers(table, files, environment, flags, profile)
    if not is_set_up(table, files, given):
        refuse_problems(files)
        raise ConfigMissing(path=str(files.path), section=table.TABLE)
    return resolve(table, *given, path=files.path, problems=(*files.problems, *problems))


def refuse_problems(files: ConfigFiles) -> None:
    """Raises ConfigInvalid for what is wrong with the files, but for the keys of their tables."""
    if files.problems:
        raise ConfigInvalid(path=str(files.path), problems=tuple(problem.pair for problem in files.problems))


def check_profile(files: ConfigFiles, profile: str | None) -> None:
    """Raises BadArgument for one that no file has; ConfigInvalid if that may be since a file cannot be used."""
    if profile is not None and profile not in files.profiles:
        refuse_problems(files)
        there = ", ".join(files.profiles)
        raise BadArgument(
            argument=f"--profile {profile}",
            problem=f"{files.path} has no such profile; it has {there or 'none'}",
            hint=f"write it there: [profile.{profile}.slave]" if not there else "netclnt config show --profile NAME",
        )


def layers(
    table: type[Table],
    files: ConfigFiles,
    environment: Mapping[str, str],
    flags: Mapping[str, object],
    profile: str | None = None,
) -> list[Layer]:
    """What says anything of a table's keys, the first one to decide it first, the defaults that depend on the host last."""
    given: list[Layer] = [
        from_flags(table, flags, directory=here()),
        from_environment(table, environment),
        *from_files(table, files, profile),
    ]
    return [*given, defaults(table, state=state_path(environment), layers=given)]


def roles(files: ConfigFiles, environment: Mapping[str, str]) -> list[str]:
    """Those that this host is meant to have, by its files or its environment."""
    return [table.TABLE for table in TABLES if is_set_up(table, files, [from_environment(table, environment)])]


def only_role(explicit: str | None, environment: Mapping[str, str]) -> str | None:
    """The one role that this host is meant to have; None if there are both, or none. Raises as :func:`load`."""
    files = read(explicit, environment)
    refuse_problems(files)
    found = roles(files, environment)
    return found[0] if len(found) == 1 else None


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
    import subprocess  # noqa: PLC0415 - few configs name a command, and each start would pay for it

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


def _first_directory(environment: Mapping[str, str], variable: str) -> Path | None:
    """The first of the directories that systemd.exec(5) gives a unit; None outside of one, and for what is no absolute path."""
    first = environment.get(variable, "").partition(":")[0]
    return Path(first) if first.startswith("/") else None
