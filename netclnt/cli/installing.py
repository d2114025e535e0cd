"""What ``service install`` has to know of this host, and the files that it puts there."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netclnt.cli.session import Session
from netclnt.cli.settings import SYSTEM_CONFIG, config_path
from netclnt.cli.setup import write_file
from netclnt.cli.storage import storage
from netclnt.config import SlaveConfig
from netclnt.errors import BadArgument
from netclnt.timing import parse_schedule
from netclnt.units import CRON, SERVICE, TIMER, Job, NotExpressible, cron_file, service_units, timer_units

FILE_MODE = 0o644
SPREAD = 1800.0
"""Seconds over which the starts of a fleet are spread where nothing else was said."""

_SYSTEM_UNITS = Path("/etc/systemd/system")
_CRON = Path("/etc/cron.d")
_SYSTEMD_RUNS = Path("/run/systemd/system")
"""There whenever systemd is this host's init: sd_booted(3)."""

FORMS = ("timer", "service", "cron")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for. ``form`` is one of :data:`FORMS`; ``directory`` takes the place of the usual one, as in another root."""

    form: str
    user: bool
    directory: Path | None
    dry_run: bool

    @property
    def words(self) -> str:
        """The command that asks for it."""
        return f"netclnt service install --{self.form}{' --user' * self.user}"


@dataclass(frozen=True, slots=True)
class Put:
    """One file: where it belongs, its text, and whether it lies there already."""

    path: Path
    text: str
    same: bool


def job_of(session: Session, config: SlaveConfig, *, user: bool, flags: Mapping[str, object]) -> Job:
    """``flags`` are those that the config was read with."""
    path = config_path(session.options.config, session.environment)
    words = _program()
    if path != SYSTEM_CONFIG:
        words += ["--config", str(path)]
    if session.options.profile:
        words += ["--profile", session.options.profile]
    return make_job(config, path, words, user=user, flags=flags)


def make_job(config: SlaveConfig, path: Path, program: Sequence[str], *, user: bool, flags: Mapping[str, object]) -> Job:
    """What a config says of the units, or the cron line, for a program that is called so."""
    own = {"--schedule": flags.get("schedule"), "--random-delay": flags.get("random_delay")}
    return Job(
        program=tuple(program),
        config=path,
        writable=writable(config),
        schedule=parse_schedule(config.schedule),
        spread=config.random_delay if config.random_delay or flags.get("random_delay") is not None else SPREAD,
        password_file=config.password_file,
        user=user,
        flags=tuple(word for name, value in own.items() if value is not None for word in (name, str(value))),
    )


def writable(config: SlaveConfig) -> tuple[Path, ...]:
    """The directories in which a sync writes files."""
    files = [path for path in (config.log_file, config.metrics) if path]
    return tuple(dict.fromkeys([config.root, *config.further_roots, config.state, *(path.parent for path in files)]))


def files_of(session: Session, wanted: Wanted, job: Job) -> list[Put]:
    """The files that belong there. Raises BadArgument, StorageFailed."""
    try:
        texts = {CRON: cron_file(job)} if wanted.form == "cron" else _units(wanted.form, job)
    except NotExpressible as error:
        hint = "netclnt service install --service (counts by itself)"
        raise BadArgument(argument="schedule", problem=str(error), hint=hint) from None
    directory = wanted.directory or _usual_directory(session, wanted)
    return [Put(path, text, _read(path) == text) for path, text in ((directory / name, text) for name, text in texts.items())]


def refuse_if_impossible(wanted: Wanted) -> None:
    """Whatever would keep the files from being of any use: told before anything is written."""
    if wanted.dry_run or wanted.directory:
        return
    if wanted.form == "cron":
        if wanted.user:
            raise BadArgument(
                argument="--user",
                problem="an account's own crontab is edited by crontab alone",
                hint=f"{wanted.words} --dry-run, and put what it prints there: crontab -e",
            )
        if not _CRON.is_dir():
            raise BadArgument(argument="--cron", problem=f"there is no {_CRON}", hint="apt install cron; or dnf install cronie")
    elif not _SYSTEMD_RUNS.is_dir():
        hint = "netclnt service install --cron; or --directory DIR, to write the units elsewhere"
        raise BadArgument(argument=f"--{wanted.form}", problem="this host is not run by systemd", hint=hint)
    if not wanted.user and os.geteuid() != 0:
        hint = f"sudo {wanted.words}" + ("" if wanted.form == "cron" else "; or with --user, for your own account")
        raise BadArgument(argument="service install", problem="only root may write there", hint=hint)


def refuse_changed(files: list[Put], wanted: Wanted) -> None:
    """What lies there and says something else is somebody's: a hand changed it, or another version or schedule wrote it."""
    for put in files:
        if put.path.is_symlink():
            raise BadArgument(
                argument=str(put.path),
                problem="it is a symbolic link (a masked unit is one)",
                hint=f"look at it: ls -l {put.path}; remove it, and run the same again",
            )
    changed = [str(put.path) for put in files if not put.same and put.path.exists()]
    if changed:
        raise BadArgument(
            argument=", ".join(changed),
            problem="it is there, and says something else",
            hint=f"compare: {wanted.words} --dry-run; to overwrite it: the same with --force",
        )


def write(put: Put) -> None:
    with storage("create", put.path.parent):
        put.path.parent.mkdir(parents=True, exist_ok=True)
    write_file(put.path, put.text, mode=FILE_MODE)


def next_commands(wanted: Wanted) -> list[str]:
    """What to type when the files are there."""
    if wanted.form == "cron" or wanted.directory:
        return []
    systemctl = "systemctl --user" if wanted.user else "systemctl"
    unit = TIMER if wanted.form == "timer" else SERVICE
    linger = ["loginctl enable-linger"] if wanted.user else []  # else it ends with the account's last session
    return [f"{systemctl} daemon-reload", f"{systemctl} enable --now {unit}", *linger]


def others(files: list[Put], wanted: Wanted) -> list[Path]:
    """Other forms that are installed beside this one: one of them is enough."""
    units = _SYSTEM_UNITS if wanted.form == "cron" else files[0].path.parent
    known = {"timer": units / TIMER, "service": units / SERVICE, "cron": _CRON / CRON}
    return [path for form, path in known.items() if form != wanted.form and not wanted.directory and path.exists()]


def _units(form: str, job: Job) -> dict[str, str]:
    return timer_units(job) if form == "timer" else service_units(job)


def _usual_directory(session: Session, wanted: Wanted) -> Path:
    if wanted.form == "cron":
        return _CRON
    if not wanted.user:
        return _SYSTEM_UNITS
    base = session.environment.get("XDG_CONFIG_HOME") or f"{session.environment.get('HOME') or '/'}/.config"
    return Path(base) / "systemd" / "user"


def _program() -> list[str]:
    """How this program was called, in words that mean the same from anywhere."""
    called = Path(sys.argv[0])
    if called.name == "netclnt" and called.is_absolute() and os.access(called, os.X_OK):
        return [str(called)]
    installed = Path(sys.executable).with_name("netclnt")
    return [str(installed)] if os.access(installed, os.X_OK) else [sys.executable, "-m", "netclnt"]


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError:
        return ""  # there, and not what belongs there
