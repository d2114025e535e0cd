"""What people and programs see of a run. One View a form: JSON Lines, plain text, and (in show_rich) a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import RLock
from time import monotonic
from typing import Literal, Protocol, TextIO

from netclnt.cli.errors import Explained, explain
from netclnt.cli.meter import Meter, hook_line, plan_line, retry_line, wait_line
from netclnt.cli.output import Level, Output
from netclnt.cli.text import counted, human_bytes, human_seconds, safe
from netclnt.errors import ExitCode
from netclnt.events import (
    Catalog,
    Changed,
    Event,
    Failed,
    Forecasted,
    Hooked,
    HookLine,
    ImageDone,
    Planned,
    Progressed,
    Retried,
    Summed,
    Waiting,
    Warned,
)
from netclnt.outcome import FINE

Record = Mapping[str, object]

_LINE_SECONDS = 5.0

_MOVING = (Planned, Progressed, Retried, Waiting, Hooked)
"""Events that show a run at work, or waiting: there is progress to be shown from the first of them on."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: the record's field it shows, its title, and how a terminal shows its values; a ``minor`` one goes
    first where the terminal is too narrow for all. One that is ``piped`` a terminal never has: it shows that in another way."""

    field: str
    title: str
    form: Literal["text", "number", "bytes", "seconds", "time", "digest"] = "text"
    minor: bool = False
    piped: bool = False


@dataclass(frozen=True, slots=True)
class Shares:
    """What a whole is made up of: words and bytes of each part, in their order; not all of them 0."""

    title: str
    parts: Sequence[tuple[str, int]]


class View(Protocol):
    """All methods may be called from any thread, but one at a time takes effect."""

    def started(self, command: str) -> None:
        """The first line of a run."""

    def observe(self, event: Event) -> None:
        """An Observer. Raises OutputClosed."""

    def table(self, kind: str, columns: Sequence[Column], records: Iterable[Record], /) -> None:
        """Data: one record a line, as JSON of type ``kind``. Raises OutputClosed, StorageFailed."""

    def shares(self, wholes: Iterable[Shares], /) -> None:
        """For people at a terminal alone, who have the figures beside: bars. Raises OutputClosed, StorageFailed."""

    def names(self, kind: str, records: Iterable[Record], /) -> None:
        """Data: of each record its ``image`` alone, ended by NUL; as JSON the whole. Raises OutputClosed, StorageFailed."""

    def result(self, kind: str, record: Record, lines: Sequence[str], /) -> None:
        """Data of one record that people read as ``lines``. Raises OutputClosed, StorageFailed."""

    def note(self, text: str) -> None:
        """Something for people alone."""

    def failed(self, explained: Explained, image: str = "") -> None:
        """An error; of one image, or of the whole run."""

    def ended(self, code: ExitCode) -> ExitCode:
        """The last line. Returns the code to exit with: standard output may fail as late as now."""

    def status(self) -> str:
        """One line for SIGUSR1. Takes no lock."""

    def aside(self) -> str:
        """What is to be written to standard error before a line that does not come through this view. Takes no lock."""


class Bar(Protocol):
    """A progress bar; opened with the first event that shows a run at work."""

    def update(self) -> None: ...

    def print(self, line: str) -> None: ...

    def aside(self) -> str: ...

    def close(self) -> None: ...


class Terminal(Protocol):
    """What a terminal can do beyond plain text."""

    @property
    def tables(self) -> bool:
        """Whether standard output shows tables for people."""

    @property
    def bars(self) -> bool:
        """Whether standard error shows a progress bar."""

    @property
    def lines(self) -> bool:
        """Whether standard error, which can show no bar, wants a progress line now and then."""

    def print_table(self, stream: TextIO, columns: Sequence[Column], records: Iterable[Record]) -> None: ...

    def print_shares(self, stream: TextIO, wholes: Iterable[Shares]) -> None: ...

    def open_bar(self, stream: TextIO, meter: Meter) -> Bar: ...


class TextView:
    """Data on standard output, tab-separated or as a terminal's tables; a line for each image, warning and error, and the
    progress, on standard error."""

    def __init__(self, output: Output, terminal: Terminal, *, quiet: bool, verbose: int) -> None:
        self.output = output
        self.terminal = terminal
        self.quiet = quiet
        self.verbose = verbose
        self.meter = Meter()
        self.lock = RLock()
        self._bar: Bar | None = None
        self._next_line = monotonic() + _LINE_SECONDS

    def started(self, command: str) -> None:
        if self.verbose > 1:
            self.note(f"{command} starts at {now()}")

    def observe(self, event: Event) -> None:
        with self.lock:
            self.meter.observe(event)
            if isinstance(event, Failed):
                self.failed(explain(event.error), event.image)
            elif line := event_line(event, verbose=self.verbose):
                self.note(line, event_level(event))
            if isinstance(event, _MOVING) and not self.quiet:
                self._progress()

    def _progress(self) -> None:
        if self.terminal.bars:
            self._bar = self._bar or self.terminal.open_bar(self.output.stderr, self.meter)
            self._bar.update()
        elif self.terminal.lines and monotonic() >= self._next_line:
            self._next_line = monotonic() + _LINE_SECONDS
            self.note(self.meter.line())

    def table(self, _: str, columns: Sequence[Column], records: Iterable[Record], /) -> None:
        self._close_bar()
        if self.terminal.tables:
            self.terminal.print_table(self.output.stdout, columns, records)
            return
        for record in records:
            self.output.data("\t".join(safe(plain(record.get(column.field))) for column in columns))
        self.output.flush()

    def shares(self, wholes: Iterable[Shares], /) -> None:
        self._close_bar()
        if self.terminal.tables:
            self.terminal.print_shares(self.output.stdout, wholes)

    def names(self, _: str, records: Iterable[Record], /) -> None:
        self._close_bar()
        for record in records:
            self.output.data(str(record["image"]), end="\0")
        self.output.flush()

    def result(self, _: str, __: Record, lines: Sequence[str], /) -> None:
        self._close_bar()
        for line in lines:
            self.output.data(line)
        self.output.flush()

    def note(self, text: str, level: Level = Level.INFO) -> None:
        if not self.quiet:
            self._say(text, level)

    def _say(self, text: str, level: Level) -> None:
        with self.lock:
            if self._bar:
                self._bar.print(text)
            else:
                self.output.note(text, level)

    def failed(self, explained: Explained, image: str = "") -> None:
        if self.quiet and explained.code in _QUIET:
            return
        self._say(f"netclnt: {error_text(explained, image)}", code_level(explained.code))

    def ended(self, code: ExitCode) -> ExitCode:
        self._close_bar()
        return code

    def _close_bar(self) -> None:
        with self.lock:
            if self._bar:
                self._bar.close()
                self._bar = None

    def status(self) -> str:
        return self.meter.line()

    def aside(self) -> str:
        bar = self._bar
        return bar.aside() if bar is not None else ""


_QUIET = (ExitCode.LOCKED, ExitCode.PAUSED)
"""Normal for a job that starts often; the contract says that both are silent under ``-q``."""


def code_level(code: ExitCode) -> Level:
    """How much an end with this code matters."""
    return Level.INFO if code in (*FINE, ExitCode.LOCKED) else Level.ERROR


def event_level(event: Event) -> Level:
    """How much the line of :func:`event_line` matters."""
    return Level.WARNING if isinstance(event, Warned | Retried) else Level.INFO


def error_text(explained: Explained, image: str = "") -> str:
    """An error, of one image or of the whole run, as lines of plain text."""
    prefix = f"{safe(image)}: " if image else ""
    return f"{prefix}{explained.sentence}" + (f"\n  hint: {explained.hint}" if explained.hint else "")


def event_line(event: Event, *, verbose: int) -> str:
    """An event as a line of plain text, or nothing."""
    match event:
        case ImageDone(image=image, version=version, result=result):
            moved = event.bytes_fetched or event.bytes_reused
            return f"{safe(image)}@{version} {safe(result)}: {_moved(event) if moved else human_seconds(event.seconds)}"
        case Warned(message=message):
            return f"netclnt: warning: {safe(message)}"
        case Forecasted():
            return _forecast(event)
        case Summed():
            return _summary(event)
        case HookLine(hook=hook, image=image, line=line):
            return f"hook {hook}{f' of {safe(image)}' if image else ''}: {safe(line)}"
        case Retried(delay=delay):
            return retry_line(event, delay)
        case Waiting(seconds=seconds):
            return wait_line(event, seconds)
        case Catalog(generation=generation, images=images) if verbose:
            return f"catalog: generation {generation}, {counted(images, 'image')}"
        case Changed(image=image, action=action, from_version=old, to_version=new) if verbose:
            return f"{safe(image)}: {safe(action)}, version {plain(old) or '-'} to {plain(new) or '-'}"
        case Planned() if verbose:
            return plan_line(event)
        case Hooked() if verbose:
            return hook_line(event)
    return ""


def _moved(event: ImageDone | Summed) -> str:
    fetched, reused = human_bytes(event.bytes_fetched), human_bytes(event.bytes_reused)
    return f"{fetched} fetched, {reused} reused, {human_seconds(event.seconds)}"


def _forecast(event: Forecasted) -> str:
    if not event.images_planned:
        return "nothing to fetch"
    fetch = f"{counted(event.images_planned, 'image')}: {human_bytes(event.bytes_planned)} to fetch"
    if event.bytes_planned:
        time = "" if event.seconds_planned is None else f", {human_seconds(event.seconds_planned)} on the line"
        fetch += time or ", nobody knows how long that takes"
        fetch += f", in {event.nights} nights" if event.nights and event.nights > 1 else ""
    quota = "" if event.quota_left is None else f"; {human_bytes(event.quota_left)} left of this month's quota"
    return f"{fetch}; {human_bytes(event.bytes_write)} to write, {human_bytes(event.bytes_free)} free{quota}"


def _summary(event: Summed) -> str:
    changed = f"{counted(event.images_changed, 'image')} changed" if event.images_changed else "no image changed"
    line = f"{counted(event.queries, 'query', 'queries')}, {counted(event.sftp_connections, 'SFTP connection')}"
    return f"{changed}: {_moved(event)}; {line}"


def plain(value: object) -> object:
    """A value as a field of tab-separated text: nothing for None, ``yes`` and ``no``, lists by commas."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ",".join(str(plain(one)) for one in value)
    if isinstance(value, float):
        return f"{value:.1f}"
    return value


def now() -> str:
    """RFC 3339, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
