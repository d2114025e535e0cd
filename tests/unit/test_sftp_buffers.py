"""The two buffers under paramiko: nothing lost, nothing turned round, nobody left asleep."""

from __future__ import annotations

import random
import socket
import threading

import pytest

from netclnt.sftp.buffers import Pipe, ReadAhead

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
        assert len(data) < 200_000 + piece
        got += data
    feeder.join()
    assert got == STREAM
    assert pipe.read(1) == b""


def test_a_pipe_does_not_wait_for_more_than_there_is():
    pipe = Pipe()
    pipe.feed(bytes(40_000))
    assert len(pipe) == 40_000
    assert pipe.read_ready()
    assert pipe.read(1 << 20) == bytes(40_000)
    pipe.feed(b"short")
    assert pipe.read(1 << 20) == b"short"
    assert not pipe.read_ready()
