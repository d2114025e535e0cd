"""The sections raw, tar, squashfs, wim and tree: a cold pull and an update of one image, netclnt beside its peers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tests.bench import peers
from tests.bench.images import Pair, data_bytes, pair
from tests.bench.measure import Bench, Failed, Row
from tests.bench.peers import Command, Errand
from tests.bench.report import Goal
from tests.bench.site import Site, stored

SLAVES = {"netclnt, openssh": "openssh", "netclnt, paramiko": "paramiko"}

Item = TypeVar("Item")


def goals(kind: str) -> list[Goal]:
    """The targets of issue 3 for this format."""
    update = f"{kind}, update"
    found = [Goal(case, way, "peak", 256 << 20) for case in (f"{kind}, cold", update) for way in SLAVES]
    if kind == "raw":
        found += [
            Goal("raw, cold", "netclnt, openssh", "seconds", 0.5, "fastest peer"),
            Goal("raw, cold", "netclnt, paramiko", "seconds", 0.7, "fastest peer"),
            Goal("raw, publish again", "netclnt", "rate", 1e9, at_least=True),
        ]
    for way in SLAVES:
        found += _goals_of(kind, way, update)
    return found


def _goals_of(kind: str, way: str, update: str) -> list[Goal]:
    match kind:
        case "raw":
            return [
                Goal(update, way, "seconds", 0.2, "rsync", filesystem="ext4"),
                Goal(update, way, "seconds", 0.12, "rsync", filesystem="xfs"),
                Goal(update, way, "wire", 0.95, "rsync, zstd"),
                Goal(update, way, "wire", 0.44, "rsync"),
            ]
        case "tree":
            return [
                goal
                for case in ("tree, cold", "tree, update")
                for goal in (Goal(case, way, "seconds", 1, "rsync"), Goal(case, way, "wire", 1, "rsync, zstd"))
            ]
    wire = 1.08 if kind == "tar" else 1.02
    return [Goal(update, way, "wire", wire, "rsync, zstd"), Goal(update, way, "seconds", 0.5, "rsync, zstd")]


def rows(bench: Bench, kind: str) -> Iterator[Row]:
    """Each round: publish what was before, pull it cold; publish what is after, update. All ways take turns, and begin with
    another one in each round. From the second round on publish finds nothing new. ``rate`` is in bytes a second, holes not
    counted."""
    images = pair(bench.cache, kind, quick=bench.quick)
    site = Site(bench, bench.scratch / kind, f"image.{kind}")
    site.found()
    try:
        for number in range(bench.rounds):
            yield from _round(site, images, number)
    finally:
        shutil.rmtree(site.directory)


def _round(site: Site, images: Pair, number: int) -> Iterator[Row]:
    slaves = {way: transport for way, transport in SLAVES.items() if site.bench.wanted(way)}
    cold, update = (peers.COLD_TREE, peers.UPDATE_TREE) if images.tree else (peers.COLD, peers.UPDATE)
    if number == 0:
        yield from _prepare(site, images, [*_chosen(site.bench, cold), *_chosen(site.bench, update)])
    if slaves:
        yield _publish(site, images.kind, images.old, again=number > 0)
    for way in turns([*slaves, *_chosen(site.bench, cold)], number):
        if way in slaves:
            site.slave(slaves[way], slaves[way])
            yield _pull(site, f"{images.kind}, cold", way, slaves[way], images.old)
        else:
            yield from _fetch(site, images, f"{images.kind}, cold", way, cold[way], None)
    if slaves:
        yield _publish(site, images.kind, images.new, again=number > 0)
    for way in turns([*slaves, *_chosen(site.bench, update)], number):
        if way in slaves:
            yield _pull(site, f"{images.kind}, update", way, slaves[way], images.new)
            site.remove_slave(slaves[way], tree=images.tree)
        else:
            yield from _fetch(site, images, f"{images.kind}, update", way, update[way], images.old)


def _chosen(bench: Bench, ways: Mapping[str, Command]) -> list[str]:
    ways = {way: command for way, command in ways.items() if way in peers.QUICK} if bench.quick else ways
    if lacking := peers.missing(ways):
        bench.note(f"left out, for they are not installed: apt-get install {' '.join(lacking)}")
    chosen = [way for way in ways if peers.installed(way) and bench.wanted(way)]
    if any(peers.program(way) == "lftp" for way in chosen):
        bench.note("lftp does not wait for its ssh processes: its CPU seconds are without theirs")
    return chosen


def turns(items: Sequence[Item], number: int) -> list[Item]:
    start = number % max(1, len(items))
    return [*items[start:], *items[:start]]


def _publish(site: Site, kind: str, source: Path, *, again: bool) -> Row:
    with site.bench.alone():
        cost = site.publish(source)
    case = f"{kind}, publish {'again' if again else source.stem}"
    data = data_bytes(source)
    return cost.row(kind, case, "netclnt", store=stored(site.store), data=data, rate=data / cost.seconds)


def _prepare(site: Site, images: Pair, ways: Sequence[str]) -> Iterator[Row]:
    """What peers do once on the server, as publish does."""
    if "casync" in ways:
        site.prepared.mkdir()
        for source in (images.old, images.new):
            with site.bench.alone():
                cost = site.bench.run(peers.casync_make(site.prepared, source))
            yield cost.row(images.kind, f"{images.kind}, publish {source.stem}", "casync make", store=stored(site.prepared))


def _pull(site: Site, case: str, way: str, name: str, expected: Path) -> Row:
    with site.bench.alone():
        settle(site.bench.scratch)
        cost = site.sync(name)
        equal(expected, site.directory / name / site.image)
    (summary,) = cost.events("summary")
    payload, reused = int(summary["bytes_fetched"]), int(summary["bytes_reused"])
    return cost.row(
        section_of(case), case, way, reused=reused, equal=True, payload=payload,
        queries=summary["queries"], connections=summary["sftp_connections"],
    )  # fmt: skip


def _fetch(site: Site, images: Pair, case: str, way: str, command: Command, old: Path | None) -> Iterator[Row]:
    """One peer's run, into an empty directory or over a fresh copy of what was before; a note if it fails."""
    source = images.old if old is None else images.new
    scratch = site.directory / "peer"
    scratch.mkdir()
    errand = Errand(site.bench.server, source, scratch / "image", scratch, site.prepared)
    try:
        with site.bench.alone():
            if old is not None:
                subprocess.run(["cp", "-a", "--sparse=always", "--reflink=never", old, errand.target], check=True)
            settle(site.bench.scratch)
            cost = site.bench.run(command(errand), flush=[errand.target])
            equal(source, errand.target)
        yield cost.row(section_of(case), case, way, equal=True)
    except Failed as error:
        site.bench.note(f"{case}: {way} failed: {error}")
    finally:
        site.remove(scratch, tree=images.tree)


def section_of(case: str) -> str:
    return case.partition(",")[0]


def settle(scratch: Path) -> None:
    """What was written before is on disk and out of the way."""
    subprocess.run(["sync", "--file-system", scratch], check=True)


def equal(expected: Path, found: Path) -> None:
    """Raises Failed if content differs; of trees also if a name does."""
    command = ["diff", "--recursive", "--brief", "--no-dereference"] if expected.is_dir() else ["cmp"]
    done = subprocess.run([*command, expected, found], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{found} is not equal to {expected}: {done.stdout[:500]}{done.stderr[:500]}")
