"""Checks of the machine, whatever its role: the kernel, limits, the library of SQLite."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from netclnt.doctor.checks import Check, Found, warn

SQLITE_MIN = (3, 31, 0)
"""The first that keeps what a file from elsewhere says of itself from being run (``trusted_schema``)."""

OPEN_FILES_MIN = 256
CLOCK_SLACK = 300.0
"""Seconds by which two clocks may differ without anybody's harm."""


@dataclass(frozen=True, slots=True)
class Host:
    """``missing_calls`` names the calls that this kernel lacks; ``open_files`` is the process's limit, None for no limit."""

    missing_calls: Callable[[], Sequence[str]]
    open_files: Callable[[], int | None]
    sqlite: tuple[int, int, int]


def host_checks(host: Host) -> Iterator[Check]:
    yield Check("kernel", lambda: _kernel(host))
    yield Check("open-files", lambda: _open_files(host))
    yield Check("sqlite", lambda: _sqlite(host))


def _kernel(host: Host) -> Found:
    missing = host.missing_calls()
    if "renameat2" in missing:
        return warn(
            f"without {', '.join(missing)}: a tree cannot be exchanged in one step",
            "uname -r (Linux 5.6 has all; in a container, let seccomp pass these calls)",
        )
    if missing:
        return Found(f"without {', '.join(missing)}: slower ways take their place")
    return Found("openat2, renameat2 and copy_file_range are there")


def _open_files(host: Host) -> Found:
    limit = host.open_files()
    if limit is not None and limit < OPEN_FILES_MIN:
        return warn(f"{limit} open files are allowed", "ulimit -n 1024 (in a unit: LimitNOFILE=1024)")
    return Found("no limit" if limit is None else f"{limit} are allowed")


def _sqlite(host: Host) -> Found:
    version = ".".join(map(str, host.sqlite))
    if host.sqlite < SQLITE_MIN:
        wanted = ".".join(map(str, SQLITE_MIN))
        return warn(f"SQLite {version}, older than {wanted}", "install a newer libsqlite3, or a Python that brings one")
    return Found(f"SQLite {version}")


def look_at_clock(now: str, known: Iterable[tuple[str, str]]) -> Found:
    """Whether ``now`` is behind the newest moment that is ``known`` (what happened, when); both RFC 3339. What is no time is
    passed over: it says nothing of the clock."""
    here = datetime.fromisoformat(now)
    moments = [(moment, what) for what, when in known if (moment := _moment(when)) is not None]
    newest, what = max(moments, default=(here, ""))
    if (newest - here).total_seconds() > CLOCK_SLACK:
        return warn(f"it says {now}, and {what} was at {newest.isoformat()}: one clock is wrong", "timedatectl status")
    return Found(f"{now}, and nothing that is known happened later")


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
