"""Caches in the state directory of a master: whatever one says, it is a value in range or not there."""

import json
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netclnt.damage import Damages
from netclnt.dedup import StoreIndex
from netclnt.trash import Trash

IDENTITY = "0123456789abcdef" * 2
SAID = {
    "trash.json": {"versions": {"a@1": 1.0}, "files": {"packs/00/0.pack": 2.0}},
    "damaged.json": {"frames": [[1, 20]], "packs": [3], "manifests": ["a"], "page_deltas": [], "concerned": {"a": 100}},
    "index.json": {"epoch": "", "generation": 7, "numbers": 0, "runs": []},
}
ODD = [10**400, float("inf"), float("nan"), "x", None, True, [], {}, [10**400], {"a": 10**400}, {"a": "inf"}, [[1, 1e999]], -1]


def load(directory):
    """What the three files of a directory come to."""
    with closing(StoreIndex(directory, identity=IDENTITY)) as index:
        generation = index.generation
    return (
        Trash.load(directory, identity=IDENTITY, now=9.0),
        Damages.load(directory, identity=IDENTITY),
        generation,
    )


def write(directory, name, said):
    (directory / name).write_text(json.dumps(said))


@pytest.mark.parametrize("name", SAID)
@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_M2_I1_what_is_odd_about_a_note_counts_as_nothing(name, odd, tmp_path):
    for key in (*SAID[name], "identity"):
        write(tmp_path, name, SAID[name] | {"identity": IDENTITY, key: odd})
        load(tmp_path)
    write(tmp_path, name, odd)
    assert load(tmp_path) == (Trash(IDENTITY), Damages(IDENTITY), 0)


def test_what_was_written_is_read(tmp_path):
    for name, said in SAID.items():
        write(tmp_path, name, said | {"identity": IDENTITY})
    trash, damages, generation = load(tmp_path)
    assert trash.versions == {"a@1": 1.0}
    assert (damages.packs, damages.concerned) == ({3}, {"a": 100})
    assert generation == 7


@given(st.sampled_from(sorted(SAID)), st.text())
def test_M2_any_text_is_a_note_or_none(tmp_path_factory, name, text):
    directory = tmp_path_factory.mktemp("notes")
    (directory / name).write_bytes(text.encode(errors="surrogatepass"))
    load(directory)
