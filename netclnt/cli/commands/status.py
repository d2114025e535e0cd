"""``netclnt status``: when this server was last brought up to date, and to what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from netclnt.cli import edges
from netclnt.cli.command import ROLE, declare
from netclnt.cli.errors import Explained
from netclnt.cli.session import Session
from netclnt.cli.show import Column, Record
from netclnt.cli.text import human_seconds
from netclnt.config import MasterConfig, SlaveConfig, duration
from netclnt.errors import BadArgument, ExitCode
from netclnt.ledger import Quarantine, Run

_CLOCK_SLACK = 300.0
"""Seconds by which a clock may be set back without any doubt about what it said before."""

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
)


@declare(
    "status",
    examples=["netclnt status", "netclnt status --max-age 26h || mail -s 'images are old' admin </dev/null"],
    params=[
        click.Option(["--max-age"], metavar="AGE", help="Fail with TEMP if the last success is older, as 90m, 26h, 2d."),
        ROLE,
    ],
)
def command(session: Session, *, max_age: str | None, role: str | None) -> ExitCode:
    """Say what this server has and when it was last brought up to date (a slave) or published to (a master).

    Columns: name, role, generation, images, size, age in seconds, last success, last result, message, note."""
    limit = None if max_age is None else _age(max_age)
    config = session.either(role)
    record = _slave(config) if isinstance(config, SlaveConfig) else _master(config, session.password(config))
    session.view.table("status", COLUMNS, [record])
    return ExitCode.OK if limit is None else _judge(session, record["age"], limit)


def _slave(config: SlaveConfig) -> Record:
    with edges.open_ledger(config, readonly=True) as ledger:
        held, applied, runs, quarantined = ledger.held(), ledger.applied(), ledger.runs(), ledger.quarantined()
    syncs = [run for run in runs if run.command.split()[-1:] == ["sync"] and run.code != ExitCode.LOCKED]
    last = next((run for run in syncs if run.code == ExitCode.OK), None)
    latest = syncs[0] if syncs else None
    return {
        "name": config.name,
        "role": "slave",
        "generation": applied.generation if applied else None,
        "images": len(held),
        "size": sum(one.size for one in held),
        "age": _seconds_since(last.ended) if last else None,
        "last": last.ended if last else None,
        "result": _result(latest),
        "message": latest.message if latest else None,
        "note": _note([one.name for one in held if one.damaged], quarantined),
        "damaged": [one.name for one in held if one.damaged],
        "pinned": [one.name for one in held if one.pinned],
        "quarantined": [f"{one.name}@{one.number}" for one in quarantined],
    }


def _note(damaged: Sequence[str], quarantined: Sequence[Quarantine]) -> str:
    """What an admin should look at."""
    parts = [
        f"damaged: {', '.join(damaged)}" if damaged else "",
        f"in quarantine: {', '.join(f'{one.name}@{one.number}' for one in quarantined)}" if quarantined else "",
    ]
    return "; ".join(part for part in parts if part)


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
        "age": _seconds_since(last) if last else None,
        "last": last,
        "result": None,
        "message": None,
        "note": "",
    }


def _result(run: Run | None) -> str | None:
    if run is None:
        return None
    if run.code is None:
        return "running"
    return ExitCode(run.code).name if run.code in set(ExitCode) else str(run.code)


def _seconds_since(moment: str) -> float | None:
    """None for a time that is none, and for one ahead of this clock: that was set back since, and nobody knows how long ago."""
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return None
    seconds = (datetime.now(UTC) - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds()
    return max(0.0, round(seconds, 1)) if seconds > -_CLOCK_SLACK else None


def _age(text: str) -> float:
    try:
        return duration(text)
    except ValueError as error:
        raise BadArgument(argument="--max-age", problem=str(error)) from None


def _judge(session: Session, age: object, limit: float) -> ExitCode:
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
