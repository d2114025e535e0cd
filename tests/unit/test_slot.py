from __future__ import annotations

import pytest

from netclnt.slot import slot


def test_a_machine_always_has_the_same_slot() -> None:
    # frozen: another value would move a whole fleet's starts with an upgrade
    assert slot("0123456789abcdef0123456789abcdef", "store-0815", 3600) == pytest.approx(2126.2441626331324)


def test_slots_are_spread_evenly() -> None:
    machines, parts = 8000, 8
    counts = [0] * parts
    for number in range(machines):
        seconds = slot(f"{number:032x}", "store", 3600)
        assert 0 <= seconds < 3600
        counts[int(seconds * parts / 3600)] += 1
    assert all(abs(count - machines / parts) < 150 for count in counts), counts  # five standard deviations


def test_the_name_parts_machines_cloned_with_their_id() -> None:
    assert len({slot("same", f"store-{number}", 600) for number in range(100)}) == 100


def test_machine_and_name_do_not_run_together() -> None:
    assert slot("ab", "c", 600) != slot("a", "bc", 600)


def test_no_spread_is_no_wait() -> None:
    assert slot("", "", 0) == 0
