"""``netclnt list``: what a slave holds, or a master offers."""

from __future__ import annotations

from collections.abc import Iterator

from netclnt.cli import edges
from netclnt.cli.command import FROM_FILE, PATTERNS, PRINT0, ROLE, declare
from netclnt.cli.patterns import chosen, refuse_nothing
from netclnt.cli.session import Session
from netclnt.cli.show import Column, Record
from netclnt.config import MasterConfig, SlaveConfig
from netclnt.ledger import Held
from netclnt.model import Version

COLUMNS = (
    Column("image", "name"),
    Column("kind", "kind", minor=True),
    Column("version", "version", "number"),
    Column("size", "size", "bytes"),
    Column("state", "state"),
    Column("since", "since", "time"),
    Column("note", "note"),
    Column("path", "path", minor=True),
)


@declare(
    "list",
    examples=["netclnt list", "netclnt list 'debian/*' kind:software | cut -f1"],
    params=[PATTERNS, ROLE, *FROM_FILE, PRINT0],
)
def command(
    session: Session, *, patterns: tuple[str, ...], role: str | None, from_file: str | None, null: bool, print0: bool
) -> None:
    """List the images that this slave holds, or that this master offers.

    Columns: name, kind, version, size, state (held, pinned, damaged; offered), since when, note, path where it
    lies."""
    selection = chosen(patterns, from_file=from_file, null=null)
    config = session.either(role)
    records = _held(config) if isinstance(config, SlaveConfig) else _offered(config, session.password(config))
    found = [record for image, record in records if selection is None or image in selection]
    if selection:
        refuse_nothing(selection, len(found))
    if print0:
        session.view.names("image", found)
    else:
        session.view.table("image", COLUMNS, found)


def _held(config: SlaveConfig) -> Iterator[tuple[Held, Record]]:
    with edges.open_ledger(config, readonly=True) as ledger:
        paths = edges.paths_of(config, ledger)
        quarantined = {each.name: f"version {each.number} is in quarantine" for each in ledger.quarantined()}
        for held in ledger.held():
            yield held, held_record(held, paths(held.name)) | {"note": quarantined.get(held.name, "")}


def _offered(config: MasterConfig, password: str | None) -> Iterator[tuple[Version, Record]]:
    with edges.open_catalog(config.catalog, password=password) as catalog:
        generation = catalog.state().generation
        for version in catalog.current(generation=generation, channel=config.channel):
            yield version, version_record(version, state="offered")


def held_record(held: Held, path: str) -> dict[str, object]:
    """A record of type ``image``: an image as a slave holds it, at this absolute path."""
    return {
        "image": held.name,
        "kind": held.kind,
        "version": held.number,
        "size": held.size,
        "state": "damaged" if held.damaged else "pinned" if held.pinned else "held",
        "since": held.shown_at,
        "note": "",
        "path": path,
        "tree": held.tree,
        "sha256": held.sha256,
        "manifest": held.manifest,
        "generation": held.generation,
    }


def version_record(version: Version, *, state: str) -> Record:
    """A version as the catalog tells it."""
    return {
        "image": version.name,
        "kind": version.kind,
        "version": version.number,
        "size": version.size,
        "state": state,
        "since": version.created,
        "note": version.note,
        "tree": version.tree,
        "entries": version.entries,
        "blocks": version.blocks,
        "sha256": version.sha256,
        "manifest": version.manifest,
        "chunker": version.chunker,
        "generation": version.generation,
        "requires": [f"{one.name}@{one.range}" if one.range else one.name for one in version.requires],
    }
