"""What a supervisor hears while a run goes on: how often, and only as long as the run lives."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from netclnt.catalog.connection import Patience
from netclnt.cli import supervised
from netclnt.cli.supervised import StatusTeller, watched
from netclnt.events import Catalog, ImageDone, Progressed, Retried, Waiting
from netclnt.notify import Notifier
from netclnt.pulse import STANDSTILL, Pulse


class Heard(Notifier):
    """Keeps what it is told."""

    def __init__(self, *, watchdog_seconds: float | None = None) -> None:
        super().__init__("", watchdog_seconds=watchdog_seconds)
        self.texts: list[str] = []
        self.pings = 0
        self.pinged = threading.Condition()

    def status(self, text: str) -> None:
        self.texts.append(text)

    def watchdog(self) -> None:
        with self.pinged:
            self.pings += 1
            self.pinged.notify_all()

    def wait_for(self, pings: int) -> bool:
        with self.pinged:
            return self.pinged.wait_for(lambda: self.pings >= pings, timeout=30)


def progressed(done: int) -> Progressed:
    return Progressed("fetch", "debian", done, 100, done, 0)


def test_the_status_follows_the_work_at_most_once_a_second() -> None:
    heard, now, done = Heard(), [0.0], [0]
    teller = StatusTeller(heard, lambda: f"at {done[0]}", clock=lambda: now[0])
    for number in range(30):
        now[0], done[0] = number / 10, number
        teller.observe(progressed(number))
    assert heard.texts == ["at 0", "at 10", "at 20"]


def test_each_wait_is_told_at_once_and_all_else_not_more_often_than_once_a_second() -> None:
    heard = Heard()
    teller = StatusTeller(heard, lambda: "works", clock=lambda: 0.0)
    teller.observe(progressed(1))
    teller.observe(ImageDone("a", 1, "updated", 1, 1, 1.0))
    teller.observe(Catalog(1, 1))
    teller.observe(Waiting("slot", 90, "own slot"))
    teller.observe(Retried("store", 1, 2.0, "reset"))
    assert heard.texts == ["works", "waits 1 min 30 s: own slot", "store: reset; attempt 2 in 2.0 s"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock of the watchdog; nothing is read or written meanwhile."""
    now = [0.0]
    monkeypatch.setattr(supervised, "monotonic", lambda: now[0])
    monkeypatch.setattr(supervised, "_bytes_moved", lambda: 0)
    return lambda to: now.__setitem__(0, to)


def test_a_run_that_moves_on_is_told_alive_and_one_that_stands_still_is_not(clock: Callable[[float], None]) -> None:
    heard = Heard(watchdog_seconds=0.02)
    with watched(heard, Pulse(0, standstill=60)) as sign:
        assert heard.wait_for(3)
        clock(60)
        for _ in range(2):  # one may be under way
            last = heard.pings
            threading.Event().wait(0.1)
        assert heard.pings == last
        sign(progressed(1))
        assert heard.wait_for(last + 3)
    assert not [thread for thread in threading.enumerate() if thread.name == "netclnt-watchdog"]


@pytest.mark.parametrize("timeout", [1.0, 30.0, 300.0, 3600.0])
def test_no_wait_for_a_database_is_taken_for_a_standstill(timeout: float) -> None:
    config = SimpleNamespace(timeout=timeout, lock_timeout=0.0)
    assert supervised.standstill(config) > max(STANDSTILL, Patience(timeout).query)


def test_without_a_watchdog_there_is_no_thread() -> None:
    with watched(Heard(), Pulse(0)) as sign:
        sign(progressed(1))
        assert not [thread for thread in threading.enumerate() if thread.name == "netclnt-watchdog"]


def test_bytes_read_are_counted_as_moved(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(3_000_000))
    before = supervised._bytes_moved()
    if not before:
        pytest.skip("this kernel does not count them")
    path.read_bytes()
    assert supervised._bytes_moved() - before >= 3_000_000
