"""A digester without a process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import xxhash

from netclnt.model import Bytes
from netclnt.protocols import DigesterLost


class MemoryDigester:
    """:class:`netclnt.protocols.Digester` of ``data``, which may still change; lost after ``pages`` questions."""

    def __init__(self, data: Bytes, *, hash_seed: int, pages: int) -> None:
        self._data = data
        self._hash_seed = hash_seed
        self._left = pages
        self._sha256 = hashlib.sha256()

    def page(self, offset: int, segments: Sequence[tuple[bool, int]], check: bytes) -> bytes | None:
        if not self._left:
            raise DigesterLost
        self._left -= 1
        sha256, found = self._sha256.copy(), xxhash.xxh3_128(seed=self._hash_seed)
        for zeros, length in segments:
            part = bytes(self._data[offset : offset + length])
            sha256.update(part)
            found.update(b"" if zeros else part)
            offset += length
        if found.digest() != check:
            return None
        self._sha256 = sha256
        return sha256.digest()
