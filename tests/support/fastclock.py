"""``python -m tests.support.fastclock SPEED WORDS…``: netclnt, whose service's clock begins at :data:`BEGIN` and goes SPEED times
as fast as any other. All else is real: signals, processes, and the clocks of the syncs that it starts.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from netclnt import service
from netclnt.cli import edges
from netclnt.cli.main import main
from netclnt.host import SystemHost, system_host

BEGIN = datetime(2026, 11, 24, 1, 58, 30, tzinfo=UTC).timestamp()
STARTED = time.monotonic()


class FastHost(SystemHost):
    speed = 1.0

    def now(self) -> float:
        return BEGIN + (super().monotonic() - STARTED) * self.speed

    def monotonic(self) -> float:
        return super().monotonic() * self.speed

    def wait(self, seconds: float) -> int | None:
        return super().wait(seconds / self.speed)


@contextmanager
def open_fast_host(words: Sequence[str], environment: Mapping[str, str]) -> Iterator[FastHost]:
    with system_host(words, environment):
        yield FastHost(words, environment)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    FastHost.speed = float(sys.argv[1])
    service.STOP_SECONDS *= FastHost.speed
    service.KILL_SECONDS *= FastHost.speed
    edges.open_host = open_fast_host
    sys.exit(main(sys.argv[2:]))
