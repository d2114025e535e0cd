"""A service's host: this machine, and its twin in memory."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from netclnt.errors import StorageFailed
from netclnt.host import HEEDED, system_host
from netclnt.machine import Child, Host
from netclnt.memory.host import MemoryHost, MemoryRun

DEADLINE = 30.0
"""Only against hanging."""

Opened = tuple[Host, Callable[[int], None]]
"""A host, and what sends a signal to the process that it serves."""


@contextmanager
def real(program: str) -> Iterator[Opened]:
    with system_host([sys.executable, "-c", program], os.environ) as host:
        # to this thread: others of the test's process, as a parallel run has them, would die of it
        yield host, lambda number: signal.pthread_kill(threading.get_ident(), number)


@contextmanager
def in_memory(run: MemoryRun) -> Iterator[Opened]:
    host = MemoryHost(1e9, runs=[run])
    yield host, lambda number: host.script(host.monotonic(), number)


@pytest.fixture(params=["real", "memory"])
def open_host(request: pytest.FixtureRequest) -> Callable[[str, MemoryRun], AbstractContextManager[Opened]]:
    """Opens a host whose children run this program, or fare so."""
    return lambda program, run: real(program) if request.param == "real" else in_memory(run)


OpenHost = Callable[[str, MemoryRun], AbstractContextManager[Opened]]
SLEEPS = ("import time; time.sleep(60)", MemoryRun(60))


def end_of(host: Host, child: Child) -> int:
    """Wait for a child's end, of which SIGCHLD tells."""
    while (code := child.code()) is None:
        assert host.wait(DEADLINE) == signal.SIGCHLD
    return code


def test_time_passes_while_it_waits(open_host: OpenHost) -> None:
    with open_host(*SLEEPS) as (host, _):
        before, clock = host.monotonic(), host.now()
        assert host.wait(0.05) is None
        assert host.monotonic() >= before + 0.05
        assert host.now() > clock


@pytest.mark.parametrize("code", [0, 5, 14])
def test_the_end_of_a_child_is_told_with_its_code(code: int, open_host: OpenHost) -> None:
    with open_host(f"raise SystemExit({code})", MemoryRun(0.1, code)) as (host, _):
        assert end_of(host, host.start()) == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_that_a_signal_ends_has_its_code(number: int, open_host: OpenHost) -> None:
    with open_host(*SLEEPS) as (host, _):
        child = host.start()
        assert child.code() is None
        child.send(number)
        assert end_of(host, child) == 128 + number
        child.send(number)  # it has ended: nothing happens


@pytest.mark.parametrize("number", [one for one in HEEDED if one != signal.SIGCHLD])
def test_signals_are_values_and_none_is_lost(number: int, open_host: OpenHost) -> None:
    with open_host(*SLEEPS) as (host, send):
        send(number)
        assert host.wait(DEADLINE) == number
        assert host.wait(0.01) is None


def test_a_child_that_cannot_be_started_is_a_StorageFailed(open_host: OpenHost) -> None:
    failed = StorageFailed(action="start", path="/nonexistent/python", errno=2, cause="No such file or directory")
    with open_host("", MemoryRun(error=failed)) as (host, _):
        if not isinstance(host, MemoryHost):
            with system_host(["/nonexistent/python"], {}) as other, pytest.raises(StorageFailed) as caught:
                other.start()
            assert (caught.value.path, caught.value.errno) == (failed.path, failed.errno)
            return
        with pytest.raises(StorageFailed):
            host.start()


# --- this machine alone

TELLS = "import signal, sys; sys.exit(sum(1 << n for n, s in enumerate(map(signal.getsignal, {signals})) if s is signal.SIG_IGN))"


def test_a_child_does_not_die_of_a_question_that_comes_too_early() -> None:
    early = (int(signal.SIGUSR1), int(signal.SIGUSR2))
    with real(TELLS.format(signals=early)) as (host, _):
        assert end_of(host, host.start()) == 0b11


def test_a_child_of_a_service_under_nohup_can_be_stopped() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with real(TELLS.format(signals=(int(signal.SIGTERM), int(signal.SIGHUP)))) as (host, _):
            assert end_of(host, host.start()) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_code_of_a_child_is_known_where_children_are_not_to_be_waited_for() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with real("import signal, sys; sys.exit(5 if signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL else 6)") as (host, _):
            assert end_of(host, host.start()) == 5
        assert signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_child_has_no_blocked_signal_no_input_and_a_group_of_its_own() -> None:
    program = (
        "import os, signal, sys; blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ());"
        "sys.exit(bool(blocked) + 2 * bool(sys.stdin.read()) + 4 * (os.getpgrp() != os.getpid()))"
    )
    with real(program) as (host, _):
        assert end_of(host, host.start()) == 0


def test_what_signals_did_before_they_do_again() -> None:
    before = {number: signal.getsignal(number) for number in HEEDED}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with real("") as (_, send):
        send(signal.SIGTERM)  # nobody takes it: it goes with the host
    assert {number: signal.getsignal(number) for number in HEEDED} == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
