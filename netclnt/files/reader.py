"""A regular file opened to read."""

from __future__ import annotations

import os

from netclnt.files.failures import reported
from netclnt.files.transfer import read_full


class FileReader:
    """:class:`netclnt.protocols.Reader` over a descriptor, which it owns. ``path`` is for messages. ``inner`` is the file's path
    inside a live image of the root called ``root``, if it lies in one."""

    def __init__(self, descriptor: int, path: str, *, root: str | None = None, inner: str | None = None) -> None:
        self._descriptor = descriptor
        self._path = path
        self.root = root
        self.inner = inner
        with reported("read", path):
            self._size = os.fstat(descriptor).st_size

    @property
    def size(self) -> int:
        return self._size

    def fileno(self) -> int:
        return self._descriptor

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> int:
        with reported("read", self._path):
            return read_full(self._descriptor, offset, buffer)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
