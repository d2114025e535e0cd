"""Narrow and long lines: how much of what plain TCP carries there arrives as content, until the end; and round trips.

The content does not compress and no slave has any of it, so that all ways carry the same and only the line counts. ``facts``:
``goodput`` in payload bytes a second, from the first packet of the run to the last of its content (metadata is payload, headers
of SSH and SFTP are not); ``of_tcp``, that as a share of what plain TCP connections carried just before, as many of them, for as
many bytes; ``tail``, the line's last seconds with content against the plain connections' usual ones. For the round trips:
``connecting``, ``database`` and ``sftp``, how often the slave waited for the line before content flowed, to open a connection or
for an answer; ``after``, how often afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TypeVar

from tests.bench.farsite import FarSite, far_site
from tests.bench.measure import Bench, Cost, Row, netclnt
from tests.bench.plaintcp import carry
from tests.bench.report import Goal
from tests.bench.turns import before_content, packets, turns
from tests.support import databases, namespaces, sshd
from tests.support.namespaces import Line, Traffic, long_line, narrow_line

SECTION = "lines"
TRANSPORTS = ("paramiko", "openssh")
NARROW_KILOBITS = 10_000
NARROW_BYTES = 30_000_000
LONG_MEGABITS = 1000
ROUND_TRIP = 0.1
LONG_BYTES = 250_000_000
"""For each plain connection."""

PLAIN_CONNECTIONS = 4
"""Plain connections that netclnt is held against where it decides itself how many it uses."""

SMALL_BYTES = 2_000_000
"""An image for which round trips are counted, and how much of it has come when no metadata is that long."""
SMALL_CONTENT = 300_000

NARROW_CASE = f"{NARROW_KILOBITS // 1000} Mbit/s"
_LONG = f"{LONG_MEGABITS} Mbit/s, {ROUND_TRIP * 1000:.0f} ms"
LONG_CASES = {1: f"{_LONG}, 1 connection", 4: f"{_LONG}, 4 connections", 0: f"{_LONG}, connections as it sees fit"}
GOALS = [
    Goal(case, f"netclnt, {transport}", figure, share, at_least=True)
    for transport in TRANSPORTS
    for case, figure, share in (
        (NARROW_CASE, "of_tcp", 0.97),
        (NARROW_CASE, "tail", 0.97),
        *((case, "of_tcp", 0.8) for case in LONG_CASES.values()),
    )
]

EVERY = 0.05
"""Seconds between two looks at the line's counters."""

TAIL_SECONDS = 3.0
BUSY = 0.1
"""A moment in which less than this part of the line's usual traffic came is not one in which content came."""

T = TypeVar("T")

_STEP = 1 << 18
_MISSING = (namespaces.Missing, databases.Missing, sshd.Missing)


@dataclass(frozen=True)
class Flow:
    """What came over the line in one run: seconds from the first packet to the last with content; all bytes with their headers;
    bytes a second that came in the middle, and in the last seconds with content."""

    seconds: float
    received: int
    sent: int
    usual: float
    tail: float


def rows(bench: Bench) -> Iterator[Row]:
    for part in (narrow_rows, turn_rows, long_rows):
        yield from rows_of(bench, part)


def rows_of(bench: Bench, part: Callable[[Bench], Iterator[Row]]) -> Iterator[Row]:
    try:
        yield from part(bench)
    except _MISSING as error:
        bench.note(f"{SECTION}, {part.__name__.removesuffix('_rows')}: left out: {error}")


def narrow_rows(bench: Bench) -> Iterator[Row]:
    """A line of 10 Mbit/s with next to no delay."""
    count = NARROW_BYTES // (10 if bench.quick else 1)
    with narrow_line(NARROW_KILOBITS) as line, far_site(line, bench.scratch / "narrow") as site:
        publish(site, count)
        for _ in range(bench.rounds):
            yield from compared(site, NARROW_CASE, count, connections=1)


def long_rows(bench: Bench) -> Iterator[Row]:
    """A line of 1 Gbit/s with a round trip of 100 ms, over one connection and over several."""
    for connections, case in list(LONG_CASES.items())[: 1 if bench.quick else None]:
        count = LONG_BYTES * (connections or PLAIN_CONNECTIONS) // (10 if bench.quick else 1)
        with long_line(round_trip=ROUND_TRIP, megabits=LONG_MEGABITS) as line, far_site(line, bench.scratch / "long") as site:
            publish(site, count)
            for _ in range(bench.rounds):
                yield from compared(site, case, count, connections=connections)


def turn_rows(bench: Bench) -> Iterator[Row]:
    """The round trips of a first sync, of an update, and of a run that finds nothing new; the same each time."""
    cases: list[tuple[str, str, Cost, tuple[float, float]]] = []
    trace = bench.scratch / "trace"
    with (
        long_line(round_trip=ROUND_TRIP, megabits=LONG_MEGABITS, trace=trace) as line,
        far_site(line, bench.scratch / "turns") as site,
    ):
        port = site.server.port
        slaves = {transport: site.init_slave(transport, "--transport", transport) for transport in TRANSPORTS}
        for case in ("first sync", "update", "nothing changed"):
            if case != "nothing changed":
                publish(site, SMALL_BYTES, altered=case == "update")
            for transport, config in slaves.items():
                running = site.sync(config)
                cost = running.wait()
                cases.append((case, transport, cost, (running.started, running.started + cost.seconds)))
    seen = list(packets(trace, round_trip=ROUND_TRIP))
    trace.unlink()
    for case, transport, cost, (first, last) in cases:
        found = turns((packet for packet in seen if first <= packet.seconds <= last), round_trip=ROUND_TRIP)
        before = before_content(found, content=SMALL_CONTENT)
        yield cost.row(
            SECTION, f"round trips, {case}", f"netclnt, {transport}",
            connecting=sum(turn.connecting for turn in before),
            database=sum(turn.port != port and not turn.connecting for turn in before),
            sftp=sum(turn.port == port and not turn.connecting for turn in before),
            after=len(found) - len(before),
        )  # fmt: skip


def compared(site: FarSite, case: str, count: int, *, connections: int) -> Iterator[Row]:
    """Plain TCP, then each way, for the same content."""
    flow, _ = watched(site.line, lambda: carry(site.line, count, connections=connections or PLAIN_CONNECTIONS))
    plain = count / flow.seconds
    usual = flow.usual
    facts = {"goodput": plain, "of_tcp": 1.0, "tail": flow.tail / usual}
    yield Row(SECTION, case, "plain TCP", flow.seconds, wire=flow.received + flow.sent, facts=facts)
    for way, run in ways(site, connections).items():
        flow, (cost, payload) = watched(site.line, run)
        goodput = (payload or count) / flow.seconds
        wire = flow.received + flow.sent
        facts = {"goodput": goodput, "of_tcp": goodput / plain, "tail": flow.tail / usual, "line_seconds": flow.seconds}
        yield replace(cost.row(SECTION, case, way), wire=wire, facts=facts)


def ways(site: FarSite, connections: int) -> dict[str, Callable[[], tuple[Cost, int]]]:
    """What brings the image over, each to be called once: its costs, and the payload if it says (else 0)."""
    source, target = site.source / "image", site.directory / "fetched"
    found: dict[str, Callable[[], tuple[Cost, int]]] = {
        f"netclnt, {transport}": partial(first_sync, site, transport, connections) for transport in TRANSPORTS
    }
    if connections == 1:
        found["sftp"] = lambda: (fetched(site, site.sftp(source, target), target), 0)
        found["rsync, zstd"] = lambda: (fetched(site, site.rsync(source, target, "-z", "--zc=zstd"), target), 0)
    return found


def first_sync(site: FarSite, transport: str, connections: int) -> tuple[Cost, int]:
    """A new slave's first sync."""
    config = site.init_slave("slave", "--transport", transport)
    try:
        cost = site.start(netclnt(config, "sync", "--connections", str(connections))).wait()
    finally:
        site.remove_slave(config)
    (summary,) = cost.events("summary")
    return cost, int(summary["bytes_fetched"])


def fetched(site: FarSite, command: list[str | Path], target: Path) -> Cost:
    cost = site.start(command).wait(flush=[target])
    target.unlink()
    return cost


def publish(site: FarSite, count: int, *, altered: bool = False) -> None:
    """The image, of content that does not compress, as the master's current version; altered, its second half is another."""
    source = random.Random(count)
    path = site.source / "image"
    with path.open("wb") as file:
        for offset in range(0, count, _STEP):
            if altered and offset * 2 >= count:
                source.seed(offset)
            file.write(source.randbytes(min(_STEP, count - offset)))
    site.publish("image")


def watched(line: Line, work: Callable[[], T]) -> tuple[Flow, T]:
    """Do the work, and say what came over the line meanwhile."""
    with line.watched(every=EVERY) as seen:
        done = work()
    return flow_of(seen), done


def flow_of(seen: list[tuple[float, Traffic]]) -> Flow:
    steps = [(start, end, after.received - before.received) for (start, before), (end, after) in pairwise(seen)]
    coming = [step for step in steps if step[2]]
    usual = median(count / (end - start) for start, end, count in coming)
    first = coming[0][0]
    last = max(end for start, end, count in coming if count / (end - start) > BUSY * usual)
    begin = max(first, last - TAIL_SECONDS)
    tail = [step for step in steps if step[0] >= begin - EVERY and step[1] <= last]
    length = tail[-1][1] - tail[0][0]
    return Flow(
        seconds=last - first,
        received=seen[-1][1].received - seen[0][1].received,
        sent=seen[-1][1].sent - seen[0][1].sent,
        usual=usual,
        tail=sum(count for _, _, count in tail) / length,
    )
