"""The benchmark: netclnt beside its peers, on real images, over one private sshd on this machine.

``python -m tests.bench.run --cache DIR`` from the top of a checkout, as root, with netclnt installed for this Python. The first
run makes the images, which takes a quarter of an hour, and the network of this machine's apt; DIR then holds about 15 GB and
needs as much again while it runs. ``--quick`` takes small images and whatever is installed.

How to read it: the ways of a case take turns over all rounds; a table shows medians. Wall seconds end when the content is on
disk, on all sides. Ratios below 1 are better than what they are held against: the fastest peer, plain rsync, and rsync with
zstd. Wire counts all bytes on the line in both directions, headers and the catalog's included; server is the CPU of sshd and
what it started; MiB the largest process on the client's side. Every copy is compared with its source, outside of the time.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.bench import chart, images, report, surroundings, transfer
from tests.bench.measure import Bench, Failed, Row
from tests.bench.report import Goal

FORMATS = tuple(images.SUFFIXES)
MODULES = ("levels", "lines", "fleet", "scale")
SECTIONS = (*FORMATS, *MODULES)


@dataclass(frozen=True)
class Section:
    name: str
    rows: Callable[[Bench], Iterator[Row]]
    goals: Sequence[Goal] = ()
    images: Sequence[str] = ()


def section(name: str) -> Section:
    if name in FORMATS:
        return Section(name, partial(transfer.rows, kind=name), transfer.goals(name), (name,))
    module = import_module(f"tests.bench.{name}")
    return Section(name, module.rows, getattr(module, "GOALS", ()), getattr(module, "IMAGES", ()))


def main() -> None:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers end and scratch goes
    result: dict[str, Any] = {"facts": {}, "notes": [], "rows": []}
    failed: list[str] = []
    try:
        if options.render:
            merge(options.render, result)
        else:
            failed = measure([section(name) for name in options.only], options, result)
    finally:  # what was measured until a stop counts, too
        if result["rows"]:
            tell(result, options)
    sys.exit(1 if failed else 0)


def tell(result: dict[str, Any], options: argparse.Namespace) -> None:
    rows = [Row(**row) for row in result["rows"]]
    goals = [goal for name in dict.fromkeys(row.section for row in rows) for goal in section(name).goals]
    lines = report.medians(rows)
    found = list(report.verdicts(lines, goals, str(result["facts"]["filesystem"])))
    show(result, lines, [] if result["facts"]["quick"] else found)
    if options.json:
        options.json.write_text(json.dumps(result | {"verdicts": [asdict(verdict) for verdict in found]}, indent=1) + "\n")
    if options.svg:
        options.svg.write_text(chart.svg(lines, result["facts"]))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.run", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cache", type=Path, help="images are kept here, and all work is done here")
    parser.add_argument("--only", type=names, default=list(SECTIONS), metavar="NAME,…", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--ways", type=lambda text: text.split(";"), default=["*"], metavar="GLOB;…", help="only these ways")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--filesystem", choices=["here", "ext4", "xfs"], default="ext4", help="in a file of its own, or the cache's"
    )
    parser.add_argument(
        "--backing", type=Path, metavar="DIR", help="for that file instead of the cache: /dev/shm leaves out the disk"
    )
    parser.add_argument("--catalog", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--quick", action="store_true", help="small images, one round, a few ways: does it all still run?")
    parser.add_argument("--lock", type=Path, metavar="FILE", help="hold an exclusive flock on FILE during each single run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all rows, as they were measured")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="a chart of the ratios")
    parser.add_argument(
        "--render", type=Path, metavar="FILE", nargs="+", help="measure nothing: show what --json wrote, of several runs"
    )
    options = parser.parse_args()
    if not options.cache and not options.render:
        parser.error("--cache or --render is needed")
    return options


def names(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := sorted(set(chosen) - set(SECTIONS)):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
    return chosen


def merge(files: Sequence[Path], result: dict[str, Any]) -> None:
    """Results of several runs as one, with the facts of the first."""
    results = [json.loads(file.read_text()) for file in files]
    result["facts"] = results[0]["facts"]
    for key in ("rows", "notes"):
        result[key] = [each for one in results for each in one[key]]


def measure(sections: Sequence[Section], options: argparse.Namespace, result: dict[str, Any]) -> list[str]:
    """Fill the result as it goes; returns the names of sections that failed: the others are run all the same."""
    lacking = {each.name: packages for each in sections for kind in each.images if (packages := images.missing(kind))}
    sections = [each for each in sections if each.name not in lacking]
    for kind in dict.fromkeys(kind for each in sections for kind in each.images):
        images.pair(options.cache, kind, quick=options.quick)
    failed: list[str] = []
    backing = options.backing or options.cache
    with surroundings.surroundings(
        options.cache, filesystem=options.filesystem, backing=backing, catalog=options.catalog,
        rounds=1 if options.quick else options.rounds, quick=options.quick, ways=options.ways, lock=options.lock,
    ) as bench:  # fmt: skip
        result["facts"] = surroundings.facts(bench, catalog=options.catalog, backing=backing)
        result["notes"] = bench.notes
        for name, packages in lacking.items():
            bench.note(f"{name} left out: apt-get install {' '.join(packages)}")
        for each in sections:
            try:
                for row in each.rows(bench):
                    result["rows"].append(asdict(row))
                    print(f"{row.case}: {row.way}: {row.seconds:.2f} s", file=sys.stderr, flush=True)
            except Failed as error:
                failed.append(each.name)
                bench.note(f"{each.name} failed: {error}")
    return failed


def show(result: dict[str, Any], lines: Sequence[report.Line], found: Sequence[report.Verdict]) -> None:
    for key, value in result["facts"].items():
        print(f"{key}: {value}")
    for line in report.tables(lines):
        print(line)
    if found:
        print("\ntargets")
        print("\n".join(report.judgement(found)))
    for note in result["notes"]:
        print(f"\nnote: {note}")


if __name__ == "__main__":
    main()
