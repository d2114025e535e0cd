"""What the ledger remembers of a run, and what history and status say of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netclnt.cli import nagios
from netclnt.cli.commands import history
from netclnt.cli.nagios import Limits, State
from netclnt.cli.process import is_alive, this_process
from netclnt.cli.record import Recorded
from netclnt.cli.runs import run_result
from netclnt.cli.session import Session
from netclnt.cli.show import now
from netclnt.errors import BadArgument, ExitCode, NoSpace
from netclnt.events import Catalog, Changed, Event, Failed, ImageDone, Planned, Summed
from netclnt.ledger import Ledger, Run, RunImage
from netclnt.memory.catalog import MemoryCatalog
from netclnt.model import DEFAULT_CHANNEL, Kind, NewVersion
from netclnt.offerhistory import OfferChange, offer_changes
from netclnt.schedule import Forecast

# --- what is recorded


class Silent:
    def observe(self, event: Event) -> None:
        pass


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger(":memory:") as opened:
        yield opened


def recorded(ledger: Ledger, *told: Event, code: ExitCode = ExitCode.OK) -> Run:
    session = Session("netclnt sync", "ab" * 8, now(), options=None, view=Silent(), environment={})
    asked = []

    def expect(count: int) -> Forecast:
        asked.append(count)
        return Forecast(count, 10.0, 2)

    with Recorded(session, ledger, expect) as run:
        run.begin()
        for event in told:
            run.observe(event)
        run.end(code, generation=7, images_changed=1)
    assert len(asked) <= 1
    return ledger.runs(1)[0]


def changed(name: str, version: int = 2) -> Changed:
    return Changed(name, "image", 1, version, "update")


def test_what_came_of_each_image_and_what_was_expected_is_recorded(ledger: Ledger) -> None:
    run = recorded(
        ledger,
        Catalog(7, 5),
        *map(changed, ("a", "b", "c", "d")),
        Changed("pinned", "image", 1, 2, "pinned"),
        Planned("a", 1000, 1, 1, 1, 2.0),
        Planned("a", 100, 1, 1, 1, 0.2),  # once more, after trouble
        ImageDone("a", 2, "updated", 1000, 5, 1.5),
        Failed("b", NoSpace("/srv", 10, 5)),
        Planned("c", 500, 1, 1, 1, 1.0),
        Summed(1, 1200, 5, 9.0, 3, 1),
        code=ExitCode.PAUSED,
    )
    assert (run.code, run.images_changed, run.images_failed, run.images_left) == (14, 1, 1, 2)
    assert (run.forecast_bytes, run.forecast_seconds, run.bytes_fetched, run.nights_left) == (1500, 3.0, 1200, 2)
    assert run.process == this_process()
    found = ledger.run_images(run.run_id)
    assert [(one.image, one.result, one.version) for one in found] == [
        ("a", "updated", 2),
        ("b", "failed", 2),
        ("c", "left", 2),
        ("d", "left", 2),
    ]
    assert "10 B are needed" in found[1].message


def test_what_is_left_is_that_of_the_last_look_at_the_offer(ledger: Ledger) -> None:
    run = recorded(ledger, Catalog(7, 2), changed("a"), changed("gone"), Catalog(8, 1), changed("a", 3), code=ExitCode.PAUSED)
    assert [(one.image, one.version) for one in ledger.run_images(run.run_id)] == [("a", 3)]
    assert (run.forecast_bytes, run.nights_left) == (None, None)


def test_an_image_that_is_whole_is_not_remembered_of_a_check(ledger: Ledger) -> None:
    run = recorded(ledger, ImageDone("a", 2, "verified", 0, 0, 1.5), ImageDone("b", 2, "damaged", 0, 0, 1.5))
    assert [one.image for one in ledger.run_images(run.run_id)] == ["b"]


def test_H1_whether_a_run_goes_on_is_told_by_its_process() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "from netclnt.cli.process import this_process as p; print(p(), flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout
        process = other.stdout.readline().strip()
        assert is_alive(process) is True
        assert run_result(Run("r", "netclnt sync", now(), process=process)) == "running"
        other.communicate("\n")
    assert is_alive(process) is False
    assert run_result(Run("r", "netclnt sync", now(), process=process)) == "died"
    host, _, rest = this_process().partition(":")
    boot, _, namespace = host.partition("/")
    assert is_alive(f"another-boot/{namespace}:{rest}") is False
    assert is_alive(f"{boot}/another-namespace:{rest}") is None
    assert is_alive(this_process()[:-1] + "x") is False  # the number is used again
    for nothing in ("", "::", "x:y:z"):
        assert is_alive(nothing) is None
    assert run_result(Run("r", "netclnt sync", now())) == "unfinished"


# --- the offer's history


def new(name: str, note: str = "") -> NewVersion:
    return NewVersion(
        name=name, kind=Kind.IMAGE, manifest="ab" * 32, head_bytes=10, tree=False, size=5, entries=1, blocks=1, sha256="cd" * 32,
        chunker="c", created="2026-11-23T01:02:03Z", note=note, channel=DEFAULT_CHANNEL, requires=(),
    )  # fmt: skip


def test_all_that_was_done_to_an_offer_is_told_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = MemoryCatalog()
    catalog.create(identity="ab" * 16, hash_seed=1, chunker="c")
    catalog.publish(new("a", "the first"))
    catalog.publish(new("b"))
    catalog.publish(new("a"))
    catalog.promote("a", 1, channel="test", at="2026-11-24T00:00:00Z")
    catalog.retire("a", 2, at="2026-11-25T00:00:00Z")
    catalog.retire("b", None, at="2026-11-26T00:00:00Z")
    catalog.drop([("b", 1)], at="2026-11-27T00:00:00Z")
    whole = list(offer_changes(catalog))
    assert [(one.action, one.image, one.version, one.channel, one.generation) for one in whole] == [
        ("drop", "b", 1, "", 7),
        ("retire", "b", None, "", 6),
        ("retire", "a", 2, "", 5),
        ("promote", "a", 1, "test", 4),
        ("publish", "a", 2, DEFAULT_CHANNEL, 3),
        ("publish", "b", 1, DEFAULT_CHANNEL, 2),
        ("publish", "a", 1, DEFAULT_CHANNEL, 1),
    ]
    assert whole[-1] == OfferChange("2026-11-23T01:02:03Z", "publish", "a", 1, DEFAULT_CHANNEL, 1, "the first")
    monkeypatch.setattr("netclnt.offerhistory._GENERATIONS_AT_ONCE", 2)
    assert list(offer_changes(catalog)) == whole


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "-5h"])
def test_a_date_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadArgument):
        history._first(text)


@pytest.mark.parametrize(
    ("run", "failed"),
    [
        (Run("r", "c", "", code=0), False),
        (Run("r", "c", "", code=14), False),
        (Run("r", "c", "", code=5), True),
        (Run("r", "c", "", code=143), True),
        (Run("r", "c", "", process="another-boot/1:2:3"), True),
        (Run("r", "c", "", process=this_process()), False),
    ],
)
def test_which_runs_failed(run: Run, failed: bool) -> None:
    assert history._has_failed(run) is failed


def test_a_runs_record_names_every_field_of_the_ledger() -> None:
    run = Run("r", "netclnt sync", "2026-11-23T01:02:03Z", code=0, ended="2026-11-23T01:02:04Z")
    assert len(history.run_record(run)) == 17
    assert history._image_record(RunImage("a", "updated"))["image"] == "a"


# --- Nagios


STORE: dict[str, Any] = {
    "name": "store",
    "role": "slave",
    "generation": 3,
    "images": 2,
    "size": 1000,
    "age": 3600.0,
    "note": "",
    "last": "2026-11-23T01:02:03Z",
    "result": "OK",
    "message": "",
    "last_run": "2026-11-23T01:00:00Z",
    "last_ended": "OK",
    "damaged": [],
    "quarantined": [],
    "deferred": [],
    "pinned": [],
    "images_left": 0,
    "bytes_left": 0,
    "nights_left": None,
}


def record(**changes: Any) -> dict[str, Any]:
    return STORE | changes


HOURS = Limits(warning=2 * 3600, critical=4 * 3600)


@pytest.mark.parametrize(
    ("changes", "limits", "state"),
    [
        ({}, Limits(), State.OK),
        ({}, HOURS, State.OK),
        ({"age": 7201.0}, HOURS, State.WARNING),
        ({"age": 14401.0}, HOURS, State.CRITICAL),
        ({"age": 14401.0}, Limits(), State.OK),
        ({"damaged": ["a"]}, Limits(), State.CRITICAL),
        ({"quarantined": ["a@2"]}, Limits(), State.CRITICAL),
        ({"pinned": ["a"], "deferred": ["b"]}, Limits(), State.OK),
        ({"age": None, "last": None, "result": None}, Limits(), State.UNKNOWN),
        ({"age": None, "last": None, "result": None}, HOURS, State.CRITICAL),
        ({"age": None, "last": "2040-01-01T00:00:00Z"}, Limits(), State.UNKNOWN),
        ({"result": "TEMP", "message": "no|line\nthere"}, HOURS, State.WARNING),
        ({"result": "died"}, HOURS, State.WARNING),
        ({"result": "PAUSED", "images_left": 3}, HOURS, State.OK),
        ({"result": "running"}, HOURS, State.OK),
        ({"result": "running", "last_ended": "TEMP"}, HOURS, State.WARNING),
    ],
)
def test_states_and_the_form_of_the_line(changes: dict[str, Any], limits: Limits, state: State) -> None:
    text, found = nagios.line([nagios.judge(record(**changes), limits)])
    assert found is state
    assert text.startswith(f"NETCLNT {state.name} - ")
    assert "\n" not in text
    said, _, data = text.partition(" | ")
    assert "|" not in said + data
    for datum in data.split():
        label, _, value = datum.partition("=")
        assert label.isidentifier()
        assert value[0].isdigit()


def test_L2_however_much_is_damaged_there_is_room_for_the_performance_data() -> None:
    many = record(damaged=[f"ö-{number}-\x1b" for number in range(3000)])
    text, state = nagios.line([nagios.judge(many, HOURS), nagios.judge(many, HOURS)])
    assert state is State.CRITICAL
    assert len(text.encode()) < 4096
    assert text.isprintable()
    assert "damaged: ö-0-" in text
    assert text.count(" damaged=3000;;0;0") == 2


def test_a_sentence_within_the_line_of_a_check_loses_its_full_stop() -> None:
    text = nagios.judge(record(result="TEMP", message="It cannot be reached: Connection refused."), HOURS).text
    assert "Connection refused, 2 images" in text


def test_the_worst_of_two_roles_counts() -> None:
    fine, bad = nagios.Verdict(State.OK, "a", ["x=1"]), nagios.Verdict(State.CRITICAL, "b", ["y=2"])
    assert nagios.line([fine, bad]) == ("NETCLNT CRITICAL - a; b | x=1 y=2", State.CRITICAL)
    unknown = nagios.Verdict(State.UNKNOWN, "c")
    assert nagios.line([fine, unknown])[1] is State.UNKNOWN


def test_a_masters_age_is_that_of_its_last_publish() -> None:
    master = record(role="master", result=None) | {"damaged": [], "quarantined": []}
    assert nagios.judge(master, HOURS).text == "master store: last publish 1 h ago, 2 images, 1.00 kB"
    assert nagios.judge(master, HOURS).data[0] == "master_age=3600s;7200;14400;0"


def test_it_lies_where_it_is_looked_for() -> None:
    assert (Path(nagios.__file__).parents[1] / "jsonlines.schema.json").is_file()
