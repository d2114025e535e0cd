"""A TCP proxy on loopback that can hold the line after so many bytes, let go again, or cut it: a line under a test's control.

It counts bytes, never time, so that a test can stop a transfer at the same point each run.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

HOST = "127.0.0.1"
CHUNK = 16384
WAIT_SECONDS = 60


@dataclass(eq=False)
class Proxy:
    """``passed`` counts what went from the server to clients so far, in bytes of the encrypted line. ``connections`` counts
    what came in."""

    target: int
    passed: int = 0
    connections: int = 0
    _limit: int | None = None
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
                server = socket.create_connection((HOST, self.target))
            except OSError:
                return
            self.connections += 1
            with self._change:
                self._sockets += [client, server]
            self._run(self._pump, client, server, False)
            self._run(self._pump, server, client, True)

    def _pump(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(self._allowed() if counted else CHUNK):
                sink.sendall(data)
                if counted:
                    self._count(len(data))
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        if counted:
            source.close()
            sink.close()

    def _allowed(self) -> int:
        """How many bytes may be taken now; waits while the line is held."""
        with self._change:
            self._change.wait_for(lambda: self._closed or self._limit is None or self.passed < self._limit)
            if self._closed:
                raise OSError("closed")
            return CHUNK if self._limit is None else min(CHUNK, self._limit - self.passed)

    def _count(self, count: int) -> None:
        with self._change:
            self.passed += count
            self._change.notify_all()


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """A proxy to a port of this host, closed with all its connections at the end."""
    opened = Proxy(target)
    try:
        yield opened
    finally:
        opened.close()
