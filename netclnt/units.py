"""The texts that let systemd or cron start netclnt. Values in, text out: nothing is written here.

Directives are those of systemd.unit(5), systemd.service(5), systemd.timer(5), systemd.exec(5) and systemd.time(7) of systemd 250
and later, lines those of crontab(5) as Debian's cron and cronie both read them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from netclnt.errors import ExitCode
from netclnt.timing import WEEKDAYS, AtTimes, Interval, Schedule, clock

TIMER_SERVICE = "netclnt-sync.service"
TIMER = "netclnt-sync.timer"
SERVICE = "netclnt.service"
CRON = "netclnt"

CREDENTIAL = "catalog-password"

NORMAL = (ExitCode.LOCKED, ExitCode.PAUSED)
"""Ends of a sync that are no failures, as the contract says."""


class NotExpressible(ValueError):
    """A timer, or cron, cannot say this schedule; the text says what it cannot, for people."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be started, when, and what it needs.

    ``program`` are the words before a command's name, with an absolute path first; ``config`` is the config that the rest was
    taken from. ``writable`` are the directories in which files are written. ``password_file`` holds the catalog's password.
    ``spread`` are the seconds over which a fleet's starts are spread. With ``user``, it is for one account's own service manager
    or crontab, which has no rights beyond that account's. ``flags`` are what the service's own command line says
    beside the config.
    """

    program: tuple[str, ...]
    config: Path
    writable: tuple[Path, ...]
    schedule: Schedule
    spread: float
    password_file: Path | None = None
    user: bool = False
    flags: tuple[str, ...] = ()


def timer_units(job: Job) -> dict[str, str]:
    """A service that brings the slave up to date once, and the timer that starts it. Raises NotExpressible."""
    return {TIMER_SERVICE: _sync_service(job), TIMER: _timer(job)}


def service_units(job: Job) -> dict[str, str]:
    """The built-in replication service."""
    lines = [
        *_head("--service", SERVICE, job),
        *_unit("Bring the images of this slave up to date, by its own schedule", job),
        *_blank("[Service]"),
        "Type=notify",
        f"ExecStart={_command([*job.program, '-q', 'service', *job.flags])}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "# The schedule is in the config. A service that says nothing for so long is started anew.",
        "WatchdogSec=5min",
        "Restart=on-failure",
        "RestartSec=1min",
        "# A config that cannot be used needs a person.",
        f"RestartPreventExitStatus={ExitCode.USAGE}",
        f"SuccessExitStatus={ExitCode.TERMINATED}",
        "# The service stops its sync in order; what was fetched is kept.",
        "KillMode=mixed",
        "TimeoutStopSec=1min",
        *_quiet_neighbour(),
        *_credential(job),
        *_sandbox(job),
        *_blank("[Install]", f"WantedBy={'default' if job.user else 'multi-user'}.target"),
    ]
    return {SERVICE: _text(lines)}


def cron_file(job: Job) -> str:
    """For ``/etc/cron.d``; with ``user``, for that account's own crontab. Raises NotExpressible."""
    who = "" if job.user else "root  "
    command = " ".join(_cron_word(word) for word in job.program)
    sync = f"{command} -q sync" + (f" --random-delay {_duration(job.spread)}" if job.spread else "")
    spread = f", each machine at its own moment within {_duration(job.spread)}" if job.spread else ""
    lines = [
        f"# Written by `netclnt service install --cron`, for {job.config}.",
        "# Mail comes only with an error: -q is silent otherwise, also when another run holds the root.",
        *([] if job.user else ["MAILTO=root"]),
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "",
        f"# The schedule: {job.schedule}{spread}.",
        *(f"{when}  {who}{sync}" for when in _cron_times(job.schedule)),
        "",
        "# To read all images and compare, every Sunday:",
        f"#30 12 * * 0  {who}{command} -q verify",
        "",
        "# To complain, every day, when the last good sync is too old:",
        f"#0 9 * * *  {who}{command} status --max-age 26h >/dev/null",
    ]
    return _text(lines)


# --- systemd


def _sync_service(job: Job) -> str:
    temporary = {ExitCode.OK, ExitCode.TEMP, *NORMAL}
    final = [code for code in ExitCode if code < 128 and code not in temporary]
    return _text(
        [
            *_head("--timer", TIMER_SERVICE, job),
            *_unit("Bring the images of this slave up to date", job),
            "# No start is refused for those before it: systemd would count what failed quickly against the schedule's own.",
            "StartLimitIntervalSec=0",
            *_blank("[Service]"),
            "Type=oneshot",
            "# For what it says in `systemctl status`.",
            "NotifyAccess=main",
            f"ExecStart={_command([*job.program, '-q', 'sync'])}",
            "# The timer has waited already.",
            "Environment=NETCLNT_RANDOM_DELAY=0",
            "# 10: another run holds the root. 14: a pause with work left. Neither is a failure.",
            f"SuccessExitStatus={_codes(NORMAL)}",
            "# Again and again when line or master were not there (5), as the service does; all else needs a person.",
            "Restart=on-failure",
            f"RestartPreventExitStatus={_codes(final)}",
            "RestartSec=15min",
            "TimeoutStartSec=infinity",
            "# SIGTERM ends a run in order; the next one goes on from there.",
            "TimeoutStopSec=1min",
            *_quiet_neighbour(),
            *_credential(job),
            *_sandbox(job),
        ]
    )


def _timer(job: Job) -> str:
    spread = [
        "# Each machine at its own moment within this time, the same one every time.",
        f"RandomizedDelaySec={_duration(job.spread)}",
        "FixedRandomDelay=yes",
    ]
    return _text(
        [
            *_head("--timer", TIMER, job),
            "[Unit]",
            "Description=Bring the images of this slave up to date by a schedule",
            *_blank("[Timer]", f"# The schedule: {job.schedule}."),
            *(f"OnCalendar={one}" for one in _calendar(job.schedule)),
            *(spread if job.spread else []),
            "AccuracySec=1s",
            "# After a night without power.",
            "Persistent=yes",
            *_blank("[Install]", "WantedBy=timers.target"),
        ]
    )


def _head(form: str, unit: str, job: Job) -> list[str]:
    user = " --user" if job.user else ""
    return [
        f"# Written by `netclnt service install {form}{user}`, for {job.config}.",
        f"# Changes of your own belong into a drop-in: systemctl{user} edit {unit}",
    ]


def _unit(description: str, job: Job) -> list[str]:
    order = [] if job.user else ["Wants=network-online.target", "After=network-online.target time-sync.target"]
    return [
        "[Unit]",
        f"Description={description}",
        "Documentation=man:netclnt(1) man:netclnt.toml(5)",
        *order,
        f"RequiresMountsFor={_words(job.writable)}",
    ]


def _quiet_neighbour() -> list[str]:
    return ["Nice=10", "IOSchedulingClass=idle"]


def _credential(job: Job) -> list[str]:
    if not job.password_file:
        return []
    return _blank(
        f"LoadCredential={CREDENTIAL}:{_escape(str(job.password_file))}",
        f"Environment=NETCLNT_PASSWORD_FILE=%d/{CREDENTIAL}",
    )


_FOR_ROOT = (
    "ProtectSystem=strict",
    "ProtectHome=read-only",
    "PrivateDevices=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectProc=invisible",
    "# Owner, group and mode of images; files that others own.",
    "CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID",
)
"""What needs the rights of the system's service manager."""

_FOR_ALL = (
    "NoNewPrivileges=yes",
    "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "KeyringMode=private",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources @keyring @memlock",
    "SystemCallFilter=@chown",
    "SystemCallErrorNumber=EPERM",
    "UMask=0022",
)

_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))


def _sandbox(job: Job) -> list[str]:
    """Whatever netclnt does not need is taken away, from hooks and password_command, too."""
    lines = ["# Hooks run in here, too: give what one of them needs in a drop-in."]
    if not job.user:
        hidden = any(path.is_relative_to(place) for path in job.writable for place in _TEMPORARY)
        lines += [f"ReadWritePaths={_words('-' + str(path) for path in job.writable)}"]
        lines += [] if hidden else ["PrivateTmp=yes"]
        lines += _FOR_ROOT
    return _blank(*lines, *_FOR_ALL)


def _calendar(schedule: Schedule) -> list[str]:
    """As systemd.time(7) says it."""
    if isinstance(schedule, Interval):
        if schedule.minutes in _PARTS_OF_AN_HOUR:
            return [f"*-*-* *:00/{schedule.minutes}:00 UTC"]
        if schedule.minutes in _PARTS_OF_A_DAY:
            return [f"*-*-* 00/{schedule.minutes // 60}:00:00 UTC"]
        raise NotExpressible(f"a timer cannot start {schedule}: only what divides an hour or a day evenly")
    _refuse_counting(schedule, "a timer")
    days = ",".join(WEEKDAYS[one] for one in schedule.weekdays) + " " if schedule.weekdays else ""
    return [f"{days}*-*-* {clock(minutes)}:00" for minutes in schedule.times]


_PARTS_OF_AN_HOUR = [minutes for minutes in range(1, 60) if 60 % minutes == 0]
_PARTS_OF_A_DAY = [hours * 60 for hours in range(1, 25) if 24 % hours == 0]


def _refuse_counting(schedule: AtTimes, who: str) -> None:
    if schedule.every > 1:
        raise NotExpressible(f"{who} cannot count {schedule.every} {'weeks' if schedule.weekdays else 'days'}")


def _command(words: Sequence[str]) -> str:
    """Words for ExecStart: quoted where they must be, nothing in them expanded."""
    return " ".join(_escape(word).replace("$", "$$") for word in words)


def _words(values: Iterable[object]) -> str:
    return " ".join(_escape(str(value)) for value in values)


def _escape(word: str) -> str:
    """A word as systemd reads it in quotes, if it needs any, with ``%`` doubled, which begins a specifier."""
    word = word.replace("%", "%%")
    if word and not set(word) & set(" \t\"'\\;"):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _duration(seconds: float) -> str:
    """As both systemd and the config read it."""
    return f"{seconds / 60:g}m" if seconds % 60 == 0 else f"{seconds:g}s"


def _codes(codes: Iterable[ExitCode]) -> str:
    return " ".join(str(int(code)) for code in codes)


# --- cron


def _cron_times(schedule: Schedule) -> list[str]:
    """Minute, hour, day of month, month, day of week."""
    if isinstance(schedule, Interval):
        if schedule.minutes in _PARTS_OF_AN_HOUR:
            return [f"*/{schedule.minutes} * * * *"]
        if schedule.minutes in _PARTS_OF_A_DAY:
            return [f"0 */{schedule.minutes // 60} * * *"]
        raise NotExpressible(f"cron cannot start {schedule}: only what divides an hour or a day evenly")
    _refuse_counting(schedule, "cron")
    days = ",".join(str((one + 1) % 7) for one in schedule.weekdays) or "*"
    by_minute = groupby(sorted(schedule.times, key=lambda minutes: minutes % 60), key=lambda minutes: minutes % 60)
    return [f"{minute} {','.join(str(one // 60) for one in times)} * * {days}" for minute, times in by_minute]


def _cron_word(word: str) -> str:
    """A word for the shell; ``%`` is a newline to cron."""
    return shlex.quote(word).replace("%", "\\%")


def _blank(*lines: str) -> list[str]:
    """A paragraph of its own."""
    return ["", *lines]


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
