"""The benchmark's section about size and smallness runs, and what it counts is so at any size. No time is looked at."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench import scale, scale_catalog, scale_memory

TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    for program in ("sshd", "mkfs.ext4", "zstd", "sha256sum"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    place = tmp_path_factory.mktemp("bench")
    place.chmod(0o755)
    words = ["--cache", place / "cache", "--filesystem", "here", "--catalog", "sqlite", "--json", place / "out.json"]
    command = [sys.executable, "-m", "tests.bench.run", "--quick", "--only", "scale", *words]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list((place / "cache").glob("run.*")), "something was left behind"
    found: dict[str, Any] = json.loads((place / "out.json").read_text())
    return found


def facts(result: dict[str, Any], case: str, way: str = scale.WAY) -> dict[str, Any]:
    return next(row["facts"] | row for row in result["rows"] if (row["case"], row["way"]) == (case, way))


@pytest.mark.slow
def test_every_goal_has_its_figure(result: dict[str, Any]) -> None:
    lacking = [note.partition(":")[0] for note in result["notes"]]
    for goal in scale.GOALS:
        if not any(goal.case.startswith(case.split(",")[0]) for case in lacking):
            assert facts(result, goal.case, goal.way)[goal.figure] is not None


@pytest.mark.slow
def test_a_slave_that_is_up_to_date_asks_once_and_tells_once(result: dict[str, Any]) -> None:
    found = facts(result, scale.IDLE, "netclnt, sqlite")
    assert (found["queries"], found["connections"], found["payload"]) == (2, 0, 0)
    ways = [row["way"] for row in result["rows"] if row["case"] == scale.IDLE]
    if "netclnt, postgresql" in ways:
        found = facts(result, scale.IDLE, "netclnt, postgresql")
        assert (found["selects"], found["updates"], found.get("image_reads", 0)) == (1, 1, 0)


@pytest.mark.slow
def test_one_byte_takes_no_more_than_its_share(result: dict[str, Any]) -> None:
    found = facts(result, scale.BYTE.format(scale.MINIATURE))
    assert found["connections"] == 1
    assert 0 < found["payload"] <= found["wire"] < 100_000


@pytest.mark.slow
def test_what_needs_no_library_loads_none(result: dict[str, Any]) -> None:
    assert facts(result, scale.HELP)["heavy"] == facts(result, scale.VERSION)["heavy"] == 0


@pytest.mark.slow
def test_the_goals_of_all_parts_are_those_of_the_section() -> None:
    assert {*scale_memory.GOALS, *scale_catalog.GOALS} < {*scale.GOALS}
