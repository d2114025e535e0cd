"""Healing: versions that need what is damaged are led to where the same blocks lie since they were published again."""

from __future__ import annotations

from pathlib import Path

from netclnt.damage import Damages
from netclnt.dedup import StoreIndex, locate_anew
from netclnt.locations import Locations, encode_record
from netclnt.manifest import manifest_path
from netclnt.model import Blocks
from netclnt.pagedeltas import page_deltas_path
from netclnt.protocols import Store
from netclnt.storedmanifest import UNREADABLE, StoredManifest, new_records


def heal(damages: Damages, store: Store, index: StoreIndex, *, scratch: Path) -> Damages:
    """Give the manifests concerned locations anew, as far as the index knows where their blocks lie; returns what is left.
    Damaged page deltas go: nothing depends on them. ``scratch`` is a directory for files without a name."""
    left = Damages(damages.identity)
    for digest in damages.page_deltas:
        store.remove(page_deltas_path(digest))
    for digest, head_bytes in damages.concerned.items():
        if store.size(manifest_path(digest)) is None and digest not in damages.manifests:
            continue  # it is no longer needed
        if not _healed(digest, head_bytes, damages, store, index, scratch):
            left.concerned[digest] = head_bytes
    if left.concerned:
        left.frames, left.packs = damages.frames, damages.packs
        left.manifests = damages.manifests & left.concerned.keys()
    store.sync()
    return left


def _healed(digest: str, head_bytes: int, damages: Damages, store: Store, index: StoreIndex, scratch: Path) -> bool:
    """Whether all of a manifest leads to sound frames now."""
    changed = False
    with new_records(scratch) as records:
        try:
            manifest = StoredManifest(store, digest, head_bytes)
            manifest.entries()
            for page in manifest.pages:
                blocks = manifest.blocks(page)
                record = _sound_record(manifest, page, blocks, damages)
                if record is None:
                    found = locate_anew(blocks, index)
                    if found is None:
                        return False
                    record, changed = encode_record(found), True
                records.add(record)
        except UNREADABLE:
            return False
        if changed:
            manifest.put_records(records)
    return True


def _sound_record(manifest: StoredManifest, page: int, blocks: Blocks, damages: Damages) -> bytes | None:
    """The page's record, unless it is damaged or leads to what is."""
    try:
        record = manifest.record(page)
        locations: Locations = manifest.locations(page, blocks, record)
    except UNREADABLE:
        return None
    return None if any(frame in damages for frame in locations.frames) else record
