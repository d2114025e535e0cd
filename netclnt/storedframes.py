"""Content as it lies in the store's packs, read by the master: frame by frame, and whole versions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache, partial
from itertools import accumulate
from typing import BinaryIO

from netclnt.chunking import block_id
from netclnt.errors import Damaged
from netclnt.locations import EARLIER, Frame, Locations
from netclnt.model import ZERO_ID, Blocks
from netclnt.pack import RAW, ZSTD, decode_frame, pack_path
from netclnt.protocols import Store
from netclnt.storedmanifest import StoredManifest

_READ_BYTES = 1 << 20
_FRAMES_KEPT = 64
"""16 MiB at most: neighbouring pages share frames."""


class StoredFrames:
    """The content of plain frames, those asked for of late kept decoded. Safe to use from several threads. Raises Damaged,
    SourceMissing, StorageError."""

    def __init__(self, store: Store) -> None:
        # not of a method: content would stay in memory until the garbage collector comes by
        self.plain = lru_cache(_FRAMES_KEPT)(partial(_plain, store))


def _plain(store: Store, frame: Frame) -> memoryview:
    path = pack_path(frame.pack)
    stored = store.read(path, frame.offset, frame.stored)
    return memoryview(decode_frame(frame.codec, stored, plain=frame.plain, where=path))


def places(locations: Locations, blocks: Blocks) -> Iterator[tuple[int, Frame | None, int]]:
    """For each block that has a place: its number, a frame (None: earlier in the version) and where it begins there. Delta frames
    are passed over."""
    return (place for place in _all_places(locations, blocks) if place[1] is None or _is_plain(place[1]))


def delta_places(locations: Locations, blocks: Blocks) -> Iterator[tuple[int, Frame, int]]:
    """The same of delta frames alone."""
    return (
        (number, frame, start)
        for number, frame, start in _all_places(locations, blocks)
        if frame is not None and not _is_plain(frame)
    )


def _all_places(locations: Locations, blocks: Blocks) -> Iterator[tuple[int, Frame | None, int]]:
    offsets = list(accumulate(blocks.lengths, initial=0))
    for run in locations.runs:
        frame = None if run.frame == EARLIER else locations.frames[run.frame]
        for number in range(run.first, run.first + run.count):
            yield number, frame, run.start + offsets[number] - offsets[run.first]


def _is_plain(frame: Frame) -> bool:
    return frame.codec in (RAW, ZSTD)


def write_content(manifest: StoredManifest, store: Store, file: BinaryIO) -> None:
    """Write the content of an image of one file into an empty file; every block and the whole is checked. Raises Damaged."""
    frames, (entry,) = StoredFrames(store), manifest.entries()
    file.truncate(entry.size)
    for page, blocks, locations in manifest.located():
        found = {number: (frame, start) for number, frame, start in places(locations, blocks)}
        offset = manifest.starts[page]
        for number, (id_, length) in enumerate(blocks):
            if id_ != ZERO_ID:
                frame, start = found.get(number, (None, offset))
                block = frames.plain(frame)[start : start + length] if frame else _read(file, start, length)
                if block_id(block, manifest.head.hash_seed) != id_:
                    raise Damaged(what="block", where=manifest.path, problem=f"not what its id says, at {offset}")
                file.seek(offset)
                file.write(block)
            offset += length
    digest = hashlib.sha256()
    file.seek(0)
    while part := file.read(_READ_BYTES):
        digest.update(part)
    if digest.digest() != entry.sha256:
        raise Damaged(what="file", where=manifest.path, problem="not what its SHA-256 says")
    file.flush()


def _read(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)
