from __future__ import annotations

from netclnt.backoff import LONGEST_DELAY, Backoff


def test_each_pause_is_about_twice_as_long_as_the_one_before_up_to_a_minute() -> None:
    backoff = Backoff(budget=1e9, first_delay=1)
    delays = [backoff.failed(0) for _ in range(12)]
    for number, delay in enumerate(delays):
        longest = min(LONGEST_DELAY, 2**number)
        assert delay is not None
        assert longest / 2 <= delay <= longest
    assert backoff.attempt == 12


def test_a_fleet_does_not_come_back_at_one_moment() -> None:
    assert len({Backoff(budget=100).failed(0) for _ in range(20)}) > 15


def test_D3_nothing_begins_after_the_budget() -> None:
    backoff = Backoff(budget=10, first_delay=4)
    assert backoff.failed(100) is not None
    assert backoff.failed(109.9) is None


def test_D6_what_works_sets_the_budget_and_the_pause_back() -> None:
    backoff = Backoff(budget=10, first_delay=4)
    assert backoff.failed(0) is not None
    backoff.worked()
    delay = backoff.failed(1000)
    assert delay is not None
    assert delay <= 4
    assert backoff.attempt == 1


def test_no_budget_is_no_second_attempt() -> None:
    assert Backoff(budget=0).failed(5) is None
