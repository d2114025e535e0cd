"""Programs that run for real: what they inherit, how they are ended, and what they may not do to whoever runs them."""

from __future__ import annotations

import ast
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from netclnt import programs
from netclnt.child import Child
from netclnt.errors import Terminated
from netclnt.machine import Ended
from netclnt.programs import LocalPrograms

PYTHON = [sys.executable, "-SE", "-c"]
LONG = 600.0


def run(
    script: str,
    *words: str,
    stdin: bytes = b"",
    seconds: float = 60.0,
    say: Callable[[str], None] | None = None,
    grace: float = 10.0,
) -> tuple[Ended, list[str]]:
    said: list[str] = []
    ended = LocalPrograms().run(
        [*PYTHON, script, *words],
        environment={"LANG": "C.UTF-8"},
        stdin=stdin,
        seconds=seconds,
        grace=grace,
        say=say or said.append,
    )
    return ended, said


def is_alive(pid: int) -> bool:
    """Whether it runs; what has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int) -> None:
    while is_alive(pid):
        time.sleep(0.01)


@contextmanager
def ended_at_last(path: Path) -> Iterator[None]:
    """End the process whose number a test's program wrote there."""
    try:
        yield
    finally:
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(int(path.read_text()), signal.SIGKILL)


def test_it_gets_its_environment_words_and_input_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETCLNT_PASSWORD", "secret")
    script = "import os, sys; print(sorted(os.environ), sys.argv[1:], sys.stdin.read(), os.getcwd())"
    _, said = run(script, "a b", "$HOME", stdin=b"{}")
    assert said == ["['LANG'] ['a b', '$HOME'] {} /"]


def test_A1_P10_no_descriptor_leaks_into_it(tmp_path: Path) -> None:
    """Not even those that are made to be inherited."""
    with (tmp_path / "lock").open("w") as lock, socket.socket() as line:
        for one in (lock.fileno(), line.fileno()):
            os.set_inheritable(one, True)
        _, said = run("import os; print(sorted(int(one) for one in os.listdir('/proc/self/fd'))[:-1])")
    assert said == ["[0, 1, 2]"]


@pytest.mark.parametrize("ignored", [False, True])
def test_no_signal_is_ignored_or_blocked_in_it(*, ignored: bool) -> None:
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in signals if ignored}
    try:
        script = "print([line.split()[1] for line in open('/proc/self/status') if line[:6] in ('SigIgn', 'SigBlk')])"
        done, said = run(f"import signal; signal.signal(signal.SIGPIPE, signal.SIG_DFL); {script}")
        assert all(signal.getsignal(number) is signal.SIG_IGN for number in before)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert done.code == 0
    blocked, left = ast.literal_eval(said[0])
    assert int(blocked, 16) == 0
    assert not int(left, 16) & sum(1 << (number - 1) for number in signals if number != signal.SIGPIPE)


def test_it_is_no_part_of_this_process_group() -> None:
    _, said = run("import os; print(os.getsid(0) == os.getpid() == os.getpgrp())")
    assert said == ["True"]


def test_P9_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    script = f"""
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("asked", flush=True), sys.exit(3)))
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
started = subprocess.Popen([sys.executable, "-SE", "-c", stubborn], stdout=subprocess.PIPE)
started.stdout.readline()
open({str(child)!r}, "w").write(str(started.pid))
print("started", flush=True)
time.sleep(600)
"""
    with ended_at_last(child):
        ended, said = run(script, seconds=3)
        assert ended == Ended(None, "did not end within 3 seconds", "asked")
        assert said == ["started", "asked"]
        wait_until_gone(int(child.read_text()))


def test_P9_what_ignores_SIGTERM_is_killed() -> None:
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    ended, said = run(script, seconds=1, grace=0.2)
    assert ended.problem == "did not end within 1 seconds"
    assert said in (["up"], [])


def test_what_a_signal_ended_has_no_exit_code() -> None:
    ended, _ = run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert ended == Ended(None, "was ended by SIGKILL")


@pytest.mark.parametrize("quiet", [False, True])
def test_what_it_leaves_behind_is_not_waited_for(tmp_path: Path, *, quiet: bool) -> None:
    """A daemon that holds its streams, and one that goes on to write into them for ever."""
    child = tmp_path / "child"
    inner = "import time; time.sleep(600)" if quiet else "while True: print('y' * 70, flush=True)"
    script = f"""
import subprocess, sys
started = subprocess.Popen([sys.executable, "-SE", "-c", {inner!r}], start_new_session=True)
open({str(child)!r}, "w").write(str(started.pid))
"""
    with ended_at_last(child):
        ended, _ = run(script, seconds=LONG)
        assert ended.code == 0
        assert is_alive(int(child.read_text())) or not quiet


def test_output_without_end_neither_blocks_it_nor_fills_the_memory() -> None:
    told: list[str] = []
    script = "import sys\nfor _ in range(3000): sys.stdout.write(('y' * 99 + chr(10)) * 100)\nprint('end')"
    ended, _ = run(script, say=told.append)
    assert ended == Ended(0, said="end")
    assert sum(map(len, told)) < 70_000
    assert told[-1] == "(what it says beyond 64 KiB is not shown)"


def test_a_line_without_end_is_cut_off() -> None:
    ended, said = run("import sys; sys.stdout.write('y' * 5_000_000); print(); print('next')")
    assert said == ["y" * 1000 + "…", "next"]
    assert ended.said == "next"


def test_bytes_that_are_no_text_are_told_escaped() -> None:
    _, said = run("import sys; sys.stdout.buffer.write(bytes([0xFF, 0x41, 0x0D, 0x0A, 0x42]))")
    assert said == ["\\xffA", "B"]


def test_input_that_nobody_reads_blocks_nobody() -> None:
    assert run("pass", stdin=b"x" * (1 << 20))[0] == Ended(0)
    assert run("import time; time.sleep(0.2)", stdin=b"x" * (1 << 20))[0] == Ended(0)


def test_input_longer_than_a_pipe_arrives_whole() -> None:
    _, said = run("import sys; print(len(sys.stdin.buffer.read()))", stdin=b"x" * (1 << 20))
    assert said == [str(1 << 20)]


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["/nonexistent"], "cannot be started: No such file or directory"),
        (["/etc/passwd"], "cannot be started: Permission denied"),
        (["/tmp"], "cannot be started: Permission denied"),
    ],
)
def test_what_cannot_be_started_is_told(argv: Sequence[str], problem: str) -> None:
    ended = LocalPrograms().run(argv, environment={}, stdin=b"", seconds=LONG, grace=1.0, say=print)
    assert ended == Ended(None, problem)


def test_what_is_no_program_is_told(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("no first line\n")
    script.chmod(0o755)
    ended = LocalPrograms().run([str(script)], environment={}, stdin=b"", seconds=LONG, grace=1.0, say=print)
    assert ended == Ended(None, "cannot be started: Exec format error")


def test_A4_a_signal_ends_it_at_once_and_passes(tmp_path: Path) -> None:
    """Also one that ignores SIGTERM, and what it started."""
    pids: list[int] = []

    def stop(*_: object) -> None:
        raise Terminated

    def say(line: str) -> None:
        pids.append(int(line))
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    script = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(600)"
    )
    try:
        with pytest.raises(Terminated):
            run(script, say=say)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not is_alive(pids[0])


def test_a_signal_that_comes_while_it_is_started_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Child] = []

    def start(argv: Sequence[str], **options: Any) -> Child:
        started.append(Child(argv, **options))
        os.kill(os.getpid(), signal.SIGTERM)
        return started[0]

    def stop(*_: object) -> None:
        raise Terminated

    monkeypatch.setattr(programs, "Child", start)
    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(Terminated):
            run("import time; time.sleep(600)")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert started[0].returncode == -signal.SIGTERM


def test_the_exit_code_is_known_where_children_are_not_to_be_waited_for() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert run("import sys; sys.exit(7)")[0] == Ended(7)
    finally:
        signal.signal(signal.SIGCHLD, before)
