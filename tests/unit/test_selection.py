"""Selections: what patterns and lists mean."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netclnt.selection import Selection

IMAGES = [
    SimpleNamespace(name="debian", kind="image"),
    SimpleNamespace(name="debian/old", kind="image"),
    SimpleNamespace(name="drivers", kind="software"),
    SimpleNamespace(name="tills", kind="configuration"),
    SimpleNamespace(name="*", kind="image"),
]


def names(selection):
    return [image.name for image in IMAGES if image in selection]


@pytest.mark.parametrize(
    ("patterns", "selected"),
    [
        ((), ["debian", "debian/old", "drivers", "tills", "*"]),
        (("debian",), ["debian"]),
        (("debian*",), ["debian", "debian/old"]),
        (("d*",), ["debian", "debian/old", "drivers"]),
        (("DEBIAN",), []),
        (("?ills", "drivers"), ["drivers", "tills"]),
        (("[dt]*",), ["debian", "debian/old", "drivers", "tills"]),
        (("!debian*",), ["drivers", "tills", "*"]),
        (("d*", "!*/old"), ["debian", "drivers"]),
        (("!*/old", "d*"), ["debian", "drivers"]),
        (("kind:software",), ["drivers"]),
        (("kind:*a*",), ["debian", "debian/old", "drivers", "tills", "*"]),
        (("kind:image", "tills"), ["debian", "debian/old", "tills", "*"]),
        (("!kind:image",), ["drivers", "tills"]),
        (("kind:image", "!debian"), ["debian/old", "*"]),
        (("!*",), []),
        (("debian", "!debian"), []),
    ],
)
def test_patterns_select(patterns, selected):
    assert names(Selection(patterns)) == selected


def test_names_of_a_list_are_literal_and_an_empty_list_selects_nothing():
    assert names(Selection(names=["debian*", "*"])) == ["*"]
    assert names(Selection(names=[])) == []
    assert names(Selection(("d*",), names=["debian", "tills"])) == ["debian"]


@given(st.lists(st.text("d*ei!:[", max_size=6), max_size=3))
def test_any_pattern_is_an_answer(patterns):
    assert len(names(Selection(tuple(patterns)))) <= len(IMAGES)
