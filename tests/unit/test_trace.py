"""The harness sees for itself whether what strace was to inject happened."""

import subprocess

import pytest

from tests.support.trace import aimed, is_hit, tracing

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
