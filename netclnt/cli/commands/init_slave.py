"""``netclnt init slave``: the config, the directories and the key of a slave. Contacts nobody."""

from __future__ import annotations

import click

from netclnt.cli import edges
from netclnt.cli.command import config_flags, declare
from netclnt.cli.session import Session
from netclnt.cli.setup import make_directory, plan_table, write_config
from netclnt.cli.sshkey import authorized_line, make_key
from netclnt.config import SlaveConfig, keys


@declare(
    "slave",
    examples=[
        "netclnt init slave --name store-0815 --catalog store --parent sftp://netclnt@master/srv/netclnt --root /srv/images",
        "netclnt init slave --name store-0815 --catalog odbc:DSN=netclnt --parent sftp://… --root /srv/images",
    ],
    params=[
        *config_flags(SlaveConfig, *keys(SlaveConfig)),
        click.Option(["--force"], is_flag=True, help="Let flags overwrite what the config says."),
    ],
)
def command(session: Session, *, force: bool, **flags: object) -> None:
    """Write this slave's config with every key explained, make its directories and its SSH key, and print the line that the
    master's authorized_keys must hold. Contacts nobody; run again with the same values, it changes nothing."""
    setup = plan_table(SlaveConfig, session, flags, force=force)
    config = setup.config
    done = []
    if make_directory(config.state, parents=True):
        done.append(f"made {config.state}")
    if make_directory(config.root, parents=False):
        done.append(f"made {config.root}")
    done += [f"made {path}" for path in config.further_roots if make_directory(path, parents=False)]
    edges.mark_root(config, anew=force)
    comment = f"netclnt-{config.name}"
    identity = config.identity or config.state / edges.KEY
    if not config.identity and make_key(identity, comment=comment):
        done.append(f"made the key {identity}")
    line = authorized_line(identity, comment=comment)
    if setup.text is not None:
        write_config(setup.path, setup.text)
        done.append(f"wrote [slave] to {setup.path}")
    for step in done or [f"nothing to change: {setup.path} says so already"]:
        session.view.note(step)
    if setup.unwritten:
        session.view.note(f"counts for this run alone, and is not written: {', '.join(setup.unwritten)}")
    session.view.note("the line for the authorized_keys of the master's account:")
    record = {
        "role": "slave",
        "config": str(setup.path),
        "changed": bool(done),
        "identity": str(identity),
        "authorized_keys": line,
    }
    session.view.result("init", record, [line])
