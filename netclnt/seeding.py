"""Which seeds a version can take blocks from, best first: what the image was, what was kept or staged of it, and the rest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from netclnt.blockindex import Run, write_run
from netclnt.chunking import block_id, cut
from netclnt.errors import Damaged, ForbiddenName, IntegrityError, StorageError, TrustError, Unpublishable
from netclnt.ledger import Ledger
from netclnt.localmanifests import OFFSET_BYTES, LocalManifest, Manifests, reported, sized
from netclnt.model import ZERO_ID, Entry, EntryType
from netclnt.naming import check_name
from netclnt.plainstage import PlainStage
from netclnt.protocols import Reader, Root, Stage
from netclnt.seeds import IndexedSeed, Seed, StagedSeed, VersionSeed

_OTHER_IMAGES_MAX = 8
"""Of the root's other images only the largest are asked: each is looked through for the blocks that are new."""


def scan(entries: Sequence[Entry], open_file: Callable[[str], Reader], *, hash_seed: int, path: Path) -> Run:
    """Cut the files of ``entries`` as publish would, and write an index of their blocks, by plain offset, to ``path``."""
    write_run(path, _block_records(entries, open_file, hash_seed), value_size=OFFSET_BYTES)
    return Run(path)


def _block_records(entries: Sequence[Entry], open_file: Callable[[str], Reader], hash_seed: int) -> Iterator[bytes]:
    start = 0
    for entry in entries:
        if entry.type is not EntryType.FILE:
            continue
        reader = open_file(entry.path)
        try:
            offset = start
            for stretch in cut(_Sequential(reader).read):
                position = 0
                for length in stretch.lengths:
                    block = stretch.data[position : position + length]
                    yield block_id(block, hash_seed) + offset.to_bytes(OFFSET_BYTES, "little")
                    position += length
                    offset += length
                offset += stretch.zeros
        finally:
            reader.close()
        start += entry.size


class _Sequential:
    """Reads a Reader from begin to end."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._position = 0

    def read(self, size: int) -> memoryview:
        buffer = memoryview(bytearray(size))
        got = self._reader.read_into(self._position, buffer)
        self._position += got
        return buffer[:got]


class Seeding:
    """Finds seeds on one slave. ``scratch`` is a private directory for indexes; ``directories`` are read-only roots of seeds."""

    def __init__(
        self, *, root: Root, ledger: Ledger, manifests: Manifests, directories: Mapping[str, Root], scratch: Path, hash_seed: int
    ) -> None:
        self._root = root
        self._ledger = ledger
        self._manifests = manifests
        self._directories = directories
        self._scratch = scratch
        self._hash_seed = hash_seed
        with reported("create", scratch):
            scratch.mkdir(mode=0o700, parents=True, exist_ok=True)

    def shown(self, name: str) -> Seed | None:
        """The image as the ledger knows it."""
        held = self._ledger.get(name)
        return version_seed(self._manifests, held.manifest, partial(self._root.open, name)) if held else None

    def kept(self, name: str) -> Iterator[Seed]:
        for kept in self._ledger.kept(name):
            seed = version_seed(self._manifests, kept.manifest, partial(self._root.open_kept, kept.token))
            if seed is not None:
                yield seed

    def staged(self, except_digest: str) -> Iterator[Seed]:
        """What interrupted runs left in staging of versions that are no longer wanted."""
        for token in self._root.staged():
            manifest = self._manifests.open(token) if token != except_digest else None
            if manifest is None:
                continue
            with closing(manifest), suppress(StorageError, TrustError, IntegrityError):
                yield self._staged(manifest, self._root.stage(token))

    def _staged(self, manifest: LocalManifest, stage: Stage) -> Seed:
        try:
            stage.prepare(manifest.entries)
            index = self._passing(self._staged_records(manifest, stage))
        except BaseException:
            stage.close()
            raise
        return StagedSeed(manifest.entries, index, stage)

    def _staged_records(self, manifest: LocalManifest, stage: Stage) -> Iterator[bytes]:
        journal = self._ledger.journal(manifest.digest)
        plain = PlainStage(stage, manifest.layout)
        for number, start in enumerate(manifest.starts):
            if number in journal:
                yield from manifest.index_records(number)
                continue
            blocks = manifest.blocks(number)
            good = plain.good_blocks(blocks, start=start, hash_seed=self._hash_seed)
            offset = start
            for (id_, length), is_good in zip(blocks, good, strict=False):
                if is_good and id_ != ZERO_ID:
                    yield id_ + offset.to_bytes(OFFSET_BYTES, "little")
                offset += length

    def others(self, name: str) -> Iterator[Seed]:
        """The largest other images of the root."""
        held = sorted((held for held in self._ledger.held() if held.name != name), key=lambda held: -held.size)
        for other in held[:_OTHER_IMAGES_MAX]:
            seed = version_seed(self._manifests, other.manifest, partial(self._root.open, other.name))
            if seed is not None:
                yield seed

    def foreign(self, name: str, root: Root) -> Iterator[Seed]:
        """What lies in ``root`` at an image's place though the ledger does not know it; nothing if it is something that cannot be
        read."""
        open_file = partial(root.open, name)
        with suppress(ForbiddenName, Unpublishable, StorageError):
            entries = list(root.tree(name))
            yield IndexedSeed(entries, self._passing(_block_records(entries, open_file, self._hash_seed)), open_file)

    def from_directories(self) -> Iterator[Seed]:
        """Each seed directory as one seed; one that changed since the last time (by its files' names, sizes, mtimes and
        inodes) is read through first."""
        for place, root in self._directories.items():
            with suppress(StorageError):
                found = sorted((path, facts) for path, facts in root.files() if _readable_name(path))
                entries = [Entry(path, EntryType.FILE, 0, facts.size, bytes(32)) for path, facts in found]
                open_file = partial(_open_whole, root)
                index = self._scanned(_key(place), _key(self._hash_seed, found), entries, open_file)
                yield IndexedSeed(entries, index, open_file)

    def _scanned(self, place: str, state: str, entries: Sequence[Entry], open_file: Callable[[str], Reader]) -> Run:
        """The index of a seed directory as it is now; that of an earlier state goes."""
        path = self._scratch / f"{place}.{state}.scan"
        if path.exists():
            with suppress(Damaged):
                return Run(path)
        run = scan(entries, open_file, hash_seed=self._hash_seed, path=path)
        with reported("clean", self._scratch):
            for other in self._scratch.glob(f"{place}.*.scan"):
                if other != path:
                    other.unlink(missing_ok=True)
        return run

    def _passing(self, records: Iterator[bytes]) -> Run:
        """An index for this time only: its file is gone as soon as it is open."""
        path = self._scratch / f"{os.getpid()}.passing"
        write_run(path, records, value_size=OFFSET_BYTES)
        run = Run(path)
        with reported("remove", path):
            path.unlink()
        return run


def stale_scans(scratch: Path, places: Iterable[str]) -> list[tuple[Path, int]]:
    """Indexes of directories that are seeds no longer, and their sizes."""
    known = {_key(place) for place in places}
    with reported("list", scratch):
        return list(sized(path for path in sorted(scratch.glob("*.scan")) if path.name.partition(".")[0] not in known))


def version_seed(manifests: Manifests, digest: str, open_file: Callable[[str], Reader]) -> Seed | None:
    """The seed of a whole version, if its manifest is here; ``open_file`` opens a file by its path inside the version."""
    manifest = manifests.open(digest)
    return None if manifest is None else VersionSeed(manifest, open_file)


def _key(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _readable_name(path: str) -> bool:
    try:
        check_name(path)
    except ForbiddenName:
        return False
    return True


def _open_whole(root: Root, path: str) -> Reader:
    """A file of a seed directory: an image of its own, as it were."""
    return root.open(path, "")
