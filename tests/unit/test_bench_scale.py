"""What the benchmark makes up is what the program takes for real: an index, a miniature, a change."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest

from netclnt.blockindex import Run
from netclnt.dedup import RECORD, decode_location
from netclnt.model import ID_BYTES
from tests.bench import miniature, scale
from tests.bench.scale_memory import write_index
from tests.bench.scale_pair import flip


@pytest.mark.parametrize("records", [1, 31, 1000, 70_001])
def test_an_index_that_is_made_up_is_one(tmp_path: Path, records: int) -> None:
    path = tmp_path / "made.run"
    write_index(path, records)
    run = Run(path)
    try:
        found = list(run)
        assert run.count == len(found) == records
        assert run.value_size == RECORD.size
        assert found == sorted(found)
        for record in random.Random(1).sample(found, min(records, 100)):
            assert run.find(record[:ID_BYTES]) == record[ID_BYTES:]
            assert decode_location(record[ID_BYTES:])[1] == 0
        assert run.find(bytes(range(ID_BYTES))) is None
    finally:
        run.close()


@pytest.mark.parametrize("every", [2, 50])
def test_a_change_reaches_blocks_all_over_a_miniature(tmp_path: Path, every: int) -> None:
    path = tmp_path / "image"
    miniature.write_image(path, 5000)
    before = path.read_bytes()
    miniature.change(path, every=every)
    after = path.read_bytes()
    assert len(after) == len(before)
    places = [at for at in range(0, len(before), 8) if before[at : at + 8] != after[at : at + 8]]
    assert len(places) == pytest.approx(5000 / every, rel=0.05)
    gaps = [later - place for place, later in pairwise(places)]
    assert max(gaps) < 3 * every / miniature.BLOCKS_PER_BYTE


def test_one_byte_is_one_byte_and_no_hole(tmp_path: Path) -> None:
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(1 << 20)
        file.seek(3 << 18)
        file.write(b"x" * 4096)
    before = path.read_bytes()
    blocks = path.stat().st_blocks
    flip(path)
    after = path.read_bytes()
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1
    assert path.stat().st_blocks == blocks


def test_each_goal_is_about_one_thing() -> None:
    names = [(goal.case, goal.way, goal.figure) for goal in scale.GOALS]
    assert len(set(names)) == len(names)
    assert {goal.way.partition(",")[0] for goal in scale.GOALS} == {"netclnt"}
