"""``netclnt verify --store``: what a master's store holds, read to the last block."""

from __future__ import annotations

from netclnt.checkstore import check_store
from netclnt.cli import edges
from netclnt.cli.session import Session
from netclnt.cli.verifying import COLUMNS, part, problem, records
from netclnt.errors import Damaged, ExitCode
from netclnt.events import Failed


def verify_store(session: Session, *, subset: str | None, **flags: object) -> ExitCode:
    """The body of the command; ``flags`` are keys of the config."""
    config = session.master(**flags)
    chosen = part(session, subset)
    with edges.open_master(config, password=session.password(config), holder=session.holder) as master:
        verdicts = list(check_store(master, subset=chosen, observer=session.observe))
    session.view.table("damage", COLUMNS, records(verdicts))
    damaged = [verdict for verdict in verdicts if verdict.damage]
    for verdict in damaged:
        error = Damaged("version", f"{verdict.name}@{verdict.version}", problem(verdict))
        session.observe(Failed(verdict.name, error))
    return ExitCode.INTEGRITY if damaged else ExitCode.OK
