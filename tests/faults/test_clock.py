"""A clock that is years off: no file of ours breaks, nothing waits for it, and what is told of ages stays sane."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.support.images import content
from tests.support.oracle import oracle
from tests.support.site import Site, good

MakeSite = Callable[..., Site]

pytestmark = pytest.mark.skipif(shutil.which("faketime") is None, reason="faketime is not installed")

CLOCKS = {
    "1970": "1970-01-02 00:00:00",
    "2001": "2001-09-09 01:46:40",
    "2038": "2038-01-19 03:14:08",
    "2110": "2110-03-01 12:00:00",
}


def at(clock: str) -> list[str]:
    return ["faketime", CLOCKS[clock]]


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    made = make_site()
    made.publish(made.put("image", content("J1", 60_000)))
    return made


@pytest.mark.parametrize("clock", CLOCKS)
def test_J1_a_clock_that_is_years_off_changes_nothing_but_what_is_told_of_time(
    site: Site, clock: str, request: pytest.FixtureRequest
) -> None:
    with oracle(site, request) as watch:
        first = watch.sync(before=at(clock))
        assert first.code == 0, first.out + first.err
        assert first.one("summary")["seconds"] < watch.deadline
        again = watch.sync(before=at(clock))
        assert again.one("summary")["sftp_connections"] == 0  # nothing changed, whatever the clock says
        held = good(watch.slave("--json", "list", before=at(clock))).one("image")
        assert held["since"].startswith(clock[:4])
        for words in (["status"], ["verify"], ["diff"]):
            assert watch.slave(*words, before=at(clock)).code == 0
        site.publish(site.put("image", content("J1/2", 70_000)))
        watch.begin()
        assert watch.sync().code == 0  # the clock is right again: behind, or ahead of, what it has recorded


def test_J1_ages_stay_sane_when_the_clock_was_set_back(site: Site) -> None:
    good(site.slave("sync", before=at("2110")))
    told = site.slave("--json", "status", "--max-age", "26h").one("status")
    assert told["age"] is None  # a success in the future would count as a fresh one for years
    assert site.slave("status", "--max-age", "26h").code == 5
    assert good(site.slave("status")).rows[0][5] == ""
    good(site.slave("sync"))
    good(site.slave("status", "--max-age", "26h"))


def test_J1_a_master_in_the_past_offers_what_a_slave_in_the_future_takes(site: Site) -> None:
    """Versions are ordered by the catalog's generation, never by a clock."""
    for number, clock in enumerate(("2038", "1970", "2001")):
        path = site.put("image", content(f"J1/{number}", 50_000 + number))
        good(site.master("publish", path, before=at(clock)))
        good(site.slave("sync", before=at("2110" if number % 2 else "1970")))
        assert (site.root / "image").read_bytes() == path.read_bytes()
    assert [event["version"] for event in good(site.slave("--json", "list")).of("image")] == [4]


def test_J1_a_lock_is_held_by_a_process_and_not_by_a_time(site: Site) -> None:
    good(site.master("publish", site.put("image", content("J1/lock", 1000)), before=at("2110")))
    good(site.master("publish", site.put("image", content("J1/lock/2", 1000)), before=at("1970")))
    good(site.master("status"))
    assert datetime.now(UTC).year < 2110
