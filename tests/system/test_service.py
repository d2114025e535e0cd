"""The service itself, as a process: real signals, real syncs over a real sshd; only its own clock is faster."""

from __future__ import annotations

import json
import os
import queue
import random
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.images import content
from tests.support.processes import children
from tests.support.proxy import Proxy
from tests.support.site import Site, digest

MakeSite = Callable[..., Site]

SPEED = 120
"""Two minutes of the service's clock are one second: its retries come after one to three seconds."""

DEADLINE = 60
"""Only against hanging."""

OFTEN = ("--schedule", "every 3 minutes")
SOON = ("--schedule", "at 02:00 every 1 day")
"""At 02:00 by the service's clock, which is in less than a second, and then in twelve minutes."""

LATER = ("--schedule", "at 12:00 every 1 day")


class Service:
    """A service in the background. Its JSON lines are taken one by one with :meth:`next`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[str] = queue.Queue()
        self.errors = ""
        self._more = threading.Condition()
        self._readers = [threading.Thread(target=self._read), threading.Thread(target=self._read_errors)]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _read_errors(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            with self._more:
                self.errors += line
                self._more.notify_all()

    def next(self, kind: str, **fields: object) -> dict[str, Any]:
        """The next event of that type with these fields; all before it are passed over."""
        while line := self._lines.get(timeout=DEADLINE):
            event: dict[str, Any] = json.loads(line)
            if event["type"] == kind and all(event.get(name) == value for name, value in fields.items()):
                return event
        pytest.fail(f"no {kind} {fields}; it told: {self.errors}")

    def says(self, text: str) -> None:
        """Wait until standard error has it."""
        with self._more:
            assert self._more.wait_for(lambda: text in self.errors, DEADLINE), self.errors

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, number: int | None = signal.SIGTERM) -> int:
        """Stop it, unless it was told to already; its exit code, which its last line says, too."""
        if number is not None:
            self.send(number)
        code = self.process.wait(DEADLINE)
        event: dict[str, Any] = {}
        while line := self._lines.get(timeout=DEADLINE):
            event = json.loads(line)
        assert (event["type"], event["code"]) == ("exit", code)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream
            stream.close()


@contextmanager
def served(site: Site, *flags: str, **environment: str) -> Iterator[Service]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.fastclock", str(SPEED), "--json", "service", *flags],
        env={**site.environment_of("slave"), "TZ": "UTC", "NETCLNT_CATCH_UP": "no", **environment},
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    service = Service(process)
    try:
        yield service
        assert "Traceback" not in service.errors
    finally:
        service.close()


def pid_of_sync(service: Service) -> int:
    ((pid, command),) = children(service.process.pid).items()
    assert "sync" in command
    return pid


def test_it_keeps_a_slave_up_to_date(make_site: MakeSite) -> None:
    site = make_site("store")
    with served(site, *OFTEN) as service:
        assert service.next("service", state="waiting")["reason"] == "schedule"
        for data in (content("first", 300_000), content("second", 300_000)):
            image = site.put("image", data)
            site.publish(image)
            while not (site.root / "image").exists() or digest(site.root / "image") != digest(image):
                service.next("service", state="syncing", reason="schedule")
                assert service.next("service", state="ended")["name"] == "OK"
        service.next("service", state="waiting")
        assert service.end() == 143


@pytest.mark.slow
def test_L10_SIGUSR1_tells_the_next_start_and_the_last_result(make_site: MakeSite) -> None:
    site = make_site("store")
    with served(site, *LATER) as service:
        service.next("service", state="waiting")
        service.send(signal.SIGUSR1)
        service.says("netclnt: next sync at 2026-11-24 12:00:00+00:00, by schedule")
        service.send(signal.SIGUSR2)
        service.says("SIGUSR2 is for a sync, and none runs")
        assert service.end(signal.SIGINT) == 130


@pytest.mark.slow  # a line that stands still
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_A4_a_signal_ends_service_and_sync_in_order(slow_site: MakeSite, line: Proxy, number: int, code: int) -> None:
    site = slow_site("store")
    image = site.put("image", random.Random(1).randbytes(4 << 20))
    site.publish(image)
    line.hold_after(2 << 20)
    with served(site, *SOON) as service:
        line.wait_until_held()
        pid = pid_of_sync(service)
        service.send(signal.SIGUSR1)
        service.says("netclnt: syncing since 2026-11-24 02:00:")
        service.send(signal.SIGUSR2)
        service.says("cap")  # the sync's own words
        service.send(signal.SIGHUP)
        service.next("service", state="reloaded")
        assert pid_of_sync(service) == pid  # neither disturbed it
        service.send(number)
        assert service.next("service", state="ended")["name"] == "TERMINATED"
        assert service.end(None) == code
        assert not Path(f"/proc/{pid}").exists()
    line.cut()
    line.release()
    site.sync()  # the lock is free
    assert digest(site.root / "image") == digest(image)


@pytest.mark.slow
def test_a_sync_that_is_killed_is_a_failed_run_and_is_tried_again(slow_site: MakeSite, line: Proxy) -> None:
    site = slow_site("store")
    image = site.put("image", random.Random(2).randbytes(4 << 20))
    site.publish(image)
    line.hold_after(2 << 20)
    with served(site, *SOON) as service:
        line.wait_until_held()
        os.kill(pid_of_sync(service), signal.SIGKILL)
        assert service.next("service", state="ended")["name"] == "SIGKILL"
        assert service.next("error")["cause"] == "SyncKilled"
        line.cut()
        line.release()
        service.next("service", state="syncing", reason="retry")
        assert service.next("service", state="ended")["name"] == "OK"
        service.end()
    assert digest(site.root / "image") == digest(image)


@pytest.mark.slow
def test_D3_a_dead_master_is_survived(slow_site: MakeSite, line: Proxy) -> None:
    site = slow_site("store")
    image = site.put("image", content("late", 100_000))
    site.publish(image)
    line.go_away()
    with served(site, *SOON) as service:
        for reason in ("schedule", "retry"):
            service.next("service", state="syncing", reason=reason)
            assert service.next("service", state="ended")["name"] == "TEMP"
        line.come_back()
        while service.next("service", state="ended")["name"] != "OK":
            pass
        service.end()
    assert digest(site.root / "image") == digest(image)


@pytest.mark.slow
def test_a_sync_that_met_no_window_goes_on_when_one_opens(make_site: MakeSite) -> None:
    site = make_site("store")
    site.publish(site.put("image", content("windowed", 100_000)))
    shut = (datetime.now(UTC) + timedelta(days=3)).strftime("%a 00:00-01:00")  # not now, by the sync's clock
    with served(site, "--schedule", "at 02:00 every 1 week on Tue", NETCLNT_WINDOW=shlex.quote(shut)) as service:
        assert service.next("service", state="ended")["name"] == "PAUSED"
        waiting = service.next("service", state="waiting")
        assert waiting["reason"] == "window"
        assert datetime.fromisoformat(waiting["at"]).strftime("%a %H:%M") == shut.partition("-")[0]
        assert service.end() == 143
    assert not (site.root / "image").exists()


def test_SIGHUP_with_a_broken_config_keeps_the_one_before(make_site: MakeSite) -> None:
    site = make_site("store")
    config = site.config("slave")
    text = config.read_text()
    with served(site, NETCLNT_CATCH_UP="") as service:
        before = service.next("service", state="waiting")["at"]
        config.write_text(text.replace("[slave]", '[slave]\nschedule = "whenever"'))
        service.send(signal.SIGHUP)
        assert "whenever" not in (told := service.next("error"))["message"]
        assert (told["code"], "schedule" in told["message"]) == ("USAGE", True)
        service.next("service", state="kept")
        config.write_text(text.replace("[slave]", '[slave]\nschedule = "at 00:00 every 366 days"'))
        service.send(signal.SIGHUP)
        service.next("service", state="reloaded")
        assert service.next("service", state="waiting")["at"] != before
        service.end()


@pytest.mark.slow
def test_a_supervisor_hears_of_every_state(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site("store")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(DEADLINE)

        def hear(wanted: str) -> str:
            while not (message := listener.recv(4096).decode()).startswith(wanted):
                pass
            return message

        supervisor = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": str(60 * 10**6)}  # half a second of its clock
        with served(site, *OFTEN, **supervisor) as service:
            assert "next sync at " in hear("STATUS=")
            hear("READY=1")
            hear("WATCHDOG=1")
            assert "syncing since " in hear("STATUS=syncing")
            assert "last sync: OK" in hear("STATUS=next sync")
            service.send(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in hear("RELOADING=1")
            hear("READY=1")
            service.end()
            hear("STOPPING=1")


def test_a_schedule_that_is_none_ends_it_at_once(make_site: MakeSite) -> None:
    site = make_site("store")
    done = site.slave("--json", "service", "--schedule", "at 25:00 every 1 day")
    assert done.code == 2
    assert "--schedule must have times" in done.one("error")["message"]
    done = site.slave("service", "--schedule", "every 1 hour", "install", "--dry-run")
    assert done.code == 2
    assert "--schedule belongs behind 'install'" in done.err
