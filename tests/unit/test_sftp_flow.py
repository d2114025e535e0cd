"""How much is in flight follows the line: about twice rate × round trip, on lines that a clock in the test's hand makes up."""

from __future__ import annotations

from collections import deque

import pytest

from netclnt.sftp.flow import IN_FLIGHT_EACH, READ_MIN, Flow, connections_worth
from netclnt.sftp.wire import READ_MAX


class Line:
    """Carries ``rate`` bytes a second, and everything half a ``round_trip`` late each way."""

    def __init__(self, rate: float, round_trip: float) -> None:
        self.rate, self.round_trip, self.now, self.free = rate, round_trip, 0.0, 0.0
        self.flow = Flow(clock=lambda: self.now)
        self.in_flight: deque[tuple[float, object, int]] = deque()

    def run(self, answers: int) -> None:
        self.flow.returned(self.flow.mark())
        self.flow.round_trip = self.round_trip
        for _ in range(answers):
            while sum(count for _, _, count in self.in_flight) + self.flow.request <= self.flow.window:
                self.free = max(self.free, self.now + self.round_trip / 2) + self.flow.request / self.rate
                self.in_flight.append((self.free + self.round_trip / 2, self.flow.mark(), self.flow.request))
            self.now, mark, count = self.in_flight.popleft()
            self.flow.received(mark, count)


@pytest.mark.parametrize(("rate", "round_trip"), [(125e6, 0.06), (40e6, 0.1), (1.25e6, 0.2), (10e6, 0.05)])
def test_the_window_grows_to_about_twice_what_the_line_holds(rate, round_trip):
    line = Line(rate, round_trip)
    line.run(400)
    wanted = min(IN_FLIGHT_EACH, max(2 * rate * round_trip, min(rate, 2**20)))
    assert 0.9 * wanted <= line.flow.window <= 1.1 * wanted
    assert line.flow.rate == pytest.approx(rate, rel=0.05)


def test_a_thin_line_holds_a_second_of_its_rate_at_the_most():
    line = Line(250_000, 0.03)
    line.run(100)
    assert 4 * READ_MIN <= line.flow.window <= 250_000
    assert READ_MIN <= line.flow.request <= 250_000 // 4


def test_a_line_that_gets_thinner_is_noticed():
    line = Line(20e6, 0.1)
    line.run(300)
    line.rate = 1e6
    line.run(300)
    assert line.flow.window <= 1.3 * 1e6


def test_a_line_that_has_only_begun_to_carry_is_given_enough_to_send():
    """TCP's own window grows only while there is more to send than it lets through: what little came so far must not count."""
    line = Line(1.1e6, 0.1)
    line.run(8)
    assert line.flow.window >= 0.9e6


def test_a_thick_line_is_asked_with_the_longest_requests():
    line = Line(500e6, 0.0005)
    line.run(300)
    assert line.flow.request == READ_MAX
    assert line.flow.window >= 8 * READ_MAX


@pytest.mark.parametrize(
    ("rate", "round_trip", "worth"),
    [(0, None, 1), (1.25e6, 0.1, 1), (500e6, 0.0003, 2), (24e6, 0.1, 5), (100e6, 0.1, 8), (60e6, 0.001, 2), (10e6, 0.001, 1)],
)
def test_connections_that_a_line_is_worth(rate, round_trip, worth):
    flow = Flow()
    flow.rate, flow.round_trip = rate, round_trip
    assert connections_worth([flow], short=2, most=8) == worth
