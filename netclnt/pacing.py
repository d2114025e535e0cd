"""How fast the line may be used: one bucket of bytes over all connections of a run, and a rate that may change at any time."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from threading import Condition

BURST = 1 / 20
"""Seconds of the rate that may be saved up while nobody asks."""

REQUEST = 1 / 10
"""Seconds of the rate that one request may ask for: with the burst, no ten seconds carry 2 % more than ten seconds' worth."""

REQUEST_MIN = 1024

_LOOK_SECONDS = 1.0
"""How often the rate is asked for."""

_GLANCE_SECONDS = 0.2
"""How long those who wait do not see that the switch was flipped."""


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


class Switch:
    """Whether the cap counts. A signal's handler flips it: so nothing here takes a lock."""

    def __init__(self) -> None:
        self.off = False
        self.used = False
        """Whether there is a cap to switch."""

    def flip(self) -> str:
        """Returns what to tell of it."""
        if not self.used:
            return "there is no bandwidth cap to switch"
        self.off = not self.off
        return "the bandwidth cap is off; SIGUSR2 puts it on again" if self.off else "the bandwidth cap is on again"


class Pace:
    """One bucket for all threads that ask for bytes, and the wait for it.

    ``rate`` is in bytes a second, None for no cap; or it is asked for it once a second. It counts as long as ``switch``, which is
    looked at all the time, is not off.
    """

    def __init__(
        self,
        rate: float | Callable[[], float | None] | None = None,
        *,
        switch: Switch | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._changed = Condition()
        self._switch = switch or Switch()
        self._was_off = False
        self._wanted = rate if callable(rate) else lambda: rate
        self._look_at = clock() if callable(rate) else inf
        self._bucket = Bucket(None if callable(rate) else rate, clock())

    @property
    def rate(self) -> float | None:
        if self._switch.off is not self._was_off or (self._look_at < inf and self._clock() >= self._look_at):
            self._look()
        return self._bucket.rate

    def set_rate(self, rate: float | None) -> None:
        """Change the cap, also for those who wait. From any thread."""
        with self._changed:
            self._wanted, self._look_at = lambda: rate, inf
            self._look()

    def _look(self) -> None:
        with self._changed:
            now = self._clock()
            self._was_off = self._switch.off
            if self._look_at < inf:
                self._look_at = now + _LOOK_SECONDS
            self._bucket.set_rate(None if self._was_off else self._wanted(), now)
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
            while not given_up() and self.rate is not None:
                delay = self._bucket.delay(self._clock())
                if not delay:
                    self._bucket.take(count, self._clock())
                    return
                self._changed.wait(min(delay, _GLANCE_SECONDS))

    def charge(self, count: int) -> None:
        """Take bytes that came without having been asked for by number; those who ask next wait for them."""
        if self.rate is not None:
            with self._changed:
                self._bucket.take(count, self._clock())

    def wake(self) -> None:
        """Let all who wait look again whether they have been given up."""
        with self._changed:
            self._changed.notify_all()
