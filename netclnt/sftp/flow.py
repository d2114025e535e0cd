"""How much to ask for ahead of the answers: about twice what the line holds, measured while it is used."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from netclnt.sftp.wire import READ_MAX

READ_MIN = 32 * 1024
"""Every server answers as many bytes at once (draft, section 3): no request but the last of a range need be shorter."""

IN_FLIGHT = 32 * 1024 * 1024
"""Most bytes asked for and not yet answered, over all connections."""

IN_FLIGHT_EACH = 16 * 1024 * 1024
"""The same on one connection."""

_START = 512 * 1024
_LEAST = 4 * READ_MIN
_SLACK = 0.02
"""Seconds of the rate to have in flight at least: where the round trip is short, threads and processes take that long to take
turns."""

_AMPLE = 1024 * 1024
"""Bytes to have in flight though the line holds less, as long as a second brings them: TCP sends faster only while it has enough
to send. Not more than needed: sshd moves in memory, again and again, what it cannot yet send."""

_FADE = 1 / 32
_SHARE = 512 * 1024
"""What one TCP connection carries in flight for certain: beyond, more connections are faster."""

_THICK = 50_000_000
"""Bytes a second from which on the other end's ssh, and not the line, may be the limit."""


@dataclass(frozen=True, slots=True)
class Mark:
    """When a request was sent, and how much had come until then."""

    at: float
    received: int


class Flow:
    """What is known of one connection: round trip (seconds; None: not yet) and rate (bytes a second, 0: not yet).

    Each answer tells the rate between its request and itself. The highest counts, and fades while lower ones come; so the
    window grows twofold each round trip until the line carries no more.
    """

    def __init__(self, most: int = IN_FLIGHT_EACH, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._received = 0
        self.round_trip: float | None = None
        self.rate = 0.0
        self.window = min(_START, most)
        """Bytes to have in flight."""

    @property
    def request(self) -> int:
        """Bytes to ask for at once: a quarter of the window, within what every server answers and the most that any does."""
        return max(READ_MIN, min(READ_MAX, self.window // 4))

    def mark(self) -> Mark:
        return Mark(self._clock(), self._received)

    def returned(self, mark: Mark) -> None:
        """A request without a payload was answered."""
        elapsed = max(self._clock() - mark.at, 1e-6)
        self.round_trip = elapsed if self.round_trip is None else min(self.round_trip, elapsed)

    def received(self, mark: Mark, count: int) -> None:
        """``count`` bytes came in answer to the request of ``mark``."""
        self._received += count
        elapsed = max(self._clock() - mark.at, 1e-6)
        self.round_trip = elapsed if self.round_trip is None else min(self.round_trip, elapsed)
        sample = (self._received - mark.received) / elapsed
        self.rate = sample if sample > self.rate else self.rate + (sample - self.rate) * _FADE
        wanted = max(self.rate * max(2 * self.round_trip, _SLACK), min(self.rate, _AMPLE))
        self.window = int(max(min(_LEAST, self._most), min(self._most, wanted)))


def connections_worth(flows: Collection[Flow], *, short: int, most: int) -> int:
    """How many connections the line is worth, by what was measured so far: one for each half megabyte in flight, up to
    ``most``; ``short`` on a thick line, however short it is."""
    rate = sum(flow.rate for flow in flows)
    trips = [flow.round_trip for flow in flows if flow.round_trip is not None]
    if not trips:
        return 1
    return min(most, max(1 + int(rate * min(trips) / _SHARE), short if rate > _THICK else 1))
