from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netclnt import namekeys
from netclnt.errors import BadArgument
from netclnt.model import Kind


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=20))
def test_keys_of_names_sort_as_their_bytes_do(names: list[str]) -> None:
    assert sorted(names, key=namekeys.name_key) == sorted(names, key=str.encode)


@pytest.mark.parametrize("other", ["WIN/10", "win", "win/10/x"])
def test_neighbours_that_cannot_be(other: str) -> None:
    with pytest.raises(BadArgument):
        namekeys.check_neighbour("win/10", Kind.IMAGE, other, Kind.IMAGE)


@pytest.mark.parametrize("other", ["win/10", "win/1", "win/100", "wi", "winter"])
def test_neighbours_that_can_be(other: str) -> None:
    namekeys.check_neighbour("win/10", Kind.IMAGE, other, Kind.IMAGE)


def test_parents_of_a_name() -> None:
    assert (namekeys.parents("a/b/c"), namekeys.parents("a")) == (("a", "a/b"), ())
