"""The program of a digester process: reads one staged file behind the write front, and digests it.

Started by :mod:`netclnt.files.digester` with ``DESCRIPTOR HASH_SEED``; loads only what it needs. Each line of standard input asks
for one page, the next in order, as JSON: ``[offset, [[is it zeros, length], …], check]``. The answer is a line, too: the SHA-256
of all of the file up to the page's end (it and the check are hexadecimal); or ``null`` where the content has another check, which
leaves the digest where it was; or the number of the error that reading ended with. It ends with its standard input.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import xxhash

from netclnt.files.holes import data_ranges

if TYPE_CHECKING:
    from hashlib import _Hash as HASH

_BUFFER_SIZE = 1 << 20
_ZEROS = bytes(_BUFFER_SIZE)

_IN_MEMORY = 64 << 20
"""Bytes behind the front that stay in the page cache while the disk takes them in. What lies further back gives its memory to
what is still to come: else the whole file would sit there, and new memory is dearer than the copy into it."""


class Digesting:
    """The digest of one file, page by page."""

    def __init__(self, descriptor: int, hash_seed: int) -> None:
        self._descriptor = descriptor
        self._hash_seed = hash_seed
        self._sha256 = hashlib.sha256()
        self._buffer = memoryview(bytearray(_BUFFER_SIZE))
        self._behind: deque[tuple[int, int]] = deque()
        self._behind_size = 0

    def page(self, offset: int, segments: Sequence[tuple[bool, int]], check: str) -> str | None:
        """Digest a page; the SHA-256 up to its end, or None, and nothing done, if its check is another one. Raises OSError."""
        sha256, found = self._sha256.copy(), xxhash.xxh3_128(seed=self._hash_seed)
        start = offset
        for zeros, length in segments:
            if zeros:
                self._digest_sparse(sha256, offset, length)
            else:
                for part in self._parts(offset, length):
                    found.update(part)
                    sha256.update(part)
            offset += length
        if found.hexdigest() != check:
            return None
        self._sha256 = sha256
        self._pass(start, offset - start)
        return sha256.hexdigest()

    def _parts(self, offset: int, length: int) -> Iterator[memoryview]:
        """The content of a range, each part valid until the next; ends early where the file does."""
        end = offset + length
        while offset < end and (got := os.preadv(self._descriptor, [self._buffer[: end - offset]], offset)):
            yield self._buffer[:got]
            offset += got

    def _digest_sparse(self, sha256: HASH, start: int, length: int) -> None:
        """Digest a range that should be zeros. Holes are not read, which would take memory for them."""
        end = start + length
        for begin, size in data_ranges(self._descriptor, start, length):
            _digest_zeros(sha256, begin - start)
            for part in self._parts(begin, size):
                sha256.update(part)
            start = begin + size
        _digest_zeros(sha256, end - start)

    def _pass(self, start: int, length: int) -> None:
        """Let the disk have a page now, so that the fsync at the end need not wait for all; and forget what lies far behind."""
        self._forget(start, length)
        self._behind.append((start, length))
        self._behind_size += length
        while self._behind_size > _IN_MEMORY:
            start, length = self._behind.popleft()
            self._behind_size -= length
            self._forget(start, length)

    def _forget(self, start: int, length: int) -> None:
        """What the disk has is forgotten; the writing of what it has not is begun (mm/fadvise.c)."""
        os.posix_fadvise(self._descriptor, start, length, os.POSIX_FADV_DONTNEED)


def _digest_zeros(sha256: HASH, length: int) -> None:
    for _ in range(length // _BUFFER_SIZE):
        sha256.update(_ZEROS)
    sha256.update(_ZEROS[: length % _BUFFER_SIZE])


def main() -> None:
    digesting = Digesting(int(sys.argv[1]), int(sys.argv[2]))
    answer: str | int | None
    for line in sys.stdin.buffer:
        try:
            answer = digesting.page(*json.loads(line))
        except OSError as error:
            answer = error.errno
        try:
            os.write(sys.stdout.fileno(), json.dumps(answer).encode() + b"\n")
        except BrokenPipeError:
            return  # nobody wants to know any more


if __name__ == "__main__":
    main()
