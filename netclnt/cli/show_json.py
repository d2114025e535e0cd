"""JSON Lines: one object a line on standard output, with the names of the contract."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from threading import RLock
from time import monotonic

from netclnt import __version__
from netclnt.cli.errors import Explained, explain
from netclnt.cli.meter import Meter
from netclnt.cli.output import Output
from netclnt.cli.show import Column, Record, Shares, now
from netclnt.errors import ExitCode, StorageFailed
from netclnt.events import (
    Catalog,
    Changed,
    Event,
    Expected,
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
from netclnt.outcome import outcome

_TYPES: dict[type[Event], str] = {
    Catalog: "catalog",
    Changed: "change",
    Expected: "expected",
    Planned: "plan",
    ImageDone: "image",
    Retried: "retry",
    Waiting: "wait",
    Hooked: "hook",
    HookLine: "hook",
    Warned: "warning",
    Summed: "summary",
    Forecasted: "summary",
}


class JsonView:
    """A standard output that fails for another reason than a gone reader stops no sync: the run goes on, and its exit code
    tells. Errors then go to standard error, as text."""

    def __init__(self, output: Output, *, run_id: str, clock: Callable[[], float] = monotonic) -> None:
        self.output = output
        self.run_id = run_id
        self.meter = Meter()
        self.lock = RLock()
        self._clock = clock
        self._next_progress = 0.0
        self._lost: StorageFailed | None = None

    def started(self, command: str) -> None:
        self._emit("start", command=command, program="netclnt", program_version=__version__)

    def observe(self, event: Event) -> None:
        with self.lock:
            self.meter.observe(event)
            if isinstance(event, Progressed):
                self._progress(event)
            elif isinstance(event, Failed):
                self.failed(explain(event.error), event.image)
            elif record := event_record(event):
                kind, fields = record
                self._emit(kind, **fields)

    def _progress(self, event: Progressed) -> None:
        if self._clock() < self._next_progress:
            return
        self._next_progress = self._clock() + 1.0
        self._emit("progress", **asdict(event), **_progress(self.meter))

    def table(self, kind: str, _: Sequence[Column], records: Iterable[Record], /) -> None:
        for record in records:
            self.output.data(self._line(kind, record))
        self.output.flush()

    def shares(self, _: Iterable[Shares], /) -> None:
        """Programs have the figures."""

    def names(self, kind: str, records: Iterable[Record], /) -> None:
        self.table(kind, (), records)

    def result(self, kind: str, record: Record, _: Sequence[str], /) -> None:
        self.table(kind, (), [record])

    def note(self, text: str) -> None:
        """Programs get events."""

    def failed(self, explained: Explained, image: str = "") -> None:
        self._emit("error", **error_fields(explained, image))
        if self._lost:
            self.output.note(f"netclnt: {explained.sentence}")

    def ended(self, code: ExitCode) -> ExitCode:
        self._emit("exit", code=int(code), name=code.name)
        return outcome(whole_run=(code, ExitCode.STORAGE)) if self._lost and code is not ExitCode.PARTIAL else code

    def status(self) -> str:
        return self.meter.line()

    def aside(self) -> str:
        return ""

    def _emit(self, kind: str, /, **fields: object) -> None:
        with self.lock:
            if self._lost:
                return
            try:
                self.output.data(self._line(kind, fields))
                self.output.flush()
            except StorageFailed as error:
                self._lost = error
                self.output.note(f"netclnt: {explain(error).sentence}")

    def _line(self, kind: str, fields: Record) -> str:
        return json_line(kind, fields, run_id=self.run_id)


def _progress(meter: Meter) -> dict[str, object]:
    tally = meter.tally
    return {
        "rate": round(meter.rate),
        "eta_seconds": meter.eta,
        "fetch_rate": round(meter.fetch_rate),
        "bytes_fetch": meter.planned.bytes_fetch if meter.planned is not None else None,
        "images_done": tally.images_done,
        "images_total": tally.images_total,
        "run_bytes_done": meter.run_done,
        "run_bytes_total": tally.bytes_total,
        "run_eta_seconds": meter.run_eta,
    }


def event_record(event: Event) -> tuple[str, dict[str, object]] | None:
    """An event's type and fields; None for those that are shown in another way."""
    return (_TYPES[type(event)], asdict(event)) if type(event) in _TYPES else None


def error_fields(explained: Explained, image: str) -> dict[str, object]:
    """Of one image, or of the whole run."""
    return {
        "code": explained.code.name,
        "message": explained.sentence,
        "hint": explained.hint,
        "cause": explained.cause,
        "exit_code": int(explained.code),
    } | ({"image": image} if image else {})


def json_line(kind: str, fields: Record, *, run_id: str) -> str:
    record = {"type": kind, "time": now(), "run_id": run_id} | dict(fields)
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in record.items()}
    return json.dumps(rounded, default=str, separators=(",", ":"))
