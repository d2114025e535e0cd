"""Each foreseen error has its own sentence, hint and exit code, in words that can do nothing to a terminal."""

from dataclasses import fields

import pytest

from netclnt import errors
from netclnt.catalog.connection import Contended
from netclnt.cli.errors import _WORDS, explain
from netclnt.errors import ExitCode, NetclntError

NASTY = "a\x1b]0;x\x07\u202e[/b]\n{0}"
NASTY_SAFE = "a\\x1b]0;x\\x07\\u202e[/b]\\x0a{0}"


def subclasses(kind):
    for one in kind.__subclasses__():
        yield one
        yield from subclasses(one)


FORESEEN = sorted({one for one in subclasses(NetclntError) if one.__module__ == errors.__name__}, key=lambda one: one.__name__)
RAISED = [one for one in FORESEEN if not any(other.__module__ == errors.__name__ for other in one.__subclasses__())]


def example(kind):
    """An instance with nasty text in every field."""
    values = {}
    for field in fields(kind):
        values[field.name] = {
            "str": NASTY,
            "int": 13,
            "float": 30.0,
            "int | None": 13,
            "tuple[str, ...]": (NASTY, NASTY),
            "tuple[tuple[str, str], ...]": ((NASTY, NASTY), ("slave.keep", "is wrong")),
        }[field.type]
    return kind(**values)


@pytest.mark.parametrize("kind", RAISED)
def test_each_foreseen_error_has_words_of_its_own(kind):
    assert kind in _WORDS


def test_an_edges_own_kind_of_error_takes_the_words_of_its_base():
    told = explain(Contended("catalog", "odbc:DSN=x", "locked"))
    assert (told.code, told.cause) == (ExitCode.TEMP, "Contended")
    assert "odbc:DSN=x broke: locked" in told.sentence


@pytest.mark.parametrize("kind", RAISED)
def test_L2_sentence_hint_and_code(kind):
    told = explain(example(kind))
    assert told.code is kind.exit_code
    assert told.code is not ExitCode.BUG
    assert told.cause == kind.__name__
    assert told.sentence.endswith((".", "is wrong", NASTY_SAFE))
    assert told.hint
    for text in (told.sentence, told.hint):
        assert all(line.isprintable() for line in text.split("\n"))
        assert "(" + kind.__name__ not in text


def test_an_unforeseen_error_is_a_bug():
    told = explain(KeyError(NASTY))
    assert (told.code, told.cause) == (ExitCode.BUG, "KeyError")
    assert "bug" in told.sentence
    assert "-v" in told.hint
    assert told.sentence.isprintable()


def test_too_little_memory_is_said_as_such():
    assert "memory" in explain(MemoryError()).sentence


def test_all_config_problems_stand_one_a_line():
    told = explain(errors.ConfigInvalid(path="/c", problems=(("slave.a", "is wrong"), ("slave.b", "is missing"))))
    assert told.sentence.split("\n") == ["2 problems in the config /c:", "  slave.a is wrong", "  slave.b is missing"]


def test_what_to_type_for_a_catalog_away_depends_on_whether_it_is_a_file():
    hints = [explain(errors.Unreachable("catalog", address, "gone")).hint for address in ("sqlite:/var/c.sqlite", "odbc:DSN=x")]
    assert "ls -l /var/c.sqlite" in hints[0]
    assert "netclnt init master --recover" in hints[0]
    assert "firewall" in hints[1]
