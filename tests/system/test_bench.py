"""The benchmark runs as CI runs it: small images, one round; its facts about bytes are looked at, its times never."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench import images, peers, transfer

TOP = Path(__file__).parents[2]
FILES = ("raw", "tar", "squashfs")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    for program in ("rsync", "sshd", "mksquashfs", "mkfs.ext4"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    place = tmp_path_factory.mktemp("bench")
    place.chmod(0o755)
    words = ["--cache", place / "cache", "--filesystem", "here", "--catalog", "sqlite", "--json", place / "out.json"]
    command = [sys.executable, "-m", "tests.bench.run", "--quick", "--only", ",".join((*FILES, "tree")), *words]
    done = subprocess.run([*command, "--svg", place / "out.svg"], cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (place / "out.svg").read_text().endswith("</svg>\n")
    assert not list((place / "cache").glob("run.*")), "something was left behind"
    found: dict[str, Any] = json.loads((place / "out.json").read_text())
    return found | {"cache": place / "cache"}


def rows(result: dict[str, Any], case: str) -> dict[str, dict[str, Any]]:
    return {row["way"]: row for row in result["rows"] if row["case"] == case}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*FILES, "tree"])
def test_every_way_was_gone_and_brought_equal_content(result: dict[str, Any], kind: str) -> None:
    cold, update = (peers.COLD_TREE, peers.UPDATE_TREE) if kind == "tree" else (peers.COLD, peers.UPDATE)
    for case, ways in ((f"{kind}, cold", cold), (f"{kind}, update", update)):
        found = rows(result, case)
        assert set(found) == {*transfer.SLAVES, *(way for way in ways if way in peers.QUICK)}, result["notes"]
        assert all(row["facts"]["equal"] is True for row in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_bytes_of_the_line_are_those_of_the_way(result: dict[str, Any], kind: str) -> None:
    size = images.pair(result["cache"], kind, quick=True).old.stat().st_size
    cold, update = rows(result, f"{kind}, cold"), rows(result, f"{kind}, update")
    assert size <= cold["sftp"]["wire"] < 1.05 * size + 100_000
    for way in transfer.SLAVES:
        payload = cold[way]["facts"]["payload"]
        assert payload < cold[way]["wire"] < 1.05 * payload + 200_000
        assert update[way]["wire"] < cold[way]["wire"]
        assert update[way]["reused"] > 0
    assert update["rsync, zstd"]["wire"] < cold["rsync, zstd"]["wire"]


@pytest.mark.slow
def test_what_publish_adds_is_what_a_slave_fetches(result: dict[str, Any]) -> None:
    for kind in FILES:
        stored = rows(result, f"{kind}, publish before")["netclnt"]["facts"]["store"]
        fetched = rows(result, f"{kind}, cold")["netclnt, openssh"]["facts"]["payload"]
        assert fetched == pytest.approx(stored, rel=0.02)


@pytest.mark.slow
def test_what_others_run_with_is_recorded(result: dict[str, Any]) -> None:
    assert {"filesystem", "cores", "kernel", "rsync", "openssh", "netclnt", "date", "catalog"} <= set(result["facts"])
    assert all(row["cpu"] > 0 and row["peak"] > 0 for row in result["rows"])
