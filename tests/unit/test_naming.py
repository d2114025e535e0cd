"""The grammar of names, against the hostile ones of the list of faults."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netclnt.errors import ForbiddenName
from netclnt.naming import check_channel, check_name, check_path, check_token, is_token, twin_key

WAYS_OUT = ["", "/", "//", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/..", "../a", "a/../b", "a/./b", "//a", "/..", "..//"]
UNSEEN = [
    "\0",
    "a\0",
    "a\nb",
    "a\rb",
    "\x1b[2J",
    "a\x7f",
    "a\x80b",
    "a\x85b",
    "\u202ea",
    "a\u200fb",
    "\u2066a\u2069",
    "a\u2028b",
    "a\u2029b",
    "\udc80",
    "a\ud800b",
]
TOO_LONG = ["x" * 256, "ä" * 128, "/".join(["a" * 63] * 5)]
NOT_TEXT = [None, 5, b"a", ["a"], 1.5, True]
NOT_NORMAL = ["e\u0301", "\u212b", "\u1100\u1161"]


@pytest.mark.parametrize("name", [*WAYS_OUT, *UNSEEN, *NOT_NORMAL, *NOT_TEXT])
@pytest.mark.parametrize("check", [check_name, check_path])
def test_F1_F2_neither_names_nor_paths_lead_out_or_hide(check, name):
    with pytest.raises(ForbiddenName):
        check(name)


@pytest.mark.parametrize("name", TOO_LONG)
def test_F4_too_long_a_name(name):
    with pytest.raises(ForbiddenName):
        check_name(name)


@pytest.mark.parametrize("path", ["x" * 256, "ä" * 128, "a/" * 64 + "b", "/".join(["a" * 250] * 17)])
def test_F4_too_long_a_path(path):
    with pytest.raises(ForbiddenName):
        check_path(path)


def test_F4_as_long_as_may_be():
    check_name("x" * 255)
    check_path("x" * 255)
    check_path("/".join(["a" * 61] * 64))


@pytest.mark.parametrize(
    "name",
    ["-rf", "--help", "a/-b", "a@1", "a:b", "a!", "*", "a?", "[a", "a\\b", "C:", " a", "a ", "a/ b", "a /b", "\u00a0a", "\u3000"],
)
def test_F3_names_that_a_shell_or_a_pattern_would_read_otherwise(name):
    with pytest.raises(ForbiddenName):
        check_name(name)


@pytest.mark.parametrize("name", [".netclnt", ".netclnt/a", ".NetClnt", "lost+found", "LOST+FOUND/x"])
def test_F6_reserved_names(name):
    with pytest.raises(ForbiddenName):
        check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "debian-12.7",
        "os/debian/12",
        "$(id)",
        "%s",
        "{0}",
        "a]b",
        "it's",
        'say "hi"',
        "a;b",
        "a b",
        "~",
        ".hidden",
        "...",
        "ä",
        "日本",
        "a/.netclnt",
    ],
)
def test_F3_harmless_names_are_taken_as_they_are(name):
    assert check_name(name) == name


@pytest.mark.parametrize("path", ["-rf", "a@:!*?[\\b", " a ", ".netclnt", "lost+found", "a/b c/d", "…", "~"])
def test_F3_paths_may_be_any_printable_text(path):
    assert check_path(path) == path


@given(st.text(max_size=20))
def test_what_is_taken_stays_inside(text):
    for check in (check_name, check_path):
        try:
            found = check(text)
        except ForbiddenName:
            continue
        assert found == text == unicodedata.normalize("NFC", text)
        parts = text.split("/")
        assert not {"", ".", ".."} & set(parts)
        assert all(len(part.encode()) <= 255 for part in parts)
        assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


@given(st.text(max_size=12))
def test_F5_twins_have_one_key(text):
    key = twin_key(text)
    assert twin_key(key) == key
    assert twin_key(text.upper()) == twin_key(text.upper().lower()) or not text.isascii()
    if text.isascii():
        assert twin_key(text.upper()) == twin_key(text.lower()) == key


@pytest.mark.parametrize("channel", ["stable", "a", "0", "a" * 64, "test-2.x_y"])
def test_channels(channel):
    assert check_channel(channel) == channel


@pytest.mark.parametrize("channel", ["", "A", "-a", ".a", "a" * 65, "a b", "ä", "a\n", "٣", None, 5])
def test_F3_no_other_channels(channel):
    with pytest.raises(ForbiddenName):
        check_channel(channel)


def test_tokens():
    assert check_token("0123abcdef") == "0123abcdef"
    for token in ("", "A", "g", "0" * 65, "0\n", "..", "a/b", None, 5, "٣"):
        with pytest.raises(ForbiddenName):
            check_token(token)
    assert not is_token("xyz")


@pytest.mark.parametrize("name", ["a\u200bb", "a\u00adb", "\ufeffa", "a/b\u2060"])
def test_F2_invisible_characters_make_no_name(name):
    with pytest.raises(ForbiddenName):
        check_name(name)
    assert check_path(name) == name
