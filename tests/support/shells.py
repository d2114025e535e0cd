"""An interactive shell on a terminal of its own, into which a command line is typed, with Tab and Enter."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.site import NETCLNT

DEADLINE = 30
"""Seconds after which a shell counts as hanging."""

READY = "READY>"
TAB, ENTER = "\t", "\r"

_START = {
    "bash": ["bash", "--noprofile", "--rcfile", "{rc}", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i", "-C", "source {rc}"],
}
_RC = {
    "bash": "bind 'set enable-bracketed-paste off'\nbind 'set show-all-if-ambiguous on'\nPS1='READY>'\n"
    'eval "$(netclnt completion bash)"\n',
    "zsh": "autoload -Uz compinit && compinit -u -d {home}/dump; eval \"$(netclnt completion zsh)\"; PS1='READY''>'",
    "fish": "function fish_prompt; echo -n READY'>'; end\nfunction fish_title; end\nnetclnt completion fish | source\n",
}


class Shell:
    """``netclnt`` completes in it as anywhere, and when it is called, it only notes its words."""

    def __init__(self, name: str, fd: int, noted: Path) -> None:
        self._name, self._fd, self._noted = name, fd, noted

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def until(self, *wanted: str) -> str:
        """What the shell shows, until it has shown all of that, in that order."""
        shown, end = "", time.monotonic() + DEADLINE
        pattern = re.compile(".*".join(map(re.escape, wanted)), re.DOTALL)
        while not pattern.search(shown):
            if not select.select([self._fd], [], [], max(0, end - time.monotonic()))[0]:
                pytest.fail(f"{self._name} never showed {wanted}, but {shown!r}")
            shown += os.read(self._fd, 65536).decode(errors="replace")
        return shown

    def completed(self, line: str) -> list[str]:
        """The words that netclnt gets where Tab is typed behind ``line``, and then Enter."""
        self._noted.unlink(missing_ok=True)
        self.type(line + TAB + ENTER)
        self.until("NOTED", READY)
        return self._noted.read_text().split("\0")[:-1]


@contextmanager
def shell(name: str, directory: Path, environment: Mapping[str, str]) -> Iterator[Shell]:
    """One with its completion, in ``directory``. Skips the test where it is not installed."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    rc, noted, program = directory / "rc", directory / "noted", directory / "bin" / "netclnt"
    program.parent.mkdir()
    calls = f'exec {" ".join(NETCLNT)} "$@"'
    program.write_text(
        f'#!/bin/sh\ntest "${{_NETCLNT_COMPLETE-}}" && {calls}\ntest "$1" = completion && {calls}\n'
        f"printf '%s\\0' \"$@\" > {noted}\necho NOTED\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    rc.write_text(_RC[name].format(home=directory))
    words = [word.format(rc=rc) for word in _START[name]]
    pid, fd = pty.fork()
    if not pid:
        os.chdir(directory)
        path = f"{program.parent}:{environment['PATH']}"
        os.execvpe(words[0], words, {**environment, "PATH": path, "TERM": "xterm", "COLUMNS": "200"})
    try:
        opened = Shell(name, fd, noted)
        if name == "zsh":
            opened.type(rc.read_text() + ENTER)
        opened.until(READY)
        yield opened
    finally:
        os.close(fd)  # the shell's terminal hangs up
        os.waitpid(pid, 0)
