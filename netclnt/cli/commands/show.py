"""``netclnt show``: one image and its versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import click

from netclnt.cli import edges
from netclnt.cli.candidates import local
from netclnt.cli.command import ROLE, declare
from netclnt.cli.commands.list import held_record, version_record
from netclnt.cli.session import Session
from netclnt.cli.show import Column, Record, Shares
from netclnt.config import MasterConfig, SlaveConfig
from netclnt.errors import BadArgument, NoSuchImage
from netclnt.events import Warned
from netclnt.ledger import Composition, Kept
from netclnt.model import CatalogState, HeldVersion, Version
from netclnt.protocols import CatalogReader
from netclnt.slave import Slave

COLUMNS = (
    Column("version", "version", "number"),
    Column("state", "state"),
    Column("size", "size", "bytes"),
    Column("since", "since", "time", minor=True),
    Column("sha256", "SHA-256", "digest", minor=True),
    Column("note", "note", minor=True),
    Column("path", "path", minor=True),
    Column("bytes_fetch", "to fetch", "bytes"),
    Column("bytes_reuse", "to reuse", "bytes"),
    Column("bytes_write", "to write", "bytes"),
    Column("bytes_fetched", "fetched", "bytes", piped=True),
    Column("bytes_reused", "reused", "bytes", piped=True),
    Column("bytes_zero", "zeros", "bytes", piped=True),
)

_COSTS = 5


@declare(
    "show",
    examples=[
        "netclnt show debian12.ext4",
        "netclnt show debian12.ext4 --remote",
        "netclnt show debian12.ext4 --cost --limit 2",
    ],
    params=[
        click.Argument(["name"], shell_complete=local("names")),
        click.Option(["--remote"], is_flag=True, help="On a slave: the master's versions too, from the catalog."),
        click.Option(["--cost"], is_flag=True, help="With --remote, which it implies: what the newest versions would cost here."),
        click.Option(
            ["-n", "--limit"],
            type=click.IntRange(0),
            metavar="N",
            help=f"With --cost: of so many versions, the newest; 0 for all. Default: {_COSTS}.",
        ),
        ROLE,
    ],
)
def command(session: Session, *, name: str, remote: bool, cost: bool, limit: int | None, role: str | None) -> None:
    """Show the versions of the image NAME, newest first: on a master those ever published, on a slave those held and kept, and
    what they were made of when they came.

    With --cost the manifests of the master's newest versions are fetched, as far as they are not here, to say what each would
    cost from here: as sync --dry-run does, it needs the line and write access to the state directory, and changes nothing.

    Columns: version, state (held, pinned, damaged, kept; current, retired, dropped, older), size, since when, SHA-256, note,
    path where it lies; bytes to fetch, to reuse, to write; bytes fetched (unpacked), reused, and of zeros when it came."""
    config = session.either(role)
    _refuse_cost(config, cost=cost, limit=limit)
    shares: list[Shares] = []
    if isinstance(config, SlaveConfig):
        records, shares = _local(config, name)
        if remote or cost:
            count = 0 if not cost else _COSTS if limit is None else limit or None
            records += _remote(session, config, name, costs=count)
    else:
        records = _published(config, session.password(config), name)
    if not records:
        raise NoSuchImage(name=name)
    session.view.table("version", COLUMNS, records)
    session.view.shares(shares)


def _refuse_cost(config: MasterConfig | SlaveConfig, *, cost: bool, limit: int | None) -> None:
    if cost and isinstance(config, MasterConfig):
        hint = "netclnt show NAME --role slave --cost"
        raise BadArgument(argument="--cost", problem="is what a version costs a slave", hint=hint)
    if limit is not None and not cost:
        raise BadArgument(argument="--limit", problem="has a meaning only with --cost", hint="netclnt show NAME --cost --limit N")


def _local(config: SlaveConfig, name: str) -> tuple[list[Record], list[Shares]]:
    with edges.open_ledger(config, readonly=True) as ledger:
        path = edges.paths_of(config, ledger)(name)
        held = ledger.get(name)
        kept = ledger.kept(name)
        made_of = {each.manifest: each for each in ledger.compositions.of(name)}
    records: list[Record] = [held_record(held, path) | _made_of(made_of.get(held.manifest))] if held else []
    records += [_kept_record(one, made_of.get(one.manifest)) for one in reversed(kept)]
    numbers = {one.manifest: one.number for one in (*kept, *([held] if held else ()))}
    wholes = [_shares(name, number, made_of[manifest]) for manifest, number in numbers.items() if manifest in made_of]
    return records, [whole for whole in reversed(wholes) if any(count for _, count in whole.parts)]


def _kept_record(kept: Kept, made_of: Composition | None) -> Record:
    size = {} if made_of is None else {"size": made_of.size}
    since = {"since": kept.since} if kept.since else {}
    record = {"image": kept.name, "version": kept.number, "state": "kept", "manifest": kept.manifest}
    return record | size | since | _made_of(made_of)


def _made_of(found: Composition | None) -> dict[str, object]:
    return {
        "bytes_fetched": found.fetched if found else None,
        "bytes_reused": found.reused if found else None,
        "bytes_zero": found.zeros if found else None,
    }


def _shares(name: str, number: int, made_of: Composition) -> Shares:
    parts = (("reused", made_of.reused), ("fetched", made_of.fetched), ("of zeros", made_of.zeros))
    return Shares(f"{name}@{number} was made of:", parts)


def _remote(session: Session, config: SlaveConfig, name: str, *, costs: int | None) -> list[Record]:
    """``costs`` of so many versions, all for None."""
    with edges.open_slave(config, session) as slave:
        catalog = slave.open_catalog()
        try:
            state = catalog.state()
            history = catalog.history(name, generation=state.generation, channel=config.channel)
        finally:
            catalog.close()
        records = {one.version.number: dict(version_record(one.version, state=_state(one))) for one in history}
        there = [one.version for one in history if not one.dropped][:costs]
        for number, cost in _costs(session, slave, state, there):
            records[number] |= cost
    return list(records.values())


def _costs(
    session: Session, slave: Slave, state: CatalogState, versions: Sequence[Version]
) -> Iterator[tuple[int, dict[str, object]]]:
    """Of each version by its number; nothing of one whose cost cannot be known, which is told."""
    if not versions:
        return
    from netclnt.appraise import appraise  # noqa: PLC0415 - with all that brings an image; a look at what is here is quick

    for cost in appraise(slave, state, versions, session.observe):
        if cost.error is not None:
            text = f"What version {cost.version.number} would cost cannot be known: {cost.error}"
            session.observe(Warned("cost-unknown", text))
        if cost.plan is not None:
            yield cost.version.number, {key: value for key, value in asdict(cost.plan).items() if key != "image"}


def _published(config: MasterConfig, password: str | None, name: str) -> list[Record]:
    with edges.open_catalog(config.catalog, password=password) as catalog:
        return _history(catalog, name, config.channel)


def _history(catalog: CatalogReader, name: str, channel: str) -> list[Record]:
    generation = catalog.state().generation
    return [
        version_record(one.version, state=_state(one)) for one in catalog.history(name, generation=generation, channel=channel)
    ]


def _state(one: HeldVersion) -> str:
    if one.dropped:
        return "dropped"
    return "current" if one.current else "retired" if one.retired else "older"
