"""A run's figures as a file for Prometheus: node_exporter's textfile collector reads it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from netclnt import __version__
from netclnt.cli import edges
from netclnt.cli.around import Run
from netclnt.cli.errors import explain
from netclnt.cli.runs import moment
from netclnt.errors import ExitCode, NetclntError, StorageFailed
from netclnt.events import Warned
from netclnt.ledger import Held

_MODE = 0o644
_IMAGES_MAX = 1000
"""Each image is a time series of its own, on each slave."""


@contextmanager
def measured(run: Run) -> Iterator[None]:
    """Written when the run is over, however it ended; not for a start that found the root locked. A file that cannot be written
    is a warning."""
    try:
        yield
    finally:
        path = run.config.metrics
        if path and run.code not in (None, ExitCode.LOCKED):
            try:
                write(path, text(_Figures.of(run)))
            except NetclntError as error:
                run.session.observe(Warned("metrics-failed", explain(error).sentence))


@dataclass(frozen=True, slots=True)
class _Figures:
    """``held`` and what follows are None where the ledger cannot be read."""

    server: str
    root: str
    ended: float
    seconds: float
    code: int
    changed: int
    failed: int
    fetched: int
    reused: int
    held: Sequence[Held] | None
    generation: int | None
    succeeded: float | None

    @classmethod
    def of(cls, run: Run) -> _Figures:
        assert run.code is not None
        held, generation, succeeded = _remembered(run)
        return cls(
            server=run.config.name,
            root=str(run.config.root),
            ended=time.time(),
            seconds=run.session.seconds,
            code=int(run.code),
            changed=run.summed.images_changed,
            failed=len(run.failed),
            fetched=run.summed.bytes_fetched,
            reused=run.summed.bytes_reused,
            held=held,
            generation=generation,
            succeeded=succeeded,
        )


def _remembered(run: Run) -> tuple[Sequence[Held] | None, int | None, float | None]:
    """Images held, generation applied, the last success: what the ledger says of itself."""
    try:
        impatient = replace(run.config, lock_timeout=0.0)  # the run itself has waited long enough
        with edges.open_ledger(impatient, readonly=True) as ledger:
            held, applied, runs = ledger.held(), ledger.applied(), ledger.runs()
    except NetclntError:
        return None, None, None
    last = next((each.ended for each in runs if each.is_sync and each.code == ExitCode.OK), None)
    then = moment(last) if last else None
    return held, applied.generation if applied else None, then.timestamp() if then else None


def text(figures: _Figures) -> bytes:
    """In Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(figures))
    return generate_latest(registry)


class _Collected(Collector):
    def __init__(self, figures: _Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        figures = self._figures
        own = [figures.server, figures.root]
        for name, about, value in _gauges(figures):
            if value is not None:
                family = GaugeMetricFamily(f"netclnt_{name}", about, labels=["server", "root"])
                family.add_metric(own, value)
                yield family
        program = GaugeMetricFamily("netclnt_info", "The program's version.", labels=["server", "root", "version"])
        program.add_metric([*own, __version__], 1)
        yield program
        if figures.held is not None:
            versions = GaugeMetricFamily(
                "netclnt_image_version",
                f"The version held of each image, of the first {_IMAGES_MAX} by name.",
                labels=["server", "root", "image"],
            )
            for one in figures.held[:_IMAGES_MAX]:
                versions.add_metric([*own, one.name], one.number)
            yield versions


def _gauges(figures: _Figures) -> list[tuple[str, str, float | None]]:
    held = figures.held
    return [
        ("last_run_timestamp_seconds", "When the last run ended.", figures.ended),
        ("last_success_timestamp_seconds", "When the last run ended that left nothing to do.", figures.succeeded),
        ("last_run_exit_code", "The exit code of the last run; 0 is OK, 14 PAUSED: see netclnt(1).", figures.code),
        ("last_run_duration_seconds", "How long the last run took.", figures.seconds),
        ("last_run_fetched_bytes", "What the last run took from the line.", figures.fetched),
        ("last_run_reused_bytes", "What the last run took from local content.", figures.reused),
        ("last_run_images_changed", "Images that the last run changed.", figures.changed),
        ("last_run_images_failed", "Images that failed in the last run.", figures.failed),
        ("images_held", "Images that this slave holds.", None if held is None else len(held)),
        (
            "images_damaged",
            "Images held that a verify found damaged.",
            None if held is None else sum(one.damaged for one in held),
        ),
        ("generation", "The catalog's generation that was last fully applied.", figures.generation),
    ]


def write(path: Path, content: bytes) -> None:
    """Whole or not at all, readable for all whatever the umask. Raises StorageFailed."""
    try:
        with tempfile.NamedTemporaryFile(prefix=f".{path.name}.", dir=path.parent, delete=False) as file:
            try:
                file.write(content)
                os.fchmod(file.fileno(), _MODE)
                file.close()
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink()
                raise
    except OSError as error:
        raise StorageFailed(action="write", path=str(path), errno=error.errno or 0, cause=error.strerror or str(error)) from None
