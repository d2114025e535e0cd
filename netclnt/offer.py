"""What the master offers: asked with one SELECT where nothing changed, and with a few more where something did."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from netclnt.diff import Change, clashes, diff
from netclnt.errors import BrakeApplied, ForeignMaster, InQuarantine, NetclntError, StorageError
from netclnt.events import Catalog, Changed, Observer, Warned
from netclnt.ledger import Applied, Held
from netclnt.look import is_as_recorded, is_displaced, recheck, record
from netclnt.model import CatalogState, HeldVersion, Refused, Version
from netclnt.protocols import CatalogReader, SlaveCatalog
from netclnt.selection import Selection
from netclnt.slave import Slave

IMAGES_MAX = 100_000
"""So many images at most may be offered: they lie in memory, and no root of images has more."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A catalog's offer at one generation, and how it differs from what is held. ``refused`` is what is offered inside the
    selection and cannot be taken."""

    state: CatalogState
    versions: Sequence[Version]
    changes: Sequence[Change]
    refused: Sequence[Refused] = ()


class Questions:
    """The master's catalog as one run asks it: opened when something is asked, and open until :meth:`close`, so that what is
    asked and told within moments goes over one connection. Counts the statements."""

    def __init__(self, open_catalog: Callable[[], SlaveCatalog]) -> None:
        self._open_catalog = open_catalog
        self._catalog: SlaveCatalog | None = None
        self._past = 0

    @property
    def queries(self) -> int:
        return self._past + (self._catalog.queries if self._catalog is not None else 0)

    def catalog(self) -> SlaveCatalog:
        if self._catalog is None:
            self._catalog = self._open_catalog()
        return self._catalog

    def close(self) -> None:
        """Idempotent. Nothing is open while content is copied: a database has few connections."""
        catalog, self._catalog = self._catalog, None
        if catalog is not None:
            catalog.close()
            self._past += catalog.queries


def look_at_offer(
    slave: Slave, selection: Selection | None, questions: Questions, observer: Observer, *, write: bool
) -> Offer | None:
    """The changes inside ``selection`` (None: all that the slave holds), or None if the slave is fully up to date.

    Without ``write`` neither ledger nor catalog is told anything.
    Raises ForeignMaster, BrakeApplied and what the catalog raises. A catalog that is behind is no error: the slave is then as
    up to date as it can be. Neither is a version that breaks a rule: it is refused, and the others are offered.
    """
    try:
        catalog = questions.catalog()
        state = catalog.state()
        _check_identity(slave, state)
        applied = slave.ledger.applied()
        held = slave.ledger.held()
        reached = max([image.generation for image in held] + ([applied.generation] if applied else []), default=0)
        if state.generation < reached:
            text = f"The catalog is at generation {state.generation}, this slave at {reached}: nothing is done."
            observer(Warned("catalog-behind", text))
            return None
        if selection is None and applied == applied_state(slave, state) and _is_as_recorded(slave, held):
            if write and slave.report:
                _say_seen(slave, catalog, state, observer)
            return None
        versions, refused = _read_versions(catalog, state, slave)
        refused += _in_quarantine(slave, versions)
        refused += _without_root(slave, versions)
    finally:
        questions.close()
    if write and slave.ledger.rebuilding():
        _rebuild(slave, versions, state, questions, observer)
    chosen = slave.selection if selection is None else selection
    names_refused = {each.name for each in refused}
    taken = [each for each in versions if each in slave.selection and each in chosen and each.name not in names_refused]
    others = _replaced(slave.ledger.held(), taken)
    there = [held for held in slave.ledger.held() if not slave.missing(held)]
    rechecked = {each.held.name: each for each in recheck(slave.root, slave.ledger, slave.manifests, there, replaced=others)}
    if write:
        record(slave.root, slave.ledger, rechecked.values())
    observer(Catalog(generation=state.generation, images=len(versions)))
    by_name = {version.name: version for version in versions}
    changes = diff(
        [version for version in versions if version in slave.selection and version.name not in names_refused],
        [
            rechecked[held.name].now if held.name in rechecked else held
            for held in slave.ledger.held()
            if not (held.name in rechecked and is_displaced(slave.root, held))
        ],
        selection=chosen,
        is_foreign=lambda name: _is_foreign(slave, by_name[name]),
        max_retire=slave.max_retire,
        refused=names_refused,
        moves=_moves(slave, names_refused),
    )
    for change in changes:
        offered = None if change.offered is None else change.offered.number
        observer(Changed(change.name, change.kind, change.local, offered, change.action, change.size))
    return Offer(state, versions, changes, [each for each in refused if each in slave.selection and each in chosen])


def _read_versions(catalog: CatalogReader, state: CatalogState, slave: Slave) -> tuple[list[Version], list[Refused]]:
    """The versions offered, and those among them or beside them that cannot be taken. Raises BrakeApplied for too many."""
    versions: list[Version] = []
    refused: list[Refused] = []

    def count() -> None:
        if len(versions) + len(refused) > IMAGES_MAX:
            raise BrakeApplied(limit="images_max", problem=f"more than {IMAGES_MAX} images are offered")

    def refuse(each: Refused) -> None:
        refused.append(each)
        count()

    for version in catalog.current(generation=state.generation, channel=slave.channel, refuse=refuse):
        versions.append(version)
        count()
    selected = {version.name: version for version in versions if version in slave.selection}
    names = [version.name for version in versions if version in slave.selection]
    refused += [Refused(name, selected[name].kind, error) for name, error in dict(clashes(names)).items()]
    return versions, refused


def _rebuild(slave: Slave, versions: Iterable[Version], state: CatalogState, questions: Questions, observer: Observer) -> None:
    """Loaded only when it is needed: a slave that is up to date starts quicker."""
    from netclnt.rebuild import rebuild  # noqa: PLC0415 - see above

    def histories(names: Sequence[str]) -> dict[str, Sequence[HeldVersion]]:
        catalog = questions.catalog()
        try:
            return {name: catalog.history(name, generation=state.generation, channel=slave.channel) for name in names}
        finally:
            questions.close()

    selected = [version for version in versions if version in slave.selection]
    rebuild(slave, selected, state, histories=histories, observer=observer)
    if slave.places is None or not slave.places.incomplete:
        slave.ledger.set_rebuilding(False)


def _in_quarantine(slave: Slave, versions: Iterable[Version]) -> Iterator[Refused]:
    """Those of the versions whose content never was what they say: they are left alone until the master offers another one, or
    publishes the same anew."""
    known = {} if slave.retry_quarantined else {(each.name, each.manifest): each for each in slave.ledger.quarantined()}
    for version in versions:
        found = known.get((version.name, version.manifest))
        if found is not None and found.generation == version.generation:
            yield Refused(version.name, version.kind, InQuarantine(version.name, version.number, found.since, found.problem))


def is_still_offered(slave: Slave, version: Version, state: CatalogState, questions: Questions) -> bool:
    """Whether a version that was fetched is still the current one: it may have been called back meanwhile. A catalog that has
    fallen behind cannot tell. Leaves the catalog open for what is told in a moment."""
    catalog = questions.catalog()
    found = catalog.state()
    _check_identity(slave, found)
    if found.generation <= state.generation:
        return True
    history = catalog.history(version.name, generation=found.generation, channel=slave.channel)
    return any(held.current and held.version.number == version.number for held in history)


def applied_state(slave: Slave, state: CatalogState) -> Applied:
    """What the ledger says when all of a catalog's state is applied, but for what is pinned."""
    pinned = [held.name for held in slave.ledger.held() if held.pinned]
    return Applied(
        identity=state.identity,
        generation=state.generation,
        schema_version=state.schema_version,
        assignment_revision=state.assignment_revision,
        statement_number=state.statement_number,
        selection=slave.selection_digest(pinned),
    )


def _check_identity(slave: Slave, state: CatalogState) -> None:
    known = slave.ledger.identity()
    if known is None:
        return
    if known != state.identity:
        raise ForeignMaster(expected=known, found=state.identity)


def _is_as_recorded(slave: Slave, held: Iterable[Held]) -> bool:
    return all(is_as_recorded(slave.root, slave.ledger, slave.manifests, image) for image in held)


def _replaced(held: Iterable[Held], taken: Iterable[Version]) -> set[str]:
    """The names of the images that another version takes the place of."""
    offered = {version.name: version.manifest for version in taken}
    return {image.name for image in held if not image.pinned and offered.get(image.name, image.manifest) != image.manifest}


def _without_root(slave: Slave, versions: Iterable[Version]) -> Iterator[Refused]:
    """Those of the versions that belong in a root which cannot be used."""
    if slave.places is not None and slave.places.incomplete:
        for version in versions:
            if (missing := slave.places.home(version).missing) is not None:
                yield Refused(version.name, version.kind, missing)


def _moves(slave: Slave, refused: Collection[str]) -> dict[str, str]:
    """Where held images belong that lie elsewhere."""
    if slave.places is None:
        return {}
    homes = {held.name: slave.places.home(held) for held in slave.ledger.held() if held.name not in refused}
    return {name: home.path for name, home in homes.items() if home.mark != slave.places.of(name).mark}


def _is_foreign(slave: Slave, version: Version) -> bool:
    """Whether something lies at an image's place. One that cannot be looked at is told of when it is that image's turn."""
    try:
        return slave.at(version).root.type(version.name) != "absent"
    except StorageError:
        return True


def _say_seen(slave: Slave, catalog: SlaveCatalog, state: CatalogState, observer: Observer) -> None:
    try:
        catalog.seen(slave.name, generation=state.generation, at=slave.now())
    except NetclntError as error:
        observer(Warned("not-reported", f"The catalog did not take this run's report: {error}"))
