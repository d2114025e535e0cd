"""A hostile SFTP server: a page of Python over the wire format, on a socket pair, and the transport to it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from netclnt.errors import LineBroken

OPEN, CLOSE, READ, FSTAT, EXTENDED = 3, 4, 5, 8, 200


@dataclass(frozen=True)
class Request:
    """One request as it came; ``path`` for OPEN, ``offset`` and ``length`` for READ."""

    kind: int
    id: int
    path: str = ""
    handle: bytes = b""
    offset: int = 0
    length: int = 0


def packet(kind: int, body: bytes) -> bytes:
    return struct.pack(">IB", len(body) + 1, kind) + body


def text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def status(request: int, code: int, message: bytes = b"") -> bytes:
    return packet(101, struct.pack(">II", request, code) + text(message) + text(b""))


def data(request: int, payload: bytes) -> bytes:
    return packet(103, struct.pack(">I", request) + text(payload))


def handle(request: int, name: bytes = b"h") -> bytes:
    return packet(102, struct.pack(">I", request) + text(name))


def attributes(request: int, size: int) -> bytes:
    return packet(105, struct.pack(">IIQ", request, 1, size))


VERSION = packet(2, struct.pack(">I", 3))
Answer = Callable[[Request], bytes | None]


@dataclass(eq=False)
class Server:
    """Serves ``content`` under every path, honestly but for ``answer``: what that returns is sent instead of the honest
    answer, None means the honest one, b"" nothing at all. ``connect`` is a transport's maker; ``requests`` is what came."""

    content: bytes
    answer: Answer = lambda request: None
    greeting: bytes = VERSION
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    _threads: list[threading.Thread] = field(default_factory=list)
    _ends: list[socket.socket] = field(default_factory=list)

    def connect(self) -> SocketTransport:
        ours, theirs = socket.socketpair()
        self.connections += 1
        thread = threading.Thread(target=self._serve, args=(theirs,), name="hostile", daemon=True)
        self._threads.append(thread)
        self._ends.append(theirs)
        thread.start()
        return SocketTransport(ours)

    def stop(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def honest(self, request: Request) -> bytes:
        match request.kind:
            case 3:
                return handle(request.id, request.path.encode()[:200])
            case 5:
                piece = self.content[request.offset : request.offset + request.length]
                return data(request.id, piece) if piece else status(request.id, 1)
            case 8:
                return attributes(request.id, len(self.content))
        return status(request.id, 0)

    def _serve(self, end: socket.socket) -> None:
        with end, contextlib.suppress(OSError, EOFError):
            stream = end.makefile("rb")
            with stream:
                _take(stream.read(9), 9)
                end.sendall(self.greeting)
                while True:
                    length = struct.unpack(">I", _take(stream.read(4), 4))[0]
                    request = parse(_take(stream.read(length), length))
                    self.requests.append(request)
                    answer = self.answer(request)
                    if answer == CUT:
                        return
                    end.sendall(self.honest(request) if answer is None else answer)


CUT = b"cut the connection here"


def _take(read: bytes, wanted: int) -> bytes:
    if len(read) < wanted:
        raise EOFError
    return read


def parse(raw: bytes) -> Request:
    kind, number, length = struct.unpack(">BII", raw[:9])
    name, rest = raw[9 : 9 + length], raw[9 + length :]
    if kind == OPEN:
        return Request(kind, number, path=name.decode())
    if kind == READ:
        offset, size = struct.unpack(">QI", rest)
        return Request(kind, number, handle=name, offset=offset, length=size)
    return Request(kind, number, handle=name)


class SocketTransport:
    """A transport over a connected socket."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def open(self) -> None:
        pass

    def send(self, data: bytes) -> None:
        try:
            self._end.sendall(data)
        except OSError as error:
            raise LineBroken(what="store", address="socket", cause=str(error)) from error

    def receive(self) -> Sequence[bytes]:
        try:
            received = self._end.recv(1 << 20)
        except OSError as error:
            raise LineBroken(what="store", address="socket", cause=str(error)) from error
        if not received:
            raise LineBroken(what="store", address="socket", cause="end of the stream")
        return (received,)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()
