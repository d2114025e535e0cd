"""A terminal: tables and a progress bar. The only module that knows rich, imported when the first of them is shown.

Text from outside is never read as rich's markup: everything goes in as Text, or with markup off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from time import monotonic
from typing import TextIO

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.table import Column as RichColumn
from rich.table import Table
from rich.text import Text

from netclnt.cli.meter import Meter
from netclnt.cli.output import failure
from netclnt.cli.show import Column, Record, plain
from netclnt.cli.text import human_bytes, human_seconds, safe

_NARROW = 80
_FOLDED = 24
_COLUMNS_MIN = 3
_UPDATE_SECONDS = 0.1


def print_table(stream: TextIO, columns: Sequence[Column], records: Iterable[Record], *, color: bool) -> None:
    """Raises OutputClosed, StorageFailed."""
    console = _console(stream, color=color)
    rows = [[_shown(column, record.get(column.field)) for column in columns] for record in records]
    if not rows:
        return
    fitting = _fitting([column.title for column in columns], rows, console.width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns[:fitting]:
        number = column.form in ("number", "bytes", "seconds")
        table.add_column(column.title, justify="right" if number else "left", no_wrap=number, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row[:fitting]))
    try:
        console.print(table)
        stream.flush()
    except OSError as error:
        raise failure(error) from None


def _fitting(titles: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> int:
    """How many columns, from the left, a terminal of that width can show; long values are folded before a column is left out."""
    widths = [min(max(map(len, cells)), _FOLDED) + 2 for cells in zip(titles, *rows, strict=True)]
    count = len(widths)
    while count > _COLUMNS_MIN and sum(widths[:count]) - 2 > width:
        count -= 1
    return count


class ProgressBar:
    """A bar at the bottom of a terminal that leaves nothing behind; lines are printed above it."""

    def __init__(self, stream: TextIO, meter: Meter, *, color: bool) -> None:
        self.console = _console(stream, color=color)
        narrow = self.console.width < _NARROW
        self._progress = Progress(
            _Words(meter, narrow=narrow, table_column=RichColumn(no_wrap=True, overflow="ellipsis", ratio=2)),
            BarColumn(bar_width=None, table_column=RichColumn(ratio=1)),
            _Figures(meter, narrow=narrow, table_column=RichColumn(no_wrap=True)),
            console=self.console,
            transient=True,
            expand=True,
            refresh_per_second=5,
        )
        self._meter = meter
        self._task = self._progress.add_task("", total=None)
        self._next = 0.0
        self._progress.start()

    def update(self) -> None:
        event = self._meter.last
        if event is not None and monotonic() >= self._next:
            self._next = monotonic() + _UPDATE_SECONDS
            self._progress.update(self._task, completed=event.bytes_done, total=event.bytes_total or None)

    def print(self, line: str) -> None:
        self.console.print(Text(line), soft_wrap=True)

    def close(self) -> None:
        """Idempotent."""
        self._progress.stop()


class _Words(ProgressColumn):
    def __init__(self, meter: Meter, *, narrow: bool, table_column: RichColumn) -> None:
        super().__init__(table_column=table_column)
        self._meter, self._narrow = meter, narrow

    def render(self, _: Task) -> Text:
        event = self._meter.last
        if event is None:
            return Text("")
        return Text(safe(event.image) if self._narrow else f"{safe(event.stage)} {safe(event.image)}")


class _Figures(ProgressColumn):
    def __init__(self, meter: Meter, *, narrow: bool, table_column: RichColumn) -> None:
        super().__init__(table_column=table_column)
        self._meter, self._narrow = meter, narrow

    def render(self, _: Task) -> Text:
        event = self._meter.last
        if event is None:
            return Text("")
        share = f"{100 * event.bytes_done // event.bytes_total} %, " if event.bytes_total else ""
        rate = f"{human_bytes(self._meter.rate)}/s"
        if self._narrow:
            return Text(f"{share}{rate}")
        left = "" if self._meter.eta is None else f", {human_seconds(self._meter.eta)} left"
        if not event.bytes_fetched and not event.bytes_reused:
            return Text(f"{share}{self._meter.amount()}, {rate}{left}")
        moved = f"{human_bytes(event.bytes_fetched)} fetched, {human_bytes(event.bytes_reused)} reused"
        return Text(f"{share}{self._meter.amount()}, {rate}{left}; {moved}")


def _console(stream: TextIO, *, color: bool) -> Console:
    return Console(file=stream, markup=False, highlight=False, emoji=False, no_color=not color, force_terminal=True)


def _shown(column: Column, value: object) -> str:
    if value is None:
        return "-"
    if column.form == "bytes" and isinstance(value, int):
        return human_bytes(value)
    if column.form == "seconds" and isinstance(value, (int, float)):
        return human_seconds(value)
    if column.form == "time":
        return safe(value)[:16].replace("T", " ")
    return safe(plain(value))
