from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from netclnt.notify import Notifier


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(10)
        yield listening


def told_by(listening: socket.socket) -> str:
    return listening.recv(4096).decode()


def test_tells_the_supervisor(supervisor: socket.socket) -> None:
    notifier = Notifier.of({"NOTIFY_SOCKET": supervisor.getsockname()})
    assert notifier.listened
    notifier.ready()
    assert told_by(supervisor) == "READY=1"
    notifier.status("fetch debian/12")
    assert told_by(supervisor) == "STATUS=fetch debian/12"
    notifier.watchdog()
    assert told_by(supervisor) == "WATCHDOG=1"
    notifier.stopping()
    assert told_by(supervisor) == "STOPPING=1"
    notifier.reloading()
    head, _, moment = told_by(supervisor).partition("\nMONOTONIC_USEC=")
    assert head == "RELOADING=1"
    assert int(moment) > 0
    notifier.close()
    notifier.close()
    notifier.ready()


def test_abstract_address() -> None:
    name = f"netclnt-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.settimeout(10)
        notifier = Notifier.of({"NOTIFY_SOCKET": f"@{name}"})
        notifier.ready()
        assert told_by(listening) == "READY=1"
        notifier.close()


@pytest.mark.parametrize("text", ["a\nREADY=1", "a\0b", "\x1b[2J\u202eabc", "lone \ud800"])
def test_F2_a_status_is_one_line_and_no_message_of_its_own(supervisor: socket.socket, text: str) -> None:
    notifier = Notifier.of({"NOTIFY_SOCKET": supervisor.getsockname()})
    notifier.status(text)
    told = told_by(supervisor)
    assert told.startswith("STATUS=")
    assert told.isprintable()
    notifier.close()


def test_a_long_status_is_cut(supervisor: socket.socket) -> None:
    notifier = Notifier.of({"NOTIFY_SOCKET": supervisor.getsockname()})
    notifier.status("x" * 100_000)
    assert len(told_by(supervisor)) < 600
    notifier.close()


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative", "/nonexistent/notify", "/with\0nul", "@" + "x" * 500])
def test_nobody_listens(address: str) -> None:
    notifier = Notifier.of({"NOTIFY_SOCKET": address})
    notifier.ready()
    notifier.status("x")
    notifier.watchdog()
    notifier.close()


def test_a_supervisor_that_does_not_read_stops_nothing(supervisor: socket.socket) -> None:
    notifier = Notifier.of({"NOTIFY_SOCKET": supervisor.getsockname()})
    for _ in range(10_000):  # its queue holds far fewer
        notifier.watchdog()
    notifier.close()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "9" * 10_000}, None),
    ],
)
def test_watchdog(supervisor: socket.socket, environment: dict[str, str], seconds: float | None) -> None:
    notifier = Notifier.of({"NOTIFY_SOCKET": supervisor.getsockname()} | environment)
    assert notifier.watchdog_seconds == seconds
    notifier.close()


def test_no_watchdog_where_nobody_listens() -> None:
    assert Notifier.of({"WATCHDOG_USEC": "30000000"}).watchdog_seconds is None
