"""A pytest plugin (``-p tests.support.faulttable``): runs only the tests that carry ids of faults in their names, and prints
promise × cases × runs × result at the end; ``--json FILE`` writes the same, and more, as one JSON object.

An id is a letter and a number between underscores or brackets, as in ``test_A1_P3_killed…[B4-xfs]``. A test without a ``P`` id
stands for the promises that :data:`PROMISES_OF` names for its cases. A test says how many runs (seeds, points) it made by the
user property ``runs``, and none is no trial; Hypothesis' examples are counted, too; any other test is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis.statistics import collector

PROMISES = {
    "P1": "whoever opens an image sees one complete published version",
    "P2": "exit 0 survives a power cut",
    "P3": "the ledger never claims more than the disk holds",
    "P4": "interrupted work is not repeated",
    "P5": "no byte reaches a live image unless id and SHA-256 match",
    "P6": "with trust: only what a trusted key signed",
    "P7": "with trust: never an older one, and silence is noticed",
    "P8": "nothing outside root and state is touched",
    "P9": "every run ends within a bound, with one truthful exit code",
    "P10": "two runs on one root never interleave",
    "P11": "an empty, shrunken or foreign catalog wipes nothing",
}

_BY_PROMISES = {
    "P1 P3": "A1 A11 A14 I4",
    "P4 P9": "A2 A4 A5 A6",
    "P9": "A7 A9 A10 C1 C4 C16 D2 D3 D4 D6 D7 D8 D9 D10 D18 D22 D24 E1 E4 E6 E11 E17 H2 H9 I5 I6 J1 J3 L4 L5 L6 L8 L9 L10 M3",
    "P1 P3 P9": "A13 A16 A17 I1 I3",
    "P5": "A18 C19 C20 D14 D15 D16 D25 F9 F12 F16 K7",
    "P1 P2 P3": "B1 B4 B7",
    "P2": "B2",
    "P2 P3": "B5 C9 C10",
    "P3 P9": "C2 C3 C5 C6 C8 C12 C13 C14 C15",
    "P8 P9": "C17 D12 F1 F2 F3 F4 F5 F6 F7 F8 F10 F11 F14 F15 E7 E13",
    "P8": "C21 C26 G1 G2 G4 G5 G6 G7 N1 N2",
    "P1": "C22 C27 C24 C25 E2 N3 N4",
    "P11": "C18 E14 E15 E20",
    "P4": "D1",
    "P6 P9": "D19 D20 D21",
    "P9 P1": "E8 E10 E12 E19 L1 L2",
    "P10": "H1 H3 H5 H7",
    "P6 P7": "K1 K2 K3 K4 K5 K6 K8 K10",
    "P1 P3 P5 P8 P9": "M1",
    "P5 P9": "M2",
}
PROMISES_OF = {case: promises.split() for promises, cases in _BY_PROMISES.items() for case in cases.split()}
"""The promises that a case mainly tries."""

_ID = re.compile(r"(?<![A-Za-z0-9])([A-P][0-9]{1,2})(?![A-Za-z0-9])")
_EXAMPLES = re.compile(r"(\d+) (?:passing|failing)")


@dataclass
class Tally:
    """What became of the tests of one case or promise."""

    tests: int = 0
    runs: int = 0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def add(self, test: Test) -> None:
        self.tests += 1
        self.runs += test.runs if test.outcome != "skipped" else 0
        self.passed += test.outcome == "passed"
        self.failed += test.outcome == "failed"
        self.skipped += test.outcome == "skipped"
        self.seconds += test.seconds
        if test.outcome == "failed":
            self.failures.append(test.name)

    def as_json(self) -> dict[str, object]:
        return vars(self) | {"result": self.result}

    @property
    def result(self) -> str:
        if self.failed:
            return f"BROKEN by {self.failed}"
        return "kept" if self.runs else "not tried"


@dataclass
class Test:
    """One test that ran, with all its phases."""

    __test__ = False

    name: str
    outcome: str = "passed"
    runs: int = 1
    seconds: float = 0.0


def ids(name: str) -> tuple[list[str], list[str]]:
    """The cases and the promises that a test's name tells."""
    found = dict.fromkeys(_ID.findall(name))
    cases = [id_ for id_ in found if id_ in PROMISES_OF]
    promises = [id_ for id_ in found if id_ in PROMISES]
    return cases, promises or list(dict.fromkeys(promise for case in cases for promise in PROMISES_OF[case]))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--json", metavar="FILE", help="write the table of faults there, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Table(config), "table of faults")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    others = [item for item in items if not ids(item.nodeid)[0]]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Hypothesis' plugin counts the examples of a test; those of functions that a test defines and calls are counted here."""
    tried: list[int] = []
    try:
        with collector.with_value(lambda statistics: tried.append(_examples(statistics))):
            return (yield)
    finally:
        if tried:
            item.user_properties.append(("runs", sum(tried)))


def _examples(statistics: Mapping[str, object]) -> int:
    """How many examples went through a test, by what Hypothesis tells at its end."""
    phases = [phase for phase in statistics.values() if isinstance(phase, dict)]
    cases = [case for phase in phases for case in phase.get("test-cases", ())]
    return sum(case["status"] in ("valid", "interesting") for case in cases)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hypothesis' examples are runs, too."""
    if call.when == "teardown":
        tried = sum(map(int, _EXAMPLES.findall(getattr(item, "hypothesis_statistics", ""))))
        if tried:
            item.user_properties.append(("runs", tried))
    return (yield)


class Table:
    """Collects what became of each test, and tells it at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._tests: dict[str, Test] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = self._tests.setdefault(report.nodeid, Test(report.nodeid))
        test.seconds += report.duration
        if report.outcome != "passed" and test.outcome != "failed":
            test.outcome = report.outcome
        if report.when == "teardown":
            told = [int(str(value)) for name, value in report.user_properties if name == "runs"]
            test.runs = sum(told) if told else 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        promises, cases = tallies(self._tests.values())
        terminalreporter.section("faults")
        for line in told(promises, cases, self._tests.values()):
            terminalreporter.write_line(line)
        file = self._config.getoption("--json")
        if file:
            Path(file).write_text(json.dumps(self._as_json(promises, cases), indent=1) + "\n")

    def _as_json(self, promises: dict[str, Tally], cases: dict[str, Tally]) -> dict[str, object]:
        return {
            "seed": self._config.getoption("--hypothesis-seed"),
            "thorough": self._config.getoption("--thorough"),
            "tests": len(self._tests),
            "seconds": sum(test.seconds for test in self._tests.values()),
            "longest": max((test.seconds for test in self._tests.values()), default=0.0),
            "promises": {name: tally.as_json() for name, tally in promises.items()},
            "cases": {name: tally.as_json() | {"promises": PROMISES_OF[name]} for name, tally in cases.items()},
            "not_tried": not_tried(cases),
        }


def tallies(tests: Iterable[Test]) -> tuple[dict[str, Tally], dict[str, Tally]]:
    """What became of each promise, and of each case that has a test."""
    promises = {promise: Tally() for promise in PROMISES}
    cases: dict[str, Tally] = {}
    for test in tests:
        of_cases, of_promises = ids(test.name)
        for case in of_cases:
            cases.setdefault(case, Tally()).add(test)
        for promise in of_promises:
            promises[promise].add(test)
    return promises, dict(sorted(cases.items(), key=lambda item: _order(item[0])))


def told(promises: dict[str, Tally], cases: dict[str, Tally], tests: Iterable[Test]) -> list[str]:
    """The table as lines."""
    tried: dict[str, list[str]] = {promise: [] for promise in promises}
    for test in tests:
        of_cases, of_promises = ids(test.name)
        for promise in of_promises:
            tried[promise] += [case for case in of_cases if case not in tried[promise]]
    lines = [f"{'promise':8} {'tests':>6} {'runs':>7} {'skipped':>8}  {'result':14} cases"]
    for promise, tally in promises.items():
        listed = " ".join(sorted(tried[promise], key=_order))
        lines.append(f"{promise:8} {tally.tests:6} {tally.runs:7} {tally.skipped:8}  {tally.result:14} {listed}")
    lines.append("")
    lines += [f"{promise:8} {text}" for promise, text in PROMISES.items()]
    lines.append("")
    lines.append("case: tests × runs: " + ", ".join(f"{case}: {tally.tests} × {tally.runs}" for case, tally in cases.items()))
    lines += [f"BROKEN: {case} by {name}" for case, tally in cases.items() for name in tally.failures]
    missing = not_tried(cases)
    if missing:
        lines.append("not tried: " + " ".join(missing))
    return lines


def not_tried(cases: dict[str, Tally]) -> list[str]:
    """The cases without a test that ran."""
    return sorted((case for case in PROMISES_OF if case not in cases or cases[case].result == "not tried"), key=_order)


def _order(case: str) -> tuple[str, int]:
    return case[0], int(case[1:])
