"""The progress on a real terminal: its size, a resize in mid-run, lines above it, and what is left behind."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from rich.cells import cell_len

from tests.support.terminal import Terminal

TOP = Path(__file__).parents[2]
NAMES = ["debian12.ext4", "treiber/画像-漢字-の-とても長い名前", "c"]


class Player:
    """Events go in, a terminal shows them."""

    def __init__(self, directory: Path, width: int, environment: dict[str, str]) -> None:
        fifo = directory / "events"
        os.mkfifo(fifo)
        words = [sys.executable, "-m", "tests.support.player", str(fifo)]
        self.terminal = Terminal(directory, words, width=width, environment={"PYTHONPATH": str(TOP), **environment})
        self._fifo: IO[str] = fifo.open("w", encoding="utf-8")

    def tell(self, name: str, *values: object) -> None:
        self._fifo.write(json.dumps([name, *values]) + "\n")
        self._fifo.flush()

    def begin(self) -> None:
        self.tell("Catalog", 7, len(NAMES))
        for name in NAMES:
            self.tell("Changed", name, "image", 1, 2, "update", 1000_000)
        self.tell("Planned", NAMES[0], 400_000, 600_000, 1, 1, None)

    def progress(self, name: str, percent: int) -> None:
        self.tell("Progressed", "fetch", name, 10_000 * percent, 1000_000, 4000 * percent, 6000 * percent)

    def end(self) -> list[str]:
        """All rows that there ever were, once the run is over."""
        self._fifo.close()
        self.terminal.await_rows(lambda rows: any("played" in row for row in rows))
        rows = [row.rstrip() for row in self.terminal.rows(history=True)]
        return [row for row in rows[: rows.index("played")] if row]

    def close(self) -> None:
        if not self._fifo.closed:
            self._fifo.close()
        self.terminal.close()


Play = Callable[..., Player]


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    players: list[Player] = []

    def opened(width: int, **environment: str) -> Player:
        players.append(Player(tmp_path, width, environment))
        return players[-1]

    yield opened
    for player in players:
        player.close()


def has(*words: str) -> Callable[[list[str]], bool]:
    return lambda rows: all(any(word in row for row in rows) for word in words)


@pytest.mark.parametrize(
    ("width", "count"),
    [pytest.param(60, 3, marks=pytest.mark.slow), pytest.param(80, 3, marks=pytest.mark.slow), (40, 3), (120, 2)],
)
def test_L2_the_progress_fits_and_leaves_only_what_was_told(play: Play, width: int, count: int) -> None:
    player = play(width)
    player.begin()
    player.progress(NAMES[0], 50)
    rows = player.terminal.await_rows(has(" 50 %", " 16 %"))
    shown = [row for row in rows if row]
    assert len(shown) == count
    assert all(cell_len(row) < width for row in shown)
    assert NAMES[0] in shown[0]
    assert "300 kB reused" in "".join(shown)
    player.tell("ImageDone", NAMES[0], 2, "updated", 400_000, 600_000, 3.0)
    player.progress(NAMES[1], 30)
    rows = player.terminal.await_rows(has(" 30 %", " 43 %"))
    assert "".join(rows).count("━╺") + "".join(rows).count("━╸") + "".join(rows).count("━━ ") >= 2
    assert "━" not in "".join(rows[: len([row for row in rows if row]) - count])
    assert player.terminal.cursor().endswith(" 1"), "the cursor is hidden"
    assert "".join(player.end()) == f"{NAMES[0]}@2 updated: 400 kB fetched, 600 kB reused, 3.0 s"


def test_L2_a_resize_in_mid_run_leaves_nothing_behind(play: Play) -> None:
    """Lines stand above it, as in an admin's session; each new size wraps the old rows anew. (From the very top of a screen tmux
    pushes rows into its history while it does so, where nobody can wipe them.)"""
    player = play(120)
    before = [f"netclnt: warning: line {number}" for number in range(30)]
    for line in before:
        player.tell("Warned", "odd", line.removeprefix("netclnt: warning: "))
    player.begin()
    for percent, width in ((10, 120), (20, 40), (30, 100), (40, 53), (50, 31), (60, 120)):
        player.terminal.resize(width)
        player.progress(NAMES[0], percent)
        rows = player.terminal.await_rows(has(f" {percent} %"))
        bars = [row for row in rows if "%" in row]
        assert len(bars) == 2, rows
        assert all(cell_len(row) < width for row in bars)
    player.tell("Warned", "odd", "last")
    assert player.end() == [*before, "netclnt: warning: last"]


def test_L2_a_new_size_is_followed_where_nothing_else_happens(play: Play) -> None:
    player = play(120)
    player.begin()
    player.progress(NAMES[0], 50)
    player.terminal.await_rows(has("fetch debian12.ext4"))
    player.terminal.resize(40)
    player.terminal.await_rows(lambda rows: "fetch debian12.ext4" not in rows[0] and "50 %" in rows[0])


@pytest.mark.slow
def test_L10_a_wait_counts_down_where_nothing_else_happens(play: Play) -> None:
    player = play(80)
    player.begin()
    player.tell("Retried", "store", 1, 300.0, "connection reset")
    for left in ("4 min 59 s", "4 min 58 s"):
        player.terminal.await_rows(lambda rows, left=left: any(f"attempt 2 in {left}" in row for row in rows[1:]))
    assert player.end() == ["store: connection reset; attempt 2 in 5 min"]


def test_L10_a_status_line_that_is_asked_for_stands_above_the_progress(play: Play) -> None:
    player = play(80)
    player.begin()
    player.progress(NAMES[0], 50)
    player.terminal.await_rows(has(" 50 %"))
    player.terminal.signal("USR1")
    player.terminal.await_rows(lambda rows: rows[0].startswith("netclnt: fetch debian12.ext4: 500 kB of 1.00 MB"))
    player.progress(NAMES[0], 60)
    rows = player.terminal.await_rows(has(" 60 %"))
    assert sum("%" in row and "━" in row for row in rows) == 2
    told = "".join(player.end())
    assert told.startswith("netclnt: fetch debian12.ext4: 500 kB of 1.00 MB")
    assert "━" not in told


@pytest.mark.slow
def test_no_color_and_an_old_locale_get_the_same_without_either(play: Play) -> None:
    player = play(80, NO_COLOR="1", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    player.begin()
    player.progress(NAMES[0], 50)
    rows = player.terminal.await_rows(has(" 50 %", "-----"))
    assert all(row.isascii() for row in rows)
    assert "\x1b" not in player.terminal._tmux("capture-pane", "-p", "-e")


@pytest.mark.parametrize(("flags", "environment"), [([], {"TERM": "dumb"}), (["--progress", "never"], {"TERM": "xterm"})])
def test_L2_a_dumb_terminal_gets_plain_lines_and_one_that_wants_none_gets_none(
    tmp_path: Path, flags: list[str], environment: dict[str, str]
) -> None:
    fifo = tmp_path / "events"
    os.mkfifo(fifo)
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "tests.support.player", str(fifo), "--line-seconds", "0", *flags]
    child = subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "PYTHONPATH": str(TOP), **environment}
    )
    os.close(theirs)
    with fifo.open("w") as events:
        for percent in (10, 90):
            events.write(json.dumps(["Progressed", "fetch", "a\x1b[2J", percent, 100, percent, 0]) + "\n")
    told = _read_all(ours)
    os.close(ours)
    assert child.wait() == 0
    assert "\x1b" not in told
    lines = [line for line in told.splitlines() if line != "played"]
    assert [line.split(",")[0] for line in lines] == (
        [] if flags else ["fetch a\\x1b[2J: 10 B of 100 B", "fetch a\\x1b[2J: 90 B of 100 B"]
    )


def test_progress_always_into_a_pipe_is_plain_lines(tmp_path: Path) -> None:
    fifo = tmp_path / "events"
    os.mkfifo(fifo)
    words = [sys.executable, "-m", "tests.support.player", str(fifo), "--progress", "always", "--line-seconds", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(TOP)}) as child:
        with fifo.open("w") as events:
            for percent in (10, 90):
                events.write(json.dumps(["Progressed", "fetch", "a", percent, 100, percent, 0]) + "\n")
        assert child.stderr is not None
        told = child.stderr.read()
    assert told.isprintable() is False
    assert [line.split(",")[0] for line in told.splitlines()] == ["fetch a: 10 B of 100 B", "fetch a: 90 B of 100 B"]
    assert all(line.isprintable() for line in told.splitlines())


def _read_all(descriptor: int) -> str:
    parts = []
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # EIO: the other end is closed
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts).decode()
