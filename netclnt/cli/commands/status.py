"""``netclnt status``: when this server was last brought up to date, and to what."""

from __future__ import annotations

from pathlib import Path

import click

from netclnt.cli import edges, settings
from netclnt.cli.command import ROLE, declare
from netclnt.cli.errors import Explained, explain
from netclnt.cli.nagios import Limits, State, Verdict, judge, line
from netclnt.cli.runs import run_result, seconds_since
from netclnt.cli.session import Session
from netclnt.cli.show import Column, Record
from netclnt.cli.text import counted, human_bytes, human_seconds
from netclnt.config import MasterConfig, SlaveConfig, duration
from netclnt.errors import BadArgument, ConfigMissing, ExitCode, NetclntError
from netclnt.ledger import Run

COLUMNS = (
    Column("name", "name"),
    Column("role", "role"),
    Column("generation", "generation", "number"),
    Column("images", "images", "number"),
    Column("size", "size", "bytes"),
    Column("age", "age", "seconds"),
    Column("last", "last success", "time"),
    Column("result", "last result"),
    Column("message", "message"),
    Column("note", "note"),
    Column("images_left", "left", "number"),
    Column("bytes_left", "bytes left", "bytes"),
    Column("nights_left", "nights left", "number"),
)


@declare(
    "status",
    examples=[
        "netclnt status",
        "netclnt status --max-age 26h || mail -s 'images are old' admin </dev/null",
        "netclnt status --nagios --warn-age 26h --max-age 50h",
    ],
    params=[
        click.Option(["--max-age"], metavar="AGE", help="Fail with TEMP if the last success is older, as 90m, 26h, 2d."),
        click.Option(["--warn-age"], metavar="AGE", help="With --nagios: a warning if the last success is older."),
        click.Option(["--nagios"], is_flag=True, help="One line with performance data; exit 0 to 3 as Nagios reads them."),
        ROLE,
    ],
)
def command(session: Session, *, max_age: str | None, warn_age: str | None, nagios: bool, role: str | None) -> ExitCode:
    """Say what this server has and when it was last brought up to date (a slave) or published to (a master); of one that is both,
    both.

    Columns: name, role, generation, images, size, age in seconds, last success, last result, message, note, images left, bytes
    left, nights left: of what the last run had to do."""
    limits = Limits(warning=_age("--warn-age", warn_age), critical=_age("--max-age", max_age))
    if nagios:
        return _for_nagios(session, role, limits)
    if warn_age is not None:
        raise BadArgument(argument="--warn-age", problem="has a meaning only with --nagios", hint="netclnt status --max-age AGE")
    records = _records(session, role)
    session.view.table("status", COLUMNS, records)
    if limits.critical is None:
        return ExitCode.OK
    return max(_told_if_old(session, record["age"], limits.critical) for record in records)


def _for_nagios(session: Session, role: str | None, limits: Limits) -> ExitCode:
    """What keeps it from being known is told in Nagios's way, too."""
    if session.options.json:
        raise BadArgument(argument="--nagios", problem="is a form of its own", hint="netclnt status --json")
    try:
        verdicts = [judge(record, limits) for record in _records(session, role)]
    except NetclntError as error:
        verdicts = [Verdict(State.UNKNOWN, explain(error).sentence)]
    text, state = line(verdicts)
    session.view.result("status", {}, [text])
    return ExitCode(int(state))


def _records(session: Session, role: str | None) -> list[Record]:
    return [
        _slave(config) if isinstance(config, SlaveConfig) else _master(config, session.password(config))
        for config in _configs(session, role)
    ]


def _configs(session: Session, role: str | None) -> list[MasterConfig | SlaveConfig]:
    """Of the role asked for, else of all that the config has."""
    if role or settings.only_role(session.options.config, session.environment):
        return [session.either(role)]
    slave = session.slave()
    try:
        return [slave, session.master()]
    except ConfigMissing:
        return [slave]


def _slave(config: SlaveConfig) -> Record:
    with edges.open_ledger(config, readonly=True) as ledger:
        held, applied, quarantined = ledger.held(), ledger.applied(), ledger.quarantined()
        syncs = [run for run in ledger.runs() if run.is_sync]
        latest = syncs[0] if syncs else None
        told = next((run for run in syncs if run.code is not None), None)
        deferred = [one.name for one in ledger.hooks.deferred()]
        roots = [config.root, *config.further_roots, *map(Path, ledger.places.roots().values())]
    last = next((run for run in syncs if run.code == ExitCode.OK), None)
    names = {
        "damaged": [one.name for one in held if one.damaged],
        "quarantined": [f"{one.name}@{one.number}" for one in quarantined],
        "deferred": deferred,
        "pinned": [one.name for one in held if one.pinned],
    }
    left = {
        "images_left": told.images_left if told else None,
        "bytes_left": _bytes_left(told),
        "nights_left": told.nights_left if told else None,
    }
    return {
        "name": config.name,
        "role": "slave",
        "generation": applied.generation if applied else None,
        "images": len(held),
        "size": sum(one.size for one in held),
        "age": seconds_since(last.ended) if last else None,
        "last": last.ended if last else None,
        "result": run_result(latest) if latest else None,
        "message": latest.message if latest else None,
        "note": _note(names, left),
        **left,
        **names,
        "roots": list(dict.fromkeys(map(str, roots))),
        "last_run": latest.started if latest else None,
        "last_ended": run_result(told) if told else None,
    }


def _bytes_left(run: Run | None) -> int | None:
    """Of what was planned, that is; None where nobody knows."""
    if run is None or run.forecast_bytes is None:
        return None if run is None or run.images_left else 0
    return max(0, run.forecast_bytes - run.bytes_fetched) if run.images_left else 0


def _note(names: dict[str, list[str]], left: Record) -> str:
    """What an admin should look at."""
    words = {"damaged": "damaged", "quarantined": "in quarantine", "deferred": "deferred by a hook", "pinned": "pinned"}
    parts = [f"{words[what]}: {', '.join(which)}" for what, which in names.items() if which]
    images, size, nights = left["images_left"], left["bytes_left"], left["nights_left"]
    if isinstance(images, int) and images:
        more = f", {human_bytes(size)} of them planned" if isinstance(size, int) and size else ""
        more += f", {counted(nights, 'night')}" if isinstance(nights, int) and nights else ""
        parts.append(f"{counted(images, 'image')} left{more}")
    return "; ".join(parts)


def _master(config: MasterConfig, password: str | None) -> Record:
    with edges.open_catalog(config.catalog, password=password) as catalog:
        state = catalog.state()
        versions = list(catalog.current(generation=state.generation, channel=config.channel))
    last = max((version.created for version in versions), default=None)
    return {
        "name": state.identity,
        "role": "master",
        "generation": state.generation,
        "images": len(versions),
        "size": sum(version.size for version in versions),
        "age": seconds_since(last) if last else None,
        "last": last,
        "result": None,
        "message": None,
        "note": "",
    }


def _age(flag: str, text: str | None) -> float | None:
    try:
        return None if text is None else duration(text)
    except ValueError as error:
        raise BadArgument(argument=flag, problem=str(error)) from None


def _told_if_old(session: Session, age: object, limit: float) -> ExitCode:
    if isinstance(age, float) and age <= limit:
        return ExitCode.OK
    found = (
        f"The last success is {human_seconds(age)} old"
        if isinstance(age, float)
        else "There was no success yet that this clock can date"
    )
    sentence = f"{found}; {human_seconds(limit)} are allowed."
    session.view.failed(Explained(ExitCode.TEMP, "TooOld", sentence, "netclnt sync -v"))
    return ExitCode.TEMP
