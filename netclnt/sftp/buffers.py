"""Buffers between a transport and the reader, made so that a byte is copied seldom and threads take turns seldom.

All threads share one interpreter lock, so each needless system call, copy and wake-up between them costs more than it seems to.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from netclnt.model import Bytes

_SLAB = 1024 * 1024
_ROOM = 64 * 1024
_AHEAD = 1024 * 1024
_BATCH = 256 * 1024
_SHORT = 16 * 1024
_PAUSE = 0.05
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class Slab:
    """Memory to receive into: handed out piece by piece, never twice, and free when the last piece is forgotten."""

    def __init__(self) -> None:
        self._left = memoryview(b"")

    def fill(self, receive: Callable[[memoryview], int], *, least: int = _ROOM) -> memoryview:
        """What ``receive`` put into a place of at least so many bytes; it says how many."""
        if len(self._left) < least:
            self._left = memoryview(bytearray(max(least, _SLAB)))
        count = receive(self._left)
        filled, self._left = self._left[:count], self._left[count:]
        return filled


class ReadAhead:
    """A socket that receives as much as there is, up to a megabyte, where an SSH library asks for each packet's head and body."""

    def __init__(self, wrapped: socket.socket) -> None:
        self._wrapped = wrapped
        self._buffer = memoryview(bytearray(_AHEAD))
        self._start = self._end = 0
        self.eager = _QUICKACK is not None
        """Acknowledge what comes at once, until told otherwise: while two ends talk in short messages, the other one holds its
        second message back until the first is acknowledged (RFC 896), which the kernel else puts off for 40 ms."""

    def recv(self, count: int) -> bytes:
        if self._start == self._end:
            self._start, self._end = 0, self._receive(self._buffer)
        end = min(self._start + count, self._end)
        data = bytes(self._buffer[self._start : end])
        self._start = end
        return data

    def peek(self, count: int) -> memoryview:
        """The next ``count`` bytes in one piece, as they are until the next call; :meth:`skip` goes past them. Raises EOFError
        at the end of the stream, and what the socket raises (then nothing is lost)."""
        if self._start + count > len(self._buffer):
            self._move(count)
        while self._end - self._start < count:
            received = self._receive(self._buffer[self._end :])
            if not received:
                raise EOFError
            self._end += received
        return self._buffer[self._start : self._start + count]

    def has(self, count: int) -> bool:
        """Whether so many bytes are here already."""
        return self._end - self._start >= count

    def skip(self, count: int) -> None:
        self._start += count
        if self._start == self._end:
            self._start = self._end = 0

    def _receive(self, place: memoryview) -> int:
        if self.eager and _QUICKACK is not None:  # the kernel forgets it by and by
            with suppress(OSError):
                self._wrapped.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        return self._wrapped.recv_into(place)

    def _move(self, count: int) -> None:
        """Begin the buffer with what is left, so that ``count`` bytes fit."""
        left = bytes(self._buffer[self._start : self._end])
        if count > len(self._buffer):
            self._buffer = memoryview(bytearray(count))
        self._start, self._end = 0, len(left)
        self._buffer[: self._end] = left

    def __getattr__(self, name: str) -> object:
        return getattr(self._wrapped, name)


@dataclass(frozen=True, slots=True)
class Pieces:
    """What a channel received, as it lies; its length is that of all bytes, which is all that a channel wants to know."""

    parts: Sequence[Bytes]
    size: int

    def __len__(self) -> int:
        return self.size


class Pipe:
    """Takes the place of a channel's ``in_buffer`` (paramiko's BufferedPipe), of which it has what a channel calls.

    A reader is woken for 256 KiB, for a short piece (the end of an answer), by :meth:`flush`, at the end of the stream, and
    otherwise a twentieth of a second after something came.
    """

    def __init__(self) -> None:
        self._ready = threading.Condition(threading.Lock())
        self._parts: deque[Bytes] = deque()
        self._size = 0
        self._short = False
        self._closed = False

    def feed(self, data: Bytes) -> None:
        with self._ready:
            self._parts.append(data)
            self._size += len(data)
            self._short = self._short or len(data) < _SHORT
            if self._short or self._size >= _BATCH:
                self._ready.notify_all()

    def flush(self) -> None:
        """Nothing more is to come at once."""
        if self._size:
            with self._ready:
                self._short = self._size > 0
                self._ready.notify_all()

    def read(self, _limit: int, _timeout: float | None = None) -> Pieces:
        """All there is, at least one byte; nothing at the end of the stream; waits as long as it takes. The channel's window
        bounds it."""
        with self._ready:
            while not (self._closed or self._short or self._size >= _BATCH):
                if not self._ready.wait(_PAUSE) and self._size:
                    break
            taken = Pieces(list(self._parts), self._size)
            self._parts.clear()
            self._size = 0
            self._short = False
            return taken

    def read_ready(self) -> bool:
        return self._size > 0

    def close(self) -> None:
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    def __len__(self) -> int:
        return self._size
