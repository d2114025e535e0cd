"""Checking what only a slave with the version before makes use of: delta frames and page deltas.

Nothing depends on either, so a slave that meets a damaged one takes the plain form; it is a waste of its line all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock

from netclnt.chunking import block_id
from netclnt.dedup import StoreIndex
from netclnt.errors import Damaged, ForbiddenValue, SourceMissing
from netclnt.locations import Frame
from netclnt.pack import decode_frame, pack_path
from netclnt.pagedeltas import decode_header, header_bytes, is_of_other_zstd, is_sound, page_deltas_path
from netclnt.protocols import Store
from netclnt.storedframes import StoredFrames
from netclnt.storedmanifest import UNREADABLE, StoredManifest


class DeltaCheck:
    """``index`` says where bases lie. Frames may be asked for by several threads."""

    def __init__(self, store: Store, index: StoreIndex, hash_seed: int) -> None:
        self._store = store
        self._index = index
        self._hash_seed = hash_seed
        self._frames = StoredFrames(store)
        self._lock = Lock()
        self._heads: dict[bytes, int] = {}

    def enter(self, digest: str, head_bytes: int) -> None:
        """A manifest that others may be the difference to."""
        self._heads[bytes.fromhex(digest)] = head_bytes

    def problem_of_frame(
        self, frame: Frame, stored: bytes, base: Iterable[tuple[bytes, int]], held: Iterable[tuple[bytes, int, int]]
    ) -> str:
        """What is wrong with a delta frame, which holds blocks (id, start, length); nothing if its ``base`` (ids and lengths) is
        not in the store whole, and sound: that is told by itself."""
        prefix = self._base(base)
        if prefix is None:
            return ""
        try:
            plain = memoryview(decode_frame(frame.codec, stored, plain=frame.plain, where=pack_path(frame.pack), base=prefix))
        except Damaged as error:
            return error.problem
        right = all(block_id(plain[start : start + length], self._hash_seed) == id_ for id_, start, length in held)
        return "" if right else "a block is not what its id says"

    def _base(self, blocks: Iterable[tuple[bytes, int]]) -> bytes | None:
        parts: list[memoryview] = []
        try:
            for id_, length in blocks:
                with self._lock:
                    found = self._index.find(id_)
                if found is None:
                    return None
                frame, start = found
                parts.append(self._frames.plain(frame)[start : start + length])
                if block_id(parts[-1], self._hash_seed) != id_:
                    return None
        except UNREADABLE:
            return None
        return b"".join(parts)

    def problem_of_pages(self, manifest: StoredManifest) -> str | None:
        """What is wrong with the page deltas beside a manifest, if there are any; those to a manifest that was not entered, or is
        damaged itself, are looked at as far as their header goes."""
        path = page_deltas_path(manifest.digest)
        if self._store.size(path) is None:
            return None
        try:
            header = self._store.read(path, 0, header_bytes(manifest.head))
            if is_of_other_zstd(header):
                return None
            before, groups = decode_header(header, manifest.head, where=path)
            old = self._manifest(before)
            if old is None:
                return None
            for group in groups:
                data = self._store.read(path, group.offset, group.length)
                kinds = manifest.pages_by_kind()[group.kind], old.pages_by_kind()[group.kind]
                if not is_sound(data, group, *kinds):
                    return "pages do not come of it that should"
        except SourceMissing:
            return "missing"
        except (Damaged, ForbiddenValue) as error:
            return str(error)
        return None

    def _manifest(self, digest: str) -> StoredManifest | None:
        head_bytes = self._heads.get(bytes.fromhex(digest))
        if head_bytes is None:
            return None
        try:
            found = StoredManifest(self._store, digest, head_bytes)
            for page in found.pages:
                found.blocks(page)
            found.entries()
        except UNREADABLE:
            return None
        return found
