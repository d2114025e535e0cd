"""``netclnt init master``: catalog, store and config of a master."""

from __future__ import annotations

import secrets

import click

from netclnt.chunking import CHUNKER
from netclnt.cli import edges
from netclnt.cli.command import config_flags, declare
from netclnt.cli.session import Session
from netclnt.cli.setup import make_directory, plan_table, write_config
from netclnt.cli.show import now
from netclnt.config import MasterConfig, keys
from netclnt.errors import BadArgument, CatalogBehindStore, Incompatible, Unreachable
from netclnt.master import Master, read_head, refresh_head


@declare(
    "master",
    examples=[
        "netclnt init master --store /srv/netclnt",
        "netclnt init master --store /srv/netclnt --catalog odbc:DSN=netclnt --password-file /etc/netclnt/catalog-password",
    ],
    params=[
        *config_flags(MasterConfig, *keys(MasterConfig)),
        click.Option(["--recover"], is_flag=True, help="Make a lost catalog anew, or mend an old backup of it, by the store."),
        click.Option(["--force"], is_flag=True, help="Let flags overwrite what the config says."),
    ],
)
def command(session: Session, *, recover: bool, force: bool, **flags: object) -> None:
    """Create the catalog and the store, and write the config with every key explained. Run again, it changes nothing.

    Without --catalog the catalog is a SQLite file in the state directory. With --recover, the catalog gets from the store's HEAD
    and TOC what it lacks, all of it if it was lost; its identity stays, and slaves go on without a visit."""
    setup = plan_table(MasterConfig, session, flags, force=force)
    config = setup.config
    done = []
    if make_directory(config.state, parents=True):
        done.append(f"made {config.state}")
    if make_directory(config.store, parents=False):
        done.append(f"made {config.store}")
    file = edges.sqlite_file(config.catalog)
    if file:
        make_directory(file.parent, parents=True)
    with edges.open_master(config, password=session.password(config), holder=session.holder) as master:
        if recover:
            state = edges.recover_catalog(master, at=now())
            done.append(f"recovered the catalog {config.catalog}, at generation {state.generation}")
        elif _created(master):
            done.append(f"made the catalog {config.catalog}")
        refresh_head(master)
        identity = master.catalog.state().identity
    if setup.text is not None:
        write_config(setup.path, setup.text)
        done.append(f"wrote [master] to {setup.path}")
    for step in done or [f"nothing to change: {setup.path} says so already"]:
        session.view.note(step)
    if setup.unwritten:
        session.view.note(f"counts for this run alone, and is not written: {', '.join(setup.unwritten)}")
    record = {
        "role": "master",
        "config": str(setup.path),
        "changed": bool(done),
        "identity": identity,
        "store": str(config.store),
    }
    session.view.result("init", record, [])


def _created(master: Master) -> bool:
    """Whether the catalog had to be made. One that is there must be readable by this program, and a store that speaks of one gets
    no other."""
    catalog = master.catalog
    head = read_head(master.store)
    if head is not None:
        try:
            catalog.state()
        except (Incompatible, Unreachable):
            raise CatalogBehindStore(catalog_generation=0, store_generation=head.state.generation) from None
        return False
    try:
        catalog.create(identity=secrets.token_hex(16), hash_seed=secrets.randbits(64), chunker=CHUNKER)
    except BadArgument:
        catalog.state()
        return False
    return True
