"""The benchmark's arithmetic: medians, ratios, targets, and what the chart draws of them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.bench import chart, peers, run, transfer
from tests.bench.images import data_bytes
from tests.bench.measure import Fact, Row
from tests.bench.report import FASTEST, LOCAL, Goal, Line, judgement, medians, ratio, tables, verdicts
from tests.bench.transfer import turns

FACTS = {"cores": 2, "processor": "<A & B>", "filesystem": "ext4", "rounds": 3, "date": "2026-01-02T03:04:05+00:00"}


def row(way: str, seconds: float, wire: int | None = None, **facts: Fact) -> Row:
    return Row("raw", "raw, cold", way, seconds, cpu=1.0, peak=100 << 20, wire=wire, facts=facts)


def lines(*rows: Row) -> list[Line]:
    return medians(rows)


def measured() -> list[Line]:
    return lines(row("netclnt, openssh", 2, 300), row("rsync", 8, 1000), row("rsync, zstd", 10, 400), row("sftp", 4, 1100))


def line(way: str, among: Sequence[Line]) -> Line:
    return next(each for each in among if each.way == way)


def test_rounds_become_medians_in_the_order_of_the_first() -> None:
    found = lines(row("b", 3, 30), row("a", 1), row("b", 1, 10), row("b", 20, 11))
    assert [(each.way, each.runs, each.figures["seconds"]) for each in found] == [("b", 3, 3), ("a", 1, 1)]
    assert found[0].figures["wire"] == 11
    assert "wire" not in found[1].figures


def test_numbers_among_the_facts_are_figures_too() -> None:
    (found,) = lines(row("a", 1, rate=5.0, equal=True), row("a", 1, rate=9.0, equal=True))
    assert found.figures["rate"] == 7
    assert "equal" not in found.figures


def test_ratios_are_against_peers_of_the_same_case() -> None:
    among = [*measured(), *medians([Row("raw", "raw, update", "rsync", 1.0)])]
    own = line("netclnt, openssh", among)
    assert ratio(among, own, "seconds", FASTEST) == 0.5
    assert ratio(among, own, "seconds", "rsync") == 0.25
    assert ratio(among, own, "wire", "rsync, zstd") == 0.75
    assert ratio(among, own, "wire", "nobody") is None


def test_netclnt_is_no_peer_of_itself_nor_is_a_local_copy() -> None:
    among = lines(row("netclnt, openssh", 2), row("netclnt, paramiko", 4), row(LOCAL, 1))
    assert ratio(among, among[0], "seconds", FASTEST) is None


@pytest.mark.parametrize(
    ("goal", "value", "off"),
    [
        (Goal("raw, cold", "netclnt, openssh", "seconds", 0.5, FASTEST), 0.5, 0),
        (Goal("raw, cold", "netclnt, openssh", "seconds", 0.2, "rsync"), 0.25, 0.25),
        (Goal("raw, cold", "netclnt, openssh", "peak", 50 << 20), 100 << 20, 1),
        (Goal("raw, cold", "netclnt, openssh", "peak", 50 << 20, at_least=True), 100 << 20, 0),
        (Goal("raw, cold", "netclnt, openssh", "seconds", 4, at_least=True), 2, 0.5),
        (Goal("raw, cold", "netclnt, openssh", "wire", 0), 300, 300),
    ],
)
def test_a_target_is_met_or_missed_by_a_share_of_it(goal: Goal, value: float, off: float) -> None:
    (found,) = verdicts(measured(), [goal], "ext4")
    assert (found.value, found.off) == (value, pytest.approx(off))
    text = "\n".join(judgement([found]))
    assert ("MISSED" in text) == (off > 0)
    assert f"{int(off == 0)} of 1 targets met" in text


def test_targets_without_figures_or_of_another_file_system_are_left_out() -> None:
    elsewhere = Goal("raw, cold", "netclnt, openssh", "seconds", 0.5, FASTEST, filesystem="xfs")
    unknown = Goal("raw, update", "netclnt, openssh", "seconds", 0.5, FASTEST)
    assert list(verdicts(measured(), [elsewhere, unknown], "ext4")) == []


def test_each_target_names_a_case_and_ways_that_there_are() -> None:
    for kind in run.FORMATS:
        tables_of = (peers.COLD_TREE, peers.UPDATE_TREE) if kind == "tree" else (peers.COLD, peers.UPDATE)
        ways = {f"{kind}, cold": tables_of[0], f"{kind}, update": tables_of[1]}
        for goal in transfer.goals(kind):
            assert goal.way in transfer.SLAVES or goal.case.startswith(f"{kind}, publish")
            assert goal.against in (None, FASTEST) or goal.against in ways[goal.case]


def test_a_table_shows_the_fastest_first_with_its_ratios() -> None:
    text = list(tables(measured()))
    assert text[1] == "raw, cold"
    assert [each.split("  ")[1].strip() for each in text[3:]] == ["netclnt, openssh", "sftp", "rsync", "rsync, zstd"]
    assert text[3].split()[2:6] == ["2.00", "0.50", "0.25", "0.20"]


def test_ways_begin_with_another_one_each_round() -> None:
    assert [turns(["a", "b", "c"], number) for number in (0, 1, 4)] == [["a", "b", "c"], ["b", "c", "a"], ["b", "c", "a"]]
    assert turns([], 2) == []


def test_the_chart_is_well_formed_and_draws_each_ratio_once() -> None:
    among = [*measured(), *medians([Row("scale", "no peer here", "netclnt", 1.0)])]
    text = chart.svg(among, FACTS)
    tree = ElementTree.fromstring(text)
    said = [each.text for each in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert said.count("raw, cold") == 1
    assert "no peer here" not in said
    assert {"0.25", "0.50", "1.25", "0.30", "0.40", "1.10"} <= set(said)
    bars = [each for each in tree.iter("{http://www.w3.org/2000/svg}rect") if each.get("fill") == chart.OWN]
    assert len(bars) == len(chart.PANELS)
    assert not re.search(r"[<>&](A|\s)", "".join(filter(None, said)).replace("<A & B>", ""))


def test_a_bar_beyond_the_chart_is_cut_and_its_figure_says_so() -> None:
    text = chart.svg(lines(row("rsync", 1, 100), row("netclnt, paramiko", 7, 100)), FACTS)
    assert "7.00 …" in text
    widths = [float(each) for each in re.findall(r'<rect x="[^"]+" y="[^"]+" width="([^"]+)"', text)]
    assert max(widths) * 2 < chart.WIDTH


def test_the_ways_of_peers_have_packages() -> None:
    for table in (peers.COLD, peers.UPDATE, peers.COLD_TREE, peers.UPDATE_TREE):
        assert {peers.program(way) for way in table} <= set(peers.PACKAGES)
    assert peers.missing({}) == []


def test_holes_are_no_data(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    with (tmp_path / "b").open("wb") as file:
        file.truncate(1 << 30)
    assert data_bytes(tmp_path / "a") == 5
    assert data_bytes(tmp_path) == 5
