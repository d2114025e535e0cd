"""Values that check themselves."""

from __future__ import annotations

import unicodedata

import pytest

from netclnt.errors import ForbiddenValue
from netclnt.model import check_text


def test_text_may_hold_all_but_control_characters() -> None:
    for character in map(chr, (*range(0x3100), 0xFFFD, 0x1F4BE, 0xE0001)):
        for text in (character, f"a{character}b\u00a0"):
            if unicodedata.category(character) == "Cc":
                with pytest.raises(ForbiddenValue):
                    check_text("note", text, 4)
            else:
                assert check_text("note", text, 4) == text


@pytest.mark.parametrize("value", ["abcde", b"abc", None, 7])
def test_text_is_text_and_not_too_long(value: object) -> None:
    with pytest.raises(ForbiddenValue):
        check_text("note", value, 4)
