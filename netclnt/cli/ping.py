"""A dead man's switch: a page that raises the alarm when it does not hear of a run that ended well."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from netclnt.cli.around import Run
from netclnt.cli.errors import explain
from netclnt.errors import ExitCode, NetclntError
from netclnt.events import Warned
from netclnt.outcome import FINE
from netclnt.ping import post, url_of

_SECONDS = 10.0
_HURRY_SECONDS = 2.0
"""Whoever stops a run by a signal soon loses patience."""
_TRIES = 2
_PAUSE_SECONDS = 1.0

_SIGNALS = (ExitCode.HANGUP, ExitCode.INTERRUPT, ExitCode.TERMINATED)


@contextmanager
def pinged(run: Run) -> Iterator[None]:
    """``URL/start`` when the root is held, then ``URL`` for a run that ended well or paused, ``URL/CODE`` for any other. A start
    that found the root locked says nothing: the run that holds it does."""
    pinger = _Pinger(run)
    run.begun.append(pinger.start)
    try:
        yield
    finally:
        if run.code not in (None, ExitCode.LOCKED):
            pinger.end(run.code)


class _Pinger:
    """Trouble is told once, and by the thread of the run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._starting: Thread | None = None
        self._trouble: NetclntError | None = None

    def start(self) -> None:
        """Beside the run, which need not wait for it."""
        if self._starting is None:
            self._starting = Thread(target=self._send, args=("start", "", _TRIES, _SECONDS), name="netclnt-ping", daemon=True)
            self._starting.start()

    def end(self, code: ExitCode) -> None:
        hurried = code in _SIGNALS
        if self._starting:
            self._starting.join(_HURRY_SECONDS if hurried else None)
        tries = 1 if hurried or self._trouble else _TRIES
        self._send("" if code in FINE else str(int(code)), self._run.ending, tries, _HURRY_SECONDS if hurried else _SECONDS)
        if self._trouble:
            self._run.session.observe(Warned("ping-failed", explain(self._trouble).sentence))

    def _send(self, suffix: str, body: str, tries: int, seconds: float) -> None:
        url = url_of(self._run.config.ping_url or "", suffix)
        for left in reversed(range(tries)):
            try:
                return post(url, body, seconds=seconds)
            except NetclntError as error:
                if not left:
                    self._trouble = error
                    return None
            time.sleep(_PAUSE_SECONDS)
        return None
