"""When to try again after trouble of the line: twice as long after each failure, with jitter, inside a budget of time."""

from __future__ import annotations

import random

LONGEST_DELAY = 60.0


class Backoff:
    """Trouble from its first moment until something worked again. Times are in seconds; the clock must never go back.

    The jitter keeps a fleet that lost its master at one moment from coming back at one moment.
    """

    def __init__(self, *, budget: float, first_delay: float = 1.0, longest_delay: float = LONGEST_DELAY) -> None:
        self._budget = budget
        self._first_delay = first_delay
        self._longest_delay = longest_delay
        self._since: float | None = None
        self.attempt = 0
        """Failures in a row."""

    def failed(self, now: float) -> float | None:
        """How long to pause before the next attempt; None when the budget would be over by then."""
        if self._since is None:
            self._since = now
        self.attempt += 1
        delay = min(self._longest_delay, self._first_delay * 2 ** min(self.attempt - 1, 10)) * random.uniform(0.5, 1.0)
        return delay if now + delay <= self._since + self._budget else None

    def worked(self) -> None:
        self._since = None
        self.attempt = 0
