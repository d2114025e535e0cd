"""Packets decrypted where they stay: one not as its sender made it ends the connection; all but data goes paramiko's way."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from paramiko import SSHException
from paramiko.packet import Packetizer

from netclnt.model import Range
from netclnt.sftp import open_source, parse_parent
from netclnt.sftp.buffers import Pipe, ReadAhead
from netclnt.sftp.packets import Packets
from tests.support import sshd

KEY, IV = bytes(range(16)), bytes(range(12))
DATA, DEBUG = 94, 4
CHANNEL = 7


class Line:
    """Packets at one end of a socket; at the other, one who seals them."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.packets = Packets(cast(socket.socket, ReadAhead(ours)))
        self.packets.set_inbound_cipher(AESGCM(KEY), 16, None, 16, b"", aead=True, iv_in=IV)
        self.packets.channel, self.packets.pipe = CHANNEL, Pipe()
        self.sent = 0

    @property
    def received(self) -> bytes:
        assert self.packets.pipe is not None
        return b"".join(self.packets.pipe.read(1).parts)

    def sealed(self, payload: bytes, padding: int | None = None) -> bytes:
        filling = 16 - (1 + len(payload)) % 16 + (16 if (1 + len(payload)) % 16 > 12 else 0)
        plain = bytes([filling if padding is None else padding]) + payload + bytes(filling)
        length = struct.pack(">I", len(plain))
        nonce = IV[:4] + (int.from_bytes(IV[4:], "big") + self.sent).to_bytes(8, "big")
        self.sent += 1
        return length + AESGCM(KEY).encrypt(nonce, plain, length)

    def close(self) -> None:
        self.theirs.close()
        self.packets.close()


def data(content: bytes, channel: int = CHANNEL, claimed: int | None = None) -> bytes:
    return struct.pack(">BII", DATA, channel, len(content) if claimed is None else claimed) + content


@pytest.fixture
def line() -> Iterator[Line]:
    if "aead" not in signature(Packetizer.set_inbound_cipher).parameters:
        pytest.skip("this paramiko has no AES-GCM")
    made = Line()
    yield made
    made.close()


def test_data_of_the_channel_goes_to_its_pipe_and_all_else_is_a_message(line):
    pieces = [os.urandom(size) for size in (1, 15, 16, 32_768, 131_072)]
    other = bytes([DEBUG]) + b"something else"
    for payload in (*map(data, pieces), data(b"not ours", channel=CHANNEL + 1)):
        line.theirs.sendall(line.sealed(payload))
    line.theirs.sendall(line.sealed(other))
    kind, message = line.packets.read_message()
    assert (kind, message.asbytes()[4:]) == (DATA, data(b"not ours")[5:])
    kind, message = line.packets.read_message()
    assert (kind, message.asbytes()) == (DEBUG, b"something else")
    assert line.received == b"".join(pieces)


@pytest.mark.parametrize("place", [-1, 4, 40], ids=["tag", "first byte", "content"])
def test_a_flipped_bit_ends_the_connection(line, place):
    packet = bytearray(line.sealed(data(bytes(100))))
    packet[place] ^= 1
    line.theirs.sendall(packet)
    with pytest.raises(SSHException, match="MAC"):
        line.packets.read_message()
    assert not len(line.packets.pipe)


def test_a_packet_out_of_turn_ends_the_connection(line):
    first, second = line.sealed(data(b"one")), line.sealed(data(b"two"))
    line.theirs.sendall(second + first)
    with pytest.raises(SSHException, match="MAC"):
        line.packets.read_message()


@pytest.mark.parametrize("length", [0, 9, 512 * 1024 + 1, 2**32 - 1])
def test_a_length_that_no_packet_has_is_refused_before_anything_is_made_of_it(line, length):
    line.theirs.sendall(struct.pack(">I", length) + bytes(64))
    with pytest.raises(SSHException, match="length"):
        line.packets.read_message()


@pytest.mark.parametrize(
    ("payload", "padding", "problem"),
    [
        (data(b"x" * 50, claimed=80), None, "shorter"),
        (data(b"x" * 50), 255, "padding"),
        (data(b"", claimed=2**32 - 1), None, "shorter"),
    ],
)
def test_a_sealed_packet_whose_numbers_do_not_fit_is_refused(line, payload, padding, problem):
    line.theirs.sendall(line.sealed(payload, padding))
    with pytest.raises(SSHException, match=problem):
        line.packets.read_message()


def test_the_end_of_the_stream_within_a_packet(line):
    line.theirs.sendall(line.sealed(data(b"whole")) + line.sealed(data(bytes(1000)))[:500])
    line.theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(EOFError):
        line.packets.read_message()
    assert line.received == b"whole"


# --- against a real server


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "pack").write_bytes(os.urandom(12_000_000))
    return tmp_path


def ranges(store: Path) -> list[Range]:
    return [Range("pack", start, 250_000) for start in range(0, (store / "pack").stat().st_size, 250_000)]


def test_new_keys_in_the_middle_of_a_transfer(store):
    with sshd.start(["RekeyLimit 1M", "LogLevel DEBUG1"]) as server:
        source = open_source(
            parse_parent(server.url(store)),
            identity=server.identity,
            known_hosts=server.known_hosts,
            retry_budget=0,
            connections=1,
        )
        content = dict(source.fetch(ranges(store)))
        source.close()
        assert server.log.count("SSH2_MSG_KEXINIT sent") >= 5
    assert b"".join(content[each] for each in ranges(store)) == (store / "pack").read_bytes()
    assert source.connections == 1


def test_a_server_that_asks_whether_anybody_is_there_is_answered(store):
    """It hangs up when two of its questions, a second apart, have no answer."""
    with sshd.start(["ClientAliveInterval 1", "ClientAliveCountMax 2"]) as server:
        source = open_source(
            parse_parent(server.url(store)),
            identity=server.identity,
            known_hosts=server.known_hosts,
            retry_budget=0,
            connections=1,
        )
        first, *_, last = ranges(store)
        assert [each for each, _ in source.fetch([first])] == [first]
        time.sleep(4.5)
        assert [each for each, _ in source.fetch([last])] == [last]
        source.close()
    assert source.connections == 1


def test_P9_the_clock_of_a_handshake_is_no_thread_that_the_end_of_the_program_waits_for():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        packets = Packets(cast(socket.socket, ReadAhead(ours)))
        before = threading.active_count()
        assert not packets.handshake_timed_out()
        packets.start_handshake(1000)
        assert threading.active_count() == before
        assert not packets.handshake_timed_out()
        packets.start_handshake(0)
        assert packets.handshake_timed_out()
        packets.complete_handshake()
        assert not packets.handshake_timed_out()
