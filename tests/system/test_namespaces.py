"""The lines that the benchmark and other tests run over are what they say.

Times have lower bounds only: a busy machine is slower, but no line may be faster than it says.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.bench.plaintcp import carry
from tests.bench.turns import packets, turns
from tests.support.namespaces import Line, Missing, long_line, narrow_line

PORT = 7
NAMESPACE = Path("/proc/thread-self/ns/net")


def device_names() -> set[str]:
    lines = Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]
    return {line.split(":")[0].strip() for line in lines}


@pytest.fixture
def lines() -> Iterator[ExitStack]:
    """Lines are entered here; the test is skipped where the machine cannot make one."""
    with ExitStack() as stack:
        try:
            with narrow_line(1000), long_line(round_trip=0.1, megabits=1):
                pass
        except Missing as missing:
            pytest.skip(str(missing))
        yield stack


def connected(line: Line) -> tuple[socket.socket, socket.socket]:
    """A connection's ends: the slave's, which opened it, and the master's."""
    with line.master.entered(), socket.create_server((line.master.address, PORT)) as listener:
        with line.slave.entered():
            client = socket.create_connection((line.master.address, PORT))
        server, _ = listener.accept()
    return client, server


def test_a_narrow_line_carries_no_more_than_its_rate(lines: ExitStack) -> None:
    line = lines.enter_context(narrow_line(4000))
    before = line.slave.traffic()
    seconds = carry(line, 400_000)
    after = line.slave.traffic()
    assert after.received - before.received > 400_000 * 1514 / 1460 * 0.99  # headers are counted
    assert seconds > 0.75 * 400_000 * 8 / 4_000_000  # but for the first bucketful


def test_a_long_line_delays_every_answer(lines: ExitStack) -> None:
    line = lines.enter_context(long_line(round_trip=0.2, megabits=100))
    with line.master.entered(), socket.create_server((line.master.address, PORT)), line.slave.entered():
        started = time.monotonic()
        socket.create_connection((line.master.address, PORT)).close()
    assert time.monotonic() - started >= 0.2


def test_a_long_line_carries_no_more_than_its_rate(lines: ExitStack) -> None:
    line = lines.enter_context(long_line(round_trip=0.01, megabits=8))
    assert carry(line, 500_000) > 0.5


def test_the_trace_of_a_long_line_tells_the_round_trips(lines: ExitStack, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with long_line(round_trip=0.2, megabits=100, trace=trace) as line:
        client, server = connected(line)
        with client, server:
            for _ in range(3):
                client.sendall(b"?")
                server.sendall(server.recv(1) * 10)
                assert client.recv(10)
    found = turns(packets(trace, round_trip=0.2), round_trip=0.2)
    assert [(turn.port, turn.connecting, turn.received) for turn in found] == [
        (PORT, True, 0),
        (PORT, False, 0),
        (PORT, False, 10),
        (PORT, False, 20),
    ]


def test_the_ends_reach_nothing_else_and_leave_nothing(lines: ExitStack) -> None:
    own, devices = NAMESPACE.readlink(), device_names()
    with narrow_line(1000) as line:
        with line.slave.entered():
            assert NAMESPACE.readlink() != own
            assert device_names() == {"lo", "line"}
            with pytest.raises(OSError):
                socket.create_connection(("192.0.2.1", PORT), timeout=1)
        assert NAMESPACE.readlink() == own
    assert device_names() == devices
