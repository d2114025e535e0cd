"""``netclnt sync``: bring this slave up to date."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import click

from netclnt.cli import edges
from netclnt.cli.around import Run, surrounded
from netclnt.cli.command import FROM_FILE, WANTED_PATTERNS, config_flags, declare
from netclnt.cli.errors import explain
from netclnt.cli.hooked import slave_with_hooks
from netclnt.cli.mending import mending
from netclnt.cli.patience import patiently
from netclnt.cli.patterns import chosen, refuse_nothing
from netclnt.cli.record import Recorded
from netclnt.cli.session import Session
from netclnt.cli.show import Column, Record
from netclnt.cli.surroundings import surroundings
from netclnt.config import SlaveConfig
from netclnt.costs import expect
from netclnt.errors import ExitCode
from netclnt.events import Changed, Event, Planned
from netclnt.result import Result
from netclnt.selection import Selection
from netclnt.slave import Slave
from netclnt.sync import forecast, sync

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
        WANTED_PATTERNS,
        *FROM_FILE,
        click.Option(["-n", "--dry-run"], is_flag=True, help="Show the plan: bytes to fetch, reuse, write. Change nothing."),
        click.Option(["--detailed-exit-code"], is_flag=True, help="Exit 4 (DIFF) when there were changes."),
        click.Option(["--no-hooks"], is_flag=True, help="Call no hooks; what they deferred is shown."),
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
            *("connections", "bwlimit", "window", "max_transfer", "max_duration", "monthly_quota", "priority"),
            *("threads", "timeout", "retry_budget", "lock_timeout", "report"),
            *("random_delay", "syslog", "log_file", "log_format", "metrics"),
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
    no_hooks: bool,
    **flags: object,
) -> ExitCode:
    """Bring this slave up to date: fetch the blocks that it lacks, verify, and show each image when it is whole.

    With PATTERNs nothing else is touched. An interrupted sync goes on where it was."""
    selection = chosen(patterns, from_file=from_file, null=null)
    config, hooks = (session.slave(**flags), None) if no_hooks or dry_run else slave_with_hooks(session, flags)

    @contextmanager
    def opened() -> Iterator[Slave]:
        with edges.open_slave(config, session) as slave:
            yield replace(slave, retry_quarantined=retry_quarantined, hooks=hooks)

    def ended(code: ExitCode, differs: bool) -> ExitCode:
        return ExitCode.DIFF if differs and detailed_exit_code and code is ExitCode.OK else code

    if dry_run:
        with opened() as slave:
            return ended(*_forecast(session, slave, selection))
    run = Run(session, config)

    def work() -> tuple[ExitCode, bool]:
        with opened() as slave:
            return _sync(run, slave, selection)

    return surrounded(run, surroundings(config, session.environment), lambda: ended(*mending(config, session, work)))


def _sync(run: Run, slave: Slave, selection: Selection | None) -> tuple[ExitCode, bool]:
    with Recorded(run.session, slave.ledger, partial(expect, slave)) as recorded:

        def begin() -> None:
            recorded.begin()
            run.begin()

        def bring() -> Result:
            return sync(slave, selection, observer=recorded.observe, begun=begin)

        result = patiently(run.session, run.config.lock_timeout, bring)
        if selection and not result.problems:
            refuse_nothing(selection, sum(held in selection for held in slave.ledger.held()))
        told = explain(result.paused) if result.paused else None
        message = told.sentence if told else ""
        recorded.end(result.exit_code, generation=result.generation, images_changed=len(result.changed), message=message)
    if result.paused and result.exit_code is result.paused.exit_code:
        raise result.paused
    if told:
        run.mention(told)
    return result.exit_code, bool(result.differences)


def _forecast(session: Session, slave: Slave, selection: Selection | None) -> tuple[ExitCode, bool]:
    plans: list[Record] = []
    changes: dict[str, Changed] = {}

    def observe(event: Event) -> None:
        if isinstance(event, Changed):
            changes[event.image] = event
        elif isinstance(event, Planned):
            plans.append(_plan_record(changes[event.image], event))
        else:
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
