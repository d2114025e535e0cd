"""SSH packets in, the short way: with AES-GCM each is decrypted from where it was received to where it stays.

paramiko's own way copies a packet seven times and wakes up for each; nearly all of a sync's time in this process was there.
Formats: RFC 4253, section 6; RFC 4254, section 5.2; RFC 5647, section 7.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from typing import Any, cast

from cryptography.exceptions import InvalidTag
from paramiko import Message, SSHException
from paramiko.packet import NeedRekeyException, Packetizer

from netclnt.sftp.buffers import Pipe, ReadAhead, Slab

_CHANNEL_DATA = 94
_HEAD = struct.Struct(">BBII")
_LENGTH = 4
_TAG = 16
_PACKET_MAX = 512 * 1024
_REKEY_BYTES = 1 << 34
"""New keys after so many bytes: with AES-GCM OpenSSH itself waits for four times as many, and each time costs round trips."""


class Packets(Packetizer):
    """A Packetizer over a :class:`~netclnt.sftp.buffers.ReadAhead`. The data of channel :attr:`channel` goes straight to
    :attr:`pipe`, which is flushed before each wait for the
    line; all other packets, and all of them with other ciphers, go paramiko's way."""

    def __init__(self, ahead: socket.socket) -> None:
        super().__init__(ahead)
        self._ahead = cast(ReadAhead, ahead)
        self._decrypt: Callable[[bytes, memoryview, memoryview, memoryview], int] | None = None
        self._iv, self._counter = b"", 0
        self._slab = Slab()
        self._count = self._received = 0
        self._handshake_until: float | None = None
        self.channel = -1
        self.pipe: Pipe | None = None

    def start_handshake(self, timeout: float) -> None:
        """From now on the clock runs. Paramiko's own timer is a thread, which holds up the end of the program where it is started
        behind the back of whoever closes."""
        self._handshake_until = time.monotonic() + timeout

    def handshake_timed_out(self) -> bool:
        return self._handshake_until is not None and time.monotonic() >= self._handshake_until

    def complete_handshake(self) -> None:
        self._handshake_until = None

    def set_inbound_cipher(self, block_engine: object, *args: object, **modes: object) -> None:
        """As in paramiko, which hands over an AESGCM object with ``aead=True``; older releases know no such mode."""
        cast(Callable[..., None], super().set_inbound_cipher)(block_engine, *args, **modes)
        iv = modes.get("iv_in") if modes.get("aead") else None
        self._decrypt = None
        if isinstance(iv, bytes):
            self._decrypt = getattr(block_engine, "decrypt_into", None)
            self._iv, self._counter = iv[:4], int.from_bytes(iv[4:], "big")
            self._received = 0

    def read_message(self) -> tuple[int, Message]:
        if self._decrypt is None:
            return super().read_message()
        while True:
            kind, channel, size, plain = self._packet()
            if kind != _CHANNEL_DATA or channel != self.channel or self.pipe is None or self.need_rekey():
                return self._message(plain)
            if size > len(plain) - _HEAD.size:
                raise SSHException("Invalid packet: data shorter than its length")
            self.pipe.feed(plain[_HEAD.size : _HEAD.size + size])
            self.complete_handshake()

    def _packet(self) -> tuple[int, int, int, memoryview]:
        """Kind, channel and length (as in CHANNEL_DATA), and the whole plain text without its padding."""
        (length,) = struct.unpack(">I", self._wait(_LENGTH, between=True))
        if not _HEAD.size <= length <= _PACKET_MAX:
            raise SSHException("Invalid packet length")
        whole = _LENGTH + length + _TAG
        data = self._wait(whole, between=False)
        try:
            plain = self._slab.fill(lambda place: self._decrypted(data, place[:length]), least=length)
        except InvalidTag as error:
            raise SSHException("Mismatched MAC") from error
        self._ahead.skip(whole)
        self._received += whole
        if self._received > _REKEY_BYTES and not self.need_rekey():
            self._received = 0
            cast(Any, self)._trigger_rekey()
        padding, kind, channel, size = _HEAD.unpack_from(plain)
        if padding >= length:
            raise SSHException("Invalid packet padding")
        return kind, channel, size, plain[: length - padding]

    def _decrypted(self, packet: memoryview, place: memoryview) -> int:
        assert self._decrypt is not None
        nonce = self._iv + self._counter.to_bytes(8, "big")
        self._counter = (self._counter + 1) & 0xFFFF_FFFF_FFFF_FFFF
        return self._decrypt(nonce, packet[_LENGTH:], packet[:_LENGTH], place)

    def _message(self, plain: memoryview) -> tuple[int, Message]:
        message = Message(bytes(plain[2:]))
        message.seqno = self._count
        self._count = (self._count + 1) & 0xFFFF_FFFF
        return plain[1], message

    def _wait(self, count: int, *, between: bool) -> memoryview:
        """The next bytes in one piece. Looks round now and then, as often as paramiko has set the socket's time-out;
        ``between`` packets that is for new keys, too."""
        if self.pipe is not None and not self._ahead.has(count):
            self.pipe.flush()
        while True:
            if self.handshake_timed_out():
                raise EOFError
            try:
                return self._ahead.peek(count)
            except (TimeoutError, BlockingIOError):
                pass
            except OSError as error:
                if self.closed:
                    raise EOFError from error
                raise
            if self.closed:
                raise EOFError
            if between and self.need_rekey():
                raise NeedRekeyException
            cast(Any, self)._check_keepalive()
