"""What the line is expected to give, by what it gave."""

from __future__ import annotations

from netclnt.costs import _line_rate
from netclnt.ledger import Ledger


def run_once(book: Ledger, number: int, count: int, seconds: float) -> None:
    at = "2026-11-23T01:02:03Z"
    book.start_run(f"r{number}", "netclnt sync", at)
    book.end_run(f"r{number}", ended=at, code=0, bytes_fetched=count, seconds=seconds)


def test_the_best_of_the_last_runs_with_a_worthwhile_amount_counts() -> None:
    with Ledger(":memory:") as book:
        assert _line_rate(book) is None
        run_once(book, 0, 50_000_000, 1.0)
        for number, seconds in enumerate((10.0, 2.0, 5.0, 10.0, 4.0), 1):
            run_once(book, number, 10_000_000, seconds)
        run_once(book, 6, 1000, 0.001)
        book.start_run("killed", "netclnt sync", "2026-11-23T01:02:03Z")
        book.note_fetched(20_000_000, at="2026-11-23T01:02:04Z")
        assert _line_rate(book) == 5_000_000


def test_a_slave_that_looks_every_five_minutes_still_knows_its_line() -> None:
    with Ledger(":memory:") as book:
        run_once(book, 0, 10_000_000, 2.0)
        for number in range(1, 100):
            run_once(book, number, 200, 0.1)
        assert _line_rate(book) == 5_000_000
