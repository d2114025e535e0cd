"""Images that lie in another root than the one where they belong: brought there and recorded first, and only then is their old
place cleared, of what still looks as it did when it was recorded.

Order: renamed, or assembled and shown, in the new root → ledger: it lies there, and has an old place → the old place is cleared
→ ledger: there is no old place. A crash after any of these steps costs nothing but time: what lies at the new place is recognized
by its content, and old places are cleared by the next run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing

from netclnt.errors import StorageError
from netclnt.events import Observer, Warned
from netclnt.ledger import Held, OldPlace
from netclnt.look import looks_as_recorded, take_facts
from netclnt.model import Version
from netclnt.places import Places
from netclnt.protocols import Facts, Root
from netclnt.slave import Slave


def origin(slave: Slave, name: str) -> Root | None:
    """The root in which a held image lies, if it is not the one that ``slave`` is at, and can be used."""
    if slave.places is None or not is_moving(slave, name):
        return None
    place = slave.places.of(name)
    return None if place.missing else place.root


def is_moving(slave: Slave, name: str) -> bool:
    """Whether an image is held, and lies in another root than the one that ``slave`` is at."""
    if slave.places is None or slave.place is None:
        return False
    return slave.places.of(name).mark != slave.place and slave.ledger.get(name) is not None


def take_over(slave: Slave, version: Version) -> Mapping[str, Facts] | None:
    """Rename an image that is untouched, and of this version already, to where it belongs; how it looks, or None if it has to be
    assembled there."""
    old = origin(slave, version.name)
    held = slave.ledger.get(version.name)
    if old is None or held is None or held.damaged or held.manifest != version.manifest:
        return None
    facts = slave.ledger.facts(version.name)
    if not looks_as_recorded(old, version.name, facts) or slave.root.type(version.name) != "absent":
        return None
    return facts if slave.root.take(version.name, old) else None


def old_place(slave: Slave, held: Held | None, version: Version) -> OldPlace | None:
    """What the ledger should know of the place that an image moves from with this version; None if it does not move."""
    if held is None or slave.places is None or not is_moving(slave, held.name):
        return None
    keep = slave.keep > 0 and not held.damaged and held.manifest != version.manifest
    look = _digest(slave.ledger.facts(held.name))
    return OldPlace(held.name, slave.places.of(held.name).mark, held.number, held.manifest, look, keep)


def clear_old_places(slave: Slave, observer: Observer, *, name: str | None = None) -> None:
    """Clear the places that images (or the one) have moved from, as far as their roots can be used; the lock is held. What
    somebody touched there stays, and is told of once."""
    if slave.places is None:
        return
    for old in slave.ledger.places.old():
        place = slave.places.marked(old.root)
        if place.missing or name not in (None, old.name):
            continue
        where = f"{place.path}/{old.name}"
        try:
            if not _clear(slave, place.root, old):
                text = f"{where} was changed there and stays; the image lies in {_path(slave.places, old.name)} now."
                observer(Warned("old-place-stays", text))
        except StorageError as error:
            observer(Warned("old-place-stays", f"{where}, from which an image has moved, could not be removed yet: {error}"))


def forget_roots(slave: Slave) -> None:
    """Forget the roots that no image belongs in, and in which nothing of ours lies."""
    if slave.places is None:
        return
    old = {each.root for each in slave.ledger.places.old()}
    for place in slave.places.unneeded:
        if place.mark not in old and (place.missing or not (place.root.kept() or place.root.staged())):
            slave.ledger.places.forget_root(place.mark)


def _clear(slave: Slave, root: Root, old: OldPlace) -> bool:
    """Clear one old place; False for one that was touched, which is nobody's now."""
    if root.type(old.name) != "absent":
        if not _is_untouched(slave, root, old):
            _settle(slave, old, kept=False)
            return False
        if old.keep and root.keeps(old.manifest):
            slave.drop(old.manifest)
        root.put_away(old.name, keep=old.manifest if old.keep else None)
    # by this run, or one that died right then; and not where somebody took it away meanwhile
    _settle(slave, old, kept=old.keep and root.keeps(old.manifest))
    return True


def _settle(slave: Slave, old: OldPlace, *, kept: bool) -> None:
    slave.ledger.places.settle(old, kept_since=slave.now() if kept else None)
    slave.trim_kept(old.name, newest=old.manifest)


def _is_untouched(slave: Slave, root: Root, old: OldPlace) -> bool:
    manifest = slave.manifests.open(old.manifest)
    if manifest is None:
        return False
    with closing(manifest):
        return _digest(take_facts(root, old.name, manifest.entries)) == old.look


def _digest(facts: Mapping[str, Facts]) -> str:
    digest = hashlib.sha256()
    for path in sorted(facts):
        found = facts[path]
        digest.update(repr((path, found.size, found.mtime, found.inode)).encode())
    return digest.hexdigest()


def _path(places: Places, name: str) -> str:
    return f"{places.of(name).path}/{name}"
