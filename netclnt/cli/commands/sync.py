"""``netclnt sync``: bring this slave up to date."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import click

from netclnt.cli import edges
from netclnt.cli.command import FROM_FILE, PATTERNS, config_flags, declare
from netclnt.cli.mending import mending
from netclnt.cli.patterns import chosen, refuse_nothing
from netclnt.cli.record import Recorded
from netclnt.cli.session import Session
from netclnt.cli.show import Column, Record
from netclnt.config import SlaveConfig
from netclnt.errors import ExitCode, Locked
from netclnt.events import Changed, Event, Planned, Summed
from netclnt.result import Result
from netclnt.selection import Selection
from netclnt.slave import Slave
from netclnt.sync import forecast, sync

_LOCK_WAIT_SECONDS = 0.5

PLAN_COLUMNS = (
    Column("action", "action"),
    Column("image", "name"),
    Column("from_version", "from", "number"),
    Column("to_version", "to", "number"),
    Column("bytes_fetch", "fetch", "bytes"),
    Column("bytes_reuse", "reuse", "bytes"),
    Column("bytes_write", "write", "bytes"),
    Column("seconds", "time", "seconds"),
)


@declare(
    "sync",
    examples=["netclnt sync", "netclnt sync --dry-run 'debian/*'"],
    params=[
        PATTERNS,
        *FROM_FILE,
        click.Option(["-n", "--dry-run"], is_flag=True, help="Show the plan: bytes to fetch, reuse, write. Change nothing."),
        click.Option(["--detailed-exit-code"], is_flag=True, help="Exit 4 (DIFF) when there were changes."),
        click.Option(["--retry-quarantined"], is_flag=True, help="Fetch versions in quarantine once more."),
        *config_flags(
            SlaveConfig,
            *(
                "adopt",
                "seed",
                "keep",
                "max_retire",
                "max_image_size",
                "channel",
                "catalog",
                "parent",
                "transport",
                "identity",
                "known_hosts",
                "host_key",
            ),
            *("connections", "bwlimit", "threads", "timeout", "retry_budget", "lock_timeout", "report"),
        ),
    ],
)
def command(
    session: Session,
    *,
    patterns: tuple[str, ...],
    from_file: str | None,
    null: bool,
    dry_run: bool,
    detailed_exit_code: bool,
    retry_quarantined: bool,
    **flags: object,
) -> ExitCode:
    """Bring this slave up to date: fetch the blocks that it lacks, verify, and show each image when it is whole.

    With PATTERNs nothing else is touched. An interrupted sync goes on where it was."""
    selection = chosen(patterns, from_file=from_file, null=null)
    config = session.slave(**flags)

    def run() -> tuple[ExitCode, bool]:
        with edges.open_slave(config, session) as opened:
            slave = replace(opened, retry_quarantined=retry_quarantined)
            if dry_run:
                return _forecast(session, slave, selection)
            return _sync(session, slave, selection, config.lock_timeout)

    code, differs = run() if dry_run else mending(config, session, run)
    return ExitCode.DIFF if differs and detailed_exit_code and code is ExitCode.OK else code


def _sync(session: Session, slave: Slave, selection: Selection | None, patience: float) -> tuple[ExitCode, bool]:
    with Recorded(session, slave.ledger) as recorded:
        result = _patiently(lambda: sync(slave, selection, observer=recorded.observe, begun=recorded.begin), patience)
        if selection and not result.failed:
            refuse_nothing(selection, sum(held in selection for held in slave.ledger.held()))
        recorded.end(result.exit_code, generation=result.generation, images_changed=len(result.changed))
    return result.exit_code, bool(result.differences)


def _forecast(session: Session, slave: Slave, selection: Selection | None) -> tuple[ExitCode, bool]:
    plans: list[Record] = []
    changes: dict[str, Changed] = {}

    def observe(event: Event) -> None:
        if isinstance(event, Changed):
            changes[event.image] = event
        elif isinstance(event, Planned):
            plans.append(_plan_record(changes[event.image], event))
        elif session.options.json or not isinstance(event, Summed):  # the totals of a plan would read as those of a sync
            session.observe(event)

    result = forecast(slave, selection, observer=observe)
    session.view.table("plan", PLAN_COLUMNS, plans)
    return result.exit_code, bool(result.differences)


def _plan_record(change: Changed, plan: Planned) -> Record:
    return {
        "image": plan.image,
        "kind": change.kind,
        "action": change.action,
        "from_version": change.from_version,
        "to_version": change.to_version,
        "bytes_fetch": plan.bytes_fetch,
        "bytes_reuse": plan.bytes_reuse,
        "bytes_write": plan.bytes_write,
        "blocks_missing": plan.blocks_missing,
        "seconds": plan.seconds,
    }


def _patiently(run: Callable[[], Result], patience: float) -> Result:
    """Run, and while another run holds the root try again for so many seconds."""
    until = time.monotonic() + patience
    while True:
        try:
            return run()
        except Locked:
            if time.monotonic() >= until:
                raise
        time.sleep(_LOCK_WAIT_SECONDS)
