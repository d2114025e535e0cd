"""``netclnt show``: one image and its versions."""

from __future__ import annotations

from collections.abc import Sequence

import click

from netclnt.cli import edges
from netclnt.cli.command import ROLE, declare
from netclnt.cli.commands.list import held_record, version_record
from netclnt.cli.session import Session
from netclnt.cli.show import Column, Record
from netclnt.config import MasterConfig, SlaveConfig
from netclnt.errors import NoSuchImage
from netclnt.model import HeldVersion
from netclnt.protocols import CatalogReader

COLUMNS = (
    Column("version", "version", "number"),
    Column("state", "state"),
    Column("size", "size", "bytes"),
    Column("since", "since", "time"),
    Column("sha256", "SHA-256"),
    Column("note", "note"),
    Column("path", "path"),
)


@declare(
    "show",
    examples=["netclnt show debian12.ext4", "netclnt show debian12.ext4 --remote"],
    params=[
        click.Argument(["name"]),
        click.Option(["--remote"], is_flag=True, help="On a slave: the master's versions too, from the catalog."),
        ROLE,
    ],
)
def command(session: Session, *, name: str, remote: bool, role: str | None) -> None:
    """Show the versions of the image NAME, newest first: on a master those ever published, on a slave those held and kept.

    Columns: version, state (held, pinned, damaged, kept; current, retired, dropped, older), size, since when, SHA-256, note,
    path where it lies."""
    config = session.either(role)
    if isinstance(config, SlaveConfig):
        records = [*_local(config, name), *(_remote(session, config, name) if remote else ())]
    else:
        records = list(_published(config, session.password(config), name))
    if not records:
        raise NoSuchImage(name=name)
    session.view.table("version", COLUMNS, records)


def _local(config: SlaveConfig, name: str) -> list[Record]:
    with edges.open_ledger(config, readonly=True) as ledger:
        path = edges.paths_of(config, ledger)(name)
        held = ledger.get(name)
        kept = ledger.kept(name)
    aside = ({"image": name, "version": one.number, "state": "kept", "manifest": one.manifest} for one in reversed(kept))
    return [*([held_record(held, path)] if held else []), *aside]


def _remote(session: Session, config: SlaveConfig, name: str) -> list[Record]:
    with edges.open_slave(config, session) as slave:
        catalog = slave.open_catalog()
        try:
            return _history(catalog, name, config.channel)
        finally:
            catalog.close()


def _published(config: MasterConfig, password: str | None, name: str) -> Sequence[Record]:
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
