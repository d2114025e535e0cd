"""The lock row: one writer at a time, across hosts.

The holder writes a sign of life every few minutes from a thread with a connection of its own, so that a publish of many hours
keeps its lock. Each of its transactions also looks whether the lock is still its own: a writer that was taken for dead
(its clock, or its line) then fails with Locked instead of writing beside the new holder.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from pathlib import Path

from netclnt.catalog.connection import Connector, Contended
from netclnt.errors import Incompatible, Locked, NetclntError
from netclnt.rows import SCHEMA_VERSION, Row, number, text

SILENCE_SECONDS = 3600
BEAT_SECONDS = 300.0

LOCK_FREE: Row = (1, "", "", "", "", 0, 0)
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class WriterLock:
    """One attempt to hold the lock of one catalog."""

    def __init__(self, connector: Connector, holder: str) -> None:
        self._connector = connector
        self._holder = holder[:1000]
        self._token = secrets.token_hex(16)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self) -> None:
        """Raises Locked with the holder's words."""
        try:
            self._try()
        except Contended:
            self._try()
        self._thread = threading.Thread(target=self._beat, name="netclnt-lock", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise Locked if another writer has taken over."""
        token, holder, *_ = _row(self._connector)
        if token != self._token:
            raise Locked(path=self._connector.address, holder=holder)

    def release(self) -> None:
        """Raises nothing: what was written is written, and a lock that stays is taken over later."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self._connector.change("UPDATE nc_lock SET token = '', holder = '', alive = 0 WHERE token = ?", (self._token,))
        except NetclntError:
            return

    def _try(self) -> None:
        with self._connector.transaction():
            # the row is locked by writing to it before it is read: two contenders see each other
            self._connector.change("UPDATE nc_lock SET row_id = row_id")
            token, holder, host, boot, process, alive = _row(self._connector)
            if token and not _dead(host, boot, process, alive):
                raise Locked(path=self._connector.address, holder=holder)
            self._connector.change(
                "UPDATE nc_lock SET token = ?, holder = ?, host = ?, boot = ?, process = ?, alive = ?",
                (self._token, self._holder, os.uname().nodename, _boot(), os.getpid(), int(time.time())),
            )

    def _beat(self) -> None:
        connector = self._connector.clone()
        while not self._stop.wait(BEAT_SECONDS):
            try:
                connector.change("UPDATE nc_lock SET alive = ? WHERE token = ?", (int(time.time()), self._token))
            except NetclntError:
                continue  # the next beat may get through; an hour of them has to fail
            finally:
                connector.close()


def current_writer(connector: Connector) -> tuple[str, bool] | None:
    """Who holds the lock, in its own words, and whether it counts as dead; None for nobody. Only looks."""
    token, holder, host, boot, process, alive = _row(connector)
    return (holder, _dead(host, boot, process, alive)) if token else None


def _row(connector: Connector) -> tuple[str, str, str, str, int, int]:
    rows = list(connector.select("SELECT token, holder, host, boot, process, alive FROM nc_lock"))
    if len(rows) != 1:
        raise Incompatible(what="catalog schema", found=f"{len(rows)} lock rows", supported=str(SCHEMA_VERSION))
    token, holder, host, boot, process, alive = rows[0]
    return text(token), text(holder), text(host), text(boot), number(process), number(alive)


def _dead(host: str, boot: str, process: int, alive: int) -> bool:
    if host == os.uname().nodename and (boot != _boot() or not _runs(process)):
        return True
    return time.time() - alive > SILENCE_SECONDS


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):  # the latter: no process has such a number
        return False
    except PermissionError:
        return True
    return True


def _boot() -> str:
    return _BOOT.read_text().strip() if _BOOT.exists() else ""
