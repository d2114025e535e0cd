"""A file on its way in: read ahead by one thread and digested behind by another, in buffers that are used again and again."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import BinaryIO, Protocol, Self, cast

from netclnt.chunking import READ_SIZE

_READ_AHEAD = 2
"""Buffers filled, or being filled, before they are asked for."""

_BUFFERS = _READ_AHEAD + 4
"""Of the others one is with the caller, and three are being digested: SHA-256 is the slowest of the three."""

_INLINE_DIGEST_MAX = 256 * 1024


class Intake:
    """Two threads and the buffers, for one file after the other. A context manager.

    ``on_read`` is told, in the caller's thread, of bytes handed out.
    """

    def __init__(self, on_read: Callable[[int], None]) -> None:
        self.on_read = on_read
        self.buffers = deque(_Buffer() for _ in range(_BUFFERS))
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.reader = self._stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="read"))
        self.digester = self._stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="digest"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    @contextmanager
    def file(self, file: BinaryIO, *, size: int | None) -> Iterator[Passing]:
        """Take in one file, which stays its owner's to close; one at a time. Nothing reads it any more at the end.

        A file of unknown ``size`` is not read ahead: nobody could end a read that waits for what comes over a pipe.
        """
        passing = Passing(self, file, ahead=0 if size is None else size // READ_SIZE)
        try:
            yield passing
        finally:
            passing.stop()


class _ReadsInto(Protocol):
    """What all binary files of Python do, though BinaryIO does not say so."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...


class _Buffer:
    """``digested`` is the last use that another thread makes of it."""

    def __init__(self) -> None:
        self.data = bytearray(READ_SIZE)
        self.digested: Future[None] | None = None


class Passing:
    """One file being taken in."""

    def __init__(self, intake: Intake, file: BinaryIO, *, ahead: int) -> None:
        """``ahead`` is how many parts more than the first may be read before they are asked for."""
        self._intake = intake
        self._file = cast("_ReadsInto", file)
        self._ahead = ahead
        self._filling: deque[tuple[_Buffer, Future[int]]] = deque()
        self._digesting: Future[None] | None = None
        self._sha256 = hashlib.sha256()
        self.size = 0

    def read(self, _size: int = READ_SIZE) -> bytearray:
        """The next :data:`READ_SIZE` bytes, fewer only at the end. They stay as they are until the next call."""
        if self._filling:
            buffer, filling = self._filling.popleft()
            count = filling.result()
        else:
            buffer = self._next_buffer()
            count = self._fill(buffer)
        while self._ahead and len(self._filling) < _READ_AHEAD:
            self._ahead -= 1
            following = self._next_buffer()
            self._filling.append((following, self._intake.reader.submit(self._fill, following)))
        data = buffer.data if count == READ_SIZE else buffer.data[:count]
        if count <= _INLINE_DIGEST_MAX and (self._digesting is None or self._digesting.done()):
            self._sha256.update(data)
        else:
            self._digesting = buffer.digested = self._intake.digester.submit(self._sha256.update, data)
        self.size += count
        self._intake.on_read(count)
        return data

    def _next_buffer(self) -> _Buffer:
        buffers = self._intake.buffers
        buffers.rotate(-1)
        return buffers[-1]

    def digest(self) -> bytes:
        """The SHA-256 of all that was read."""
        if self._digesting:
            self._digesting.result()
        return self._sha256.digest()

    def stop(self) -> None:
        """Wait until nothing reads the file any more. Idempotent."""
        for _, filling in self._filling:
            filling.cancel()
        wait([filling for _, filling in self._filling])

    def _fill(self, buffer: _Buffer) -> int:
        if buffer.digested:
            buffer.digested.result()
        view = memoryview(buffer.data)
        count = 0
        while count < len(view) and (got := self._file.readinto(view[count:])):
            count += got
        return count
