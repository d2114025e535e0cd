from __future__ import annotations

from netclnt.events import Hooked, Progressed, Retried, Waiting
from netclnt.pulse import BYTES_MIN, Pulse


def progressed(done: int) -> Progressed:
    return Progressed("fetch", "debian", done, 100, done, 0)


def test_stands_still_and_is_dead() -> None:
    pulse = Pulse(0, standstill=60)
    assert pulse.alive(59)
    assert not pulse.alive(60)


def test_progress_keeps_alive() -> None:
    pulse = Pulse(0, standstill=60)
    pulse.observe(progressed(1), 50)
    assert pulse.alive(109)
    assert not pulse.alive(110)


def test_the_same_told_again_is_no_progress() -> None:
    pulse = Pulse(0, standstill=60)
    for now in range(0, 200, 10):
        pulse.observe(progressed(1), now)
    assert not pulse.alive(60)


def test_a_wait_that_is_meant_is_allowed_and_no_longer() -> None:
    pulse = Pulse(0, standstill=60)
    pulse.observe(Waiting("slot", 3600, ""), 0)
    assert pulse.alive(3659)
    assert not pulse.alive(3660)


def test_the_pause_before_another_attempt_is_allowed() -> None:
    pulse = Pulse(0, standstill=60)
    pulse.observe(Retried("line", 1, 45.0, "reset"), 10)
    assert pulse.alive(114)
    assert not pulse.alive(115)


def test_a_hook_may_take_as_long_as_it_is_given() -> None:
    pulse = Pulse(0, standstill=60)
    pulse.observe(Hooked("before_image", "debian", "check", "started", 600.0), 0)
    assert pulse.alive(659)
    assert not pulse.alive(660)


def test_local_work_does_not_shorten_a_wait() -> None:
    pulse = Pulse(0, standstill=60)
    pulse.observe(Waiting("window", 3600, ""), 0)
    pulse.observe(progressed(1), 10)
    assert pulse.alive(3659)


def test_bytes_moved_are_a_sign_but_an_idle_connection_is_none() -> None:
    pulse = Pulse(0, standstill=60)
    pulse.moved(BYTES_MIN - 1, 50)
    assert not pulse.alive(60)
    pulse.moved(BYTES_MIN, 50)
    assert pulse.alive(109)
    pulse.moved(BYTES_MIN + 100, 100)
    assert not pulse.alive(110)
