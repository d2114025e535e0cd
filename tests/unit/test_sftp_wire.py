"""SFTP's bytes: what is sent, and that every answer is checked."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netclnt.sftp import wire
from netclnt.sftp.wire import Attributes, Data, ExtendedReply, Handle, Inbox, Limits, Nonsense, Status, StatusCode, Version


def packet(kind: int, body: bytes) -> bytes:
    return struct.pack(">IB", len(body) + 1, kind) + body


def text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def number(value: int) -> bytes:
    return struct.pack(">I", value)


def decoded(stream: bytes, step: int = 1 << 20) -> list[object]:
    inbox = Inbox()
    found = []
    for start in range(0, len(stream), step):
        inbox.feed(stream[start : start + step])
        while (answer := inbox.next()) is not None:
            found.append(whole(answer))
    return found


def whole(answer: object) -> object:
    """An answer with its payload in one piece, to be compared."""
    return Data(answer.id, [memoryview(b"".join(answer.parts))], answer.size) if isinstance(answer, Data) else answer


def test_requests_are_the_bytes_of_the_draft():
    assert wire.init() == bytes.fromhex("00000005 01 00000003")
    assert wire.open_file(7, b"/a") == bytes.fromhex("00000013 03 00000007 00000002 2f61 00000001 00000000")
    assert wire.read(8, b"h", 1 << 40, 65536) == bytes.fromhex("00000016 05 00000008 00000001 68 0000010000000000 00010000")
    assert wire.close(9, b"h") == bytes.fromhex("0000000a 04 00000009 00000001 68")
    assert wire.fstat(10, b"h") == bytes.fromhex("0000000a 08 0000000a 00000001 68")
    assert wire.stat(11, b"p") == bytes.fromhex("0000000a 11 0000000b 00000001 70")
    assert wire.lstat(12, b"p") == bytes.fromhex("0000000a 07 0000000c 00000001 70")
    assert wire.extended(13, "x@y") == bytes.fromhex("0000000c c8 0000000d 00000003 784079")


ANSWERS = {
    packet(2, number(3) + text(b"limits@openssh.com") + text(b"1")): Version(3, {"limits@openssh.com": b"1"}),
    packet(101, number(5) + number(1) + text(b"End \x1b[2Jof file") + text(b"")): Status(5, StatusCode.EOF, "End ?[2Jof file"),
    packet(101, number(5) + number(2)): Status(5, StatusCode.NO_SUCH_FILE, ""),
    packet(102, number(6) + text(b"\0\1")): Handle(6, b"\0\1"),
    packet(103, number(7) + text(b"x" * 5000)): Data(7, [memoryview(b"x" * 5000)], 5000),
    packet(103, number(7) + text(b"")): Data(7, [memoryview(b"")], 0),
    packet(105, number(8) + number(13) + bytes(7) + b"\x09" + number(0o100644) + bytes(8)): Attributes(8, 9, 0o100644),
    packet(105, number(8) + number(0)): Attributes(8, None, None),
    packet(201, number(9) + b"rest"): ExtendedReply(9, b"rest"),
}


@pytest.mark.parametrize("step", [1, 2, 3, 7, 4096, 1 << 20])
def test_answers_are_cut_from_the_stream_however_it_arrives(step):
    assert decoded(b"".join(ANSWERS), step) == list(ANSWERS.values())


BROKEN = {
    "no length": struct.pack(">I", 0),
    "too short for an id": struct.pack(">I", 4),
    "longer than any packet": struct.pack(">I", wire.PACKET_MAX + 1),
    "text before the stream": b"Welcome to the master!",
    "a request for an answer": packet(5, bytes(20)),
    "data longer than its packet": packet(103, number(1) + number(10) + b"short"),
    "data shorter than its packet": packet(103, number(1) + number(2) + b"longer"),
    "data without a length": packet(103, number(1)),
    "handle too long": packet(102, number(1) + text(bytes(257))),
    "handle with more behind it": packet(102, number(1) + text(b"h") + b"x"),
    "status unheard of": packet(101, number(1) + number(9)),
    "status without a code": packet(101, number(1)),
    "status with half a text": packet(101, number(1) + number(1) + number(100) + b"x"),
    "status with more behind it": packet(101, number(1) + number(1) + text(b"") + text(b"") + b"x"),
    "status with a huge text": packet(101, number(1) + number(1) + text(bytes(5000)) + text(b"")),
    "attributes unheard of": packet(105, number(1) + number(0x100)),
    "attributes with more behind them": packet(105, number(1) + number(0) + b"x"),
    "too many extensions": packet(2, number(3) + (text(b"") + text(b"")) * 65 + b"x"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_D10_nonsense_is_refused(name):
    with pytest.raises(Nonsense):
        decoded(BROKEN[name])


def test_half_a_packet_is_no_answer():
    for whole in ANSWERS:
        assert decoded(whole[:-1]) == []


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_M2_any_bytes_are_answers_or_nonsense(pieces):
    inbox = Inbox()
    with contextlib.suppress(Nonsense):
        for piece in pieces:
            inbox.feed(piece)
            while inbox.next() is not None:
                pass


@given(st.sampled_from([2, 101, 102, 103, 105, 201]), st.binary(min_size=4, max_size=80))
def test_M2_any_packet_is_an_answer_or_nonsense(kind, body):
    with contextlib.suppress(Nonsense):
        assert len(decoded(packet(kind, body))) == 1


def test_limits():
    assert wire.parse_limits(struct.pack(">QQQQ", 262144, 261120, 261120, 100)) == Limits(262144, 261120, 100)
    with pytest.raises(Nonsense):
        wire.parse_limits(b"short")
