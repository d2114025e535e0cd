"""A run of the ledger in words: how it ended, when, and how long ago."""

from __future__ import annotations

from datetime import UTC, datetime
from signal import Signals

from netclnt.cli.process import is_alive
from netclnt.errors import ExitCode
from netclnt.ledger import Run

_CLOCK_SLACK = 300.0
"""Seconds by which a clock may be set back without any doubt about what it said before."""

_WORDS = {True: "running", False: "died", None: "unfinished"}


def run_result(run: Run) -> str:
    """The name of its exit code; of one that has not ended ``running``, ``died``, or ``unfinished`` where nobody can tell."""
    if run.code is None:
        return _WORDS[is_alive(run.process)]
    return code_name(run.code)


def code_name(code: int) -> str:
    """The name of an exit code; of one that a signal leaves behind, the signal's."""
    if code in set(ExitCode):
        return ExitCode(code).name
    try:
        return Signals(code - 128).name
    except ValueError:
        return f"exit code {code}"


def moment(text: str) -> datetime | None:
    """None for what is no time."""
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        return None
    return then if then.tzinfo else then.replace(tzinfo=UTC)


def seconds_since(text: str) -> float | None:
    """None for a time that is none, and for one ahead of this clock: that was set back since, and nobody knows how long ago."""
    then = moment(text)
    if then is None:
        return None
    seconds = (datetime.now(UTC) - then).total_seconds()
    return max(0.0, round(seconds, 1)) if seconds > -_CLOCK_SLACK else None
