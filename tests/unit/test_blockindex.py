"""The index of blocks against a dictionary, in memory bounds so small that everything spills."""

import hashlib
import mmap
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netclnt import blockindex
from netclnt.blockindex import Growing, Run, merge_runs, write_run
from netclnt.errors import Damaged, StorageFailed

SIZE = 6
few_ids = st.binary(min_size=1, max_size=2).map(lambda start: hashlib.md5(start).digest())
odd_ids = st.sampled_from(
    [bytes(16), b"\xff" * 16, bytes(15) + b"\1", b"\0" * 4 + b"\xff" * 12, b"\x7f" * 16, b"\x80" + bytes(15)]
)
ids = few_ids | odd_ids | st.binary(min_size=16, max_size=16)
records = st.lists(st.tuples(ids, st.binary(min_size=SIZE, max_size=SIZE)), max_size=80)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("index")


@pytest.fixture(params=[7, 200_000])
def in_memory(request, monkeypatch):
    monkeypatch.setattr(blockindex, "_RECORDS_IN_MEMORY", request.param)
    monkeypatch.setattr(blockindex, "_IDS_PER_BUCKET", 2)


def run_of(path, made):
    write_run(path, (id_ + value for id_, value in made), value_size=SIZE)
    return Run(path)


def check(run, made):
    values = {}
    for id_, value in made:
        values.setdefault(id_, set()).add(value)
    for id_, known in values.items():
        assert run.find(id_) in known
    for id_ in (bytes(16), b"\xff" * 16, b"x" * 16, *(id_[:15] + bytes([id_[15] ^ 1]) for id_ in values)):
        if id_ not in values:
            assert run.find(id_) is None
    assert list(run) == sorted(id_ + value for id_, value in made)
    assert run.count == len(made)
    assert all(record[0] == byte for byte in range(256) for record in run.slice(byte))


@pytest.mark.usefixtures("in_memory")
@given(made=records)
def test_a_run_is_a_dictionary(place, made):
    run = run_of(place / "run", made)
    check(run, made)
    run.close()
    assert [path.name for path in place.iterdir()] == ["run"]


@pytest.mark.usefixtures("in_memory")
@settings(max_examples=40)
@given(parts=st.lists(records, min_size=1, max_size=5))
def test_merged_runs_hold_what_their_parts_held(place, parts):
    paths = []
    for number, part in enumerate(parts):
        paths.append(place / f"part{number}")
        run_of(paths[-1], part).close()
    merge_runs(place / "merged", paths, value_size=SIZE)
    for path in paths:
        path.unlink()
    run = Run(place / "merged")
    check(run, [record for part in parts for record in part])
    run.close()
    (place / "merged").unlink()


@pytest.mark.usefixtures("in_memory")
@settings(max_examples=40)
@given(made=records)
def test_a_growing_index_is_a_dictionary_at_every_moment(place, made):
    known = {}
    with Growing(place / "grown", value_size=SIZE) as index:
        for id_, value in made:
            assert index.find(id_) == known.get(id_)
            if id_ not in known:
                index.add(id_, value)
                known[id_] = value
        assert all(index.find(id_) == value for id_, value in known.items())
        assert sorted(index) == sorted(id_ + value for id_, value in known.items())
    assert not list(place.glob("grown*"))


def test_many_records_over_many_buckets(tmp_path, monkeypatch):
    monkeypatch.setattr(blockindex, "_RECORDS_IN_MEMORY", 3000)
    source = random.Random(1)
    made = [(source.randbytes(16), source.randbytes(SIZE)) for _ in range(20_000)]
    run = run_of(tmp_path / "run", made)
    assert all(run.find(id_) == value for id_, value in made)
    assert list(run) == sorted(id_ + value for id_, value in made)
    run.close()
    with Growing(tmp_path / "grown", value_size=SIZE) as index:
        for id_, value in made:
            index.add(id_, value)
        assert len(list(tmp_path.glob("grown*"))) <= 4
        assert all(index.find(id_) == value for id_, value in made)


def test_crowded_ids_are_found_without_a_look_at_all_of_them(tmp_path, monkeypatch):
    """Keys of frames begin with their pack: thousands lie in one bucket."""
    made = [(b"one pack" + number.to_bytes(8, "big"), bytes(SIZE)) for number in range(0, 10_000, 2)]
    made += [made[77]] * 300
    looked_through = []

    class Counting(mmap.mmap):
        def find(self, sought, start, end):
            looked_through.append(end - start)
            return super().find(sought, start, end)

    monkeypatch.setattr(mmap, "mmap", Counting)
    run = run_of(tmp_path / "run", made)
    assert all(run.find(id_) == value for id_, value in made)
    assert not any(run.find(b"one pack" + number.to_bytes(8, "big")) for number in range(1, 10_003, 2))
    run.close()
    assert max(looked_through) <= 128 * 16


@pytest.mark.parametrize("count", [0, 6, 7, 8, 14, 21])
def test_counts_at_the_bounds_of_memory(tmp_path, monkeypatch, count):
    monkeypatch.setattr(blockindex, "_RECORDS_IN_MEMORY", 7)
    made = [(number.to_bytes(16, "big"), bytes(SIZE)) for number in range(count)]
    run = run_of(tmp_path / "run", made)
    check(run, made)
    run.close()


def test_an_id_that_lies_across_two_others_is_not_found(tmp_path):
    run = run_of(tmp_path / "run", [(b"a" * 16, bytes(SIZE)), (b"a" * 8 + b"b" * 8, bytes(SIZE))])
    assert run.find(b"a" * 16) is not None
    run.close()
    made = [(b"a" * 15 + b"b", b"1" * SIZE), (b"a" * 15 + b"c", b"2" * SIZE)]
    run = run_of(tmp_path / "run", made)
    assert run.find(b"a" * 14 + b"ba") is None
    run.close()


# --- damage

MADE = [(hashlib.md5(bytes([number])).digest(), bytes([number]) * SIZE) for number in range(200)]


@pytest.mark.parametrize("length", [0, 1, 23, 24, 100, -1])
def test_a_run_that_was_cut_is_damaged(tmp_path, length):
    run_of(tmp_path / "run", MADE).close()
    data = (tmp_path / "run").read_bytes()
    (tmp_path / "run").write_bytes(data[:length])
    with pytest.raises(Damaged):
        Run(tmp_path / "run")


@pytest.mark.parametrize(
    ("offset", "value"), [(0, b"X"), (8, b"\xff" * 8), (8, bytes(8)), (16, b"\xff" * 4), (20, b"\x20"), (20, b"\xff" * 4)]
)
def test_a_run_whose_header_is_wrong_is_damaged(tmp_path, offset, value):
    run_of(tmp_path / "run", MADE).close()
    data = bytearray((tmp_path / "run").read_bytes())
    data[offset : offset + len(value)] = value
    (tmp_path / "run").write_bytes(data)
    with pytest.raises(Damaged):
        Run(tmp_path / "run")


@given(data=st.data())
def test_M2_a_damaged_run_answers_or_says_that_it_is_damaged(place, data):
    run_of(place / "bad", MADE).close()
    content = bytearray((place / "bad").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, 120) | st.integers(0, len(content) - 1))
        new = data.draw(
            st.sampled_from([b"\xff" * 8, bytes(8), b"\x80" + bytes(7), b"\0" * 7 + b"\x80"]) | st.binary(min_size=1, max_size=9)
        )
        content[at : at + len(new)] = new
    (place / "bad").write_bytes(content)
    try:
        run = Run(place / "bad")
    except Damaged:
        return
    try:
        for id_, _ in MADE:
            found = run.find(id_)
            assert found is None or len(found) == SIZE
        assert all(len(record) == 16 + SIZE for record in run)
    except Damaged:
        pass
    finally:
        run.close()


def test_a_run_that_is_not_there_is_a_storage_error(tmp_path):
    with pytest.raises(StorageFailed):
        Run(tmp_path / "none")
    with pytest.raises(StorageFailed):
        write_run(tmp_path / "none" / "run", [], value_size=SIZE)
