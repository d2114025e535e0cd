"""Logs: what they say, how their file survives rotation, and that nothing they suffer reaches the run."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from netclnt.cli.errors import explain
from netclnt.cli.logs import JsonForm, Log, StampedForm, TextForm
from netclnt.cli.logsinks import LogFile, Syslog
from netclnt.cli.output import Level
from netclnt.errors import NoSuchImage
from netclnt.events import Event, Failed, ImageDone, Progressed, Retried, Summed, Waiting, Warned

NASTY = "-rf\x1b[31m\u202e$(id)%s[/b]{0}\nnext\udc80"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "log"))
        listening.settimeout(10)
        yield listening


def syslog_at(daemon: socket.socket) -> Syslog:
    return Syslog("local3", address=daemon.getsockname())


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


class Full:
    """A sink that takes nothing, and counts what it did not take."""

    name = "full.log"

    def __init__(self) -> None:
        self.refused = 0

    def write(self, _: Level, __: str) -> None:
        self.refused += 1
        raise OSError(28, "No space left on device")

    def close(self) -> None: ...


# --- what it says


def test_a_text_log_says_what_standard_error_does_with_time_level_and_run(tmp_path: Path) -> None:
    log = Log(LogFile(tmp_path / "log"), StampedForm("0123abcd"), lambda _: None)
    log.started("netclnt sync")
    for event in (
        Progressed("fetch", "a", 1, 2, 1, 0),
        Waiting("slot", 90, "own slot"),
        ImageDone("a", 3, "updated", 10, 20, 1.0),
        Retried("store", 1, 2.0, "reset"),
        Warned("skew", "the clock is off"),
        Failed("b", NoSuchImage("b")),
        Summed(1, 10, 20, 1.5, 3, 1),
    ):
        log.observe(event)
    told = [line.split(" ", 3) for line in lines(tmp_path / "log")]
    assert all(time.endswith("Z") and len(time) == 24 and run == "0123abcd" for time, _, run, _ in told)
    assert [(level, text.split(":")[0]) for _, level, _, text in told] == [
        ("info", told[0][3]),
        ("info", "waits 1 min 30 s"),
        ("info", "a@3 updated"),
        ("warning", "store"),
        ("warning", "the clock is off"),
        ("error", "b"),
        ("error", "  hint"),
        ("info", "1 image changed"),
    ]


def test_a_json_log_has_the_lines_of_the_contract_without_the_progress(tmp_path: Path) -> None:
    log = Log(LogFile(tmp_path / "log"), JsonForm("0123abcd"), lambda _: None)
    log.started("netclnt sync")
    log.observe(Progressed("fetch", "a", 1, 2, 1, 0))
    log.observe(Warned("skew", NASTY))
    log.observe(Failed(NASTY, NoSuchImage(NASTY)))
    told = [json.loads(line) for line in lines(tmp_path / "log")]
    assert [each["type"] for each in told] == ["start", "warning", "error"]
    assert {each["run_id"] for each in told} == {"0123abcd"}
    assert told[1]["message"] == NASTY


def test_L2_names_do_nothing_to_a_log_and_make_no_second_line(tmp_path: Path, daemon: socket.socket) -> None:
    event = ImageDone(NASTY, 3, "updated", 10, 20, 1.0)
    Log(LogFile(tmp_path / "file"), StampedForm("r"), lambda _: None).observe(event)
    (line,) = lines(tmp_path / "file")
    assert line.isprintable()
    log = Log(syslog_at(daemon), TextForm(), lambda _: None)
    log.observe(event)
    log.observe(Failed(NASTY, NoSuchImage(NASTY)))
    log.close()
    for _ in range(3):
        assert daemon.recv(9000).decode().isprintable()


def test_L2_a_line_without_end_is_cut(daemon: socket.socket) -> None:
    log = Log(syslog_at(daemon), TextForm(), lambda _: None)
    log.observe(Warned("x", "x" * 1_000_000))
    assert len(daemon.recv(20_000)) < 9000
    log.close()


def test_syslog_lines_are_those_of_syslog_3(daemon: socket.socket) -> None:
    sink = syslog_at(daemon)
    sink.write(Level.WARNING, "the clock is off")
    told = daemon.recv(1000).decode()
    assert told.startswith(f"<{19 * 8 + 4}>")
    assert told.endswith(f" netclnt[{os.getpid()}]: the clock is off")
    sink.close()


# --- rotation


def test_the_file_may_be_moved_away_or_copied_and_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = LogFile(path)
    sink.write(Level.INFO, "one")
    path.rename(tmp_path / "log.1")
    sink.write(Level.INFO, "two")
    assert lines(path) == ["two"]
    os.truncate(path, 0)
    sink.write(Level.INFO, "three")
    assert path.read_bytes() == b"three\n"


@pytest.mark.parametrize("way", ["create 0640 root root", "copytruncate"])
def test_logrotate_loses_no_line(tmp_path: Path, way: str) -> None:
    path = tmp_path / "log"
    config = tmp_path / "rotate"
    config.write_text(
        f"{path} {{\n rotate 3\n {way if os.geteuid() == 0 else way.split()[0]}\n su {os.getuid()} {os.getgid()}\n}}\n"
    )
    config.chmod(0o600)
    sink = LogFile(path)
    sink.write(Level.INFO, "one")
    command = ["logrotate", "--force", "--state", str(tmp_path / "state"), str(config)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("logrotate is not installed")
    assert done.returncode == 0, done.stderr
    sink.write(Level.INFO, "two")
    assert lines(tmp_path / "log.1") == ["one"]
    assert lines(path) == ["two"]


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_C26_a_new_file_has_mode_0640_and_an_old_one_keeps_its_own(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        LogFile(tmp_path / "new").write(Level.INFO, "x")
        (tmp_path / "old").touch()
        (tmp_path / "old").chmod(0o604)
        LogFile(tmp_path / "old").write(Level.INFO, "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o604


# --- trouble


def test_C4_a_log_that_fails_is_told_once_and_others_go_on(tmp_path: Path) -> None:
    full = Full()
    told: list[Event] = []
    logs: list[Log] = []

    def everybody(event: Event) -> None:
        told.append(event)
        for log in logs:
            log.observe(event)

    logs += [Log(full, TextForm(), everybody), Log(LogFile(tmp_path / "log"), TextForm(), everybody)]
    for _ in range(3):
        everybody(Summed(1, 10, 20, 1.5, 3, 1))
    warnings = [event for event in told if isinstance(event, Warned)]
    assert [warning.code for warning in warnings] == ["log-failed"]
    assert "full.log" in warnings[0].message
    assert "No space left on device" in warnings[0].message
    assert full.refused == 4  # it is asked again each time: there may be room
    assert len(lines(tmp_path / "log")) == 4


def test_C4_a_line_that_found_no_room_for_its_end_does_not_swallow_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, room = os.write, [7]

    def short(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        written = write(descriptor, data[: room[0]])
        room[0] -= written
        return written

    sink = LogFile(tmp_path / "log")
    monkeypatch.setattr(os, "write", short)
    with pytest.raises(OSError, match="No space"):
        sink.write(Level.INFO, "a long line")
    room[0] = 1000
    sink.write(Level.INFO, "next")
    assert lines(tmp_path / "log") == ["a long ", "next"]


def test_G4_a_link_in_the_logs_place_is_not_followed_and_a_pipe_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to("target")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(OSError):
            LogFile(tmp_path / name).write(Level.INFO, "x")
    assert (tmp_path / "target").read_text() == ""


def test_C4_a_daemon_that_stands_still_is_waited_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "log"))
        sink = Syslog("daemon", address=str(tmp_path / "log"))
        waits: list[float | None] = []
        monkeypatch.setattr("netclnt.cli.logsinks._SYSLOG_SECONDS", 0.05)
        sink._socket.settimeout(0.05)
        failures = 0
        for _ in range(2000):  # its queue holds far fewer
            waits.append(sink._socket.gettimeout())
            try:
                sink.write(Level.INFO, "x")
            except OSError:
                failures += 1
                if failures == 3:
                    break
        assert failures == 3
        assert waits[-3:] == [0.05, 0.0, 0.0]
        deaf.recv(100)
        sink.write(Level.INFO, "there is room again")
        assert sink._socket.gettimeout() == 0.05
        sink.close()


def test_C4_no_daemon_at_all(tmp_path: Path) -> None:
    told: list[Event] = []
    log = Log(Syslog("daemon", address=str(tmp_path / "none")), TextForm(), told.append)
    log.started("netclnt sync")
    log.observe(Summed(1, 10, 20, 1.5, 3, 1))
    log.close()
    assert [event.code for event in told if isinstance(event, Warned)] == ["log-failed"]


def test_L1_an_error_is_logged_by_its_sentence(tmp_path: Path) -> None:
    told = explain(NoSuchImage("x"))
    assert [text for _, text in TextForm().failed(told)] == [told.sentence, f"  hint: {told.hint}"]
