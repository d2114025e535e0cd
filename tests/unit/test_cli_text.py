"""Values as words."""

import pytest

from netclnt.cli.meter import Meter
from netclnt.cli.text import counted, human_bytes, human_seconds, safe
from netclnt.events import Progressed


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain ü 漢字", "plain ü 漢字"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb\tc\x00", "a\\x0ab\\x09c\\x00"),
        ("\u202eevil", "\\u202eevil"),
        ("\U000e0001", "\\U000e0001"),
        ("\ud800", "\\ud800"),
        ("[/b]{0}%s", "[/b]{0}%s"),
    ],
)
def test_L2_text_from_outside_can_do_nothing_to_a_terminal(text, wanted):
    assert safe(text) == wanted


@pytest.mark.parametrize(
    ("count", "wanted"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (418_000_000, "418 MB"),
        (999_999, "1.00 MB"),
        (3_221_225_472, "3.22 GB"),
        (10**18, "1000 PB"),
    ],
)
def test_sizes(count, wanted):
    assert human_bytes(count) == wanted


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        (0.42, "0.4 s"),
        (45, "45 s"),
        (59.7, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (3600, "1 h"),
        (100_000, "1 d 3 h"),
    ],
)
def test_times(seconds, wanted):
    assert human_seconds(seconds) == wanted


def test_counts():
    assert (counted(1, "image"), counted(2, "image"), counted(2, "query", "queries")) == ("1 image", "2 images", "2 queries")


def test_rate_and_time_left_come_from_the_last_seconds_of_one_stage():
    now = [100.0]
    meter = Meter(clock=lambda: now[0])
    for second in range(31):
        now[0] = 100.0 + second
        meter.update(Progressed("fetch", "a", 1000 * second, 60_000, 10, 20))
    assert meter.rate == pytest.approx(1000, rel=0.01)
    assert meter.eta == pytest.approx(30, rel=0.01)
    meter.update(Progressed("verify", "a", 0, 60_000, 10, 20))
    assert (meter.rate, meter.eta) == (0.0, None)


def test_a_total_that_nobody_knows_is_not_shown():
    meter = Meter()
    assert meter.line() == "starting"
    meter.update(Progressed("read", "a", 1000, 0, 0, 0))
    assert meter.line().startswith("read a: 1.00 kB, ")
    assert meter.eta is None
