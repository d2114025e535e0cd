"""The harness sees for itself whether what strace was to inject happened."""

import subprocess
from pathlib import Path

import pytest

from tests.support.trace import Call, aimed, is_hit, is_library_hit, is_output_hit, points, tracing

NEVER = 9999


@pytest.mark.parametrize("what", ["error=EACCES", "retval=3", "delay_enter=1000", "signal=KILL"])
def test_a_call_that_never_came_was_not_hit(what, tmp_path):
    for number, happens in ((1, True), (NEVER, False)):
        words = tracing(tmp_path / "trace", ["openat"], inject=f"openat:{what}:when={number}")
        subprocess.run([*words, "cat", "/dev/null"], check=False, capture_output=True)
        log = aimed(words)
        assert log == tmp_path / "trace"
        assert is_hit(log) is happens, log.read_text()


def test_a_run_that_is_only_traced_is_aimed_at_by_nothing(tmp_path):
    assert aimed(tracing(tmp_path / "trace", ["openat"])) is None
    assert aimed(["setsid"]) is None


@pytest.mark.parametrize(
    ("file", "found"),
    [("/usr/lib/python3/_blake2.cpython-311.so", True), ("/usr/lib/libz.so.1", True), ("/root/ledger.sqlite", False)],
)
def test_a_library_that_could_not_be_read_is_told_from_what_a_run_works_on(file, found, tmp_path):
    (tmp_path / "trace").write_text(
        f'7 read(3<{file}>, "x", 832) = 832\n8 read(3<{file}>, 0x1, 832) = -1 EIO (Input/output error) (INJECTED)\n'
    )
    assert is_library_hit(tmp_path / "trace") is found
    (tmp_path / "trace").write_text(f'7 read(3<{file}>, "x", 832) = 832\n')
    assert not is_library_hit(tmp_path / "trace")


def test_a_call_is_known_by_its_beginning_though_others_came_between(tmp_path):
    lines = [
        '7 write(1</memfd:out>, "x", 1 <unfinished ...>',
        '8 write(5</root/x>, "y", 1) = 1',
        "7   <... write resumed>) = -1 EIO (INJECTED)",
    ]
    (tmp_path / "trace").write_text("\n".join(lines) + "\n")
    assert is_output_hit(tmp_path / "trace")
    (tmp_path / "trace").write_text("\n".join(line.replace("write(1<", "write(4<") for line in lines) + "\n")
    assert not is_output_hit(tmp_path / "trace")


def test_no_point_keeps_another_process_from_loading(tmp_path):
    calls = [
        Call(7, "pread64", 'pread64(3</usr/lib/libc.so.6>, "x", 784, 64) = 784'),
        Call(8, "pread64", 'pread64(5</root/image>, "x", 9, 0) = 9'),
        Call(8, "pread64", 'pread64(5</root/image>, "x", 9, 9) = 9'),
    ]
    assert points(calls, [Path("/root")], only=True) == [("pread64", 2)]
