"""Giving back what no version needs any more.

Order of writes: list of the trash → the versions' end in the catalog → index → files are removed → packs are put together
(:mod:`netclnt.moves`) → TOC, HEAD. Nothing is removed that a live version needs or may come to need: what the locks keep out is
every other writer, and what cannot be read stops it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from netclnt.dedup import StoreIndex
from netclnt.events import Observer
from netclnt.master import Master, Writing, locked, read_head, write_head, writing
from netclnt.moves import change_index, finish, move
from netclnt.pack import pack_path
from netclnt.protocols import Store
from netclnt.survey import Policy, Survey, survey


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was done, or would be: versions dropped, files removed with their bytes; ``waiting`` is what stays in the trash until
    its grace time is over; ``sparse`` packs are put together, which takes ``bytes_moved``."""

    versions: tuple[str, ...]
    packs_removed: int
    bytes_removed: int
    packs_waiting: int
    bytes_waiting: int
    packs_sparse: int
    bytes_moved: int
    bytes_kept: int


def gc(master: Master, policy: Policy, *, observer: Observer) -> Cleaned:
    """Drop versions whose grace time is over, remove what nothing needs any more, and put sparse packs together.

    Raises as :func:`netclnt.publish.publish`; Damaged or SourceMissing, with nothing removed, when a live version cannot be read.
    """
    with writing(master) as held:
        head = read_head(master.store)
        toc = (head.toc, head.toc_head_bytes) if head else None
        published = master.catalog.published(after=0, until=held.state.generation)
        finish([*((each.manifest, each.head_bytes) for each in published), *([toc] if toc else [])], *_places(master, held))
        with survey(master, held.state, toc, policy, observer) as found:
            _remove(master, held, found, policy)
            done = replace(_cleaned(found), bytes_moved=_put_together(master, held, found, policy, observer))
            found.trash.save(master.state)
        state = master.catalog.state()
        if state != held.state:
            write_head(master, state, held.index, held.damages)
        return done


def look(master: Master, policy: Policy, *, observer: Observer) -> Cleaned:
    """What :func:`gc` would do now. Changes nothing but scratch files."""
    with locked(master) as (state, head):
        toc = (head.toc, head.toc_head_bytes) if head else None
        with survey(master, state, toc, policy, observer) as found:
            return _cleaned(found)


def _places(master: Master, held: Writing) -> tuple[Path, Store, StoreIndex]:
    return master.state, master.store, held.index


def _remove(master: Master, held: Writing, found: Survey, policy: Policy) -> None:
    found.trash.save(master.state)
    if found.expired:
        master.catalog.drop([(each.name, each.number) for each in found.expired], at=policy.at)
        for each in found.expired:
            del found.trash.versions[each.history]
    packs = {_pack_bytes(path) for path in found.doomed if path.endswith(".pack")}
    if packs:
        # A publish that came after a crash here must not refer to what is gone.
        change_index(held.index, master.store, lambda value: None if value[:8] in packs else value)
    for path in found.doomed:
        master.store.remove(path)
        found.trash.files.pop(path, None)
    master.store.sync()


def _put_together(master: Master, held: Writing, found: Survey, policy: Policy, observer: Observer) -> int:
    """Returns the bytes moved: what is damaged stays where it is."""
    if not found.sparse:
        return 0
    frames = found.marks.frames_of(found.sparse)
    moved = move(frames, master.state, master.store, damages=held.damages, observer=observer)
    finish(found.manifests.items(), *_places(master, held))
    for pack in found.sparse:
        found.trash.files[pack_path(pack)] = policy.now
    return moved


def _pack_bytes(path: str) -> bytes:
    """A pack's id as a location of the index begins with it."""
    return int(path.rpartition("/")[2].removesuffix(".pack"), 16).to_bytes(8, "little")


def _cleaned(found: Survey) -> Cleaned:
    def packs(files: dict[str, int]) -> int:
        return sum(path.endswith(".pack") for path in files)

    return Cleaned(
        versions=tuple(map(str, found.expired)),
        packs_removed=packs(found.doomed),
        bytes_removed=sum(found.doomed.values()),
        packs_waiting=packs(found.waiting),
        bytes_waiting=sum(found.waiting.values()),
        packs_sparse=len(found.sparse),
        bytes_moved=sum(found.marks.needed[pack] for pack in found.sparse),
        bytes_kept=found.bytes_kept,
    )
