"""How fast the line may be used: one bucket of bytes over all connections of a run, and a rate that may change at any time."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Condition

BURST = 1 / 20
"""Seconds of the rate that may be saved up while nobody asks."""

REQUEST = 1 / 10
"""Seconds of the rate that one request may ask for: with the burst, no ten seconds carry 2 % more than ten seconds' worth."""

REQUEST_MIN = 1024


class Bucket:
    """The rule, without a clock: ``now`` is in seconds and never goes back.

    Bytes may be taken when none are owed, as many as one request asks for; what they are more than was saved up is owed until
    time has paid for it. ``rate`` is in bytes a second, None for no cap.
    """

    def __init__(self, rate: float | None, now: float) -> None:
        self._rate = rate
        self._saved = 0.0
        self._at = now

    @property
    def rate(self) -> float | None:
        return self._rate

    def set_rate(self, rate: float | None, now: float) -> None:
        """From now on; what is owed stays owed."""
        self._settle(now)
        self._rate = rate

    def delay(self, now: float) -> float:
        """Seconds until bytes may be taken."""
        self._settle(now)
        if self._rate is None or self._saved > -1:  # less than a byte: no float is fine enough to wait for
            return 0.0
        return -self._saved / self._rate

    def take(self, count: int, now: float) -> None:
        self._settle(now)
        self._saved -= count

    def _settle(self, now: float) -> None:
        if self._rate is None:
            self._saved = 0.0
        else:
            self._saved = min(self._rate * BURST, self._saved + (now - self._at) * self._rate)
        self._at = now


class Pace:
    """One bucket for all threads that ask for bytes, and the wait for it. ``rate`` is in bytes a second, None for no cap."""

    def __init__(self, rate: float | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._bucket = Bucket(rate, clock())
        self._changed = Condition()

    @property
    def rate(self) -> float | None:
        return self._bucket.rate

    def set_rate(self, rate: float | None) -> None:
        """Change the cap, also for those who wait. From any thread."""
        with self._changed:
            self._bucket.set_rate(rate, self._clock())
            self._changed.notify_all()

    def longest_request(self, otherwise: int) -> int:
        """The most bytes to ask for at once; ``otherwise`` where the cap does not say less."""
        rate = self.rate
        return otherwise if rate is None else min(otherwise, max(REQUEST_MIN, int(rate * REQUEST)))

    def take(self, count: int, *, given_up: Callable[[], bool]) -> None:
        """Wait until ``count`` bytes may be asked for, and take them. Returns at once, with nothing taken, when ``given_up``
        says so; whoever makes it say so calls :meth:`wake`."""
        if self.rate is None:
            return
        with self._changed:
            while not given_up():
                delay = self._bucket.delay(self._clock())
                if not delay:
                    self._bucket.take(count, self._clock())
                    return
                self._changed.wait(delay)

    def charge(self, count: int) -> None:
        """Take bytes that came without having been asked for by number; those who ask next wait for them."""
        if self.rate is not None:
            with self._changed:
                self._bucket.take(count, self._clock())

    def wake(self) -> None:
        """Let all who wait look again whether they have been given up."""
        with self._changed:
            self._changed.notify_all()
