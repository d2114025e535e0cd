"""The master's index of all blocks in its store: local, rebuildable, and never whole in memory.

It follows the catalog's generations: what was published since it was last used (by a crashed publish, or on another
host) is read back from the manifests in the store.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from netclnt.blockindex import Run, change_run, merge_runs, write_run
from netclnt.damage import Damages
from netclnt.errors import Damaged, StorageError
from netclnt.locations import EARLIER, Frame, Locations
from netclnt.locations import Run as LocatedRun
from netclnt.model import ZERO_ID, Blocks, Version
from netclnt.notes import ODD, write_note
from netclnt.pack import HEADER, RAW, ZSTD
from netclnt.protocols import Store
from netclnt.storedmanifest import StoredManifest

RECORD = struct.Struct("<QIIIBI")
"""Value of one record: the frame's pack, offset, stored and plain length and codec; where in the frame the block begins."""

_START_BYTES = 4


def encode_location(frame: Frame, start: int) -> bytes:
    return RECORD.pack(frame.pack, frame.offset, frame.stored, frame.plain, frame.codec, start)


def decode_location(value: bytes) -> tuple[Frame, int]:
    """Raises Damaged for what no pack can hold: a wrong location would be published."""
    pack, offset, stored, plain, codec, start = RECORD.unpack(value)
    if offset < HEADER.size or not stored or start >= plain or codec not in (RAW, ZSTD):
        raise Damaged(what="index", where="location", problem="a frame that cannot be")
    return Frame(pack, offset, stored, plain, codec), start


class StoreIndex:
    """Every block of the store by its id. Not shared between threads or processes: the store's lock guards it.

    ``directory`` belongs to the index alone; ``identity`` names the catalog it follows, ``epoch`` the store's: where either is
    another one than it was made with, it begins anew.
    """

    def __init__(self, directory: Path, *, identity: str, epoch: str = "") -> None:
        self._directory = directory
        self._identity = identity
        self._epoch = epoch
        self._numbers = 0
        self.generation = 0
        self._runs: list[Run] = []
        self._latest: tuple[bytes, Frame | None] = b"", None
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._load()

    def find(self, id_: bytes) -> tuple[Frame, int] | None:
        """Where the block lies: its frame, and where in that it begins; or None.

        Raises Damaged for an index that cannot be right; the next one on this directory is then made anew.
        """
        try:
            for run in self._runs:
                value = run.find(id_)
                if value is not None:
                    return self._located(value)
        except Damaged:
            self._state_path.unlink(missing_ok=True)
            raise
        return None

    def _located(self, value: bytes) -> tuple[Frame, int]:
        """Neighbours mostly lie in one frame, which is then the same object: it is checked and compared by the run."""
        known, frame = self._latest
        if frame is None or value[: len(known)] != known:
            frame, start = decode_location(value)
            self._latest = value[:-_START_BYTES], frame
            return frame, start
        start = int.from_bytes(value[-_START_BYTES:], "little")
        return (frame, start) if start < frame.plain else decode_location(value)

    def add(self, records: Iterable[bytes], *, generation: int) -> None:
        """Take in the blocks published with ``generation``: ids joined with their encoded locations."""
        path = self._new_path()
        write_run(path, records, value_size=RECORD.size)
        run = Run(path)
        self._runs.append(run)
        self.generation = generation
        obsolete = self._merge()
        self._save()
        for path in obsolete:
            path.unlink()

    def change(self, change: Callable[[bytes], bytes | None], *, epoch: str) -> None:
        """Put ``change(value)`` in the place of each value, or forget the block for None; durable under the new epoch."""
        obsolete, self._epoch = self._runs, epoch
        changed = []
        for run in obsolete:
            path = self._new_path()
            change_run(path, run, change)
            changed.append(Run(path))
            run.close()
        self._runs = changed
        self._latest = b"", None
        self._save()
        for run in obsolete:
            run.path.unlink()

    def forget(self) -> None:
        """Begin anew, for a store that holds nothing of what was recorded."""
        self._state_path.unlink(missing_ok=True)
        self.close()
        self._runs = []
        self.generation = 0

    def close(self) -> None:
        for run in self._runs:
            run.close()

    def _merge(self) -> list[Path]:
        """Put the newest run and older ones of like size together; returns the files that this leaves over.

        So each run is more than twice as long as the next: there are few to ask, and a record is seldom written again.
        """
        first = len(self._runs) - 1
        count = self._runs[first].count
        while first and count * 2 >= self._runs[first - 1].count:
            first -= 1
            count += self._runs[first].count
        alike = self._runs[first:]
        if len(alike) < 2:
            return []
        path = self._new_path()
        merge_runs(path, [run.path for run in alike], value_size=RECORD.size)
        for run in alike:
            run.close()
        self._runs[first:] = [Run(path)]
        return [run.path for run in alike]

    def _new_path(self) -> Path:
        self._numbers += 1
        return self._directory / f"{self._numbers:08d}.run"

    @property
    def _state_path(self) -> Path:
        return self._directory / "index.json"

    def _load(self) -> None:
        """Open what the state file names; anything odd about it means to begin with an empty index."""
        try:
            state = json.loads(self._state_path.read_text())
            if (state["identity"], state["epoch"]) == (self._identity, self._epoch):
                self._numbers = int(state["numbers"])
                self._runs = [_open_run(self._directory / name) for name in state["runs"]]
                self.generation = int(state["generation"])
        except (*ODD, Damaged, StorageError):
            self.forget()
        named = {run.path for run in self._runs}
        for path in self._directory.iterdir():
            if path.suffix != ".json" and path not in named:
                path.unlink()

    def _save(self) -> None:
        state = {
            "identity": self._identity,
            "epoch": self._epoch,
            "generation": self.generation,
            "numbers": self._numbers,
            "runs": [run.path.name for run in self._runs],
        }
        write_note(self._state_path, state)


def _open_run(path: Path) -> Run:
    run = Run(path)
    if run.value_size != RECORD.size:
        run.close()
        raise Damaged(what="index", where=str(path), problem="written by another program")
    return run


def catch_up(index: StoreIndex, store: Store, published: Iterable[Version], *, damages: Damages) -> None:
    """Bring the index up to the newest of the versions, which come in the order of their generation. What is known to be damaged
    is left out."""
    for version in published:
        index.add(_records(store, version, damages), generation=version.generation)


def _records(store: Store, version: Version, damages: Damages) -> Iterator[bytes]:
    if version.manifest in damages.manifests:
        return
    for _, blocks, locations in StoredManifest(store, version.manifest, version.head_bytes).located():
        for run in locations.runs:
            frame = None if run.frame == EARLIER else locations.frames[run.frame]
            if frame is None or frame.codec not in (RAW, ZSTD) or frame in damages:
                continue
            begin = run.start
            for number in range(run.first, run.first + run.count):
                yield blocks.id(number) + encode_location(frame, begin)
                begin += blocks.lengths[number]


def locate_anew(blocks: Blocks, index: StoreIndex) -> Locations | None:
    """Where the index says that the blocks of a page lie; None if it does not know one of them."""
    frames: dict[Frame, int] = {}
    runs: list[LocatedRun] = []
    begin = -1
    for number, (id_, length) in enumerate(blocks):
        found = None if id_ == ZERO_ID else index.find(id_)
        if found is None:
            if id_ != ZERO_ID:
                return None
            begin = -1
            continue
        frame, start = found
        at = frames.setdefault(frame, len(frames))
        if runs and runs[-1].frame == at and start == begin:
            runs[-1].count += 1
        else:
            runs.append(LocatedRun(number, 1, at, start))
        begin = start + length
    return Locations(tuple(frames), tuple(runs))
