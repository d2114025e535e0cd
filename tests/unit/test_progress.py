"""What the progress says of a run, and how it is put on terminals of all widths; no terminal is needed for that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from netclnt.cli.frame import Row, frame
from netclnt.cli.meter import Meter
from netclnt.errors import NoSuchImage
from netclnt.events import (
    Catalog,
    Changed,
    Event,
    Expected,
    Failed,
    Hooked,
    ImageDone,
    Planned,
    Progressed,
    Retried,
    Waiting,
)

GB = 1_000_000_000


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def started(*names: str, size: int = 2 * GB) -> tuple[Meter, Clock]:
    """A run of so many images of which none has had its turn."""
    clock = Clock()
    meter = Meter(clock)
    observe(meter, Catalog(7, len(names)), *(Changed(name, "image", 1, 2, "update", size) for name in names))
    return meter, clock


def observe(meter: Meter, *events: Event) -> None:
    for event in events:
        meter.observe(event)


def text(row: Row) -> str:
    """As it is shown, without what is done of the bar."""
    return f"{row.label} {'-' * row.bar} {row.words}".rstrip() if row.bar else row.words


def shown(meter: Meter, width: int) -> list[str]:
    return [text(row) for row in frame(meter, width, cell_len)]


def under_way(*names: str) -> Meter:
    """The first image half done: 10 s, 400 of 800 MB fetched."""
    meter, clock = started(*names)
    observe(meter, Planned(names[0], 800_000_000, 1_100_000_000, 1, 1, None))
    for second in range(11):
        clock.now = 100.0 + second
        observe(meter, Progressed("fetch", names[0], GB * second // 10, 2 * GB, 40_000_000 * second, 55_000_000 * second))
    return meter


def test_at_120_columns_two_rows_say_all() -> None:
    image, run = shown(under_way("a", "b", "c", "d"), 120)
    bar = "-" * 25
    assert " ".join(image.split()) == f"fetch a {bar} 50 % 10 s left 400 MB of 800 MB fetched, 40.0 MB/s; 550 MB reused"
    assert " ".join(run.split()) == f"0 of 4 images done {bar} 12 % 1 min 10 s left"
    assert image.index("--") == run.index("--")


def test_at_40_columns_three_rows_say_what_matters() -> None:
    assert shown(under_way("debian12.ext4", "b"), 40) == [
        "debian12.ext4 -------------  50 % 10 s",
        "400 MB, 40.0 MB/s; 550 MB reused",
        "0 of 2        -------------  25 % 30 s",
    ]


def test_a_run_of_one_image_has_no_row_of_its_own() -> None:
    assert len(shown(under_way("a"), 120)) == 1
    assert len(shown(under_way("a"), 80)) == 2


def test_the_line_decides_how_long_the_image_takes_and_the_others_are_as_quick_as_until_now() -> None:
    meter = under_way("a", "b")
    assert meter.eta == pytest.approx(10)  # 400 MB at 40 MB/s
    assert meter.fetch_rate == pytest.approx(40_000_000)
    assert meter.run_eta == pytest.approx(30)  # and 2 GB at 100 MB/s
    assert meter.run_done / meter.tally.bytes_total == 0.25


def test_what_comes_in_one_go_has_a_rate_from_the_plan_on() -> None:
    meter, clock = started("a")
    observe(meter, Planned("a", 800, 0, 800, 1, None))
    clock.now += 4
    observe(meter, Progressed("fetch", "a", 400, 1600, 200, 0))
    assert meter.fetch_rate == pytest.approx(50)
    assert meter.eta == pytest.approx(12)


def test_what_came_of_a_page_counts_before_the_page_does() -> None:
    meter, clock = started("a", "b", size=1000)
    observe(meter, Planned("a", 400, 200, 1000, 1, None))
    clock.now += 4
    observe(meter, Progressed("fetch", "a", 0, 1000, 200, 0))
    assert (meter.share, meter.run_done) == (0.4, 400)
    observe(meter, Progressed("fetch", "a", 900, 1000, 300, 200))
    assert (meter.share, meter.run_done) == (0.9, 900)
    observe(meter, Progressed("fetch", "a", 1000, 1000, 500, 200))
    assert (meter.share, meter.run_done) == (1.0, 1000)


def test_images_that_fail_are_deferred_or_left_count_right() -> None:
    meter, _ = started("a", "b", "c", "d", "e")
    observe(meter, Planned("a", 1, 1, 1, 1, None), ImageDone("a", 2, "updated", 10, 20, 1.0))
    observe(meter, Planned("b", 1, 1, 1, 1, None), Progressed("fetch", "b", GB, 2 * GB, 1, 1), Failed("b", NoSuchImage("b")))
    observe(meter, Progressed("fetch", "c", GB, 2 * GB, 1, 1))  # the window closes: no event says so
    observe(meter, Planned("d", 0, 1, 1, 1, None), ImageDone("d", 2, "deferred", 1, 2, 1.0))
    tally = meter.tally
    assert (tally.images_done, tally.images_total, tally.images_failed, tally.images_deferred) == (4, 5, 1, 1)
    assert (tally.bytes_done, tally.bytes_total) == (4 * GB, 6 * GB)
    assert (tally.bytes_fetched, tally.bytes_reused) == (11, 22)
    assert shown(meter, 80)[-1].startswith("4 of 5 images done, 1 failed, 1 deferred ")
    observe(meter, ImageDone("e", 2, "recorded", 0, 0, 0.1))
    assert meter.run_done == tally.bytes_total == 6 * GB


def test_a_refused_image_that_was_never_to_be_done_is_not_counted() -> None:
    meter, _ = started("a")
    observe(
        meter,
        Failed("z", NoSuchImage("z")),
        Changed("old", "image", 1, None, "retire", GB),
        Changed("p", "image", 1, 2, "pinned"),
    )
    assert (meter.tally.images_total, meter.tally.images_failed, meter.tally.bytes_total) == (1, 0, 2 * GB)


def test_an_offer_that_changed_meanwhile_is_counted_anew_and_what_is_done_stays() -> None:
    meter, _ = started("a", "b")
    observe(meter, ImageDone("a", 2, "updated", 1, 1, 1.0), Planned("b", 1, 1, 1, 1, None))
    observe(meter, Catalog(8, 3), Changed("b", "image", 1, 3, "update", GB), Changed("c", "image", None, 1, "new", GB))
    assert (meter.tally.images_done, meter.tally.images_total, meter.tally.bytes_total) == (1, 3, 4 * GB)


def test_verify_tells_beforehand_what_is_to_come() -> None:
    meter = Meter(Clock())
    observe(meter, Expected("a", GB), Expected("b", GB), Progressed("verify", "a", GB // 2, GB, 0, 0))
    assert shown(meter, 120)[1].split()[-2:] == ["25", "%"]
    assert "fetched" not in " ".join(shown(meter, 120))


@pytest.mark.parametrize(
    ("event", "words", "later"),
    [
        (Waiting("lock", 30.0, "pid 7 holds the root"), "waits 30 s: pid 7 holds the root", "waits 20 s: pid 7 holds the root"),
        (Retried("store", 1, 30.0, "reset"), "store: reset; attempt 2 in 30 s", "store: reset; attempt 2 in 20 s"),
        (Hooked("before_image", "a", "check", "started", 60.0), "hook before_image of a: check runs", None),
    ],
)
def test_what_the_run_waits_for_takes_the_place_of_the_figures(event: Event, words: str, later: str | None) -> None:
    clock = Clock()
    meter = Meter(clock)
    observe(meter, Planned("a", 1000, 1, 1, 1, None), event)
    assert shown(meter, 80)[1:] == [words]
    assert meter.line() == words
    clock.now += 10
    assert shown(meter, 80)[1:] == [later or words]
    clock.now += 25
    observe(meter, Hooked("before_image", "a", "check", "ended", 0.0, 0), Progressed("fetch", "a", 1, 2, 1, 0))
    assert words[:5] not in " ".join(shown(meter, 80))


def test_a_retry_whose_time_has_come_goes_on() -> None:
    clock = Clock()
    meter = Meter(clock)
    observe(meter, Retried("store", 3, 5.0, "reset"))
    clock.now += 6
    assert meter.line() == "store: reset; attempt 4 goes on"


def test_a_line_in_a_log_says_where_the_run_is() -> None:
    assert under_way("a", "b").line() == (
        "fetch a: 1.00 GB of 2.00 GB, 100 MB/s, 400 MB fetched, 550 MB reused, 10 s left; 0 of 2 images done, 25 %, 30 s left"
    )


NAMES = st.text(min_size=1, max_size=300)
EVENTS = st.one_of(
    st.builds(Planned, NAMES, *[st.integers(0, 10**15)] * 4, st.none()),
    st.builds(Progressed, st.sampled_from(["fetch", "verify", "read"]), NAMES, *[st.integers(0, 10**15)] * 4),
    st.builds(Retried, NAMES, st.integers(1, 99), st.floats(0, 1e6), NAMES),
    st.builds(Waiting, NAMES, st.floats(0, 1e6), NAMES),
    st.builds(Hooked, st.just("before"), NAMES, NAMES, st.sampled_from(["started", "ended"])),
    st.builds(Changed, NAMES, st.just("image"), st.none(), st.just(1), st.just("new"), st.integers(0, 10**15)),
    st.builds(ImageDone, NAMES, st.just(1), st.just("updated"), *[st.integers(0, 10**15)] * 2, st.floats(0, 1e6)),
    st.builds(Failed, NAMES, st.just(NoSuchImage("x"))),
)


@given(st.lists(EVENTS, max_size=12), st.integers(1, 200))
def test_L2_no_row_is_wider_than_its_terminal_or_obeyed_by_it_whatever_names_hold(events: list[Event], width: int) -> None:
    clock = Clock()
    meter = Meter(clock)
    for event in events:
        clock.now += 1.0
        meter.observe(event)
        rows = frame(meter, width, cell_len)
        assert len(rows) <= 3
        for row in rows:
            assert cell_len(text(row)) <= max(1, width - 1)
            assert text(row).isprintable()
            assert 0.0 <= row.share <= 1.0
