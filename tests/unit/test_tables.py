"""Tables for people at all widths: nothing is cut, what is left out is named, and no name can do anything to a terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from netclnt.cli.fitting import GAP, Need, fit, folded
from netclnt.cli.show import Column, Shares
from netclnt.cli.show_rich import print_shares, print_table
from netclnt.cli.text import safe

WIDTHS = (40, 60, 80, 120)
NAMES = [
    "debian12.ext4",
    "windows/2025/server-datacenter-eval-with-a-very-long-name.wim",
    "treiber/画像-漢字-とても長い名前のイメージ",
    "é̂̃combining",
    "\x1b[2J\x1b]0;evil\x07",
    "\u202egnp.exe",
    "a\u3164b\ufe0fc\u200dd",
    "[red]not markup[/red]",
]
TABLES = [
    *(("list", "COLUMNS"), ("show", "COLUMNS"), ("diff", "COLUMNS"), ("status", "COLUMNS"), ("sync", "PLAN_COLUMNS")),
    *(("history", "COLUMNS"), ("history", "IMAGE_COLUMNS"), ("history", "OFFER_COLUMNS")),
]
VALUES = {"number": 12, "bytes": 418_000_000, "seconds": 812.0, "time": "2026-11-20T03:12:44Z", "digest": "0123456789abcdef" * 4}


def shown(columns: Sequence[Column], records: Sequence[Mapping[str, object]], width: int, *, color: bool = False) -> list[str]:
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        patch.setenv("TERM", "xterm-256color")
        print_table(stream, columns, records, color=color)
    return stream.getvalue().splitlines()


def rows_of(columns: Sequence[Column], names: Sequence[str]) -> list[dict[str, object]]:
    return [{column.field: VALUES.get(column.form, name) for column in columns} for name in names]


def pressed(text: str) -> str:
    """Without what folding adds or drops."""
    return re.sub(r"\s", "", text)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("command", "which"), TABLES, ids=lambda words: words)
def test_L2_each_table_fits_and_tells_what_it_leaves_out(command: str, which: str, width: int) -> None:
    columns = getattr(import_module(f"netclnt.cli.commands.{command}"), which)
    lines = shown(columns, rows_of(columns, NAMES), width)
    assert all(cell_len(line) <= width for line in lines)
    assert all(line.isprintable() for line in lines)
    told = pressed("".join(lines))
    head = " ".join(lines[: next(number for number, line in enumerate(lines) if line.startswith("─"))])
    left_out = pressed("".join(lines).partition("Left out")[2])
    for column in (column for column in columns if not column.piped):
        assert pressed(column.title) in left_out or all(word in head for word in column.title.split()), column
    assert "418MB" in told or "bytes" not in {column.form for column in columns} or "Leftout" in told


@pytest.mark.parametrize("width", WIDTHS)
def test_each_cell_that_is_shown_is_whole(width: int) -> None:
    columns = (Column("image", "name"), Column("size", "size", "bytes"))
    for name in NAMES:
        lines = shown(columns, [{"image": name, "size": 5}, {"image": "x", "size": 3_000_000_000}], width)
        cells = [line[: -len("3.00 GB")] if line.endswith(("5 B", "3.00 GB")) else line for line in lines[2:]]
        assert pressed("".join(cells)) == pressed(f"{safe(name)}x")


def test_numbers_stand_below_each_other() -> None:
    columns = (Column("n", "n", "number"), Column("size", "size", "bytes"), Column("name", "name"))
    lines = shown(columns, [{"n": 5, "size": 5, "name": "a"}, {"n": 1234, "size": 418_000_000, "name": "b"}], 80)
    assert lines == ["   n    size  name", "──────────────────", "   5     5 B  a", "1234  418 MB  b"]


def test_a_column_of_nothing_is_left_out_first_and_without_a_word() -> None:
    columns = (Column("name", "name"), Column("note", "note" * 10), Column("path", "path"))
    rows = [{"name": "n" * 12, "note": "", "path": "p" * 12}] * 2
    assert shown(columns, rows, 40)[0].split() == ["name", "path"]
    assert shown(columns, rows, 40)[-1].split() == ["n" * 12, "p" * 12]


@pytest.mark.parametrize("width", [20, *WIDTHS])
def test_a_lone_record_loses_nothing(width: int) -> None:
    columns = import_module("netclnt.cli.commands.status").COLUMNS
    record = {column.field: VALUES.get(column.form, NAMES[1]) for column in columns}
    lines = shown(columns, [record], width)
    assert all(cell_len(line) <= width for line in lines)
    for column in columns:
        assert any(line.startswith(column.title) for line in lines), column
    assert pressed("".join(lines)).count(pressed(NAMES[1])[-5:]) == sum(column.form == "text" for column in columns)


def test_no_color_is_no_escape_and_color_is_some() -> None:
    columns = (Column("name", "name"),)
    assert "\x1b" not in "".join(shown(columns, [{"name": NAMES[4]}], 80))
    assert "\x1b[1m" in "".join(shown(columns, [{"name": NAMES[4]}], 80, color=True))


@given(st.text(max_size=300).map(safe), st.integers(2, 60))
def test_L2_a_folded_text_is_whole_and_fits(text: str, width: int) -> None:
    pieces = folded(text, width, cell_len)
    assert pressed("".join(pieces)) == pressed(text)
    assert all(cell_len(piece) <= width for piece in pieces)


def test_a_name_is_folded_where_it_has_parts() -> None:
    assert folded("windows/2025/server-datacenter.wim", 14, cell_len) == ["windows/2025/", "server-", "datacenter.wim"]
    assert folded("x" * 10, 4, cell_len) == ["xxxx", "xxxx", "xx"]
    assert folded("two words", 5, cell_len) == ["two", "words"]
    assert folded("画像漢字", 5, cell_len) == ["画像", "漢字"]


NEEDS = st.lists(
    st.builds(lambda least, more, minor: Need(least, least + more, minor), st.integers(1, 70), st.integers(0, 60), st.booleans()),
    min_size=1,
    max_size=14,
)


@given(NEEDS, st.integers(1, 200))
def test_what_fits_is_shown_and_no_more(needs: list[Need], width: int) -> None:
    widths = fit(needs, width)
    assert 0 in widths
    assert list(widths) == sorted(widths)
    whole = sum(widths.values()) + GAP * (len(widths) - 1)
    assert whole <= width or (len(widths) == 1 and whole == 1)
    if len(widths) > 1:
        assert all(needs[index].least <= cells <= needs[index].most for index, cells in widths.items())
    for index, need in enumerate(needs):
        if index not in widths:
            assert sum(needs[each].least + GAP for each in widths) + need.least > width


@pytest.mark.parametrize("width", WIDTHS)
def test_a_bar_of_shares_shows_every_part(width: int) -> None:
    stream = io.StringIO()
    parts = (("reused", 2_710_000_000), ("fetched", 1), ("of zeros", 92_000_000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        print_shares(stream, [Shares("\x1b[2Jdebian@3", parts)], color=False)
    title, bar, *legend = stream.getvalue().splitlines()
    assert title == "\\x1b[2Jdebian@3"
    assert set(bar) == set("█▓░")
    assert cell_len(bar) == min(width, 60)
    assert legend == ["█ 2.71 GB reused (97 %)", "▓ 1 B fetched (0 %)", "░ 92.0 MB of zeros (3 %)"]


def test_an_old_locale_gets_ascii() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="backslashreplace")
    print_shares(stream, [Shares("ü", (("reused", 1), ("fetched", 1)))], color=False)
    print_table(stream, (Column("name", "name"),), [{"name": "ü"}], color=False)
    told = raw.getvalue().decode("ascii").splitlines()
    assert set(told[1]) == {"#", "="}
    assert told[-3:] == ["name", "----", "\\xfc"]
