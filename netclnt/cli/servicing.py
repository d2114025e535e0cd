"""The service's face: what it tells people, programs and the supervisor, and how it starts a sync."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

from netclnt.agenda import LastRun, Plan, Reason, next_opening
from netclnt.cli import edges
from netclnt.cli.delay import slot_seconds
from netclnt.cli.errors import Explained, explain
from netclnt.cli.line import wall_clock
from netclnt.cli.parser import Globals
from netclnt.cli.runs import code_name, moment
from netclnt.cli.session import Session
from netclnt.cli.settings import here
from netclnt.cli.text import human_seconds
from netclnt.config import SlaveConfig
from netclnt.errors import ExitCode, NetclntError, StorageFailed
from netclnt.notify import Notifier
from netclnt.timing import parse_schedule

_WHY: Mapping[Reason, str] = {
    "schedule": "by schedule",
    "missed": "to make up for what was missed",
    "retry": "to try again",
    "window": "as the window opens",
}

_OF_THE_SUPERVISOR = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


def plan_of(config: SlaveConfig) -> Plan:
    return Plan(
        parse_schedule(config.schedule),
        delay=slot_seconds(config),
        catch_up=config.catch_up,
        opens=partial(_next_opening, config),
    )


def last_run(config: SlaveConfig) -> LastRun | None:
    """The latest sync that the ledger knows; None if there was none, or the ledger cannot be read: a sync will say why."""
    try:
        with edges.open_ledger(config, readonly=True) as ledger:
            runs = ledger.runs()
    except NetclntError:
        return None
    latest = next((run for run in runs if run.is_sync), None)
    started = moment(latest.started) if latest else None
    return LastRun(started.timestamp(), latest.code) if latest and started else None


def sync_words(options: Globals) -> list[str]:
    """The command line of a sync: this interpreter, whatever lies in the working directory, and the service's own options."""
    words = [sys.executable, "-P", "-m", "netclnt"]
    if options.config:
        words += ["--config", str(here() / options.config)]
    if options.profile:
        words += ["--profile", options.profile]
    words += ["--json"] * options.json + ["-q"] * options.quiet + ["-v"] * options.verbose
    return [*words, "--color", options.color, "--progress", options.progress, "sync"]


def sync_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The supervisor hears of the service, not of each sync; and the service has waited for this machine's slot already."""
    kept = {name: value for name, value in environment.items() if name not in _OF_THE_SUPERVISOR}
    return kept | {"NETCLNT_RANDOM_DELAY": "0"}


class ServiceTeller:
    """:class:`netclnt.service.Teller` for a session's view and a supervisor."""

    def __init__(self, session: Session, notifier: Notifier) -> None:
        self._session = session
        self._notifier = notifier
        self._last = ""
        self._stopping = False

    @property
    def interval(self) -> float | None:
        return self._notifier.watchdog_seconds

    def waiting(self, at: float, reason: Reason) -> None:
        self._tell(_next(at, reason), state="waiting", at=_utc(at), reason=reason)
        self._notifier.status("; ".join(filter(None, [_next(at, reason), self._last])))
        self._notifier.ready()

    def started(self, reason: Reason) -> None:
        self._tell(f"sync starts, {_WHY[reason]}", state="syncing", reason=reason)
        self._notifier.status(f"syncing since {_local(datetime.now(UTC).timestamp())}, {_WHY[reason]}")

    def ended(self, code: int, seconds: float) -> None:
        name = code_name(code)
        self._last = f"last sync: {name}, {_local(datetime.now(UTC).timestamp())}"
        self._tell(f"sync ended after {human_seconds(seconds)}: {name}", state="ended", code=code, name=name, seconds=seconds)
        if code > 128 and code not in set(ExitCode) and not self._stopping:
            sentence = f"The sync was killed by {name}; it is tried again later."
            hint = "journalctl -k shows whether memory was short; what was fetched is kept"
            self._session.view.failed(Explained(ExitCode.TEMP, "SyncKilled", sentence, hint))

    def unable(self, error: NetclntError) -> None:
        self._last = f"last sync: could not be started, {_local(datetime.now(UTC).timestamp())}"
        self._session.view.failed(explain(error))

    def reloading(self) -> None:
        self._notifier.reloading()

    def reloaded(self, error: NetclntError | None) -> None:
        if error:
            self._session.view.failed(explain(error))
            self._tell("the config before stays in force", state="kept")
        else:
            self._tell("the config was read again", state="reloaded")
        self._notifier.ready()

    def status(self, started: float | None, at: float, reason: Reason) -> None:
        now = f"syncing since {_local(started)}" if started is not None else _next(at, reason)
        _say("; ".join(filter(None, [now, self._last])))

    def idle(self, number: int) -> None:
        _say(f"{signal.Signals(number).name} is for a sync, and none runs")

    def stopping(self, number: int) -> None:
        self._stopping = True
        self._notifier.stopping()
        self._tell(f"stops: {signal.Signals(number).name}", state="stopping")

    def alive(self) -> None:
        self._notifier.watchdog()

    def _tell(self, text: str, **record: object) -> None:
        """For people a line on standard error, for programs a record."""
        if not self._session.options.json:
            self._session.view.note(f"netclnt: {text}")
            return
        try:
            self._session.view.result("service", record, [])
        except StorageFailed as error:  # a full disk behind standard output keeps no slave from being served
            _say(explain(error).sentence)


def _next_opening(config: SlaveConfig, now: float) -> float | None:
    return next_opening(config.window, now, wall_clock)


def _next(at: float, reason: Reason) -> str:
    return f"next sync at {_local(at)}, {_WHY[reason]}"


def _local(at: float) -> str:
    return wall_clock(at).isoformat(sep=" ", timespec="seconds")


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _say(text: str) -> None:
    """The line that a signal asks for, on standard error whatever else is silent."""
    try:
        os.write(2, f"netclnt: {text}\n".encode(errors="backslashreplace"))
    except OSError:
        return
