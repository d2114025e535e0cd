"""Many slaves at once on one master: one sshd, one PostgreSQL, one line that they all share.

All start in the same second, which is worse than what a random delay makes of it. The image is new to all of them and does not
compress; plain TCP connections, just as many for as many bytes, are what the line carries when so many share it, and ``sftp``
gets of the same file what sshd alone costs. ``server_cpu`` is that of sshd and PostgreSQL together, ``cpu`` that of all clients.
``facts``: ``finished``, how many ended well with the image in place; ``of_bound``, wall seconds by those in which the line can
carry what all of them received (here they share this machine's cores, too: see ``cpu``); ``database_cpu``, PostgreSQL's share
of the master's, and ``sshd_cpu``, sshd's; ``of_sshd``, the master's CPU by that of sshd alone; ``refused``, how often their logs
tell of connections turned away; ``retries``, by the slaves' own events.
"""

from __future__ import annotations

import filecmp
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from tests.bench.farsite import FarSite, far_site
from tests.bench.lines import publish
from tests.bench.measure import Bench, Cost, Fact, Row, netclnt, tree_cpu, wait_until_idle
from tests.bench.plaintcp import carry
from tests.bench.report import Goal
from tests.support import databases, namespaces, sshd
from tests.support.namespaces import narrow_line

SECTION = "fleet"
SLAVES = 50
KILOBITS = 50_000
IMAGE_BYTES = 5_000_000
QUICK_BYTES = 200_000
TRANSPORTS = ("paramiko", "openssh")
CASE = f"{SLAVES} slaves at once, {KILOBITS // 1000} Mbit/s"

GOALS = [
    goal
    for transport in TRANSPORTS
    for goal in (
        Goal(CASE, f"netclnt, {transport}", "finished", SLAVES, at_least=True),
        Goal(CASE, f"netclnt, {transport}", "of_bound", 1.2),
        Goal(CASE, f"netclnt, {transport}", "of_sshd", 1.0),
    )
]

_ANY_CODE = range(-64, 256)
_REFUSALS = ("beginning MaxStartups", "drop connection", "too many clients", "remaining connection slots")


@dataclass(frozen=True)
class Together:
    """What many commands at once took: each one's costs; seconds until the last has ended; CPU seconds of sshd and of the
    database; bytes that the slaves' end of the line received; lines of the logs that tell of refusals."""

    costs: Sequence[Cost]
    seconds: float
    sshd_cpu: float
    database_cpu: float
    received: int
    refused: int


def rows(bench: Bench) -> Iterator[Row]:
    slaves, count = (5, QUICK_BYTES) if bench.quick else (SLAVES, IMAGE_BYTES)
    case = CASE.replace(str(SLAVES), str(slaves), 1)
    try:
        with narrow_line(KILOBITS) as line, far_site(line, bench.scratch / "fleet") as site:
            publish(site, count)
            yield from compared(site, case, slaves)
    except (namespaces.Missing, databases.Missing, sshd.Missing) as error:
        bench.note(f"{SECTION}: left out: {error}")


def compared(site: FarSite, case: str, slaves: int) -> Iterator[Row]:
    """One round: it is long, and an average of many already."""
    received = site.line.slave.traffic().received
    seconds = carry(site.line, slaves * (site.source / "image").stat().st_size, connections=slaves)
    received = site.line.slave.traffic().received - received
    yield Row(SECTION, case, "plain TCP", seconds, wire=received, facts={"of_bound": seconds / bound(received)})
    alone = together(site, [site.sftp(site.source / "image", site.directory / f"copy-{each}") for each in range(slaves)])
    copies = [site.directory / f"copy-{each}" for each in range(slaves)]
    yield row(site, case, "sftp", alone, alone, copies)
    for transport in TRANSPORTS:
        configs = init_slaves(site, slaves, transport)
        done = together(site, [netclnt(config, "sync") for config in configs])
        yield row(site, case, f"netclnt, {transport}", done, alone, [config.parent / "root" / "image" for config in configs])
        for config in configs:
            site.remove_slave(config)


def together(site: FarSite, commands: Sequence[Sequence[str | Path]]) -> Together:
    """Start all, wait for all, however they end."""
    sshd_before, database_before = tree_cpu(site.server.process.pid), database_cpu(site)
    received = site.line.slave.traffic().received
    refused = refusals(site)
    started = monotonic()
    running = [site.start(command) for command in commands]
    costs = [each.wait(codes=_ANY_CODE) for each in running]
    seconds = monotonic() - started
    wait_until_idle(site.server.process.pid)
    return Together(
        costs,
        seconds,
        sshd_cpu=tree_cpu(site.server.process.pid) - sshd_before,
        database_cpu=database_cpu(site) - database_before,
        received=site.line.slave.traffic().received - received,
        refused=refusals(site) - refused,
    )


def database_cpu(site: FarSite) -> float:
    return sum(tree_cpu(process.pid) for process in site.database.server.processes)


def bound(received: int) -> float:
    """Seconds in which the line can carry so many bytes."""
    return received * 8 / (KILOBITS * 1000)


def refusals(site: FarSite) -> int:
    logs = site.server.log + site.database.server.log.read_text(errors="replace")
    return sum(any(words in line for words in _REFUSALS) for line in logs.splitlines())


def row(site: FarSite, case: str, way: str, done: Together, alone: Together, copies: Sequence[Path]) -> Row:
    master = done.sshd_cpu + done.database_cpu
    good = [cost.code == 0 and same(site.source / "image", copy) for cost, copy in zip(done.costs, copies, strict=True)]
    facts: dict[str, Fact] = {
        "finished": sum(good),
        "of_bound": done.seconds / bound(done.received),
        "of_sshd": master / alone.sshd_cpu,
        "database_cpu": done.database_cpu,
        "sshd_cpu": done.sshd_cpu,
        "refused": done.refused,
        "retries": sum(len(cost.events("retry")) for cost in done.costs if cost.output.startswith("{")),
    }
    cpu = sum(cost.cpu for cost in done.costs)
    peak = max(cost.peak for cost in done.costs)
    return Row(SECTION, case, way, done.seconds, cpu, peak, done.received, server_cpu=master, facts=facts)


def same(source: Path, copy: Path) -> bool:
    return copy.exists() and filecmp.cmp(source, copy, shallow=False)


def init_slaves(site: FarSite, count: int, transport: str) -> list[Path]:
    """Like one, but for the name."""
    first = site.init_slave("slave-00", "--transport", transport)
    configs = [first]
    for number in range(1, count):
        home = site.directory / f"slave-{number:02}"
        (home / "root").mkdir(parents=True)
        configs.append(home / first.name)
        configs[-1].write_text(first.read_text().replace("slave-00", home.name))
    return configs
