"""A terminal: tables and a progress bar. The only module that knows rich, imported when the first of them is shown.

Text from outside is never read as rich's markup: everything goes in as Text, or with markup off.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import zip_longest
from threading import Event, RLock, Thread, current_thread
from time import monotonic
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.progress_bar import ProgressBar as Bar
from rich.text import Text

from netclnt.cli.fitting import GAP, Measure, Need, fit, folded
from netclnt.cli.frame import Row, frame
from netclnt.cli.meter import Meter
from netclnt.cli.output import failure
from netclnt.cli.show import Column, Record, Shares, plain
from netclnt.cli.text import human_bytes, human_seconds, padded, safe

WIPE = "\r\x1b[2K\n\x1b[J\x1b[A"
"""This row and all below, the cursor then at the beginning of this one. Not all at once: what is wiped from the top of the screen
on, tmux keeps in its history."""

_TO_END, _ALL_BELOW = "\x1b[K", "\x1b[J"
_CUT, _WRAP = "\x1b[?7l", "\x1b[?7h"
"""What a row that is too long becomes: a terminal may have its new size before it tells of it, and a row must stay one row."""

_NOTHING = "-"
_SHARES_MAX = 60
_MARKS = (("█", "green"), ("▓", "cyan"), ("░", "bright_black"))
_ASCII_MARKS = (("#", "green"), ("=", "cyan"), (".", "bright_black"))
_UPDATE_SECONDS = 0.1
_TICK_SECONDS = 0.2


def print_table(stream: TextIO, columns: Sequence[Column], records: Iterable[Record], *, color: bool) -> None:
    """Raises OutputClosed, StorageFailed."""
    console, measure = _console(stream, color=color), _measure(stream)
    found = list(records)
    if not found:
        return
    table = [(column, [_shown(column, record.get(column.field)) for record in found]) for column in columns if not column.piped]
    widths, whole = _widths(table, measure, console.width)
    if not whole:  # what says nothing makes room first
        table = [(column, cells) for column, cells in table if any(cell not in ("", _NOTHING) for cell in cells)] or table[:1]
        widths, _ = _widths(table, measure, console.width)
    try:
        if len(widths) < len(table) and len(found) == 1:
            _print_record(console, table, measure)
        else:
            _print_rows(console, [(*table[index], width) for index, width in widths.items()], measure)
            _print_left_out(console, [column.title for index, (column, _) in enumerate(table) if index not in widths], measure)
        stream.flush()
    except OSError as error:
        raise failure(error) from None


def _widths(table: Sequence[tuple[Column, Sequence[str]]], measure: Measure, width: int) -> tuple[dict[int, int], bool]:
    """Those of the columns that are shown, and whether these are all, with nothing folded."""
    needs = [Need.of(column.title, cells, measure, folds=column.form == "text", minor=column.minor) for column, cells in table]
    widths = fit(needs, width)
    return widths, [widths.get(index) for index in range(len(needs))] == [need.most for need in needs]


def _print_rows(console: Console, table: Sequence[tuple[Column, Sequence[str], int]], measure: Measure) -> None:
    def lines(cells: Iterable[str]) -> Iterator[str]:
        """A row of the table: as many lines as its longest cell has pieces."""
        pieces = [folded(cell, width, measure) for cell, (_, _, width) in zip(cells, table, strict=True)]
        for line in zip_longest(*pieces, fillvalue=""):
            parts = (_aligned(part, column, width, measure) for part, (column, _, width) in zip(line, table, strict=True))
            yield (" " * GAP).join(parts).rstrip()

    for line in lines(column.title for column, _, _ in table):
        _say(console, line, "")
    _say(console, "", ("─" if measure("─") == 1 else "-") * (sum(width + GAP for _, _, width in table) - GAP))
    for row in zip(*(cells for _, cells, _ in table), strict=True):
        for line in lines(row):
            _say(console, "", line)


def _aligned(text: str, column: Column, width: int, measure: Measure) -> str:
    if column.form in ("number", "bytes", "seconds"):
        return " " * (width - measure(text)) + text
    return padded(text, width, measure)


def _print_record(console: Console, table: Sequence[tuple[Column, Sequence[str]]], measure: Measure) -> None:
    """A lone record whose columns do not all fit: one below the other."""
    label = max(measure(column.title) for column, _ in table)
    for column, (cell,) in table:
        pieces = folded(cell, max(1, console.width - label - GAP), measure)
        for number, piece in enumerate(pieces):
            _say(console, padded("" if number else column.title, label + GAP, measure), piece)


def _say(console: Console, title: str, text: str) -> None:
    line = Text().append(title, style="" if console.no_color else "bold").append(text)
    console.print(line, no_wrap=True, crop=False, overflow="ignore")


def _print_left_out(console: Console, titles: Sequence[str], measure: Measure) -> None:
    if titles:
        text = f"Left out, for want of room: {', '.join(titles)}. A pipe has all, and so has --json."
        for piece in folded(text, console.width, measure):
            _say(console, "", piece)


def print_shares(stream: TextIO, wholes: Iterable[Shares], *, color: bool) -> None:
    """Raises OutputClosed, StorageFailed."""
    console, measure = _console(stream, color=color), _measure(stream)
    marks = _MARKS if measure("".join(mark for mark, _ in _MARKS)) == len(_MARKS) else _ASCII_MARKS
    try:
        for whole in wholes:
            styled = [(mark, "" if console.no_color else style) for mark, style in marks]
            for piece in folded(safe(whole.title), console.width, measure):
                _say(console, "", piece)
            bar = Text()
            for (mark, style), cells in zip(styled, _cells([count for _, count in whole.parts], console.width), strict=False):
                bar.append(mark * cells, style=style)
            console.print(bar, no_wrap=True, crop=False, overflow="ignore")
            total = sum(count for _, count in whole.parts)
            for (mark, style), (words, count) in zip(styled, whole.parts, strict=False):
                line = Text().append(mark, style=style).append(f" {human_bytes(count)} {words} ({100 * count / total:.0f} %)")
                console.print(line, no_wrap=True, crop=False, overflow="ignore")
        stream.flush()
    except OSError as error:
        raise failure(error) from None


def _cells(parts: Sequence[int], width: int) -> list[int]:
    """The cells of each part in a bar: what there is, is seen."""
    room, total = min(width, _SHARES_MAX), sum(parts)
    cells = [max(1, room * part // total) if part else 0 for part in parts]
    largest = cells.index(max(cells))
    cells[largest] = max(1, cells[largest] + room - sum(cells))
    return cells


class ProgressBar:
    """The progress at the bottom of a terminal that leaves nothing behind; lines are printed above it.

    The cursor always rests at the beginning of the first row: what is below it can be wiped whatever became of it in a resize,
    whether the terminal wraps rows anew or cuts them. Each change is one write over what was there, so that nothing flickers; one
    without a change writes nothing. The cursor is never hidden, so that a killed run leaves the terminal as it should be.
    """

    def __init__(self, stream: TextIO, meter: Meter, *, color: bool) -> None:
        self._stream = stream
        self._meter = meter
        self._console = _console(stream, color=color)
        self._measure = _measure(stream)
        self._lock = RLock()
        self._shown: tuple[int, list[Row]] | None = None
        self._next = 0.0
        self._closed = Event()
        self._thread = Thread(target=self._tick, name="progress", daemon=True)
        self._thread.start()

    def update(self) -> None:
        if monotonic() >= self._next:
            self._next = monotonic() + _UPDATE_SECONDS
            self._draw()

    def print(self, line: str) -> None:
        with self._lock:
            self._write(f"{WIPE}{line}\n")
            self._shown = None
            self._draw()

    def aside(self) -> str:
        """What another writer is to write before a line of its own. Takes no lock."""
        self._shown = None
        return WIPE

    def close(self) -> None:
        """Idempotent."""
        self._closed.set()
        if self._thread is not current_thread():
            self._thread.join()
        with self._lock:
            if self._shown is not None:
                self._write(WIPE)
            self._shown = None

    def _tick(self) -> None:
        """Waits count down, and the terminal may change its size, where nothing else happens."""
        while not self._closed.wait(_TICK_SECONDS):
            self._draw()

    def _draw(self) -> None:
        with self._lock:
            if self._closed.is_set() or _in_background(self._stream):
                return
            width, height = _size(self._stream, self._console)
            rows = frame(self._meter, width, self._measure)[: max(1, height - 1)]
            if self._shown == (width, rows):
                return
            resized = self._shown is not None and self._shown[0] != width
            self._write((WIPE if resized else "") + self._rendered(rows, width))
            self._shown = (width, rows)

    def _rendered(self, rows: Sequence[Row], width: int) -> str:
        texts = []
        for row in rows:
            with self._console.capture() as captured:
                self._console.print(_text(row, self._console), end="", width=width, no_wrap=True, crop=False, overflow="ignore")
            texts.append(captured.get())
        up = f"\x1b[{len(rows) - 1}A" if len(rows) > 1 else ""
        whole = f"{_TO_END}\n".join(texts)
        return f"{_CUT}{whole}{_ALL_BELOW}{up}\r{_WRAP}"

    def _write(self, text: str) -> None:
        """A terminal that has gone away stops nothing."""
        with suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


def _text(row: Row, console: Console) -> Text:
    text = Text()
    if row.bar:
        text.append(row.label, style="" if console.no_color else "bold")
        text.append(" ")
        bar = Bar(total=1.0, completed=row.share, width=row.bar, complete_style="cyan", finished_style="green")
        drawn = list(console.render(bar, console.options.update(width=row.bar)))
        for segment in drawn:
            text.append(segment.text, style=segment.style)
        text.append(" " * (row.bar - sum(len(segment.text) for segment in drawn)) + " ")
    return text.append(row.words)


def _measure(stream: TextIO) -> Measure:
    """The cells that a text takes when it is written there: characters that the locale lacks are escaped."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    if encoding.lower().replace("-", "") == "utf8":
        return cell_len
    return lambda text: len(text.encode(encoding, "backslashreplace"))


def _size(stream: TextIO, console: Console) -> tuple[int, int]:
    """Columns and rows as they are now: what the environment says of them may be older."""
    try:
        width, height = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        width, height = 0, 0
    return width or console.width, height or console.height


def _in_background(stream: TextIO) -> bool:
    """Whether the shell has this run behind the prompt, where it is not to draw."""
    try:
        return os.tcgetpgrp(stream.fileno()) != os.getpgrp()
    except (OSError, ValueError):  # no terminal of this session's
        return False


def _console(stream: TextIO, *, color: bool) -> Console:
    return Console(file=stream, markup=False, highlight=False, emoji=False, no_color=not color, force_terminal=True)


def _shown(column: Column, value: object) -> str:
    if value is None:
        return _NOTHING
    if column.form == "bytes" and isinstance(value, int):
        return human_bytes(value)
    if column.form == "seconds" and isinstance(value, (int, float)):
        return human_seconds(value)
    if column.form == "time":
        return safe(value)[:16].replace("T", " ")
    return safe(plain(value))
