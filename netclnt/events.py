"""What a run tells whoever watches: values handed to one callable. Field names are the JSON contract (netclnt(7)).

Core code never prints: it calls an :data:`Observer`. The face renders the same events as text, progress bar or JSON Lines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events. Sizes are bytes, durations seconds."""


@dataclass(frozen=True, slots=True)
class Catalog(Event):
    """The catalog was read."""

    generation: int
    images: int


@dataclass(frozen=True, slots=True)
class Changed(Event):
    """One difference between catalog and ledger; version numbers are None where there is none. ``size`` is that of the image's
    content, the holes included."""

    image: str
    kind: str
    from_version: int | None
    to_version: int | None
    action: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Expected(Event):
    """An image whose turn will come in a run that compares nothing with a catalog; told of all before the first begins."""

    image: str
    size: int


@dataclass(frozen=True, slots=True)
class Planned(Event):
    """What one image will cost. ``seconds`` is None where no line speed is known."""

    image: str
    bytes_fetch: int
    bytes_reuse: int
    bytes_write: int
    blocks_missing: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Progressed(Event):
    """Work moved on. ``stage`` is a verb for people ("read", "fetch", "verify", …); totals may still grow while planning."""

    stage: str
    image: str
    bytes_done: int
    bytes_total: int
    bytes_fetched: int
    bytes_reused: int


@dataclass(frozen=True, slots=True)
class ImageDone(Event):
    """``result`` is ``updated``, ``moved`` or ``recorded`` by a sync, or ``deferred`` where a hook wants it to be shown later;
    ``verified``, ``damaged`` or ``changed`` (while it was read) by a check."""

    image: str
    version: int
    result: str
    bytes_fetched: int
    bytes_reused: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Retried(Event):
    """``what`` failed for ``reason`` and is tried again after ``delay`` seconds; ``attempt`` counts from 1."""

    what: str
    attempt: int
    delay: float
    reason: str


@dataclass(frozen=True, slots=True)
class Waiting(Event):
    """The run waits, as it is meant to, for at most ``seconds``; ``what`` is stable: ``slot`` (its machine's own moment of
    ``random_delay``), ``lock``; ``reason`` is for people."""

    what: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Hooked(Event):
    """A program of a hook; ``state`` is ``started`` (it may take so many ``seconds``) or ``ended`` (with ``exit_code``; None
    where it has none). ``image`` is empty for a hook of the whole run."""

    hook: str
    image: str
    program: str
    state: str
    seconds: float = 0.0
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class HookLine(Event):
    """A line that a hook's program wrote."""

    hook: str
    image: str
    program: str
    line: str
    state: str = "line"


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """Something that an admin should know and that did not stop the run; ``code`` is stable, ``message`` a sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """One image failed while the run went on; ``error`` is the foreseen error."""

    image: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Summed(Event):
    """The run's totals. ``bytes_fetched`` counts all SFTP payload, metadata included."""

    images_changed: int
    bytes_fetched: int
    bytes_reused: int
    seconds: float
    queries: int
    sftp_connections: int


@dataclass(frozen=True, slots=True)
class Forecasted(Summed):
    """The totals of a dry run, and what the run itself is expected to cost: ``seconds_planned`` in which the line is used, in so
    many ``nights`` (windows, or runs where a limit of each ends them), None where that is not known or over a year.
    ``bytes_free`` are those of the root's file system; ``quota_left`` is None where there is no monthly quota."""

    images_planned: int
    bytes_planned: int
    bytes_write: int
    bytes_free: int
    seconds_planned: float | None
    nights: int | None
    quota_left: int | None


Observer = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The observer that watches nothing."""
