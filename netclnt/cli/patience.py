"""Patience with another run that holds the root."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from netclnt.cli.session import Session
from netclnt.errors import Locked
from netclnt.events import Waiting

_PAUSE_SECONDS = 0.5

T = TypeVar("T")


def patiently(session: Session, seconds: float, work: Callable[[], T]) -> T:
    """``work()``, tried again while another run holds the root, for so many seconds; told once. Raises Locked after that."""
    until = time.monotonic() + seconds
    told = False
    while True:
        try:
            return work()
        except Locked as error:
            if time.monotonic() >= until:
                raise
            if not told:
                session.observe(Waiting("lock", seconds, f"{error.path} is in use by {error.holder or 'another run'}"))
            told = True
        time.sleep(_PAUSE_SECONDS)
