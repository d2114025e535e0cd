"""One image on its way to its offered version: what it needs, what it costs, and the order of writes that shows it.

Order: blocks into staging, journal in the ledger → every file's SHA-256, owner, mode, fsync → the offer asked once more → rename
or exchange → ledger. A crash after any of these steps costs nothing but time (netclnt(7)).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace

from netclnt.bring import Base, Line, Plan, Staging, Wanted, check_space, fill, get_manifest, make_plan, prepare
from netclnt.budget import check_budget
from netclnt.costs import expect
from netclnt.diff import Action, Change
from netclnt.errors import (
    BrakeApplied,
    ContentMismatch,
    ForbiddenValue,
    ForeignFile,
    InQuarantine,
    LedgerBusy,
    LedgerDamaged,
    NoSpace,
    SourceMissing,
    StorageError,
)
from netclnt.events import ImageDone, Observer, Planned, Progressed, Warned
from netclnt.front import Done
from netclnt.imagehooks import announcement, consents, is_asked
from netclnt.ledger import Composition, Held, Quarantine
from netclnt.localmanifests import LocalManifest
from netclnt.look import as_sealed, facts_if_whole, looks_as_recorded, take_facts
from netclnt.model import CatalogState, Version
from netclnt.protocols import Facts, Root
from netclnt.relocate import clear_old_places, is_moving, old_place, origin, take_over
from netclnt.room import make_room
from netclnt.seeding import Seeding
from netclnt.seeds import Seed, Seeds
from netclnt.slave import Slave

_JOURNAL_SECONDS = 5.0
"""How much work a power cut may cost: the journal is written behind an fdatasync, which is not free."""


class SupersededError(Exception):
    """The master's offer changed while a version was fetched: it is no longer current, and is not shown."""


@dataclass(frozen=True, slots=True)
class Job:
    """One change to carry out. ``still_offered`` asks the master once more whether the version is current."""

    slave: Slave
    change: Change
    version: Version
    state: CatalogState
    observer: Observer
    still_offered: Callable[[Version], bool]


def forecast_image(job: Job) -> None:
    """Tell the observer what the change would cost. Nothing is changed but caches in the state directory."""
    with _manifest(job) as manifest:
        if _facts_there(job, manifest) is not None:
            _tell_plan(job, None)
            return
        _refuse_foreign(job)
        with _seeds(job, staged=False) as (seeds, _):
            _tell_plan(job, make_plan(manifest, seeds, _line(job), None))


def bring_image(job: Job) -> ImageDone:
    """Carry out the change. Raises SupersededError, ForeignFile, ContentMismatch, and what fetching and the disk raise."""
    began = job.slave.monotonic()
    received = job.slave.source.bytes_received
    with _manifest(job) as manifest:
        facts: Mapping[str, Facts] | None = _facts_there(job, manifest)
        if facts is not None:
            job.slave.root.secure(job.version.name)  # a crash may have left it shown, but not durable
            result, reused = "recorded", 0
            _record(job, facts, result)
        elif (facts := take_over(job.slave, job.version)) is not None:
            result, reused = "moved", 0
            _record(job, facts, result)
        else:
            _refuse_foreign(job)
            before = _facts_of_shown(job)
            brought = _assemble(job, manifest, before)
            reused, sealed = brought.reused, as_sealed(manifest.entries, brought.sealed)
            result = "updated" if _show(job, manifest, sealed, before, brought) else "deferred"
    seconds = job.slave.monotonic() - began
    fetched = job.slave.source.bytes_received - received
    return ImageDone(job.version.name, job.version.number, result, fetched, reused, seconds)


# --- what is needed


def _line(job: Job) -> Line:
    return Line(job.slave.source, job.slave.manifests, job.state.hash_seed, job.slave.threads)


@contextmanager
def _manifest(job: Job) -> Iterator[LocalManifest]:
    name, ledger = job.version.name, job.slave.ledger
    if job.version.size > job.slave.max_image_size:  # a hole costs nothing to send, and hours to hash
        problem = f"version {job.version.number} has {job.version.size} bytes, and {job.slave.max_image_size} are allowed"
        raise BrakeApplied(limit="max_image_size", problem=problem)
    check_budget(job.slave, job.version)
    held = ledger.get(name)
    reuse = [held.manifest] if held else []
    reuse += [kept.manifest for kept in ledger.kept(name)]
    wanted = Wanted(name, job.version.manifest, job.version.head_bytes)
    with closing(get_manifest(wanted, _line(job), reuse=reuse)) as manifest:
        head = manifest.head
        said = (job.version.tree, job.version.size, job.version.entries, job.version.blocks)
        if said != (head.tree, head.size, head.entries, head.blocks):
            raise ForbiddenValue(what="version", value=f"{name}@{job.version.number}", rule="what its manifest says")
        if not head.tree and manifest.entries[0].sha256.hex() != job.version.sha256:
            raise ForbiddenValue(what="SHA-256", value=job.version.sha256, rule="what the manifest says")
        yield manifest


@contextmanager
def _seeds(job: Job, *, staged: bool) -> Iterator[tuple[Seeds, Seed | None]]:
    """All seeds, and the first of them if it is the image's present version, which staging may share blocks with. Only who
    holds the root's lock may ask for what is ``staged``."""
    slave, name = job.slave, job.version.name
    seeding = Seeding(
        root=slave.all_roots,
        ledger=slave.ledger,
        manifests=slave.manifests,
        directories=slave.seed_roots,
        scratch=slave.scratch,
        hash_seed=job.state.hash_seed,
    )
    found: list[Seed] = []
    shown = None
    lying = _lying(job)
    try:
        if lying is not None and lying.type(name) != "absent":  # what somebody removed would stand in the way of kept versions
            shown = seeding.shown(name)
            found.extend([shown] if shown else [])
        if job.change.action is Action.REPLACE_FOREIGN:
            found.extend(seeding.foreign(name, slave.root))
        found.extend(seeding.kept(name))
        if staged:
            found.extend(seeding.staged(job.version.manifest))
        found.extend(seeding.others(name))
        found.extend(seeding.from_directories())
        yield Seeds(found), shown
    finally:
        for seed in found:
            seed.close()


def _lying(job: Job) -> Root | None:
    """The root in which the version lies that is to be replaced; None if there is none, or nobody knows what lies there."""
    if is_moving(job.slave, job.version.name):
        return origin(job.slave, job.version.name)
    return None if job.change.action is Action.REPLACE_FOREIGN else job.slave.root


def _facts_there(job: Job, manifest: LocalManifest) -> dict[str, Facts] | None:
    """The facts of the version's content, if it lies at the image's place already: put there by hand, or shown before a crash."""
    return facts_if_whole(job.slave.root, job.version.name, manifest.entries) if job.change.suspect else None


def _refuse_foreign(job: Job) -> None:
    """What an admin put there is replaced only when adopted, and what is neither file nor directory never."""
    found = job.slave.root.type(job.version.name)
    is_foreign = job.change.action is Action.REPLACE_FOREIGN or (found != "absent" and is_moving(job.slave, job.version.name))
    if found == "other" or (is_foreign and not job.slave.adopt):
        raise ForeignFile(image=job.version.name, path=f"{job.slave.root_path}/{job.version.name}", found=found)


def _tell_plan(job: Job, plan: Plan | None) -> None:
    costs = (plan.bytes_fetch, plan.bytes_reuse, plan.bytes_write, plan.blocks_missing) if plan else (0, 0, 0, 0)
    job.observer(Planned(job.version.name, *costs, seconds=expect(job.slave, costs[0]).seconds))


# --- steps 1 and 2: staging


@dataclass(frozen=True, slots=True)
class _Brought:
    """A version that is complete in staging: the bytes that this run ``reused``, how its entries looked when they were
    ``sealed``, and what it is made of."""

    reused: int
    sealed: Sequence[Facts]
    composition: Composition


def _assemble(job: Job, manifest: LocalManifest, before: Mapping[str, Facts]) -> _Brought:
    """Complete and seal the version in staging."""
    try:
        return _assemble_from_seeds(job, manifest, before)
    except NoSpace as error:
        if not make_room(job.slave, error, name=job.version.name, digest=manifest.digest, observer=job.observer):
            raise
    return _assemble_from_seeds(job, manifest, before)  # planned anew: what went may have been a seed


def _assemble_from_seeds(job: Job, manifest: LocalManifest, before: Mapping[str, Facts]) -> _Brought:
    with _seeds(job, staged=True) as (seeds, shown):
        base = Base(job.version.name, shown, before) if shown is not None else None
        with suppress(SourceMissing, ContentMismatch):
            return _fill(job, manifest, seeds, base)
        # Once more: with locations read anew, as packs may have been put together; and by looking at what lies in staging, as
        # it may be no longer what the journal vouches for.
        job.slave.ledger.journal_clear(manifest.digest)
        try:
            return _fill(job, manifest, seeds, replace(base, facts={}) if base is not None else None)
        except ContentMismatch as error:
            text = f"{error.path or job.version.name} came together wrong, from right blocks; everything is fetched anew."
            job.observer(Warned("content-mismatch", text))
            job.slave.discard(manifest.digest)
        try:
            return _fill(job, manifest, Seeds([]), None)
        except ContentMismatch as error:
            raise _quarantined(job, error) from error


def _quarantined(job: Job, error: ContentMismatch) -> InQuarantine:
    """All blocks are right, fetched from the store alone, and the content is wrong: no further run could make it right."""
    slave, version, since = job.slave, job.version, job.slave.now()
    problem = f"{error.path or 'it'} has SHA-256 {error.found}, not {error.expected}"
    entry = Quarantine(version.name, version.manifest, version.number, version.generation, since, problem)
    slave.ledger.quarantine(entry)
    slave.discard(version.manifest)
    return InQuarantine(version.name, version.number, since, problem)


def _facts_of_shown(job: Job) -> Mapping[str, Facts]:
    """How the files of the shown version looked when it was recorded, unless there is doubt about them."""
    held = job.slave.ledger.get(job.version.name)
    if is_moving(job.slave, job.version.name):  # there is nothing yet that could be taken over unread
        return {}
    return job.slave.ledger.facts(held.name) if held and held.tree and not held.damaged and not job.change.suspect else {}


def _fill(job: Job, manifest: LocalManifest, seeds: Seeds, base: Base | None) -> _Brought:
    slave, line = job.slave, _line(job)
    journal = slave.ledger.journal(manifest.digest)
    if journal and manifest.digest not in slave.root.staged():  # never to vouch for an area that is about to be made
        slave.ledger.journal_clear(manifest.digest)
        journal = set()
    staging = prepare(manifest, slave.root, journal=journal, base=base)
    try:
        if journal and not staging.resumed:  # somebody took the files away, and left the area
            slave.ledger.journal_clear(manifest.digest)
        plan = make_plan(manifest, seeds, line, staging)
        _tell_plan(job, plan)
        check_space(slave.root, plan.bytes_write, files=staging.to_make, path=slave.root_path)
        follower = _Follower(job, manifest, staging, plan)
        wanted = Wanted(job.version.name, job.version.manifest, job.version.head_bytes)
        with follower:
            fill(wanted, manifest, plan, seeds, staging, line, on_page=follower)
        sealed = staging.stage.seal(job.version.name)
        return _Brought(follower.reused, sealed, follower.composition(follower.reused))
    finally:
        staging.stage.close()


class _Follower:
    """Follows the pages that are complete: tells the observer, and keeps the journal, at its end in any case."""

    def __init__(self, job: Job, manifest: LocalManifest, staging: Staging, plan: Plan) -> None:
        self._job = job
        self._manifest = manifest
        self._staging = staging
        self._reuse = plan.bytes_reuse
        earlier = job.slave.ledger.compositions.of(job.version.name) if staging.resumed else ()
        self._reused_earlier = sum(each.reused for each in earlier if each.manifest == manifest.digest)
        self._received = job.slave.source.bytes_received
        self._journaled = job.slave.monotonic()
        self._pages: list[int] = []
        self.reused = 0

    def composition(self, reused: int) -> Composition:
        """Of the whole version, of which this run reuses so many bytes. What an earlier one put into staging nobody can tell
        apart now: but that one had planned what it would reuse, and this one reuses what is left of that."""
        head = self._manifest.head
        reused = min(head.data, max(reused, self._reused_earlier))
        return Composition(self._job.version.name, self._manifest.digest, reused, head.data - reused, head.size - head.data)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            with suppress(StorageError, LedgerBusy, LedgerDamaged):  # what ended the run is the error to tell
                self._write()

    def __call__(self, done: Done) -> None:
        self.reused = done.reused
        self._pages += done.pages
        done.pages.clear()
        fetched = self._job.slave.source.bytes_received - self._received
        size = self._manifest.head.size
        self._job.observer(Progressed("fetch", self._job.version.name, done.plain, size, fetched, done.reused))
        if self._job.slave.monotonic() - self._journaled >= _JOURNAL_SECONDS:
            self._write()

    def _write(self) -> None:
        if self._pages:
            self._staging.stage.sync()
            slave = self._job.slave
            received, made_of = slave.source.bytes_received, self.composition(self._reuse)
            slave.ledger.journal_add(self._manifest.digest, self._pages, fetched=received, at=slave.now(), composition=made_of)
            self._pages = []
        self._journaled = self._job.slave.monotonic()


# --- steps 3 to 5: show and record


def _show(job: Job, manifest: LocalManifest, sealed: Mapping[str, Facts], before: Mapping[str, Facts], brought: _Brought) -> bool:
    """False, and nothing shown, where a hook wants that to be later."""
    slave, name = job.slave, job.version.name
    if not job.still_offered(job.version):
        raise SupersededError
    held = slave.ledger.get(name)
    if is_asked(slave) and not _is_wanted_now(job, manifest, held, brought.composition):
        return False
    keep = held.manifest if held and slave.keep and not held.damaged and held.manifest != manifest.digest else None
    if is_moving(slave, name):  # what was shown lies elsewhere
        keep = None
    if before and not _is_untouched(job, before, sealed):
        keep = None
    if keep is not None and slave.root.keeps(keep):
        slave.drop(keep)
    slave.root.show(manifest.digest, name, keep=keep)
    slave.root.discard(manifest.digest)
    # A change behind the seal must show: only of a tree's own directory counts how it looks at its place, as it may look
    # otherwise once it has moved.
    moved = take_facts(slave.root, name, manifest.entries[:1]) if manifest.head.tree else {}
    _record(job, {**sealed, **moved}, "updated", brought.composition)
    return True


def _is_wanted_now(job: Job, manifest: LocalManifest, held: Held | None, made_of: Composition) -> bool:
    """Ask the hook, which may take long: before, all that is sealed goes into the journal, so that it is there whatever happens
    meanwhile; afterwards, the master is asked once more."""
    job.slave.ledger.journal_add(manifest.digest, range(len(manifest.head.block_pages)), composition=made_of)
    if not consents(job.slave, job.version, held, job.observer):
        return False
    if not job.still_offered(job.version):
        raise SupersededError
    return True


def _is_untouched(job: Job, before: Mapping[str, Facts], sealed: Mapping[str, Facts]) -> bool:
    """Whether the version that is shown still looks as it did when it was recorded, and is worth keeping. What was taken over
    unread was looked at for the seal."""
    rest = {path: facts for path, facts in before.items() if (now := sealed.get(path)) is not facts and now != facts}
    return looks_as_recorded(job.slave.root, job.version.name, rest)


def _record(job: Job, facts: Mapping[str, Facts], result: str, made_of: Composition | None = None) -> None:
    """Tell the ledger what is kept of what was shown before, and what is shown; ``made_of`` None for what was found there."""
    slave, version = job.slave, job.version
    old = slave.ledger.get(version.name)
    pinned = old is not None and old.pinned
    held = Held.of(version, generation=job.state.generation, shown_at=slave.now(), pinned=pinned)
    moved_from = old_place(slave, old, version)
    if old is not None and moved_from is None and slave.root.keeps(old.manifest):
        slave.ledger.keep(old.name, old.number, old.manifest, old.manifest, slave.now())
    untold = announcement(slave, version, old, result)
    slave.record(held, facts, moved_from=moved_from, untold=untold, composition=made_of)
    if moved_from is not None:
        clear_old_places(slave, job.observer, name=version.name)
    slave.trim_kept(version.name, newest=old.manifest if old is not None else "")
