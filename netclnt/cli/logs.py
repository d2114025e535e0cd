"""Logs of runs that nobody watches: the system's log and a file. A log that fails stops nothing, and says so once.

They get what standard error would, a run's begin and end besides, whatever ``-q``, ``-v`` and ``--json`` make of the streams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from threading import RLock
from typing import Protocol

from netclnt import __version__
from netclnt.cli.around import Run
from netclnt.cli.errors import Explained, explain
from netclnt.cli.logsinks import LogFile, Sink, Syslog
from netclnt.cli.output import Level, OutputClosed
from netclnt.cli.show import code_level, error_text, event_level, event_line, now
from netclnt.cli.show_json import error_fields, event_record, json_line
from netclnt.cli.text import human_seconds, safe
from netclnt.config import SlaveConfig
from netclnt.errors import ExitCode
from netclnt.events import Event, Failed, Progressed, Warned

Lines = Iterator[tuple[Level, str]]

_LINE_MAX = 8000


@contextmanager
def logged(run: Run) -> Iterator[None]:
    """Each log of the config hears of this run."""
    with ExitStack() as stack:
        logs = [stack.enter_context(closing(log)) for log in _logs(run, run.config)]
        for log in logs:
            log.started(run.session.command)
            run.session.observers.append(log.observe)
            run.mentioned.append(log.failed)
        try:
            yield
        finally:
            for log in logs:
                log.ended(run)


def _logs(run: Run, config: SlaveConfig) -> Iterator[Log]:
    warn = run.session.observe
    if config.syslog != "off":
        yield Log(Syslog(config.syslog), TextForm(), warn)
    if config.log_file:
        run_id = run.session.run_id
        yield Log(LogFile(config.log_file), JsonForm(run_id) if config.log_format == "json" else StampedForm(run_id), warn)


class Form(Protocol):
    """How a log says it."""

    def started(self, command: str) -> Lines: ...

    def event(self, event: Event) -> Lines: ...

    def failed(self, explained: Explained, image: str = "") -> Lines: ...

    def ended(self, command: str, code: ExitCode | None, seconds: float) -> Lines: ...


class Log:
    """One form of what happens, in one sink. Any method from any thread."""

    def __init__(self, sink: Sink, form: Form, warn: Callable[[Event], None]) -> None:
        self._sink = sink
        self._form = form
        self._warn = warn
        self._lock = RLock()
        self._told = False

    def started(self, command: str) -> None:
        self._write(self._form.started(command))

    def observe(self, event: Event) -> None:
        """An Observer."""
        if isinstance(event, Failed):
            self._write(self._form.failed(explain(event.error), event.image))
        elif not isinstance(event, Progressed):
            self._write(self._form.event(event))

    def failed(self, told: Explained) -> None:
        self._write(self._form.failed(told))

    def ended(self, run: Run) -> None:
        if run.told:
            self.failed(run.told)
        self._write(self._form.ended(run.session.command, run.code, run.session.seconds))

    def close(self) -> None:
        self._sink.close()

    def _write(self, lines: Lines) -> None:
        failure = None
        with self._lock:
            for level, line in lines:
                try:
                    self._sink.write(level, line)
                except OSError as error:
                    failure = error
            if failure is None or self._told:
                return
            self._told = True
        cause = failure.strerror or str(failure)
        self._warn(Warned("log-failed", f"The log {self._sink.name} does not take this run's lines: {cause}."))


class TextForm:
    """As on standard error, one line each."""

    def started(self, command: str) -> Lines:
        return self._lines(Level.INFO, f"{command} starts, version {__version__}")

    def event(self, event: Event) -> Lines:
        return self._lines(event_level(event), event_line(event, verbose=0).removeprefix("netclnt: warning: "))

    def failed(self, explained: Explained, image: str = "") -> Lines:
        return self._lines(code_level(explained.code), error_text(explained, image))

    def ended(self, command: str, code: ExitCode | None, seconds: float) -> Lines:
        how = "as nobody reads its output" if code is None else f"with exit code {int(code)} {code.name}"
        return self._lines(code_level(code or ExitCode.OK), f"{command} ends {how}, after {human_seconds(seconds)}")

    def _lines(self, level: Level, text: str) -> Lines:
        return ((level, safe(line)[:_LINE_MAX]) for line in text.splitlines() if line)


class StampedForm(TextForm):
    """With time, level and the run's id, for a file."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id

    def _lines(self, level: Level, text: str) -> Lines:
        head = f"{now()} {level.name.lower()} {self._run_id}"
        return ((level, f"{head} {line}") for level, line in super()._lines(level, text))


class JsonForm:
    """The contract's JSON Lines, as ``--json`` prints them, without the progress."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id

    def started(self, command: str) -> Lines:
        yield self._line(Level.INFO, "start", {"command": command, "program": "netclnt", "program_version": __version__})

    def event(self, event: Event) -> Lines:
        if record := event_record(event):
            yield self._line(event_level(event), *record)

    def failed(self, explained: Explained, image: str = "") -> Lines:
        yield self._line(code_level(explained.code), "error", error_fields(explained, image))

    def ended(self, _: str, code: ExitCode | None, seconds: float) -> Lines:
        number, name = (OutputClosed.exit_code, OutputClosed.name) if code is None else (int(code), code.name)
        yield self._line(code_level(code or ExitCode.OK), "exit", {"code": number, "name": name, "seconds": seconds})

    def _line(self, level: Level, kind: str, fields: dict[str, object]) -> tuple[Level, str]:
        return level, json_line(kind, fields, run_id=self._run_id)
