"""``netclnt promote``: a version becomes current in a channel."""

from __future__ import annotations

import click

from netclnt.cli import edges
from netclnt.cli.candidates import local
from netclnt.cli.command import config_flags, declare
from netclnt.cli.patterns import numbered
from netclnt.cli.session import Session
from netclnt.cli.show import now
from netclnt.config import MasterConfig
from netclnt.errors import BadArgument
from netclnt.offering import promote


@declare(
    "promote",
    examples=["netclnt promote debian12.ext4@4 --channel stable"],
    params=[
        click.Argument(["version"], metavar="NAME@N", shell_complete=local("promotable")),
        *config_flags(MasterConfig, "channel"),
    ],
)
def command(session: Session, *, version: str, **flags: object) -> None:
    """Make a version that was published before current in a channel, also one that was retired. Prints NAME@N; if it is current
    there already, nothing changes."""
    name, number = numbered(version)
    if number is None:
        raise BadArgument(argument=version, problem="lacks the version's number", hint=f"netclnt show {name}")
    config = session.master(**flags)
    with edges.open_master(config, password=session.password(config), holder=session.holder) as master:
        done = promote(master, name, number, channel=config.channel, at=now())
    result = "promoted" if done.changed else "unchanged"
    session.view.note(f"{result}: current in {config.channel}")
    record = {"image": name, "version": number, "result": result, "channel": config.channel, "generation": done.generation}
    session.view.result("image", record, [f"{name}@{number}"])
