"""Checks of a slave: its own places, what it remembers, and the two ends of its line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from netclnt.doctor.checks import Asked, Check, Found, warn
from netclnt.doctor.ends import Offered, catalog_checks, catalog_questions, read_head, store_checks
from netclnt.doctor.host import look_at_clock
from netclnt.doctor.places import OTHERS_WRITE, look_at_space, look_writable
from netclnt.doctor.speed import measure
from netclnt.errors import ForeignMaster, StorageError
from netclnt.head import StoreHead
from netclnt.ledger import Held, Ledger, Quarantine, Run
from netclnt.machine import Disk
from netclnt.model import CatalogState
from netclnt.protocols import SlaveCatalog, Source

_EXECUTE = 0o111


@dataclass(frozen=True, slots=True, kw_only=True)
class SlavePatient:
    """What is looked at of a slave. ``open_catalog`` is not used where the store is the catalog; ``open_ledger`` opens it without
    changing it, None where there is none yet; ``root_marked`` opens a root with the marker that the ledger remembers (or
    without), changes nothing, and says whether it has one. ``check_owner`` raises for an account that this host does not know;
    ``password`` is read to see that there is one. ``hooks`` are the programs that a sync calls.
    ``probe_seconds``: how long to measure the line's speed, 0 for not at all."""

    root: Path
    further: Sequence[Path]
    state: Path
    seeds: Sequence[Path]
    channel: str
    disk: Disk
    open_ledger: Callable[[], Ledger | None]
    root_marked: Callable[[Path, str | None], bool]
    check_owner: Callable[[], object]
    password: Callable[[], Found]
    missing_tls: Callable[[], str]
    store_is_catalog: bool
    open_catalog: Callable[[], SlaveCatalog]
    source: Source
    probe_seconds: float
    now: Callable[[], str]
    hooks: Sequence[Path] = ()


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What the ledger says; ``there`` is False where there is none yet."""

    there: bool
    identity: str | None = None
    marker: str | None = None
    held: Sequence[Held] = ()
    quarantined: Sequence[Quarantine] = ()
    roots: Mapping[str, str] = field(default_factory=dict)
    lying: Mapping[str, str] = field(default_factory=dict)
    runs: Sequence[Run] = ()


def slave_checks(patient: SlavePatient) -> Iterator[Check]:
    """In an order in which what ends most comes first. Nothing is asked before the checks run."""
    remembered = Asked(lambda: _read_ledger(patient))
    head = Asked(lambda: read_head(patient.source))
    state, offered = catalog_questions(patient.open_catalog, patient.channel)
    yield from _own_checks(patient, remembered)
    if not patient.store_is_catalog:
        yield Check("password", patient.password, ("slave.password_file", "slave.password_command"))
        yield from catalog_checks(state, offered, missing_tls=patient.missing_tls, channel=patient.channel, role="slave")
        yield Check("catalog.identity", lambda: _look_at_identity(remembered, state()), ("catalog.schema",))
    yield from store_checks(head)
    yield Check("store.identity", lambda: _look_at_head(remembered, head(), state.answer), ("store.head",))
    if patient.probe_seconds:
        yield Check("store.speed", lambda: _look_at_speed(patient, head(), offered.answer), ("store.head",))
    yield Check("clock", lambda: look_at_clock(patient.now(), _known(remembered.answer, offered.answer)))


def _own_checks(patient: SlavePatient, remembered: Asked[_Remembered]) -> Iterator[Check]:
    state = ("slave.state",)
    yield Check("state.writable", lambda: look_writable(patient.disk, patient.state), state)
    yield Check("state.space", lambda: look_at_space(patient.disk, patient.state, give_back="netclnt prune"), ("state.writable",))
    yield Check("ledger", lambda: _look_at_ledger(remembered()), state)
    yield Check("ledger.images", lambda: _look_at_images(remembered()), ("ledger",))
    yield Check("ledger.last-run", lambda: _look_at_last_run(remembered()), ("ledger",))
    yield Check("root", lambda: _look_at_root(patient, remembered), ("slave.root",))
    yield Check("root.owner", lambda: _look_at_owner(patient), ("slave.owner", "slave.group"))
    yield Check("root.writable", lambda: look_writable(patient.disk, patient.root), ("root",))
    yield Check("root.space", lambda: _look_at_room(patient, remembered), ("root",))
    yield Check("root.reflink", lambda: _look_at_reflink(patient, patient.root), ("root.writable",))
    for path in patient.further:
        yield from _further_checks(patient, remembered, path)
    if patient.seeds:
        yield Check("seeds", lambda: _look_at_seeds(patient), ("slave.seed",))
    if patient.hooks:
        yield Check("hooks", lambda: _look_at_hooks(patient))


# --- what is remembered


def _read_ledger(patient: SlavePatient) -> _Remembered:
    """Reads all of it. Raises LedgerDamaged and its sisters."""
    ledger = patient.open_ledger()
    if ledger is None:
        return _Remembered(there=False)
    with ledger:
        ledger.check()
        return _Remembered(
            there=True,
            identity=ledger.identity(),
            marker=ledger.marker(),
            held=ledger.held(),
            quarantined=ledger.quarantined(),
            roots=ledger.places.roots(),
            lying=ledger.places.all(),
            runs=ledger.runs(),
        )


def _look_at_ledger(remembered: _Remembered) -> Found:
    if not remembered.there:
        return warn("there is none yet", "netclnt init slave (the same again; or netclnt sync makes one)")
    return Found(f"sound; images held: {len(remembered.held)}")


def _look_at_images(remembered: _Remembered) -> Found:
    damaged = [held.name for held in remembered.held if held.damaged]
    if damaged:
        return warn(f"damaged: {', '.join(damaged)}", "netclnt sync, or: netclnt verify --repair")
    if remembered.quarantined:
        listed = ", ".join(f"{one.name}@{one.number}" for one in remembered.quarantined)
        first = remembered.quarantined[0].name
        hint = f"publish it again on the master; to try the same once more: netclnt sync --retry-quarantined {first}"
        return warn(f"in quarantine: {listed}", hint)
    return Found("nothing is damaged or in quarantine")


def _look_at_last_run(remembered: _Remembered) -> Found:
    syncs = [run for run in remembered.runs if run.is_sync]
    if not syncs:
        return Found("no sync yet")
    last = syncs[0]
    if last.code is None:
        return warn(f"the sync of {last.started} still runs, or died", "netclnt status; netclnt sync")
    if last.code:
        return warn(f"the sync of {last.started} ended with exit code {last.code}: {last.message}", "netclnt sync -v")
    return Found(f"the sync of {last.started} was a success")


# --- the root


def _look_at_root(patient: SlavePatient, remembered: Asked[_Remembered]) -> Found:
    known = remembered.answer.marker if remembered.answer else None
    marked = patient.root_marked(patient.root, known)
    if known is not None and not marked:
        return warn(f"{patient.root} has a work area that this account may not read", "run it as the account that syncs")
    if known is not None:
        return Found(f"{patient.root} is mounted: it has the mark that the ledger remembers")
    if marked:
        return warn(f"{patient.root} has a mark, and no ledger knows which", "netclnt sync (takes it over)")
    return warn(f"{patient.root} has no mark of netclnt yet", "netclnt init slave (the same again marks it)")


def _further_checks(patient: SlavePatient, remembered: Asked[_Remembered], path: Path) -> Iterator[Check]:
    """Of a further root, each by its path."""
    root, writable = f"root:{path}", f"root.writable:{path}"
    yield Check(root, lambda: _look_at_further_root(patient, remembered, path), ("slave.paths",))
    yield Check(writable, lambda: look_writable(patient.disk, path), (root,))
    yield Check(f"root.space:{path}", lambda: _look_at_further_room(patient, remembered, path), (root,))
    yield Check(f"root.reflink:{path}", lambda: _look_at_reflink(patient, path), (writable,))


def _look_at_further_root(patient: SlavePatient, remembered: Asked[_Remembered], path: Path) -> Found:
    roots = remembered.answer.roots if remembered.answer else {}
    known = next((mark for mark, at in roots.items() if at == str(path)), None)
    marked = patient.root_marked(path, known)
    if known is not None and marked:
        return Found(f"{path} is mounted: it has the mark that the ledger remembers")
    if marked:
        return warn(f"{path} has a mark, and the ledger does not know it there", "netclnt sync (takes it over)")
    return warn(f"{path} has no mark of netclnt yet", "netclnt sync (marks it, so mount it first)")


def _look_at_further_room(patient: SlavePatient, remembered: Asked[_Remembered], path: Path) -> Found:
    known = remembered.answer or _Remembered(there=False)
    sizes = [one.size for one in known.held if known.roots.get(known.lying.get(one.name, "")) == str(path)]
    return look_at_space(patient.disk, path, give_back="netclnt prune", largest=max(sizes, default=0))


def _look_at_owner(patient: SlavePatient) -> Found:
    patient.check_owner()
    return Found("this host knows the accounts that new images belong to")


def _look_at_room(patient: SlavePatient, remembered: Asked[_Remembered]) -> Found:
    known = remembered.answer or _Remembered(there=False)
    largest = max((one.size for one in known.held if one.name not in known.lying), default=0)
    return look_at_space(patient.disk, patient.root, give_back="netclnt prune", largest=largest)


def _look_at_reflink(patient: SlavePatient, path: Path) -> Found:
    if patient.disk.shares(path):
        return Found("unchanged blocks are shared with the old version (FICLONE)")
    return Found("this file system shares no blocks: unchanged ones are copied")


def _look_at_seeds(patient: SlavePatient) -> Found:
    for path in patient.seeds:
        try:
            patient.disk.looks(path)
        except StorageError:
            return warn(f"the seed directory {path} cannot be read", f"ls -ld {path} (a stick that is not plugged in?)")
    return Found(", ".join(map(str, patient.seeds)))


def _look_at_hooks(patient: SlavePatient) -> Found:
    for path in patient.hooks:
        try:
            mode = patient.disk.looks(path).mode
        except StorageError:
            return warn(f"the hooks' program {path} is not there", f"ls -l {path}; or go without hooks: netclnt sync --no-hooks")
        if not mode & _EXECUTE:
            return warn(f"the hooks' program {path} has mode {mode:04o}: it cannot be executed", f"chmod +x {path}")
        if mode & OTHERS_WRITE:
            return warn(
                f"the hooks' program {path} has mode {mode:04o}: others can change what a sync runs", f"chmod go-w {path}"
            )
    return Found(f"programs of hooks that can be executed: {len(patient.hooks)}")


# --- the two ends


def _look_at_identity(remembered: Asked[_Remembered], state: CatalogState) -> Found:
    """Raises ForeignMaster."""
    known = remembered.answer.identity if remembered.answer else None
    if known is not None and known != state.identity:
        raise ForeignMaster(expected=known, found=state.identity)
    return Found(f"{state.identity}, {'as before' if known else 'to be remembered by the first sync'}")


def _look_at_head(remembered: Asked[_Remembered], head: StoreHead, catalog: CatalogState | None) -> Found:
    """Raises ForeignMaster where store and catalog, or store and ledger, belong to different masters."""
    found = _look_at_identity(remembered, head.state)
    if catalog is None:
        return found
    if catalog.identity != head.state.identity:
        raise ForeignMaster(expected=catalog.identity, found=head.state.identity)
    here, there = head.state.generation, catalog.generation
    if here < there:
        return warn(
            f"the store is at generation {here}, the catalog at {there}: a publish was interrupted, or goes on right now",
            "on the master: netclnt doctor --role master",
        )
    if here > there:
        return warn(
            f"the store is at generation {here}, the catalog only at {there}: the catalog was restored from a backup",
            "on the master: netclnt init master --recover",
        )
    return found


def _look_at_speed(patient: SlavePatient, head: StoreHead, offered: Offered | None) -> Found:
    manifest = offered.manifest if offered and offered.manifest else (head.toc, head.toc_head_bytes)
    speed = measure(patient.source, *manifest, seconds=patient.probe_seconds)
    sizes = {"rate": round(speed.rate), "bytes": speed.bytes}
    return Found(f"{{rate}} a second: {{bytes}} in {speed.seconds:.1f} s", sizes=sizes)


def _known(remembered: _Remembered | None, offered: Offered | None) -> Iterator[tuple[str, str]]:
    if remembered:
        yield from (("the last run", run.ended or run.started) for run in remembered.runs[:1])
        yield from ((f"the update of {held.name}", held.shown_at) for held in remembered.held)
    if offered:
        yield "the newest version's publication", offered.newest
