"""The three forms in which a run is seen, from the same events."""

import io
import json
import os

import pytest

from netclnt.cli.edges import open_view
from netclnt.cli.errors import explain
from netclnt.cli.output import Output, OutputClosed
from netclnt.cli.parser import Globals
from netclnt.cli.show import Column
from netclnt.errors import ExitCode, NoSuchImage, StorageFailed
from netclnt.events import Catalog, Changed, Failed, ImageDone, Planned, Progressed, Retried, Summed, Warned

NASTY = "a\x1b[31m\u202e[/b]"
EVENTS = [
    Catalog(7, 2),
    Changed(NASTY, "image", None, 3, "new"),
    Planned(NASTY, 10, 20, 30, 4, None),
    Progressed("fetch", NASTY, 10, 30, 5, 5),
    Progressed("fetch", NASTY, 20, 30, 5, 5),
    Retried("store", 1, 2.0, "reset"),
    Warned("skew", "the clock is off"),
    ImageDone(NASTY, 3, "updated", 10, 20, 1.5),
    Failed("b", NoSuchImage("b")),
    Summed(1, 10, 20, 1.5, 3, 1),
]
COLUMNS = (Column("name", "name"), Column("size", "size", "bytes"), Column("ok", "ok"), Column("none", "none"))
ROWS = [{"name": NASTY, "size": 3_000_000, "ok": True, "none": None}]


class Stream(io.StringIO):
    """A text stream that may be a terminal, and may fail."""

    def __init__(self, *, tty=False, error=None):
        super().__init__()
        self.tty, self.error = tty, error

    def isatty(self):
        return self.tty

    def write(self, text):
        if self.error:
            raise self.error
        return super().write(text)


def opened(*, out=None, err=None, environment=None, **options):
    output = Output(out or Stream(), err or Stream())
    return open_view(Globals(**options), output, run_id="r1", environment=environment or {}), output


def lines(output):
    return [json.loads(line) for line in output.stdout.getvalue().splitlines()]


def test_json_lines_have_the_names_of_the_contract():
    view, output = opened(json=True)
    view.started("netclnt sync")
    for event in EVENTS:
        view.observe(event)
    assert view.ended(ExitCode.PARTIAL) is ExitCode.PARTIAL
    found = lines(output)
    assert [one["type"] for one in found] == (
        [
            "start",
            "catalog",
            "change",
            "plan",
            "progress",
            "retry",
            "warning",
            "image",
            "error",
            "summary",
            "exit",
        ]  # one progress a second
    )
    assert all(one["run_id"] == "r1" and one["time"].endswith("Z") for one in found)
    by_type = {one["type"]: one for one in found}
    assert by_type["catalog"].items() >= {"generation": 7, "images": 2}.items()
    assert (
        by_type["change"].items()
        >= {"image": NASTY, "from_version": None, "to_version": 3, "action": "new", "kind": "image"}.items()
    )
    assert {"bytes_fetch", "bytes_reuse", "bytes_write", "blocks_missing", "seconds"} <= by_type["plan"].keys()
    assert {"bytes_done", "bytes_total", "rate", "eta_seconds"} <= by_type["progress"].keys()
    assert {"what", "attempt", "delay", "reason"} <= by_type["retry"].keys()
    assert by_type["error"].items() >= {"code": "USAGE", "image": "b", "hint": "netclnt list"}.items()
    assert {"images_changed", "bytes_fetched", "bytes_reused", "seconds", "queries", "sftp_connections"} <= by_type[
        "summary"
    ].keys()
    assert found[-1].items() >= {"type": "exit", "code": 3, "name": "PARTIAL"}.items()
    assert output.stderr.getvalue() == ""


def test_plain_text_tells_results_and_warnings_on_standard_error_only():
    view, output = opened()
    for event in EVENTS:
        view.observe(event)
    told = output.stderr.getvalue()
    assert output.stdout.getvalue() == ""
    assert "a\\x1b[31m\\u202e[/b]@3 updated: 10 B fetched, 20 B reused, 1.5 s" in told
    assert "warning: the clock is off" in told
    assert "netclnt: b: No image is called" in told
    assert "1 image changed: " in told
    assert "\x1b" not in told


def test_quiet_leaves_errors_alone():
    view, output = opened(quiet=True)
    for event in EVENTS:
        view.observe(event)
    assert output.stderr.getvalue().splitlines() == ["netclnt: b: No image is called, or matches, b.", "  hint: netclnt list"]


def test_L2_piped_tables_are_tab_separated_without_frames():
    view, output = opened()
    view.table("image", COLUMNS, ROWS)
    assert output.stdout.getvalue() == "a\\x1b[31m\\u202e[/b]\t3000000\tyes\t\n"


def test_L2_a_terminals_table_has_titles_human_sizes_and_no_markup():
    view, output = opened(out=Stream(tty=True), environment={"NO_COLOR": "1"})
    view.table("image", COLUMNS, ROWS)
    told = output.stdout.getvalue()
    assert "name" in told
    assert "3.00 MB" in told
    assert "a\\x1b[31m\\u202e[/b]" in told
    assert "\x1b[3" not in told.replace("\x1b[0m", "")


@pytest.mark.parametrize("width", ["40", "120"])
def test_L2_a_terminals_progress_bar_leaves_the_results(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setenv("TERM", "xterm-256color")
    view, output = opened(err=Stream(tty=True))
    for event in EVENTS:
        view.observe(event)
    view.ended(ExitCode.OK)
    told = output.stderr.getvalue()
    assert "@3 updated" in told
    assert "\u202e" not in told
    assert output.stdout.getvalue() == ""


def test_progress_never_shows_no_bar():
    view, output = opened(err=Stream(tty=True), progress="never")
    view.observe(EVENTS[3])
    assert output.stderr.getvalue() == ""


def test_L4_json_of_a_table():
    view, output = opened(json=True)
    view.table("image", COLUMNS, ROWS)
    assert lines(output)[0].items() >= {"type": "image", "name": NASTY, "size": 3_000_000, "ok": True, "none": None}.items()


def test_C4_a_full_standard_output_stops_no_run_of_events_but_is_told():
    view, output = opened(json=True, out=Stream(error=OSError(28, "No space left on device")))
    view.observe(EVENTS[0])
    view.observe(EVENTS[1])
    assert view.ended(ExitCode.OK) is ExitCode.STORAGE
    assert output.stderr.getvalue().count("standard output") == 1


@pytest.mark.parametrize("json_wanted", [True, False])
def test_A7_a_gone_reader_ends_a_run(json_wanted):
    view, _ = opened(json=json_wanted, out=Stream(error=BrokenPipeError(32, "Broken pipe")))
    with pytest.raises(OutputClosed):
        view.table("image", COLUMNS, ROWS)


def test_A7_a_full_standard_output_is_a_storage_error_for_data():
    view, _ = opened(out=Stream(error=OSError(28, os.strerror(28))))
    with pytest.raises(StorageFailed):
        view.table("image", COLUMNS, ROWS)


def test_a_standard_error_that_fails_stops_nothing():
    view, _ = opened(err=Stream(error=OSError(28, os.strerror(28))))
    view.failed(explain(NoSuchImage("x")))
    assert view.ended(ExitCode.OK) is ExitCode.OK


@pytest.mark.parametrize("code", ["Locked", "other"])
def test_another_run_is_silent_under_quiet(code):
    view, output = opened(quiet=True)
    from netclnt.errors import Locked

    view.failed(explain(Locked("/r", "pid 1") if code == "Locked" else NoSuchImage("x")))
    assert bool(output.stderr.getvalue()) is (code == "other")


@pytest.mark.parametrize("options", [{"json": True}, {}, {"quiet": True}])
def test_L10_the_status_tells_what_is_planned_until_some_of_it_is_done(options):
    view, _ = opened(**options)
    assert view.status() == "starting"
    for image in ("a", "b"):
        view.observe(Planned(image, 1000, 2000, 3000, 4, None))
        assert view.status() == f"{image}: 1.00 kB to fetch, 2.00 kB to reuse"
        view.observe(Progressed("fetch", image, 10, 30, 5, 5))
        assert view.status().startswith(f"fetch {image}: 10 B of 30 B")
