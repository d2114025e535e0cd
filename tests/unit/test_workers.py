"""The one thread pattern: bounded, in order, and ended by the first error."""

import threading

import pytest

from netclnt.workers import ordered_map


def test_results_come_in_the_order_of_the_items():
    assert list(ordered_map(lambda n: n * n, range(50), threads=4, ahead=8)) == [n * n for n in range(50)]


def test_no_more_items_are_in_hand_than_said():
    taken, done = [], []

    def items():
        for number in range(40):
            taken.append(number)
            assert len(taken) - len(done) <= 5
            yield number

    for result in ordered_map(lambda n: n, items(), threads=2, ahead=4):
        done += [result]
    assert done == list(range(40))


def test_a_result_that_is_there_is_not_kept_back():
    taken, done = [], threading.Event()

    def items():
        for number in range(100):
            taken.append(number)
            assert number == 0 or done.wait(10)
            yield number

    results = ordered_map(lambda number: done.set() or number, items(), threads=1, ahead=100)
    assert next(results) == 0
    assert len(taken) < 100
    results.close()


@pytest.mark.parametrize("failing", [0, 1, 7, 39])
def test_the_first_error_ends_it_and_no_item_is_taken_any_more(failing):
    taken = []

    def items():
        for number in range(40):
            taken.append(number)
            yield number

    def work(number):
        if number == failing:
            raise ZeroDivisionError
        return number

    results = ordered_map(work, items(), threads=2, ahead=4)
    with pytest.raises(ZeroDivisionError):
        list(results)
    assert len(taken) <= failing + 5


def test_an_error_of_the_items_is_raised_when_what_was_taken_is_done():
    def items():
        yield 1
        yield 2
        raise ZeroDivisionError

    done = []
    with pytest.raises(ZeroDivisionError):
        for result in ordered_map(lambda n: done.append(n) or n, items(), threads=1, ahead=8):
            assert result in (1, 2)
    assert done in ([], [1], [1, 2])


def test_who_stops_listening_waits_only_for_what_runs():
    full, running, go = threading.Event(), threading.Event(), threading.Event()
    done = []

    def items():
        for number in range(10):
            if number == 3:
                full.set()
            yield number

    def work(number):
        if number:
            running.set()
            assert go.wait(10)
        else:
            assert full.wait(10)
        done.append(number)
        return number

    results = ordered_map(work, items(), threads=1, ahead=4)
    assert next(results) == 0
    assert running.wait(10)
    go.set()
    results.close()
    assert len(done) <= 4
