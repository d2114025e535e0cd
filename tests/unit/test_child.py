"""A child that cannot be learnt about is not left behind."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest

from netclnt.child import Child
from tests.support.processes import children


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first read after a birth fails: of the pipe that tells whether the program came up."""

    def fail(descriptor: int, count: int) -> bytes:
        monkeypatch.undo()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "read", fail)


@pytest.mark.usefixtures("unread")
def test_C8_a_child_of_whose_birth_nobody_hears_is_ended() -> None:
    before = set(children(os.getpid()))
    with pytest.raises(OSError, match="Input/output"):
        Child(["sleep", "1000"], stderr=subprocess.DEVNULL, env=os.environ)
    assert set(children(os.getpid())) <= before


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        Child(["/no/such/program"], stderr=subprocess.DEVNULL, env=os.environ)


def test_it_has_a_session_of_its_own_and_only_what_it_is_given() -> None:
    read, write = os.pipe()
    with Child(["sh", "-c", "ls /proc/self/fd; cat"], stderr=subprocess.PIPE, env=os.environ, cwd="/", pass_fds=[write]) as child:
        assert os.getsid(child.pid) == child.pid != os.getsid(0)
        said, errors = child.communicate(b"end\n")
    os.close(read)
    os.close(write)
    assert {*said.decode().split()} - {"3"} == {"0", "1", "2", str(write), "end"}
    assert errors == b""
