"""``netclnt verify --store``: what a master's store holds, read to the last block."""

from __future__ import annotations

from collections.abc import Iterator

from netclnt.checkstore import StoreVerdict, check_store
from netclnt.cli import edges
from netclnt.cli.session import Session
from netclnt.cli.show import Column, Record
from netclnt.errors import Damaged, ExitCode
from netclnt.events import Failed
from netclnt.subset import Subset

COLUMNS = (
    Column("image", "image"),
    Column("version", "version", "number"),
    Column("path", "path"),
    Column("offset", "offset", "number"),
    Column("length", "length", "number"),
    Column("problem", "problem"),
)


def verify_store(session: Session, *, subset: Subset, **flags: object) -> ExitCode:
    """The body of the command; ``flags`` are keys of the config."""
    config = session.master(**flags)
    with edges.open_master(config, password=session.password(config), holder=session.holder) as master:
        verdicts = list(check_store(master, subset=subset, observer=session.observe))
    session.view.table("damage", COLUMNS, _records(verdicts))
    damaged = [verdict for verdict in verdicts if verdict.damage]
    for verdict in damaged:
        first = verdict.damage[0]
        more = f", and {len(verdict.damage) - 1} more" if len(verdict.damage) > 1 else ""
        problem = f"{first.path} at {first.offset}: {first.problem}{more}"
        session.observe(Failed(verdict.name, Damaged("version", f"{verdict.name}@{verdict.version}", problem)))
    return ExitCode.INTEGRITY if damaged else ExitCode.OK


def _records(verdicts: list[StoreVerdict]) -> Iterator[Record]:
    for verdict in verdicts:
        for damage in verdict.damage:
            yield {
                "image": verdict.name,
                "version": verdict.version,
                "path": damage.path,
                "offset": damage.offset,
                "length": damage.length,
                "problem": damage.problem,
            }
