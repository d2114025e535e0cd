"""Checks of a master: its store, its catalog, and whether the two tell the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from netclnt.damage import Damages
from netclnt.doctor.checks import Asked, Check, Found, warn
from netclnt.doctor.ends import Offered, catalog_checks, catalog_questions
from netclnt.doctor.host import look_at_clock
from netclnt.doctor.places import OTHERS_WRITE, look_at_space, look_private, look_writable
from netclnt.errors import CatalogBehindStore, ForeignMaster, Incompatible, NetclntError, SourceMissing
from netclnt.head import HEAD_PATH, StoreHead
from netclnt.machine import Disk
from netclnt.master import read_head
from netclnt.model import CatalogState
from netclnt.protocols import Catalog, Store

_PARTS = ("packs", "manifests", HEAD_PATH)


@dataclass(frozen=True, slots=True)
class Writer:
    """Who holds the catalog's lock row, in its own words, and whether it is known to have died."""

    holder: str
    dead: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterPatient:
    """What is looked at of a master. ``writer`` says who holds the catalog's lock row, None for nobody; ``check_catalog`` reads
    an embedded catalog's file through, None for a database with a server."""

    store_path: Path
    store: Store
    state: Path
    channel: str
    disk: Disk
    password: Callable[[], Found]
    missing_tls: Callable[[], str]
    open_catalog: Callable[[], Catalog]
    writer: Callable[[], Writer | None]
    check_catalog: Callable[[], None] | None
    now: Callable[[], str]


def master_checks(patient: MasterPatient) -> Iterator[Check]:
    state, offered = catalog_questions(patient.open_catalog, patient.channel)
    head = Asked(lambda: _read_head(patient.store))
    yield from _own_checks(patient)
    yield Check("password", patient.password, ("master.password_file", "master.password_command"))
    yield from catalog_checks(state, offered, missing_tls=patient.missing_tls, channel=patient.channel, role="master")
    if patient.check_catalog is not None:
        check = patient.check_catalog
        yield Check("catalog.file", lambda: _look_through(check), ("catalog.login",))
    yield Check("catalog.lock", lambda: _look_at_writer(patient.writer()), ("catalog.schema",))
    yield Check("store.head", lambda: Found(f"generation {head().state.generation}"), ("store",))
    yield Check("store.generation", lambda: _compare(head().state, state), ("store.head", "catalog.login"))
    yield Check("store.damage", lambda: _look_at_damage(patient, head()), ("store.head",))
    yield Check("clock", lambda: look_at_clock(patient.now(), _known(offered.answer)))


def _own_checks(patient: MasterPatient) -> Iterator[Check]:
    disk = patient.disk
    yield Check("state.writable", lambda: look_writable(disk, patient.state), ("master.state",))
    yield Check("state.space", lambda: look_at_space(disk, patient.state, give_back="netclnt gc"), ("state.writable",))
    yield Check("store", lambda: _look_at_store(patient), ("master.store",))
    yield Check("store.permissions", lambda: _look_at_permissions(patient), ("store",))
    yield Check("store.writable", lambda: look_writable(disk, patient.store_path), ("store",))
    yield Check("store.space", lambda: look_at_space(disk, patient.store_path, give_back="netclnt gc"), ("store.writable",))


def _parts(patient: MasterPatient) -> list[Path]:
    return [patient.store_path / name for name in _PARTS if patient.store.size(name) is not None]


def _look_at_store(patient: MasterPatient) -> Found:
    top = patient.disk.looks(patient.store_path)
    elsewhere = [path for path in _parts(patient) if patient.disk.looks(path).device != top.device]
    if elsewhere:
        return warn(f"{elsewhere[0]} lies on another file system than the store", f"findmnt -T {elsewhere[0]}")
    return Found(f"{patient.store_path}, on one file system")


def _look_at_permissions(patient: MasterPatient) -> Found:
    why = "others than its owner can change what slaves get"
    for path in (patient.store_path, *_parts(patient)):
        found = look_private(patient.disk, path, forbidden=OTHERS_WRITE, why=why)
        if found.warning:
            return found
    return Found("nobody but the owner can write")


def _read_head(store: Store) -> StoreHead:
    head = read_head(store)
    if head is None:
        raise SourceMissing(path=HEAD_PATH, cause="no such file")
    return head


def _look_through(check: Callable[[], None]) -> Found:
    check()
    return Found("the file is sound")


def _look_at_writer(writer: Writer | None) -> Found:
    if writer is None:
        return Found("nobody writes")
    if writer.dead:
        return warn(
            f"held by one that died: {writer.holder}", "nothing needs to be unlocked: the next netclnt publish takes it over"
        )
    return Found(f"held by {writer.holder}")


def _compare(head: CatalogState, asked: Asked[CatalogState]) -> Found:
    """Raises CatalogBehindStore (of a catalog that is lost, too), ForeignMaster."""
    try:
        state = asked()
    except Incompatible as error:
        raise _lost(error, head) from error
    if head.identity != state.identity:
        raise ForeignMaster(expected=state.identity, found=head.identity)
    if head.generation > state.generation:
        raise CatalogBehindStore(catalog_generation=state.generation, store_generation=head.generation)
    if head.generation < state.generation:
        text = f"HEAD is at generation {head.generation}, the catalog at {state.generation}: a publish was interrupted"
        return warn(text, "netclnt init master (brings HEAD up; so does the next netclnt publish)")
    return Found(f"HEAD and catalog are both at generation {state.generation}")


def _lost(error: Incompatible, head: CatalogState) -> NetclntError:
    """A catalog that has no tables while the store speaks of one; one of another release stays what it is."""
    if error.found.isdecimal():
        return error
    return CatalogBehindStore(catalog_generation=0, store_generation=head.generation)


def _look_at_damage(patient: MasterPatient, head: StoreHead) -> Found:
    damages = Damages.load(patient.state, identity=head.state.identity)
    if damages:
        text = f"the last check of the store found damage that concerns {len(damages.concerned)} manifests"
        return warn(text, "netclnt verify --store (names the images), and publish them again")
    return Found("the last check of the store, if there was one, found no damage; to read it: netclnt verify --store")


def _known(offered: Offered | None) -> Iterator[tuple[str, str]]:
    if offered:
        yield "the newest version's publication", offered.newest
