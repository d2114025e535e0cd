from __future__ import annotations

import threading

import pytest

from netclnt.callthread import CallThread, Overdue, call_within


def test_a_call_gives_what_it_returns_or_raises() -> None:
    ended = threading.Event()
    thread = CallThread(ended.set)
    assert thread.call(lambda: 3, seconds=20) == 3
    with pytest.raises(ZeroDivisionError):
        thread.call(lambda: 1 // 0, seconds=20)
    assert thread.call(threading.current_thread, seconds=20) is not threading.current_thread()
    thread.end(seconds=20)
    assert ended.is_set()


def test_P9_a_call_that_stands_still_is_left_alone_and_takes_its_farewell_later() -> None:
    go_on, ended, second = threading.Event(), threading.Event(), threading.Event()
    thread = CallThread(ended.set)
    with pytest.raises(Overdue) as caught:
        thread.call(go_on.wait, seconds=0.01)
    assert caught.value.seconds == 0.01
    with pytest.raises(Overdue):
        thread.call(second.set, seconds=20)
    thread.end(seconds=20)
    assert not ended.is_set()
    go_on.set()
    assert ended.wait(20)
    assert not second.is_set()


def test_P9_one_call_within_a_time() -> None:
    go_on = threading.Event()
    assert call_within(20, lambda: "done") == "done"
    with pytest.raises(Overdue):
        call_within(0.01, go_on.wait)
    go_on.set()
