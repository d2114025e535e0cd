"""Content that comes over a stream: standard input, read once."""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING, BinaryIO

from netclnt.errors import Unpublishable
from netclnt.files.failures import reported
from netclnt.model import EntryType
from netclnt.protocols import Item

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MODE = 0o644


class StreamContent:
    """:class:`netclnt.protocols.Content` of one file that is whatever ``stream`` gives; the stream stays its owner's to close.

    A stream that gave nothing is refused at the end: most likely the command before the pipe failed.
    """

    tree = False

    def __init__(self, stream: BinaryIO, *, where: str) -> None:
        self._raw = _Counted(stream, where)
        self._where = where

    def items(self) -> Iterator[Item]:
        yield Item("", EntryType.FILE, _MODE, size=None)

    def open(self, path: str) -> BinaryIO:
        """``path`` can only be ``""``. The stream is read once."""
        assert not path
        return BufferedReader(self._raw)

    def check_unchanged(self) -> None:
        """Raises Unpublishable."""
        if not self._raw.count:
            raise Unpublishable(path=self._where, problem="nothing came over it")


class _Counted(RawIOBase):
    """Counts what is read, and makes its errors ours."""

    def __init__(self, stream: BinaryIO, where: str) -> None:
        self._stream = stream
        self._where = where
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        with reported("read", self._where):
            data = self._stream.read(len(view))
        view[: len(data)] = data
        self.count += len(data)
        return len(data)
