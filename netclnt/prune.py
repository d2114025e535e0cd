"""Giving back on a slave what it need not keep: old versions beyond ``keep``, staging areas and caches of no further use."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from netclnt.errors import AuthError, TemporaryError
from netclnt.events import Observer, Warned
from netclnt.ledger import Kept
from netclnt.localmanifests import reported
from netclnt.offer import Questions
from netclnt.seeding import stale_scans
from netclnt.slave import Slave


@dataclass(frozen=True, slots=True)
class Pruned:
    """``what`` is ``kept``, ``staging``, ``manifest`` or ``index``; ``token`` its own name; ``image`` and ``version`` where they
    are known. ``bytes`` is what the disk gets back, but for blocks that are shared with other files."""

    what: str
    token: str
    bytes: int
    image: str = ""
    version: int | None = None


Removal = tuple[Pruned, Callable[[], None]]


def prune(slave: Slave, *, observer: Observer, dry_run: bool) -> Iterator[Pruned]:
    """Tell what goes, and with the root held remove it, piece by piece; a ``dry_run`` removes nothing and holds nothing.

    What the ledger knows is forgotten there first: so it never claims what is gone, and what an interrupted run leaves behind is
    found by the next one. The catalog is asked only where there is something in staging.
    """
    with nullcontext() if dry_run else slave.root.lock(slave.holder):
        staged = slave.root.staged()
        wanted = _offered(slave, observer) if staged else frozenset[str]()
        spare = [] if wanted is None else [token for token in staged if token not in wanted]
        old = _beyond_keep(slave.ledger.kept(), slave.keep)
        for pruned, remove in (*_kept(slave, old), *_staging(slave, spare), *_caches(slave, old, set(staged) - set(spare))):
            if not dry_run:
                remove()
            yield pruned


def _offered(slave: Slave, observer: Observer) -> Collection[str] | None:
    """The manifests of all that is offered to this slave: what is in staging of them is gone on with. None if nobody answers."""
    questions = Questions(slave.open_catalog)
    try:
        catalog = questions.catalog()
        generation = catalog.state().generation
        versions = catalog.current(generation=generation, channel=slave.channel, refuse=lambda _: None)
        return {version.manifest for version in versions if version in slave.selection}
    except (TemporaryError, AuthError) as error:
        observer(Warned("staging-stays", f"What is in staging stays: the catalog does not say whether it is needed. {error}"))
        return None
    finally:
        questions.close()


def _beyond_keep(kept: Sequence[Kept], keep: int) -> list[Kept]:
    """Of each image all but the ``keep`` that were replaced last."""
    by_image: dict[str, list[Kept]] = {}
    for each in sorted(kept, key=lambda one: (one.since, one.number), reverse=True):
        by_image.setdefault(each.name, []).append(each)
    return [each for name in sorted(by_image) for each in by_image[name][keep:]]


def _kept(slave: Slave, old: Sequence[Kept]) -> Iterator[Removal]:
    known = {each.token for each in slave.ledger.kept()}
    for each in old:
        pruned = Pruned("kept", each.token, slave.root.kept_bytes(each.token), each.name, each.number)
        yield pruned, partial(slave.drop, each.token)
    for token in slave.root.kept():
        if token not in known:
            yield Pruned("kept", token, slave.root.kept_bytes(token)), partial(slave.root.drop, token)


def _staging(slave: Slave, tokens: Sequence[str]) -> Iterator[Removal]:
    for token in tokens:
        yield Pruned("staging", token, slave.root.staged_bytes(token)), partial(slave.discard, token)


def _caches(slave: Slave, old: Sequence[Kept], staged: Collection[str]) -> Iterator[Removal]:
    gone = {each.token for each in old}
    needed = {held.manifest for held in slave.ledger.held()} | set(staged)
    needed |= {kept.manifest for kept in slave.ledger.kept() if kept.token not in gone}
    needed |= {old.manifest for old in slave.ledger.places.old()}
    for path, size in slave.manifests.others(needed):
        yield Pruned("manifest", path.name, size), partial(_remove, path)
    for path, size in stale_scans(slave.scratch, slave.seed_roots):
        yield Pruned("index", path.name, size), partial(_remove, path)


def _remove(path: Path) -> None:
    with reported("remove", path):
        path.unlink(missing_ok=True)
