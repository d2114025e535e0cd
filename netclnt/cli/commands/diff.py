"""``netclnt diff``: the catalog against the ledger, one change a line."""

from __future__ import annotations

from dataclasses import replace

import click

from netclnt.cli import edges
from netclnt.cli.command import FROM_FILE, PRINT0, WANTED_PATTERNS, config_flags, declare
from netclnt.cli.patterns import chosen, refuse_nothing
from netclnt.cli.session import Session
from netclnt.cli.show import Column, Record
from netclnt.config import SlaveConfig
from netclnt.diff import Change
from netclnt.errors import ExitCode
from netclnt.events import Changed, Event, Failed
from netclnt.offer import Questions, look_at_offer
from netclnt.outcome import outcome

COLUMNS = (
    Column("action", "action"),
    Column("kind", "kind", minor=True),
    Column("image", "name"),
    Column("from_version", "local", "number"),
    Column("to_version", "offered", "number"),
    Column("size", "size", "bytes"),
    Column("note", "note"),
)


LOOK_SECONDS = 20.0
"""How long a look is worth waiting for the line, unless told so: a sync has more to lose than somebody who just asks."""


@declare(
    "diff",
    examples=["netclnt diff", "netclnt diff 'debian/*' && echo up to date"],
    params=[
        WANTED_PATTERNS,
        *FROM_FILE,
        PRINT0,
        click.Option(["--exit-zero"], is_flag=True, help="Exit 0 also when there are changes."),
        *config_flags(SlaveConfig, "channel", "catalog", "parent", "max_retire", "timeout", "retry_budget"),
    ],
)
def command(
    session: Session,
    *,
    patterns: tuple[str, ...],
    from_file: str | None,
    null: bool,
    print0: bool,
    exit_zero: bool,
    **flags: object,
) -> ExitCode:
    """Show what differs between the master's catalog and this slave. Exit code 4 (DIFF) when something does.

    Columns: action (new, update, replace-foreign, retire, pinned), kind, name, local version, offered version, size, note."""
    selection = chosen(patterns, from_file=from_file, null=null)
    config = session.slave(**flags)
    if flags["retry_budget"] is None:
        config = replace(config, retry_budget=min(config.retry_budget, LOOK_SECONDS))

    def observe(event: Event) -> None:
        if not isinstance(event, Changed):  # told below, with more in it
            session.observe(event)

    with edges.open_slave(config, session) as slave:
        offer = look_at_offer(slave, selection, Questions(slave.open_catalog), observe, write=False)
        if offer and selection:
            found = sum(version in selection for version in offer.versions) + len(offer.refused)
            refuse_nothing(selection, found + sum(held in selection for held in slave.ledger.held()))
    changes = offer.changes if offer else ()
    refused = offer.refused if offer else ()
    for each in refused:
        session.observe(Failed(each.name, each.error))
    records = [_record(change) for change in changes]
    if print0:
        session.view.names("change", records)
    else:
        session.view.table("change", COLUMNS, records)
    if refused:
        return outcome(images=[each.error.exit_code for each in refused])
    return ExitCode.DIFF if changes and not exit_zero else ExitCode.OK


def _record(change: Change) -> Record:
    return {
        "image": change.name,
        "kind": change.kind,
        "from_version": change.local,
        "to_version": change.offered.number if change.offered else None,
        "action": change.action,
        "size": change.size,
        "note": change.note,
    }
