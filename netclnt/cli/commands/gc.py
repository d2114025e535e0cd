"""``netclnt gc``: give back what no version needs any more."""

from __future__ import annotations

from datetime import datetime

import click

from netclnt.cli import edges
from netclnt.cli.command import config_flags, declare
from netclnt.cli.session import Session
from netclnt.cli.show import now
from netclnt.cli.text import counted, human_bytes
from netclnt.config import MasterConfig
from netclnt.gc import Cleaned, gc, look
from netclnt.survey import Policy

_DAY_SECONDS = 86400.0


@declare(
    "gc",
    examples=["netclnt gc --dry-run", "netclnt gc", "netclnt gc --keep-versions 1 --grace-days 7"],
    params=[
        click.Option(["-n", "--dry-run"], is_flag=True, help="Tell what would be done; change nothing."),
        *config_flags(MasterConfig, "keep_versions", "grace_days"),
    ],
)
def command(session: Session, *, dry_run: bool, **flags: object) -> None:
    """Drop versions that were superseded or called back for longer than the grace time, remove from the store what nothing needs
    any more, and put packs together of which less than half is needed.

    Columns: versions dropped, packs removed, bytes removed, packs in the trash, bytes in the trash, packs put together, bytes
    moved, bytes kept."""
    config = session.master(**flags)
    at = now()
    policy = Policy(
        keep=config.keep_versions,
        grace=config.grace_days * _DAY_SECONDS,
        now=datetime.fromisoformat(at).timestamp(),
        at=at,
    )
    with edges.open_master(config, password=session.password(config), holder=session.holder) as master:
        done = (look if dry_run else gc)(master, policy, observer=session.observe)
    _tell(session, done, dry_run)


def _tell(session: Session, done: Cleaned, dry_run: bool) -> None:
    figures = {
        "versions_dropped": len(done.versions),
        "packs_removed": done.packs_removed,
        "bytes_removed": done.bytes_removed,
        "packs_waiting": done.packs_waiting,
        "bytes_waiting": done.bytes_waiting,
        "packs_sparse": done.packs_sparse,
        "bytes_moved": done.bytes_moved,
        "bytes_kept": done.bytes_kept,
    }
    for version in done.versions:
        session.view.note(f"{'would drop' if dry_run else 'dropped'} {version}")
    removed, waiting = human_bytes(done.bytes_removed), human_bytes(done.bytes_waiting)
    session.view.note(
        f"{'would remove' if dry_run else 'removed'} {removed}; {waiting} wait in the trash; "
        f"{counted(done.packs_sparse, 'pack')} put together; {human_bytes(done.bytes_kept)} are needed"
    )
    record = {"dry_run": dry_run, "versions": list(done.versions), **figures}
    session.view.result("gc", record, ["\t".join(map(str, figures.values()))])
