"""A line as a process: packets of two tunnel devices, each carried to the other end after its time on the line.

``python -m tests.support.relay FD FD DELAY RATE QUEUE TRACE LOSS`` with descriptors of tunnel devices that speak
``virtio_net_hdr``; seconds of delay in one direction, bytes a second, seconds of queue, a file or nothing, the share of packets
to drop (one may stand for several segments; always the same ones are dropped). It ends when its standard input does.
Each line of the trace is: when the packet came (seconds of the monotonic clock), ``>`` from the first end or ``<`` from the
second, the port of the TCP connection's first end, that of the second, ``S`` for a SYN (else ``-``), and the bytes of payload.
"""

from __future__ import annotations

import os
import random
import select
import struct
import sys
import time
from collections import deque
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

_HEADER = struct.Struct("=BBHHHH")
"""virtio_net_hdr (linux/virtio_net.h): flags, segmentation, length of headers, bytes a segment, checksum's start and offset."""

_PACKET_MAX = _HEADER.size + 65536
_LINK_BYTES = 14
"""An Ethernet header, which a tunnel does not have, counts as it does on other lines."""

_TCP, _SYN = 6, 2


@dataclass
class Direction:
    """Packets from ``source`` to ``sink``: ``free`` is when the last one before will have left for the line."""

    source: int
    sink: int
    mark: str
    free: float = 0.0
    under_way: deque[tuple[float, bytes]] = field(default_factory=deque)
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def take(self, now: float, delay: float, rate: float, queue: float, trace: TextIO | None, loss: float = 0.0) -> None:
        """All packets that are there, each put on the line, or dropped when too many are before it."""
        with suppress(BlockingIOError):
            while packet := os.read(self.source, _PACKET_MAX):
                if trace is not None:
                    trace.write(told(packet, now, self.mark))
                start = max(now, self.free)
                if start - now > queue or self.chance.random() < loss:
                    continue
                self.free = start + wire_bytes(packet) / rate
                self.under_way.append((self.free + delay, packet))

    def deliver(self, now: float) -> None:
        while self.under_way and self.under_way[0][0] <= now:
            with suppress(BlockingIOError, OSError):
                os.write(self.sink, self.under_way[0][1])
            self.under_way.popleft()


def wire_bytes(packet: bytes) -> int:
    """What a packet takes on the line, with the headers that each of its segments would have there."""
    _, segmentation, headers, segment, _, _ = _HEADER.unpack_from(packet)
    length = len(packet) - _HEADER.size
    if not segmentation or not segment:
        return length + _LINK_BYTES
    segments = max(1, -(-(length - headers) // segment))
    return length + (segments - 1) * headers + segments * _LINK_BYTES


def told(packet: bytes, now: float, mark: str) -> str:
    """A line of the trace; nothing for what is not TCP over IPv4."""
    at = _HEADER.size
    if len(packet) < at + 20 or packet[at] >> 4 != 4 or packet[at + 9] != _TCP:
        return ""
    length = (packet[at] & 15) * 4
    (total,) = struct.unpack_from("!H", packet, at + 2)
    source, sink = struct.unpack_from("!HH", packet, at + length)
    words, flags = packet[at + length + 12], packet[at + length + 13]
    first, second = (source, sink) if mark == ">" else (sink, source)
    return f"{now:.6f} {mark} {first} {second} {'S' if flags & _SYN else '-'} {total - length - (words >> 4) * 4}\n"


def main() -> None:
    one, other = map(int, sys.argv[1:3])
    delay, rate, queue = map(float, sys.argv[3:6])
    loss = float(sys.argv[7])
    directions = {one: Direction(one, other, ">"), other: Direction(other, one, "<")}
    with ExitStack() as opened:
        trace = opened.enter_context(Path(sys.argv[6]).open("w")) if sys.argv[6] else None
        ready: list[int] = []
        while 0 not in ready:
            now = time.monotonic()
            for direction in directions.values():
                direction.take(now, delay, rate, queue, trace, loss)
                direction.deliver(now)
            due = [direction.under_way[0][0] for direction in directions.values() if direction.under_way]
            wait = max(0.0, min(due) - time.monotonic()) if due else None
            ready, _, _ = select.select([0, *directions], [], [], wait)


if __name__ == "__main__":
    main()
