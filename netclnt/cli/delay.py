"""A start that waits for this machine's own slot, so that a fleet with one timetable does not arrive at one second."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from netclnt.cli import edges
from netclnt.cli.around import Run
from netclnt.cli.text import human_seconds
from netclnt.config import SlaveConfig
from netclnt.events import Waiting
from netclnt.slot import slot


def slot_seconds(config: SlaveConfig) -> float:
    """How long this machine waits."""
    return slot(edges.machine_id(), config.name, config.random_delay)


@contextmanager
def delayed(run: Run) -> Iterator[None]:
    """Who starts a run at a terminal does not want to wait: standard error decides, as it does for the progress."""
    seconds = slot_seconds(run.config)
    if os.isatty(2):
        run.session.view.note(f"begins at once, not after {human_seconds(seconds)}: started by hand, from a terminal")
    else:
        run.session.observe(Waiting("slot", seconds, "this machine's own slot of random_delay"))
        time.sleep(seconds)
        run.session.begin_now()
    yield
