"""Putting packs together: the needed frames of packs that are mostly waste are copied into new ones, and all are led there.

Order of writes: new packs → where each frame went (``moved.run`` in the state directory) → index → locations. A crash before the
second leaves packs that nothing refers to; after it, the next run goes on from there. The old packs stay, as trash.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from struct import Struct

from netclnt.blockindex import Run, write_run
from netclnt.damage import Damages
from netclnt.dedup import RECORD, StoreIndex
from netclnt.errors import Damaged, SourceMissing
from netclnt.events import Observer, Warned
from netclnt.locations import Frame, encode_record
from netclnt.marks import frame_key
from netclnt.master import EPOCH_PATH
from netclnt.model import ID_BYTES
from netclnt.pack import PACK_BYTES_MAX, RAW, ZSTD, decode_frame, pack_path
from netclnt.protocols import Store
from netclnt.storedmanifest import UNREADABLE, StoredManifest, new_records

_PLACE = Struct(">QI")
_PACK_BYTES = 8


def move(frames: Iterable[Frame], state: Path, store: Store, *, damages: Damages, observer: Observer) -> int:
    """Copy frames into new packs and note where each went; returns the bytes written. What is damaged stays where it is."""
    copies = _Copies(store, damages, observer)
    write_run(_path(state), copies.all(frames), value_size=_PLACE.size)
    return copies.bytes


class _Copies:
    def __init__(self, store: Store, damages: Damages, observer: Observer) -> None:
        self._store = store
        self._damages = damages
        self._observer = observer
        self.bytes = 0

    def all(self, frames: Iterable[Frame]) -> Iterator[bytes]:
        """A record of each copy; all of them are durable at the end."""
        writer = None
        try:
            for frame in frames:
                stored = self._sound(frame)
                if stored is None:
                    continue
                if writer is None or writer.size + len(stored) > PACK_BYTES_MAX:
                    if writer is not None:
                        writer.close()
                    writer = self._store.new_pack()
                yield frame_key(frame) + _PLACE.pack(writer.pack, writer.size)
                writer.append(stored)
                self.bytes += len(stored)
        finally:
            if writer is not None:
                writer.close()
        self._store.sync()

    def _sound(self, frame: Frame) -> bytes | None:
        path = pack_path(frame.pack)
        try:
            if frame in self._damages:
                raise Damaged(what="frame", where=path, problem="known to be damaged")
            stored = self._store.read(path, frame.offset, frame.stored)
            if frame.codec in (RAW, ZSTD):  # of others, the base is not at hand
                decode_frame(frame.codec, stored, plain=frame.plain, where=path)
        except (Damaged, SourceMissing) as error:
            told = f"{path} holds a damaged frame at {frame.offset}, which stays there: {error}. Next: netclnt verify --store"
            self._observer(Warned("damaged-frame", told))
            return None
        return stored


def finish(manifests: Iterable[tuple[str, int]], state: Path, store: Store, index: StoreIndex) -> None:
    """Lead index and manifests (digest, length of the head) to where frames went, if anything is noted; nothing is noted then."""
    path = _path(state)
    moves = _Moves.open(path, store)
    if moves is not None:
        with closing(moves):
            change_index(index, store, moves.value)
            for digest, head_bytes in manifests:
                with suppress(*UNREADABLE):  # whoever needs such a manifest is told of it by the survey
                    moves.lead(StoredManifest(store, digest, head_bytes), state)
            store.sync()
    path.unlink(missing_ok=True)


class _Moves:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._packs = {int.from_bytes(record[:_PACK_BYTES], "big") for record in run}
        self.targets = {_PLACE.unpack(record[ID_BYTES:])[0] for record in run}

    @classmethod
    def open(cls, path: Path, store: Store) -> _Moves | None:
        """None if nothing is noted, or of a store that is no longer as it was."""
        if not path.exists():
            return None
        with suppress(Damaged):
            moves = cls(Run(path))
            if moves.targets and all(store.size(pack_path(pack)) is not None for pack in moves.targets):
                return moves
            moves.close()
        return None

    def close(self) -> None:
        self._run.close()

    def frame(self, frame: Frame) -> Frame:
        """Where a frame is now."""
        place = self._run.find(frame_key(frame)) if frame.pack in self._packs else None
        if place is None:
            return frame
        pack, offset = _PLACE.unpack(place)
        return frame._replace(pack=pack, offset=offset)

    def value(self, value: bytes) -> bytes:
        """A location of the index, as it is now."""
        if int.from_bytes(value[:_PACK_BYTES], "little") not in self._packs:
            return value
        *parts, start = RECORD.unpack(value)
        return RECORD.pack(*self.frame(Frame(*parts)), start)

    def lead(self, manifest: StoredManifest, scratch: Path) -> None:
        changed = False
        with new_records(scratch) as records:
            for page in manifest.pages:
                record = manifest.record(page)
                locations = manifest.locations(page, manifest.blocks(page), record)
                frames = tuple(map(self.frame, locations.frames))
                if frames != locations.frames:
                    record, changed = encode_record(replace(locations, frames=frames)), True
                records.add(record)
            if changed:
                manifest.put_records(records)


def change_index(index: StoreIndex, store: Store, change: Callable[[bytes], bytes | None]) -> None:
    """Change what the index tells; indexes on other hosts, which do not hear of it, are made anew when they are next used."""
    epoch = secrets.token_hex(16)
    store.put(EPOCH_PATH, [epoch.encode()])
    store.sync()
    index.change(change, epoch=epoch)


def _path(state: Path) -> Path:
    return state / "moved.run"
