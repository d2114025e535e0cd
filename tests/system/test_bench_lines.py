"""The benchmark's sections about lines and many slaves run as CI runs them; what is counted is looked at, no time is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import fleet, lines
from tests.bench.measure import Bench, Row

pytestmark = pytest.mark.slow


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    server = request.getfixturevalue("sshd")
    tmp_path.chmod(0o755)
    return Bench(tmp_path, tmp_path, server, lambda: ("", ""), lambda: 0, rounds=1, quick=True)


def found(bench: Bench, rows: Iterator[Row]) -> dict[tuple[str, str], Row]:
    """By case and way; skips what this machine cannot do."""
    there = {(row.case, row.way): row for row in rows}
    if bench.notes:
        pytest.skip("; ".join(bench.notes))
    assert not list(bench.scratch.iterdir()), "something was left behind"
    return there


def test_all_ways_carry_the_image_over_a_narrow_line(bench: Bench) -> None:
    there = found(bench, lines.rows_of(bench, lines.narrow_rows))
    assert {way for _, way in there} == {"plain TCP", "netclnt, paramiko", "netclnt, openssh", "sftp", "rsync, zstd"}
    for row in there.values():
        assert row.wire is not None
        assert lines.NARROW_BYTES / 10 < row.wire < 1.15 * lines.NARROW_BYTES / 10


def test_round_trips_are_counted(bench: Bench) -> None:
    there = found(bench, lines.rows_of(bench, lines.turn_rows))
    for transport in lines.TRANSPORTS:
        way = f"netclnt, {transport}"
        first, idle = there["round trips, first sync", way].facts, there["round trips, nothing changed", way].facts
        assert (first["connecting"], idle["connecting"]) == (2, 1)
        assert idle["sftp"] == 0
        assert int(first["database"]) + int(first["sftp"]) > 0


def test_many_slaves_at_once_all_finish(bench: Bench) -> None:
    there = found(bench, fleet.rows(bench))
    slaves = [row for (_, way), row in there.items() if way != "plain TCP"]
    assert len(slaves) == 3
    for row in slaves:
        assert (row.facts["finished"], row.facts["refused"], row.facts["retries"]) == (5, 0, 0)
