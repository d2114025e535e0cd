"""The bandwidth cap's rule, with the clock in the test's hand: true within 2 % over any ten seconds, changeable at any time."""

from __future__ import annotations

import random
import threading

import pytest

from netclnt.pacing import Bucket, Pace, Switch


def taken(bucket: Bucket, size: int, until: float, *, start: float = 0.0, late: float = 0.0) -> list[tuple[float, int]]:
    """(time, bytes) of what a greedy asker takes that wakes up to ``late`` seconds too late."""
    chance, now, found = random.Random(4), start, []
    while now < until:
        delay = bucket.delay(now)
        if delay:
            now += delay + chance.uniform(0, late)
            continue
        bucket.take(size, now)
        found.append((now, size))
    return found


def in_any_ten_seconds(found: list[tuple[float, int]]) -> tuple[int, int]:
    """The fewest and the most bytes of ten seconds that begin with a request."""
    last = found[-1][0]
    sums = [sum(size for at, size in found if begin <= at < begin + 10) for begin, _ in found if begin + 10 <= last]
    return min(sums), max(sums)


@pytest.mark.parametrize("rate", [32_000, 250_000, 12_500_000])
@pytest.mark.parametrize("late", [0, 0.02])
def test_any_ten_seconds_carry_what_the_rate_says(rate, late):
    size = Pace(rate).longest_request(261_120)
    fewest, most = in_any_ten_seconds(taken(Bucket(rate, 0), size, 30, late=late))
    assert 0.98 * 10 * rate <= fewest <= most <= 1.02 * 10 * rate


def test_what_nobody_asked_for_is_not_saved_up():
    bucket = Bucket(100_000, 0)
    assert sum(size for at, size in taken(bucket, 1000, 1000.5, start=1000)) <= 100_000 * 0.56 + 1000


def test_a_new_rate_counts_from_now_and_debts_stay():
    bucket = Bucket(1_000_000, 0)
    bucket.take(100_000, 0)
    assert bucket.delay(0) == pytest.approx(0.1)
    bucket.set_rate(10_000, 0.05)
    assert bucket.delay(0.05) == pytest.approx(5)
    bucket.set_rate(None, 0.06)
    assert bucket.delay(0.06) == 0


def test_requests_follow_the_cap():
    pace = Pace()
    assert pace.longest_request(261_120) == 261_120
    for rate, longest in ((32_000, 3200), (1024, 1024), (100_000_000, 261_120)):
        pace.set_rate(rate)
        assert pace.longest_request(261_120) == longest


@pytest.mark.parametrize("freed", [lambda pace, over: pace.set_rate(None), lambda pace, over: (over.append(1), pace.wake())])
def test_who_waits_is_woken_by_a_new_rate_and_when_given_up(freed):
    over: list[int] = []
    pace = Pace(1024, clock=lambda: 0.0)
    pace.charge(1 << 40)
    waiter = threading.Thread(target=lambda: pace.take(1, given_up=lambda: bool(over)))
    waiter.start()
    freed(pace, over)
    waiter.join(20)
    assert not waiter.is_alive()


def test_all_who_share_a_cap_wait_for_each_other():
    pace = Pace(100_000)
    for _ in range(3):
        pace.take(2000, given_up=lambda: False)
    assert pace.rate == 100_000


class Clock:
    """A clock in the test's hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_rate_that_goes_by_the_wall_clock_is_asked_for_once_a_second():
    clock, asked = Clock(), []

    def wanted() -> float | None:
        asked.append(clock.now)
        return 1000.0 if clock.now < 60 else None

    pace = Pace(wanted, clock=clock)
    for tenth in range(700):
        clock.now = tenth / 10
        assert (pace.rate is None) is (tenth >= 600)
    assert len(asked) == 70


def test_J3_who_waits_for_the_old_rate_goes_on_at_the_new_one():
    clock = Clock()
    pace = Pace(lambda: 1024.0 if clock.now < 5 else None, clock=clock)
    assert pace.rate == 1024
    pace.charge(1 << 40)
    waiter = threading.Thread(target=lambda: pace.take(1, given_up=lambda: False))
    waiter.start()
    clock.now = 5.0
    waiter.join(20)
    assert not waiter.is_alive()


def test_the_switch_takes_the_cap_away_at_once_and_brings_it_back():
    clock, switch = Clock(), Switch()
    switch.used = True
    for given in (2048.0, lambda: 2048.0):
        pace = Pace(given, switch=switch, clock=clock)
        assert pace.rate == 2048
        assert "off" in switch.flip()
        assert pace.rate is None
        assert "on again" in switch.flip()
        assert pace.rate == 2048


def test_who_waits_sees_the_switch_without_being_woken():
    switch = Switch()
    switch.used = True
    pace = Pace(1024, switch=switch)
    pace.charge(1 << 40)
    waiter = threading.Thread(target=lambda: pace.take(1, given_up=lambda: False))
    waiter.start()
    switch.flip()
    waiter.join(20)
    assert not waiter.is_alive()


def test_a_signal_that_comes_while_the_cap_is_being_changed_waits_for_nothing():
    switch, pace = Switch(), Pace(1024)
    switch.used = True
    with pace._changed:  # as the main thread would hold it when the handler runs
        flipper = threading.Thread(target=switch.flip)
        flipper.start()
        flipper.join(20)
        assert not flipper.is_alive()
    assert switch.off


def test_where_there_is_no_cap_there_is_nothing_to_switch():
    switch = Switch()
    assert "no bandwidth cap" in switch.flip()
    assert not switch.off
