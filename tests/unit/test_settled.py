"""Which files are taken as they lie, and which plain bytes they cover."""

from __future__ import annotations

from array import array
from dataclasses import replace

import pytest

from netclnt.layout import Layout
from netclnt.model import Blocks, Entry, EntryType
from netclnt.protocols import Facts
from netclnt.settled import Settled, unchanged


def file(path: str, size: int, fill: int = 1) -> Entry:
    return Entry(path, EntryType.FILE, 0o644, size, bytes([fill]) * 32)


ENTRIES = [Entry("", EntryType.DIRECTORY, 0o755), file("a", 10), file("b", 20), file("c", 0), file("d", 30), file("e", 40)]
FACTS = {entry.path: Facts(entry.size, 1, number) for number, entry in enumerate(ENTRIES)}


def numbers(new: list[Entry], old: list[Entry] = ENTRIES, facts: dict[str, Facts] = FACTS) -> list[int]:
    return [number for number, _ in unchanged(old, new, facts)]


def test_alike_files_with_content_are_unchanged() -> None:
    assert list(unchanged(ENTRIES, ENTRIES, FACTS)) == [(number, FACTS[ENTRIES[number].path]) for number in (1, 2, 4, 5)]
    assert numbers([ENTRIES[0], file("0", 5), *ENTRIES[1:]]) == [2, 3, 5, 6]
    assert numbers(ENTRIES, facts={"a": FACTS["a"]}) == [1]
    assert numbers(ENTRIES, old=[]) == []


@pytest.mark.parametrize(
    "other", [file("a", 11), file("a", 10, 2), replace(file("a", 10), mode=0o600), Entry("a", EntryType.LINK, 0o777, target="x")]
)
def test_any_difference_counts(other: Entry) -> None:
    assert numbers([ENTRIES[0], other, *ENTRIES[2:]]) == [2, 4, 5]


def test_covered_are_ranges_of_neighbours() -> None:
    settled = Settled(Layout(ENTRIES), [1, 2, 5])
    assert [settled.covers(*part) for part in [(0, 10), (0, 30), (5, 25), (0, 31), (30, 30), (29, 1), (60, 40), (59, 2)]] == [
        *(True, True, True, False, False, True, True, False)
    ]
    assert settled.linked == 70
    assert (1 in settled, 4 in settled) == (True, False)
    assert settled
    assert not Settled(Layout(ENTRIES), [])
    assert not Settled(Layout(ENTRIES), []).covers(0, 1)


def test_a_file_that_was_digested_is_settled_but_not_linked() -> None:
    settled = Settled(Layout(ENTRIES), [1])
    settled.add(4)
    assert settled.covers(30, 30)
    assert not settled.covers(0, 30)
    assert settled.linked == 10


def test_blocks_of_a_page() -> None:
    settled = Settled(Layout(ENTRIES), [1, 5])
    blocks = Blocks(array("I", [5, 5, 20, 30, 40]), bytes(80))
    assert settled.blocks(blocks, 0) == [True, True, False, False, True]
    assert settled.blocks(Blocks(array("I", [20, 30]), bytes(32)), 10) == ()
    assert settled.blocks(Blocks(array("I", [15]), bytes(16)), 0) == ()
