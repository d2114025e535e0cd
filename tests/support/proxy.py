"""A TCP proxy on loopback: a line under a test's control. It can be held, let go, cut, reset, changed, slowed down, or be away.

It counts bytes, never time, so that a test can meet a transfer at the same point each run. It knows nothing of packets: what it
does to bytes happens to a TCP stream that is otherwise whole.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

HOST = "127.0.0.1"
CHUNK = 16384
WAIT_SECONDS = 60


@dataclass(eq=False)
class Proxy:
    """``passed`` counts what went from the server to clients so far, in bytes of the encrypted line. ``connections`` counts
    what came in, and ``refused`` those of them that found the server away. All of it is meant for what the server sends. A small
    ``buffer`` (bytes) keeps what is held at the server."""

    target: int
    buffer: int | None = None
    passed: int = 0
    connections: int = 0
    refused: int = 0
    _limit: int | None = None
    _away: bool = False
    _flip_at: int | None = None
    _flip_each: int | None = None
    _reset_each: int | None = None
    _piece: int = CHUNK
    _pause: float = 0.0
    _reset: set[socket.socket] = field(default_factory=set)
    _change: threading.Condition = field(default_factory=threading.Condition)
    _sockets: list[socket.socket] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _closed: bool = False

    def __post_init__(self) -> None:
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._run(self._accept)

    def hold_after(self, count: int) -> None:
        """Let ``count`` more bytes through to clients, then nothing until :meth:`release`."""
        with self._change:
            self._limit = self.passed + count
            self._change.notify_all()

    def wait_until_held(self) -> None:
        """Return when the line is held; fails the test if that never happens."""
        with self._change:
            held = self._change.wait_for(lambda: self._limit is not None and self.passed >= self._limit, WAIT_SECONDS)
        assert held, f"only {self.passed} bytes came by"

    def release(self) -> None:
        with self._change:
            self._limit = None
            self._change.notify_all()

    def flip_after(self, count: int) -> None:
        """Change one bit of the byte after so many more, once."""
        with self._change:
            self._flip_at = self.passed + count

    def flip_each(self, count: int | None) -> None:
        """Change one bit of the byte after so many of each connection to come; None for no more."""
        self._flip_each = count

    def reset_each(self, count: int | None) -> None:
        """Reset each connection to come (RST, not an orderly end) after so many bytes; None for no more."""
        self._reset_each = count

    def trickle(self, piece: int = CHUNK, pause: float = 0.0) -> None:
        """From now on pass on so many bytes at a time, with so many seconds between them."""
        self._piece, self._pause = piece, pause

    def go_away(self) -> None:
        """Cut everything, and end each connection to come before the server is asked."""
        self._away = True
        self.cut()

    def come_back(self) -> None:
        self._away = False

    def wait_until_refused(self, count: int) -> None:
        """Return when so many connections found the server away; fails the test if that never happens."""
        with self._change:
            seen = self._change.wait_for(lambda: self.refused >= count, WAIT_SECONDS)
        assert seen, f"only {self.refused} connections were tried"

    def cut(self) -> None:
        """End all connections that there are now, at once."""
        with self._change:
            sockets, self._sockets = self._sockets, []
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._change:
            self._closed = True
            self._change.notify_all()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._threads[0].join()  # the one that starts the others
        for thread in self._threads:
            thread.join()

    def _run(self, target: object, *arguments: object) -> None:
        assert callable(target)
        thread = threading.Thread(target=target, args=arguments, name="proxy", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._away:
                client.close()
                with self._change:
                    self.refused += 1
                    self.connections += 1
                    self._change.notify_all()
                continue
            try:
                server = self._reach()
            except OSError:  # it is down just now
                client.close()
                continue
            self.connections += 1
            self._threads = [thread for thread in self._threads if thread.is_alive()]  # a soak has thousands of connections
            with self._change:
                self._sockets = [each for each in self._sockets if each.fileno() >= 0] + [client, server]
            self._run(self._pump, client, server, False)
            self._run(self._pump, server, client, True)

    def _reach(self) -> socket.socket:
        server = socket.socket()
        try:
            if self.buffer is not None:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer)
            server.connect((HOST, self.target))
        except OSError:
            server.close()
            raise
        return server

    def _pump(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(self._allowed(passed) if counted else CHUNK):
                if counted:
                    data = self._changed(data, passed)
                sink.sendall(data)
                if counted:
                    passed += len(data)
                    self._count(len(data))
                    if self._reset_each is not None and passed >= self._reset_each:
                        self._break(source, sink)
                        return
                    time.sleep(self._pause)
        if source in self._reset:
            return
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        if counted:
            source.close()
            sink.close()

    def _break(self, server: socket.socket, client: socket.socket) -> None:
        self._reset.add(client)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RD)  # wakes the other pump; only then can it be closed
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        client.close()

    def _changed(self, data: bytes, passed: int) -> bytes:
        """The bytes after ``passed`` of a connection, with a bit flipped where that is due."""
        due = []
        with self._change:
            if self._flip_at is not None and self.passed <= self._flip_at < self.passed + len(data):
                due.append(self._flip_at - self.passed)
                self._flip_at = None
        if self._flip_each is not None and passed <= self._flip_each < passed + len(data):
            due.append(self._flip_each - passed)
        changed = bytearray(data)
        for at in due:
            changed[at] ^= 1
        return bytes(changed)

    def _allowed(self, passed: int) -> int:
        """How many bytes of a connection may be taken now; waits while the line is held."""
        with self._change:
            self._change.wait_for(lambda: self._closed or self._limit is None or self.passed < self._limit)
            if self._closed:
                raise OSError("closed")
            bounds = [self._piece]
            if self._limit is not None:
                bounds.append(self._limit - self.passed)
            if self._reset_each is not None:
                bounds.append(max(1, self._reset_each - passed))
            return min(bounds)

    def _count(self, count: int) -> None:
        with self._change:
            self.passed += count
            self._change.notify_all()


@contextmanager
def proxy(target: int, *, buffer: int | None = None) -> Iterator[Proxy]:
    """A proxy to a port of this host, closed with all its connections at the end."""
    opened = Proxy(target, buffer)
    try:
        yield opened
    finally:
        opened.close()
