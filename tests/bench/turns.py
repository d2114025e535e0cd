"""Round trips of a run, counted in the trace of a long line: how often somebody waited, and for whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

NEARLY = 0.9
"""A pause of this part of a round trip is one: the clocks of a busy machine are not exact."""


@dataclass(frozen=True)
class Packet:
    """One packet as the slave's end sees it: ``seconds`` of the monotonic clock when it came there or left, ``port`` that of the
    server, ``connection`` the slave's port, ``payload`` in bytes."""

    seconds: float
    arrives: bool
    port: int
    connection: int
    opens: bool
    payload: int


@dataclass(frozen=True)
class Turn:
    """The slave had sent something and waited for the answer, with nothing else to do: from ``seconds`` on for ``waited``.
    ``received`` counts the payload that had come before, over all connections."""

    seconds: float
    waited: float
    port: int
    connecting: bool
    received: int


def packets(trace: Path, *, round_trip: float) -> Iterator[Packet]:
    """Read what :mod:`tests.support.relay` wrote, in the order of the slave's end."""
    found = []
    for line in trace.read_text().splitlines():
        seconds, mark, port, connection, syn, payload = line.split()
        arrives = mark == ">"
        at = float(seconds) + (round_trip / 2 if arrives else 0)
        found.append(Packet(at, arrives, int(port), int(connection), syn == "S", int(payload)))
    yield from sorted(found, key=lambda packet: packet.seconds)


def turns(seen: Iterable[Packet], *, round_trip: float) -> list[Turn]:
    """Every time that nothing came for nearly a round trip after the slave had sent something; acknowledgements are nothing."""
    found = []
    received = 0
    asked: Packet | None = None
    for packet in seen:
        if not packet.payload and not packet.opens:
            continue
        if not packet.arrives:
            asked = packet
            continue
        if asked is not None and packet.seconds - asked.seconds >= NEARLY * round_trip:
            found.append(Turn(asked.seconds, packet.seconds - asked.seconds, packet.port, packet.opens, received))
        asked = None
        received += packet.payload
    return found


def before_content(found: Sequence[Turn], *, content: int) -> list[Turn]:
    """Those before the bytes came that only content can be: more of them than ``content``."""
    return [turn for turn in found if turn.received < content]
