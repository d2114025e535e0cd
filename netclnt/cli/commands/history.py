"""``netclnt history``: what runs did, or what was done to a master's offer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from itertools import islice

import click

from netclnt.cli import edges
from netclnt.cli.candidates import local
from netclnt.cli.command import ROLE, declare
from netclnt.cli.runs import moment, run_result
from netclnt.cli.session import Session
from netclnt.cli.show import Column, Record
from netclnt.config import MasterConfig, SlaveConfig, duration
from netclnt.errors import BadArgument
from netclnt.ledger import Ledger, Run, RunImage
from netclnt.offerhistory import OfferChange, offer_changes
from netclnt.outcome import FINE

COLUMNS = (
    Column("started", "started", "time"),
    Column("command", "command", minor=True),
    Column("result", "result"),
    Column("code", "code", "number", minor=True),
    Column("seconds", "time", "seconds"),
    Column("images_changed", "changed", "number"),
    Column("images_failed", "failed", "number"),
    Column("images_left", "left", "number"),
    Column("bytes_fetched", "fetched", "bytes"),
    Column("bytes_reused", "reused", "bytes"),
    Column("bytes_forecast", "forecast fetch", "bytes", minor=True),
    Column("seconds_forecast", "forecast time", "seconds", minor=True),
    Column("message", "message"),
    Column("run", "run", minor=True),
)

IMAGE_COLUMNS = (
    Column("started", "started", "time"),
    Column("image", "image"),
    Column("version", "version", "number"),
    Column("result", "result"),
    Column("bytes_fetched", "fetched", "bytes"),
    Column("bytes_reused", "reused", "bytes"),
    Column("seconds", "time", "seconds"),
    Column("message", "message"),
    Column("run", "run", minor=True),
)

OFFER_COLUMNS = (
    Column("at", "at", "time"),
    Column("action", "action"),
    Column("image", "image"),
    Column("version", "version", "number"),
    Column("channel", "channel"),
    Column("generation", "generation", "number"),
    Column("note", "note"),
)


@declare(
    "history",
    examples=["netclnt history", "netclnt history --failed --since 7d", "netclnt history --images --image 'debian/*'"],
    params=[
        click.Option(
            ["-n", "--limit"], type=click.IntRange(0), default=20, metavar="N", help="So many at most, the newest; 0 for all."
        ),
        click.Option(["--since"], metavar="AGE|DATE", help="Not older than that, as 36h, 7d, 2026-11-01."),
        click.Option(["--failed"], is_flag=True, help="Only runs that failed or died."),
        click.Option(
            ["--image"],
            metavar="PATTERN",
            help="Only what concerns images of that name, a glob.",
            shell_complete=local("names"),
        ),
        click.Option(["--images"], is_flag=True, help="What came of each image, one a line."),
        ROLE,
    ],
)
def command(
    session: Session, *, limit: int, since: str | None, failed: bool, image: str | None, images: bool, role: str | None
) -> None:
    """Show what the last runs of sync and verify did, the newest first; on a master, what was done to its offer.

    Columns: started, command, result, exit code, time, images changed, failed and left, bytes fetched and reused, bytes and time
    as expected, message, run. With --images: started, image, version, result, fetched, reused, time, message, run. On a
    master: at, action, image, version, channel, generation, note."""
    config = session.either(role)
    first = None if since is None else _first(since)
    if isinstance(config, MasterConfig):
        for flag, given in (("--failed", failed), ("--images", images)):
            if given:
                raise BadArgument(argument=flag, problem="is about runs, and a master keeps none", hint="netclnt history")
        changes = _changes(config, session.password(config), image=image, first=first)
        session.view.table("offer_change", OFFER_COLUMNS, islice(changes, limit or None))
        return
    records = islice(_runs(config, image=image, first=first, failed=failed), limit or None)
    if images and not session.options.json:
        session.view.table("run", IMAGE_COLUMNS, (one for record in records for one in _images(record)))
    else:
        session.view.table("run", COLUMNS, records)


def _runs(config: SlaveConfig, *, image: str | None, first: datetime | None, failed: bool) -> Iterator[Record]:
    with edges.open_ledger(config, readonly=True) as ledger:
        for run in ledger.runs():
            started = moment(run.started)
            if (first and (started is None or started < first)) or (failed and not _has_failed(run)):
                continue
            of_run = _matching(ledger, run, image)
            if of_run or image is None:
                yield run_record(run) | {"images": [_image_record(one) for one in of_run]}


def _matching(ledger: Ledger, run: Run, pattern: str | None) -> list[RunImage]:
    return [one for one in ledger.run_images(run.run_id) if pattern is None or fnmatchcase(one.image, pattern)]


def _has_failed(run: Run) -> bool:
    return run_result(run) == "died" if run.code is None else run.code not in FINE


def run_record(run: Run) -> dict[str, object]:
    """A record of type ``run``. ``run`` is the ``run_id`` that the run had in its own output."""
    return {
        "run": run.run_id,
        "command": run.command,
        "started": run.started,
        "ended": run.ended or None,
        "result": run_result(run),
        "code": run.code,
        "seconds": run.seconds if run.ended else None,
        "generation": run.generation or None,
        "images_changed": run.images_changed,
        "images_failed": run.images_failed,
        "images_left": run.images_left,
        "bytes_fetched": run.bytes_fetched,
        "bytes_reused": run.bytes_reused,
        "bytes_forecast": run.forecast_bytes,
        "seconds_forecast": run.forecast_seconds,
        "nights_left": run.nights_left,
        "message": run.message,
    }


def _image_record(one: RunImage) -> dict[str, object]:
    return asdict(one)


def _images(record: Record) -> Iterable[Record]:
    of_run = record["images"]
    assert isinstance(of_run, list)
    return [{**one, "started": record["started"], "run": record["run"]} for one in of_run]


def _changes(config: MasterConfig, password: str | None, *, image: str | None, first: datetime | None) -> Iterator[Record]:
    with edges.open_catalog(config.catalog, password=password) as catalog:
        for change in offer_changes(catalog):
            if _is_meant(change, image, first):
                yield asdict(change)


def _is_meant(change: OfferChange, image: str | None, first: datetime | None) -> bool:
    at = moment(change.at)
    return (image is None or fnmatchcase(change.image, image)) and (first is None or (at is not None and at >= first))


def _first(text: str) -> datetime:
    """A date and time, in this host's zone unless it says another one; or so long ago."""
    try:
        if "-" in text:
            return datetime.fromisoformat(text).astimezone()
        return datetime.now(UTC) - timedelta(seconds=duration(text))
    except (ValueError, OverflowError):
        problem = "must be an age, as 36h or 7d, or a date, as 2026-11-01 or 2026-11-01T06:00"
        raise BadArgument(argument="--since", problem=problem) from None
