"""``netclnt retire``: a version is called back."""

from __future__ import annotations

import click

from netclnt.cli import edges
from netclnt.cli.candidates import local
from netclnt.cli.command import declare
from netclnt.cli.patterns import numbered
from netclnt.cli.session import Session
from netclnt.cli.show import now
from netclnt.offering import retire


@declare(
    "retire",
    examples=["netclnt retire debian12.ext4@5", "netclnt retire debian11.ext4"],
    params=[click.Argument(["version"], metavar="NAME[@N]", shell_complete=local("retirable"))],
)
def command(session: Session, *, version: str) -> None:
    """Call a version back in all channels, or all versions of an image. The version promoted before it becomes current again;
    where there is none, the image is no longer offered. Slaves keep what they hold until another version is current.

    Columns, a channel a line: channel, version that is current there now (empty: none)."""
    name, number = numbered(version)
    config = session.master()
    with edges.open_master(config, password=session.password(config), holder=session.holder) as master:
        done = retire(master, name, number, at=now())
    result = "retired" if done.changed else "unchanged"
    session.view.note(f"{result}: {version}")
    record = {"image": name, "version": number, "result": result, "current": done.current, "generation": done.generation}
    session.view.result("image", record, [f"{channel}\t{of or ''}" for channel, of in done.current.items()])
