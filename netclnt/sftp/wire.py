"""SFTP version 3 as bytes and values: requests out, answers in. No input or output here.

Format: draft-ietf-secsh-filexfer-02 (what OpenSSH speaks) and ``limits@openssh.com`` of OpenSSH's PROTOCOL, section 4.8.
Everything a server says is range-checked here; what breaks a rule raises :class:`Nonsense`.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from netclnt.model import Bytes

VERSION = 3
READ_MAX = 261_120
"""Most bytes one READ may ask for: what OpenSSH's server answers in one packet."""

PACKET_MAX = 256 * 1024 + 1024
HANDLE_MAX = 256
TEXT_MAX = 4096
EXTENSIONS_MAX = 64
LIMITS = "limits@openssh.com"

_OPEN_FOR_READING = 1

_ATTR_SIZE, _ATTR_OWNER, _ATTR_MODE, _ATTR_TIMES, _ATTR_EXTENDED = 1, 2, 4, 8, 0x8000_0000
_U32 = struct.Struct(">I")
_HEAD = struct.Struct(">IBI")
_SMALL = 4096
_LIMITS = struct.Struct(">QQQQ")

_SSH_PACKET = 32 * 1024
_AROUND_PACKET = 41
_AROUND_DATA = 13


class Nonsense(Exception):
    """The server broke the protocol; the text says how."""


class _Kind(IntEnum):
    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    LSTAT = 7
    FSTAT = 8
    STAT = 17
    STATUS = 101
    HANDLE = 102
    DATA = 103
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class StatusCode(IntEnum):
    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    NO_CONNECTION = 6
    CONNECTION_LOST = 7
    OP_UNSUPPORTED = 8


@dataclass(frozen=True, slots=True)
class Version:
    """The server's answer to INIT; the only one without a request id."""

    version: int
    extensions: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Status:
    id: int
    code: StatusCode
    message: str


@dataclass(frozen=True, slots=True)
class Handle:
    id: int
    handle: bytes


@dataclass(frozen=True, slots=True)
class Data:
    """``size`` bytes in ``parts``, as they lie in the buffers that they were received into: whoever wants them joins them."""

    id: int
    parts: Sequence[memoryview]
    size: int


@dataclass(frozen=True, slots=True)
class Attributes:
    """``size`` in bytes and ``mode`` with the type bits; None for what the server did not tell."""

    id: int
    size: int | None
    mode: int | None


@dataclass(frozen=True, slots=True)
class ExtendedReply:
    id: int
    payload: bytes


Answer = Status | Handle | Data | Attributes | ExtendedReply


def ignored(_: Answer) -> None:
    """For an answer that matters to nobody, as that to a CLOSE."""


def described(answer: Answer) -> str:
    match answer:
        case Data(size=size):
            return f"{size} bytes of DATA"
        case Status(code=code):
            return f"STATUS {code.name}"
    return type(answer).__name__.upper()


@dataclass(frozen=True, slots=True)
class Limits:
    """What ``limits@openssh.com`` tells; 0 stands for "no limit told"."""

    packet: int
    read: int
    handles: int


# --- requests


def init() -> bytes:
    return struct.pack(">IBI", 5, _Kind.INIT, VERSION)


def open_file(request: int, path: bytes) -> bytes:
    return _packet(_Kind.OPEN, request, _string(path) + struct.pack(">II", _OPEN_FOR_READING, 0))


def read(request: int, handle: bytes, offset: int, length: int) -> bytes:
    return _packet(_Kind.READ, request, _string(handle) + struct.pack(">QI", offset, length))


def close(request: int, handle: bytes) -> bytes:
    return _packet(_Kind.CLOSE, request, _string(handle))


def stat(request: int, path: bytes) -> bytes:
    return _packet(_Kind.STAT, request, _string(path))


def lstat(request: int, path: bytes) -> bytes:
    return _packet(_Kind.LSTAT, request, _string(path))


def fstat(request: int, handle: bytes) -> bytes:
    return _packet(_Kind.FSTAT, request, _string(handle))


def extended(request: int, name: str) -> bytes:
    return _packet(_Kind.EXTENDED, request, _string(name.encode()))


def _packet(kind: int, request: int, body: bytes) -> bytes:
    return _HEAD.pack(5 + len(body), kind, request) + body


def _string(data: bytes) -> bytes:
    return _U32.pack(len(data)) + data


# --- answers


def bytes_on_the_line(payload: int) -> int:
    """About what an answer with so many bytes takes on an encrypted line: DATA's own fields, and for each SSH packet its length,
    channel, padding (12 of 4 to 19 bytes) and tag, as with aes128-gcm (RFC 4253, section 6; RFC 4254, section 5.2; RFC 5647)."""
    inside = payload + _AROUND_DATA
    return inside + (1 + (inside - 1) // _SSH_PACKET) * _AROUND_PACKET


class Inbox:
    """Cuts a stream of received bytes into answers. What is fed must not change as long as an answer refers to it."""

    def __init__(self) -> None:
        self._parts: deque[memoryview] = deque()
        self._size = 0
        self._length: int | None = None

    def feed(self, data: Bytes) -> None:
        self._size += len(data)
        if self._parts and len(data) + len(self._parts[-1]) <= _SMALL:
            data = bytes(self._parts.pop()) + bytes(data)  # a server that trickles single bytes must not cost an object for each
        self._parts.append(memoryview(data))

    def next(self) -> Version | Answer | None:
        """The next whole answer, or None if more bytes are needed."""
        if self._length is None:
            if self._size < 4:
                return None
            self._length = _checked_length(self._take(4))
        if self._size < self._length:
            return None
        length, self._length = self._length, None
        kind = self._take(1)[0]
        if kind == _Kind.DATA and length >= 9:
            request, size = struct.unpack(">II", self._take(8))
            if size != length - 9:
                raise Nonsense(f"DATA of {size} bytes in a packet of {length}")
            return Data(request, self._cut(size), size)
        return _decode(kind, self._take(length - 1))

    def _take(self, count: int) -> bytes:
        return b"".join(self._cut(count))

    def _cut(self, count: int) -> list[memoryview]:
        self._size -= count
        taken: list[memoryview] = []
        while count:
            part = self._parts[0]
            if len(part) <= count:
                taken.append(self._parts.popleft())
                count -= len(part)
            else:
                taken.append(part[:count])
                self._parts[0] = part[count:]
                count = 0
        return taken


def _checked_length(head: bytes) -> int:
    length: int = _U32.unpack(head)[0]
    if 5 <= length <= PACKET_MAX:
        return length
    text = head.decode("ascii", "replace")
    raise Nonsense(f"text in the stream ({text!r})" if text.isprintable() and text.isascii() else f"a packet of {length} bytes")


class _Body:
    """Reads fields off one packet; whatever is too short, too long or left over is Nonsense."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._body) - self._at

    def _bytes(self, count: int) -> bytes:
        if count > self.left:
            raise Nonsense("a packet shorter than its fields")
        self._at += count
        return self._body[self._at - count : self._at]

    def u32(self) -> int:
        return int.from_bytes(self._bytes(4), "big")

    def u64(self) -> int:
        return int.from_bytes(self._bytes(8), "big")

    def string(self, limit: int) -> bytes:
        length = self.u32()
        if length > limit:
            raise Nonsense(f"a field of {length} bytes where {limit} are the most")
        return self._bytes(length)

    def rest(self) -> bytes:
        return self._bytes(self.left)

    def end(self) -> None:
        if self.left:
            raise Nonsense(f"{self.left} bytes too many in a packet")


def _decode(kind: int, packet: bytes) -> Version | Answer:
    body = _Body(packet)
    number = body.u32()
    match kind:
        case _Kind.VERSION:
            return _version(number, body)
        case _Kind.STATUS:
            return _status(number, body)
        case _Kind.HANDLE:
            handle = body.string(HANDLE_MAX)
            body.end()
            return Handle(number, handle)
        case _Kind.ATTRS:
            return _attributes(number, body)
        case _Kind.EXTENDED_REPLY:
            return ExtendedReply(number, body.rest())
    raise Nonsense(f"a packet of unexpected type {kind}")


def _version(number: int, body: _Body) -> Version:
    extensions: dict[str, bytes] = {}
    while body.left:
        if len(extensions) == EXTENSIONS_MAX:
            raise Nonsense(f"more than {EXTENSIONS_MAX} extensions")
        name = body.string(TEXT_MAX).decode("utf-8", "replace")
        extensions[name] = body.string(TEXT_MAX)
    return Version(number, extensions)


def _status(number: int, body: _Body) -> Status:
    code = body.u32()
    if code > max(StatusCode):
        raise Nonsense(f"unknown status {code}")
    text = b""
    if body.left:  # servers older than the draft send the bare code
        text = body.string(TEXT_MAX)
        body.string(TEXT_MAX)
    body.end()
    readable = "".join(c if c.isprintable() else "?" for c in text.decode("utf-8", "replace"))
    return Status(number, StatusCode(code), readable)


def _attributes(number: int, body: _Body) -> Attributes:
    flags = body.u32()
    if flags & ~(_ATTR_SIZE | _ATTR_OWNER | _ATTR_MODE | _ATTR_TIMES | _ATTR_EXTENDED):
        raise Nonsense(f"unknown attribute flags {flags:#x}")
    size = body.u64() if flags & _ATTR_SIZE else None
    if flags & _ATTR_OWNER:
        body.u64()
    mode = body.u32() if flags & _ATTR_MODE else None
    if flags & _ATTR_TIMES:
        body.u64()
    if flags & _ATTR_EXTENDED:
        body.rest()
    body.end()
    return Attributes(number, size, mode)


def parse_limits(payload: bytes) -> Limits:
    """The payload of the answer to ``limits@openssh.com``: packet, read, write (passed over) and number of open handles."""
    if len(payload) != _LIMITS.size:
        raise Nonsense(f"limits of {len(payload)} bytes")
    packet, reading, _, handles = _LIMITS.unpack(payload)
    return Limits(packet, reading, handles)
