"""``netclnt verify``: what this slave holds, hashed and compared."""

from __future__ import annotations

import click

from netclnt.cli import edges
from netclnt.cli.command import FROM_FILE, PATTERNS, config_flags, declare
from netclnt.cli.commands.verify_store import verify_store
from netclnt.cli.patterns import chosen, refuse_nothing
from netclnt.cli.record import Recorded
from netclnt.cli.session import Session
from netclnt.cli.verifying import COLUMNS, part, problem, records
from netclnt.config import SlaveConfig
from netclnt.errors import BadArgument, Damaged, ExitCode
from netclnt.events import Failed, Warned
from netclnt.outcome import outcome
from netclnt.selection import Selection
from netclnt.slave import Slave
from netclnt.sync import sync
from netclnt.verify import Verdict, verify


@declare(
    "verify",
    examples=["netclnt verify", "netclnt verify 'debian/*' --repair"],
    params=[
        PATTERNS,
        *FROM_FILE,
        click.Option(["--repair"], is_flag=True, help="Fetch what is damaged, block by block."),
        click.Option(["--sha256"], is_flag=True, help="Digest whole files instead of checking pages."),
        click.Option(["--store"], is_flag=True, help="On a master: check all that its store offers."),
        click.Option(["--subset"], metavar="N/M|P%", help="One part of so many, or a percentage picked at random."),
        *config_flags(SlaveConfig, "threads"),
    ],
)
def command(
    session: Session,
    *,
    patterns: tuple[str, ...],
    from_file: str | None,
    null: bool,
    repair: bool,
    sha256: bool,
    store: bool,
    subset: str | None,
    **flags: object,
) -> ExitCode:
    """Read every image that this slave holds and compare it with its version. Exit code 7 (INTEGRITY) when something is damaged
    and was not repaired. Contacts nobody without --repair, and works beside a sync.

    With --store, on a master: read every block that any version in the store needs. What is damaged is healed by publishing the
    same content again.

    Columns, a damaged place a line: image, version, path inside the image, offset, length, problem."""
    if store:
        if patterns or from_file is not None or repair or sha256:
            raise BadArgument(argument="--store", problem="checks all of the store, by its blocks", hint="netclnt verify --store")
        return verify_store(session, subset=subset, **flags)
    selection = chosen(patterns, from_file=from_file, null=null)
    config = session.slave(**flags)
    checked = part(session, subset)
    with edges.open_slave(config, session) as slave, Recorded(session, slave.ledger) as recorded:
        recorded.begin()
        slave.ledger.check()
        verdicts = list(verify(slave, selection or Selection(), observer=recorded.observe, sha256=sha256, subset=checked))
        for verdict in verdicts:
            if verdict.changed:
                text = f"{verdict.name} changed while it was read: nothing can be said of it now."
                recorded.observe(Warned("changed-meanwhile", text))
            if verdict.missing is not None:
                recorded.observe(Failed(verdict.name, verdict.missing))
        if selection:
            refuse_nothing(selection, len(verdicts))
        session.view.table("damage", COLUMNS, records(verdicts))
        damaged = [verdict for verdict in verdicts if verdict.damage]
        code = _repair(slave, damaged, recorded) if repair and damaged else _told(damaged, recorded)
        missing = [verdict.missing.exit_code for verdict in verdicts if verdict.missing is not None]
        code = outcome(whole_run=[code] if code else [], images=missing, succeeded=len(missing) < len(verdicts))
        recorded.end(code, generation=0, images_changed=0, message="" if checked.whole else f"subset {checked}")
    return code


def _told(damaged: list[Verdict], recorded: Recorded) -> ExitCode:
    for verdict in damaged:
        recorded.observe(Failed(verdict.name, Damaged("image", verdict.name, problem(verdict))))
    return ExitCode.INTEGRITY if damaged else ExitCode.OK


def _repair(slave: Slave, damaged: list[Verdict], recorded: Recorded) -> ExitCode:
    """Let a sync fetch what is damaged. What is no longer offered stays damaged."""
    names = frozenset(verdict.name for verdict in damaged)
    result = sync(slave, Selection(names=names), observer=recorded.observe)
    left = {held.name for held in slave.ledger.held() if held.damaged}
    still = _told([verdict for verdict in damaged if verdict.name in left], recorded)
    return outcome(whole_run=[result.exit_code, still])
