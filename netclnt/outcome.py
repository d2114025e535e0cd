"""The one exit code of a run, by what ended it and what became of its images."""

from __future__ import annotations

from collections.abc import Iterable

from netclnt.errors import ExitCode

_PRECEDENCE = (
    ExitCode.HANGUP,
    ExitCode.INTERRUPT,
    ExitCode.TERMINATED,
    ExitCode.BUG,
    ExitCode.USAGE,
    ExitCode.LOCKED,
    ExitCode.TRUST,
    ExitCode.INTEGRITY,
    ExitCode.STORAGE,
    ExitCode.AUTH,
    ExitCode.STATE,
    ExitCode.INCOMPAT,
    ExitCode.LIMIT,
    ExitCode.TEMP,
    ExitCode.PAUSED,
)

FINE = (ExitCode.OK, ExitCode.DIFF, ExitCode.PAUSED)
"""How runs end that nobody needs to look at."""


def outcome(*, whole_run: Iterable[ExitCode] = (), images: Iterable[ExitCode] = (), succeeded: bool = False) -> ExitCode:
    """The one code a run ends with, by the contract's order of precedence.

    ``whole_run`` are the causes that ended or spoilt the run as a whole, ``images`` those of single images that failed while
    it went on, ``succeeded`` whether at least one image did not fail. A normal stop (PAUSED) hides no failure.
    """
    failed = set(images)
    causes = set(whole_run) | (failed & {ExitCode.TRUST, ExitCode.INTEGRITY})
    if failed and causes <= {ExitCode.PAUSED}:
        if succeeded:
            return ExitCode.PARTIAL
        causes = failed
    return next((code for code in _PRECEDENCE if code in causes), ExitCode.OK)
