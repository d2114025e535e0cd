from __future__ import annotations

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netclnt import rows
from netclnt.errors import ForbiddenValue, NetclntError
from netclnt.model import CatalogState, Refused


@pytest.mark.parametrize("value", [7, Decimal(7), Decimal("7.000"), "7", "7   ", b"7"])
def test_E7_a_number_in_disguise_is_a_number(value: object) -> None:
    assert rows.number(value) == 7


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 7.0, Decimal("7.5"), Decimal("NaN"), Decimal("Infinity"), Decimal("1E+999999")),
        *("", "7x", "٧", " 7", "9" * 20, b"\xff", [7]),
    ],
)
def test_E7_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(ForbiddenValue):
        rows.number(value)


@pytest.mark.parametrize(
    ("value", "meant"), [("win", "win"), ("win   ", "win"), (b"w\xc3\xbc", "wü"), (b"win  ", "win"), ("", "")]
)
def test_E7_text_in_disguise_is_text(value: object, meant: str) -> None:
    assert rows.text(value) == meant


@pytest.mark.parametrize("value", [None, 7, b"\xff", bytearray(b"x"), 1.5])
def test_E7_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(ForbiddenValue):
        rows.text(value)


@given(st.integers(0, 2**64 - 1))
def test_a_state_survives_its_row(seed: int) -> None:
    state = CatalogState("0" * 32, seed, "x", 1, 1, 2**62 - 1, 3, 4)
    assert rows.state_of(rows.state_row(state)) == state


VALUES = st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.binary(), st.decimals(), st.booleans())


@given(st.lists(st.lists(VALUES, min_size=17, max_size=17), max_size=4))
def test_F_hostile_rows_become_versions_or_foreseen_errors(hostile: list[list[object]]) -> None:
    with contextlib.suppress(NetclntError):
        list(rows.versions_of(hostile))


def test_E7_numbers_that_cannot_be_compared_are_refused() -> None:
    row = [Decimal("sNaN")] * (len(rows.IMAGE_COLUMNS) + len(rows.VERSION_COLUMNS) + len(rows.REQUIREMENT_COLUMNS))
    with pytest.raises(ForbiddenValue):
        list(rows.versions_of([row, row]))


def test_F5_two_images_of_one_name_are_not_put_together() -> None:
    one = ("win", "image", 1, "a" * 64, 100, 0, 5, 1, 1, "b" * 64, "x", "", "", 1)
    other = (*one[:3], "c" * 64, *one[4:])
    assert len(list(rows.versions_of([(*one, 0, "r", ""), (*one, 1, "s", "")]))) == 1
    refused: list[Refused] = []
    assert not list(rows.versions_of([(*one, None, None, None), (*other, None, None, None)], refused.append))
    assert [each.name for each in refused] == ["win"]


@given(st.lists(VALUES, min_size=8, max_size=8))
def test_F_hostile_states_become_states_or_foreseen_errors(hostile: list[object]) -> None:
    with contextlib.suppress(NetclntError):
        rows.state_of(hostile)


def test_a_version_needs_as_many_columns_as_are_asked_for() -> None:
    assert len(rows.IMAGE_COLUMNS) + len(rows.VERSION_COLUMNS) + len(rows.REQUIREMENT_COLUMNS) == 17
