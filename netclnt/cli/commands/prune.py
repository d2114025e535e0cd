"""``netclnt prune``: give back what this slave need not keep."""

from __future__ import annotations

from dataclasses import asdict

import click

from netclnt.cli import edges
from netclnt.cli.command import config_flags, declare
from netclnt.cli.session import Session
from netclnt.cli.show import Column
from netclnt.cli.text import counted, human_bytes
from netclnt.config import SlaveConfig
from netclnt.prune import prune

COLUMNS = (
    Column("what", "what"),
    Column("image", "image"),
    Column("version", "version", "number"),
    Column("bytes", "size", "bytes"),
    Column("token", "token"),
)


@declare(
    "prune",
    examples=["netclnt prune --dry-run", "netclnt prune --keep 0"],
    params=[
        click.Option(["-n", "--dry-run"], is_flag=True, help="Tell what would go; change nothing."),
        *config_flags(SlaveConfig, "keep"),
    ],
)
def command(session: Session, *, dry_run: bool, **flags: object) -> None:
    """Remove old versions beyond --keep, what is left in staging of versions that are no longer offered, and caches of no further
    use; nothing outside the root's work area and the state directory. Asks the catalog only where something is in staging.

    Columns: what (kept, staging, manifest, index), image, version, size, token."""
    config = session.slave(**flags)
    with edges.open_slave(config, session) as slave:
        done = list(prune(slave, observer=session.observe, dry_run=dry_run))
    total = human_bytes(sum(each.bytes for each in done))
    session.view.note(f"{'would remove' if dry_run else 'removed'} {counted(len(done), 'thing')}: {total}")
    session.view.table("pruned", COLUMNS, [asdict(each) for each in done])
