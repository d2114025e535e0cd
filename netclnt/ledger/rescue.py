"""A damaged ledger is put aside, and a new one made of what can still be believed of it. Everything else is found again by
hashing what lies in the root."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from netclnt.errors import NetclntError, StorageFailed
from netclnt.ledger.ledger import Ledger
from netclnt.ledger.records import Quarantine, Run

_NEW = ".new"
_JOURNAL = "-journal"


@dataclass(slots=True)
class Rescued:
    """What a damaged ledger still tells; each value vouches for itself."""

    identity: str | None = None
    marker: str | None = None
    quarantined: list[Quarantine] = field(default_factory=list)
    roots: dict[str, str] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    fetched: list[tuple[str, int]] = field(default_factory=list)


def rescue(path: Path) -> Rescued:
    """Read what can be read of a damaged ledger, changing nothing."""
    found = Rescued()
    with suppress(NetclntError), closing(Ledger(path, readonly=True)) as ledger:
        with suppress(NetclntError):
            found.identity = ledger.identity()
        with suppress(NetclntError):
            found.marker = ledger.marker()
        with suppress(NetclntError):
            found.quarantined = ledger.quarantined()
        with suppress(NetclntError):
            found.roots = ledger.places.roots()
        with suppress(NetclntError):
            found.runs = [run for run in reversed(ledger.runs()) if run.code is not None]
        with suppress(NetclntError):
            found.fetched = ledger.fetched_quarters()
    return found


def replace_damaged(path: Path, rescued: Rescued, *, date: str) -> Path:
    """Put a new ledger of what was rescued, marked as one that is to be rebuilt, in place of the damaged one, which goes aside
    as ``NAME.damaged-DATE``, NAME its own without suffix; returns its path there. Behind a link, all of that is done where the
    link leads, to the file of the name that it has there. The caller holds the root.

    At every moment there is a ledger at its place. The journal of the damaged one goes aside first: SQLite would play it back
    into the new one.
    """
    path = Path(os.path.realpath(path))
    new = path.with_name(path.name + _NEW)
    aside = _free_name(path.with_name(f"{path.stem}.damaged-{date}"))
    with _reported(path):
        for left in (new, Path(f"{new}{_JOURNAL}")):
            left.unlink(missing_ok=True)
    with Ledger(new) as ledger:
        ledger.set_rebuilding(True)
        if rescued.identity:
            ledger.set_identity(rescued.identity)
        if rescued.marker:
            ledger.set_marker(rescued.marker)
        for entry in rescued.quarantined:
            ledger.quarantine(entry)
        for marker, place in rescued.roots.items():
            ledger.places.remember_root(marker, place)
        ledger.take_over_runs(rescued.runs, rescued.fetched)
    with _reported(path):
        with suppress(FileNotFoundError):
            Path(f"{path}{_JOURNAL}").rename(f"{aside}{_JOURNAL}")
        try:
            os.link(path, aside)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                raise
            path.rename(aside)  # a file system without hard links
        new.replace(path)
        _sync_directory(path.parent)
    return aside


def _free_name(path: Path) -> Path:
    """``path``, or the same with a number behind it."""
    names = [path, *(path.with_name(f"{path.name}.{number}") for number in range(2, 1000))]
    return next((name for name in names if not os.path.lexists(name)), names[-1])


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cause = error.strerror or str(error)
        raise StorageFailed(action="put aside", path=str(path), errno=error.errno or 0, cause=cause) from error
