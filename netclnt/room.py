"""Room on a slave's disk: what goes, and in which order, when a version does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from netclnt.errors import NoSpace
from netclnt.events import Observer, Warned
from netclnt.slave import Slave


@dataclass(frozen=True, slots=True)
class _Spare:
    """Something that may go: what it is, the bytes it takes at most (it may share them with others), and how it goes."""

    what: str
    size: int
    drop: Callable[[], None]


def make_room(slave: Slave, short: NoSpace, *, name: str, digest: str, observer: Observer) -> bool:
    """Drop what can be spared until as many bytes are free as were needed for the image ``name``, of which ``digest`` is under
    construction: kept versions of other images, oldest numbers first, then what interrupted runs left in staging, then kept
    versions of the image itself. The observer is told of each. Whoever planned with any of it has to plan anew.

    Returns whether anything went. Nothing goes where all of it would not be enough, or where it is not the root that is full.
    """
    if not f"{short.path}/".startswith(f"{slave.root_path.rstrip('/')}/"):
        return False
    staged = _staged(slave, name, digest)
    spares = [*_kept(slave, lambda image: image != name), *staged, *_kept(slave, lambda image: image == name)]
    if slave.root.free() + sum(spare.size for spare in spares) < short.needed:
        return False
    dropped = False
    for spare in spares:
        if slave.root.free() >= short.needed:
            break
        spare.drop()
        observer(Warned("room-made", f"{spare.what} was removed: {name} does not fit beside it."))
        dropped = True
    return dropped


def _kept(slave: Slave, wanted: Callable[[str], bool]) -> Iterator[_Spare]:
    here = set(slave.root.kept())
    for kept in slave.ledger.kept():
        if wanted(kept.name) and kept.token in here:
            what = f"The old version {kept.number} of {kept.name}"
            yield _Spare(what, _size(slave, kept.manifest), partial(slave.drop, kept.token))


def _staged(slave: Slave, name: str, digest: str) -> Iterator[_Spare]:
    """Not what a hook deferred: only that hook knows how long, and it was to be kept."""
    deferred = {each.manifest for each in slave.ledger.hooks.deferred() if each.name != name}
    for token in slave.root.staged():
        if token != digest and token not in deferred:
            what = f"What an interrupted run left in staging ({token})"
            yield _Spare(what, _size(slave, token), partial(slave.discard, token))


def _size(slave: Slave, digest: str) -> int:
    """Bytes of a version; 0 if that is not known."""
    manifest = slave.manifests.open(digest)
    if manifest is None:
        return 0
    with closing(manifest):
        return manifest.head.size
