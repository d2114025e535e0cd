"""Whether a run still lives, for a watchdog: it moves on, or it is in a wait that is meant. A thread that only proves that
threads run proves nothing."""

from __future__ import annotations

from netclnt.events import Event, Hooked, Retried, Waiting

STANDSTILL = 900.0
"""Seconds that work may take without a sign of itself: making a large tree durable on a slow disk has none."""

BYTES_MIN = 1 << 20
"""So many bytes read and written since the last sign are one (hashing what lies there tells no event); what keeps an idle
connection alive is not."""


class Pulse:
    """Alive until ``standstill`` seconds after the last sign. Times are seconds of one clock that never goes back."""

    def __init__(self, now: float, *, standstill: float = STANDSTILL) -> None:
        self._standstill = standstill
        self._until = now + standstill
        self._told: Event | None = None
        self._moved = 0

    def observe(self, event: Event, now: float) -> None:
        """An event is a sign, unless it says what the one before said; one that tells of a wait allows that wait, too."""
        if event != self._told:
            self._told = event
            self._sign(now + _wait(event))

    def moved(self, total: int, now: float) -> None:
        """``total`` bytes were read and written so far."""
        if total - self._moved >= BYTES_MIN:
            self._moved = total
            self._sign(now)

    def alive(self, now: float) -> bool:
        return now < self._until

    def _sign(self, at: float) -> None:
        self._until = max(self._until, at + self._standstill)


def _wait(event: Event) -> float:
    match event:
        case Waiting(seconds=seconds):
            return seconds
        case Retried(delay=delay):
            return delay
        case Hooked(seconds=seconds):
            return seconds
    return 0.0
