"""A real terminal of any size that can be looked at and resized: tmux, which wraps rows anew as most terminals do."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

DEADLINE = 60.0


class Terminal:
    """A terminal in which one command runs; :meth:`close` ends both."""

    def __init__(
        self, directory: Path, words: Sequence[str], *, width: int, height: int = 24, environment: Mapping[str, str]
    ) -> None:
        if shutil.which("tmux") is None:
            pytest.skip("tmux is not installed")
        self._socket = directory / "tmux"
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
        (directory / "tmux.conf").write_text(
            "set -g remain-on-exit on\nset -g status off\nset -g default-terminal tmux-256color\n"
        )
        inside = shlex.join(["env", *(f"{name}={value}" for name, value in environment.items()), *words])
        size = ["-x", str(width), "-y", str(height)]
        self._tmux("-f", str(directory / "tmux.conf"), "new-session", "-d", *size, inside)

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self._socket), *words], capture_output=True, text=True, check=True, env=self._environment
        )
        return done.stdout

    def resize(self, width: int, height: int = 24) -> None:
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def rows(self, *, history: bool = False) -> list[str]:
        """What is on the screen; or also, before it, what has left it, each line in one piece. Without blank rows at the end."""
        text = self._tmux("capture-pane", "-p", *(("-J", "-S", "-") if history else ()))
        return text.rstrip("\n").split("\n")

    def await_rows(self, found: Callable[[list[str]], bool]) -> list[str]:
        """The screen as soon as it is as wanted."""
        end = time.monotonic() + DEADLINE
        while not found(rows := self.rows()):
            if time.monotonic() > end:
                pytest.fail(f"the screen never was as wanted; in the end:\n{chr(10).join(rows)}")
            time.sleep(0.05)
        return rows

    def signal(self, name: str) -> None:
        pid = self._tmux("display-message", "-p", "#{pane_pid}").strip()
        subprocess.run(["kill", "-s", name, pid], check=True)

    def cursor(self) -> str:
        """Column, row, and whether it is shown."""
        return self._tmux("display-message", "-p", "#{cursor_x} #{cursor_y} #{cursor_flag}").strip()

    def close(self) -> None:
        subprocess.run(["tmux", "-S", str(self._socket), "kill-server"], capture_output=True, check=False, env=self._environment)
