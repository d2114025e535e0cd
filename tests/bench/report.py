"""From rows to what a reader wants: medians, ratios against the peers, targets met or missed, tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.bench.measure import Fact, Row

MIB = 1 << 20
FASTEST = "fastest peer"
LOCAL = "cp, no line"
"""A limit of the machine, no peer: never the fastest."""
REFERENCES = (FASTEST, "rsync", "rsync, zstd")
HIDDEN = ("equal",)
"""Facts that are for programs only."""


@dataclass(frozen=True)
class Line:
    """All runs of one way in one case: medians of the figures, and the last run's other facts."""

    section: str
    case: str
    way: str
    runs: int
    figures: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def peer(self) -> bool:
        return not self.way.startswith("netclnt")


@dataclass(frozen=True)
class Goal:
    """A figure of a way in a case (a field of Row, or the name of a number in its facts) must be at most ``limit``: in its own
    unit, or, with ``against``, as a multiple of what another way or the fastest peer has. ``at_least`` turns it round. With
    ``filesystem`` it counts on that one only."""

    case: str
    way: str
    figure: str
    limit: float
    against: str | None = None
    at_least: bool = False
    filesystem: str | None = None


@dataclass(frozen=True)
class Verdict:
    """``value`` is in the goal's own terms; ``off`` by how much of the limit it misses (of 1 where the limit is 0), 0 when it is
    met."""

    goal: Goal
    value: float
    off: float

    @property
    def met(self) -> bool:
        return self.off == 0


def medians(rows: Sequence[Row]) -> list[Line]:
    """In the order of each one's first run."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.section, row.case, row.way), []).append(row)
    return [Line(*key, len(group), _figures(group), group[-1].facts) for key, group in groups.items()]


def _figures(group: Sequence[Row]) -> dict[str, float]:
    known: dict[str, list[float]] = {}
    for row in group:
        numbers = {
            key: value for key, value in row.facts.items() if isinstance(value, int | float) and not isinstance(value, bool)
        }
        own = {key: getattr(row, key) for key in ("seconds", "cpu", "peak", "wire", "reused", "server_cpu")}
        for key, value in {**numbers, **own}.items():
            if value is not None:
                known.setdefault(key, []).append(value)
    return {key: median(values) for key, values in known.items()}


def reference(lines: Sequence[Line], case: str, figure: str, against: str) -> float | None:
    """What a figure is compared with; None if nobody has it."""
    peers = [line for line in lines if line.case == case and line.peer and figure in line.figures]
    chosen = [line.figures[figure] for line in peers if against == line.way or (against == FASTEST and line.way != LOCAL)]
    return min(chosen, default=None)


def ratio(lines: Sequence[Line], line: Line, figure: str, against: str) -> float | None:
    base = reference(lines, line.case, figure, against)
    value = line.figures.get(figure)
    return None if not base or value is None else value / base


def verdicts(lines: Sequence[Line], goals: Sequence[Goal], filesystem: str) -> Iterator[Verdict]:
    """Of those goals for which there are figures."""
    by_name = {(line.case, line.way): line for line in lines}
    for goal in goals:
        line = by_name.get((goal.case, goal.way))
        if line is None or goal.filesystem not in (None, filesystem):
            continue
        value = ratio(lines, line, goal.figure, goal.against) if goal.against else line.figures.get(goal.figure)
        if value is not None:
            over = (goal.limit - value if goal.at_least else value - goal.limit) / (goal.limit or 1)
            yield Verdict(goal, value, max(0.0, over))


def tables(lines: Sequence[Line]) -> Iterator[str]:
    """One table a case; ratios below 1 are better than the reference."""
    for case in dict.fromkeys(line.case for line in lines):
        group = [line for line in lines if line.case == case]
        yield ""
        yield case + (f" ({group[0].runs} rounds, medians)" if group[0].runs > 1 else "")
        if any(line.peer for line in group):
            yield from _comparison(lines, group)
        else:
            yield from _plain(group)


def _comparison(lines: Sequence[Line], group: Sequence[Line]) -> Iterator[str]:
    yield (
        f"  {'':24} {'wall s':>8} {'×fastest':>9} {'×rsync':>7} {'×zstd':>6} {'wire MB':>9} {'×rsync':>7} {'×zstd':>6}"
        f" {'CPU s':>7} {'server':>7} {'MiB':>5}  facts"
    )
    for line in sorted(group, key=lambda line: line.figures["seconds"]):
        wall = [_number(ratio(lines, line, "seconds", against), 2) for against in REFERENCES]
        wire = [_number(ratio(lines, line, "wire", against), 3) for against in REFERENCES[1:]]
        yield (
            f"  {line.way:24} {line.figures['seconds']:8.2f} {wall[0]:>9} {wall[1]:>7} {wall[2]:>6}"
            f" {_number(line.figures.get('wire'), 1, 1e6):>9} {wire[0]:>7} {wire[1]:>6}"
            f" {line.figures['cpu']:7.2f} {_number(line.figures.get('server_cpu'), 2):>7} {line.figures['peak'] / MIB:5.0f}"
            f"  {_facts(line)}"
        )


def _plain(group: Sequence[Line]) -> Iterator[str]:
    yield f"  {'':24} {'wall s':>8} {'CPU s':>7} {'server':>7} {'wire MB':>9} {'MiB':>5}  facts"
    for line in group:
        yield (
            f"  {line.way:24} {line.figures['seconds']:8.2f} {line.figures['cpu']:7.2f}"
            f" {_number(line.figures.get('server_cpu'), 2):>7} {_number(line.figures.get('wire'), 3, 1e6):>9}"
            f" {line.figures['peak'] / MIB:5.0f}  {_facts(line)}"
        )


def _facts(line: Line) -> str:
    shown = {key: line.figures.get(key, value) for key, value in line.facts.items() if key not in HIDDEN}
    if "reused" in line.figures:
        shown["reused"] = line.figures["reused"]
    return " ".join(f"{key}={value:,.6g}" if isinstance(value, int | float) else f"{key}={value}" for key, value in shown.items())


def _number(value: float | None, digits: int, unit: float = 1) -> str:
    return "" if value is None else f"{value / unit:,.{digits}f}"


def judgement(found: Sequence[Verdict]) -> Iterator[str]:
    """Each target in a line, then how many are met."""
    for verdict in found:
        goal = verdict.goal
        sign = "≥" if goal.at_least else "≤"
        unit = f" × {goal.against}" if goal.against else ""
        said = "met" if verdict.met else f"MISSED by {100 * verdict.off:.0f} %"
        yield f"  {goal.case:22} {goal.way:20} {goal.figure:8} {verdict.value:.4g} (target {sign} {goal.limit:g}{unit}): {said}"
    yield f"  {sum(verdict.met for verdict in found)} of {len(found)} targets met"
