"""What a store's manifests need of its packs, counted frame by frame: in runs on disk, however large the store is."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from struct import Struct
from types import TracebackType

import xxhash

from netclnt.blockindex import Growing, Run, write_run
from netclnt.locations import Frame, Locations
from netclnt.model import ID_BYTES
from netclnt.storedmanifest import StoredManifest

_KEY = Struct(">QII")
_VALUE = Struct(">IB")


def frame_key(frame: Frame) -> bytes:
    """Pack, offset and stored length: what a frame is known by, as long as a block's id is."""
    return _KEY.pack(frame.pack, frame.offset, frame.stored)


class Marks:
    """The frames that manifests need. ``needed`` are the stored bytes of them, by pack. A context manager; its scratch files are
    gone at the end."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._frames = Growing(scratch / "marks", value_size=_VALUE.size)
        self._pages = Growing(scratch / "pages", value_size=1)
        self.needed: dict[int, int] = {}

    def __enter__(self) -> Marks:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._frames.__exit__(kind, error, trace)
        self._pages.__exit__(kind, error, trace)

    def add(self, manifest: StoredManifest) -> None:
        """Count what a manifest needs. Raises as StoredManifest does: then nothing may be taken away."""
        for _, locations in self._new_pages(manifest):
            for frame in locations.frames:
                key = frame_key(frame)
                if self._frames.find(key) is None:
                    self._frames.add(key, _VALUE.pack(frame.plain, frame.codec))
                    self.needed[frame.pack] = self.needed.get(frame.pack, 0) + frame.stored

    def _new_pages(self, manifest: StoredManifest) -> Iterator[tuple[int, Locations]]:
        """The pages that no other manifest had with the same locations: versions share most of them."""
        for page in manifest.pages:
            record = manifest.record(page)
            key = xxhash.xxh3_128_digest(manifest.head.block_pages[page].digest + record)
            if self._pages.find(key) is None:
                yield page, manifest.locations(page, manifest.blocks(page), record)
                self._pages.add(key, b"\0")

    def frames_of(self, packs: Container[int]) -> Iterator[Frame]:
        """The needed frames of some packs, pack by pack and in their order there."""
        path = self._scratch / "moving"
        records = (record for record in self._frames if _KEY.unpack(record[:ID_BYTES])[0] in packs)
        write_run(path, records, value_size=_VALUE.size)
        run = Run(path)
        try:
            for record in run:
                pack, offset, stored = _KEY.unpack(record[:ID_BYTES])
                plain, codec = _VALUE.unpack(record[ID_BYTES:])
                yield Frame(pack, offset, stored, plain, codec)
        finally:
            run.close()
            path.unlink()


def packs_of(manifests: Iterable[StoredManifest]) -> Iterator[int]:
    """The packs that manifests lead to, some of them several times."""
    for manifest in manifests:
        for _, _, locations in manifest.located():
            yield from {frame.pack for frame in locations.frames}
