"""The figures of a run in Prometheus's text format, and how their file comes to be."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from netclnt.cli.metrics import _Figures, text, write
from netclnt.errors import StorageFailed
from netclnt.ledger import Held
from netclnt.model import Kind


def held(name: str, number: int, *, damaged: bool = False) -> Held:
    return Held(name, Kind.IMAGE, number, "0" * 64, False, 10, "1" * 64, 7, "2026-01-01T00:00:00Z", damaged=damaged)


FIGURES = _Figures(
    server='store "0815"\\',
    root="/srv/images",
    ended=1000.5,
    seconds=2.5,
    code=3,
    changed=1,
    failed=2,
    fetched=10**12,
    reused=20,
    held=[held("a", 3), held("b/c", 4, damaged=True)],
    generation=7,
    succeeded=900.0,
)


def values(content: bytes) -> dict[tuple[str, str], float]:
    """By name and image."""
    samples = [each for family in text_string_to_metric_families(content.decode()) for each in family.samples]
    assert {each.labels["server"] for each in samples} == {FIGURES.server}
    assert {each.labels["root"] for each in samples} == {FIGURES.root}
    return {(each.name.removeprefix("netclnt_"), each.labels.get("image", "")): each.value for each in samples}


def test_prometheus_reads_what_is_written() -> None:
    assert values(text(FIGURES)) == {
        ("last_run_timestamp_seconds", ""): 1000.5,
        ("last_success_timestamp_seconds", ""): 900.0,
        ("last_run_exit_code", ""): 3,
        ("last_run_duration_seconds", ""): 2.5,
        ("last_run_fetched_bytes", ""): 10**12,
        ("last_run_reused_bytes", ""): 20,
        ("last_run_images_changed", ""): 1,
        ("last_run_images_failed", ""): 2,
        ("images_held", ""): 2,
        ("images_damaged", ""): 1,
        ("generation", ""): 7,
        ("info", ""): 1,
        ("image_version", "a"): 3,
        ("image_version", "b/c"): 4,
    }


def test_each_name_is_in_the_man_page() -> None:
    page = (Path(__file__).parents[2] / "man" / "netclnt.toml.5").read_text()
    assert all(name in page for name, _ in values(text(FIGURES)))


def test_what_the_ledger_cannot_say_is_left_out() -> None:
    names = {name for name, _ in values(text(replace(FIGURES, held=None, generation=None, succeeded=None)))}
    assert not names & {"images_held", "images_damaged", "generation", "last_success_timestamp_seconds", "image_version"}
    assert "last_run_exit_code" in names


def test_the_number_of_series_is_bounded() -> None:
    many = replace(FIGURES, held=[held(f"image-{number:05}", 1) for number in range(3000)])
    told = values(text(many))
    assert sum(name == "image_version" for name, _ in told) == 1000
    assert told["images_held", ""] == 3000


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_C26_the_file_is_readable_for_all_and_replaced_as_a_whole(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "netclnt.prom"
    path.write_bytes(b"old")
    before = os.umask(mask)
    try:
        with path.open("rb") as reader:
            write(path, b"new")
            assert reader.read() == b"old"
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [each.name for each in tmp_path.iterdir()] == ["netclnt.prom"]


def test_C2_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(StorageFailed, match="No space"):
        write(tmp_path / "netclnt.prom", b"new")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageFailed):
        write(tmp_path / "none" / "netclnt.prom", b"new")
