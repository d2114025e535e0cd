"""The two buffers under paramiko: nothing lost, nothing turned round, nobody left asleep."""

from __future__ import annotations

import random
import socket
import threading

import pytest

from netclnt.sftp.buffers import Pipe, ReadAhead, Slab

STREAM = random.Random(5).randbytes(700_000)


def test_a_socket_read_ahead_gives_the_same_bytes():
    ours, theirs = socket.socketpair()
    sender = threading.Thread(target=lambda: (theirs.sendall(STREAM), theirs.close()))
    with ours:
        sender.start()
        ahead, got, chance = ReadAhead(ours), bytearray(), random.Random(6)
        while data := ahead.recv(count := chance.choice([1, 16, 5000, 300_000])):
            assert len(data) <= count
            got += data
        assert got == STREAM
    sender.join()


def test_a_socket_read_ahead_times_out_as_the_socket_does():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ahead = ReadAhead(ours)
        ahead.settimeout(0.01)
        with pytest.raises(TimeoutError):
            ahead.recv(1)
        theirs.send(b"later")
        assert ahead.recv(2) + ahead.recv(9) == b"later"


class Asked(socket.socket):
    """Counts how often it is told to acknowledge at once."""

    at_once = 0

    def setsockopt(self, *words) -> None:
        self.at_once += words[:2] == (socket.IPPROTO_TCP, socket.TCP_QUICKACK)


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="this kernel cannot be asked")
def test_short_messages_are_acknowledged_at_once_until_content_comes():
    ours, theirs = socket.socketpair()
    with Asked(fileno=ours.detach()) as asked, theirs:
        ahead = ReadAhead(asked)
        for expected, eager in ((1, True), (2, True), (2, False)):
            ahead.eager = eager
            theirs.send(b"message")
            assert ahead.recv(100) == b"message"
            assert asked.at_once == expected


@pytest.mark.parametrize("piece", [100, 16_384, 32_768, 100_000])
def test_a_pipe_gives_the_same_bytes(piece):
    pipe = Pipe()

    def feed() -> None:
        for start in range(0, len(STREAM), piece):
            pipe.feed(STREAM[start : start + piece])
        pipe.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    got = bytearray()
    while data := pipe.read(200_000):
        assert len(data) == sum(map(len, data.parts))
        got += b"".join(data.parts)
    feeder.join()
    assert got == STREAM
    assert not pipe.read(1)


def test_a_pipe_does_not_wait_for_more_than_there_is():
    pipe = Pipe()
    pipe.feed(bytes(40_000))
    assert len(pipe) == 40_000
    assert pipe.read_ready()
    assert pipe.read(1 << 20).parts == [bytes(40_000)]
    pipe.feed(b"short")
    assert pipe.read(1 << 20).parts == [b"short"]
    pipe.feed(bytes(40_000))
    pipe.flush()
    assert pipe.read(1 << 20).parts == [bytes(40_000)]
    assert not pipe.read_ready()


def test_bytes_are_peeked_in_one_piece_however_they_come_and_nothing_is_lost_to_a_time_out():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ahead = ReadAhead(ours)
        ahead.settimeout(0.01)
        theirs.sendall(STREAM[:3000])
        with pytest.raises(TimeoutError):
            ahead.peek(5000)
        theirs.sendall(STREAM[3000:6000])
        assert ahead.peek(5000) == STREAM[:5000]
        ahead.skip(5000)
        assert ahead.recv(100) == STREAM[5000:5100]
        theirs.close()
        assert ahead.peek(900) == STREAM[5100:6000]
        with pytest.raises(EOFError):
            ahead.peek(901)


def test_what_a_read_ahead_holds_grows_for_what_is_longer():
    ours, theirs = socket.socketpair()
    sender = threading.Thread(target=lambda: (theirs.sendall(STREAM * 3), theirs.close()))
    with ours:
        sender.start()
        ahead = ReadAhead(ours)
        assert ahead.peek(10) == STREAM[:10]
        ahead.skip(10)
        assert bytes(ahead.peek(2_000_000)) == (STREAM * 3)[10:2_000_010]
        ahead.skip(2_000_000)
        assert bytes(ahead.peek(90_000)) == (STREAM * 3)[2_000_010:2_090_010]
    sender.join()


def test_a_slab_never_hands_out_the_same_place_twice():
    slab, chance = Slab(), random.Random(9)
    wanted = [chance.randbytes(chance.choice([1, 500, 60_000, 300_000])) for _ in range(60)]

    def receive(data):
        def put(place):
            place[: len(data)] = data
            return len(data)

        return put

    assert [slab.fill(receive(data), least=len(data)) for data in wanted] == wanted
