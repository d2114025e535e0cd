"""What the ledger remembers for hooks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from netclnt.errors import LedgerDamaged
from netclnt.ledger import Deferred, Held, Ledger, Untold
from netclnt.model import Kind

NEW = Held("debian/base", Kind.IMAGE, 7, "7" * 64, False, 1, "e" * 64, 9, "2026-11-23T00:00:00Z")
OLD = replace(NEW, number=6, manifest="6" * 64)
WAITS = Deferred(NEW.name, 7, "7" * 64, "2026-11-23T01:00:00Z")
UNTOLD = Untold(NEW.name, 7, "7" * 64, 6, "updated")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def test_a_new_one_knows_of_nothing(ledger: Ledger) -> None:
    assert ledger.hooks.deferred() == []
    assert ledger.hooks.untold() == []


def test_a_version_that_is_deferred_again_keeps_its_moment(ledger: Ledger) -> None:
    ledger.hooks.defer(WAITS)
    ledger.hooks.defer(replace(WAITS, since="2026-11-24T01:00:00Z"))
    assert ledger.hooks.deferred() == [WAITS]
    newer = replace(WAITS, number=8, manifest="8" * 64, since="2026-11-24T01:00:00Z")
    ledger.hooks.defer(newer)
    assert ledger.hooks.deferred() == [newer]


def test_what_is_shown_is_not_deferred_any_more(ledger: Ledger) -> None:
    ledger.hooks.defer(WAITS)
    ledger.record(OLD, {})  # the one that is still shown, looked at once more
    assert ledger.hooks.deferred() == [WAITS]
    ledger.record(NEW, {})
    assert ledger.hooks.deferred() == []


def test_an_older_one_is_not_deferred_any_more_once_a_newer_one_is_shown(ledger: Ledger) -> None:
    ledger.hooks.defer(WAITS)
    ledger.record(replace(NEW, number=8, manifest="8" * 64), {})
    assert ledger.hooks.deferred() == []


def test_what_is_discarded_is_not_deferred(ledger: Ledger) -> None:
    ledger.hooks.defer(WAITS)
    ledger.journal_add(WAITS.manifest, [0, 1])
    ledger.discard(WAITS.manifest)
    assert ledger.hooks.deferred() == []
    assert ledger.journal(WAITS.manifest) == set()


def test_what_is_recorded_is_untold_until_it_was_told(ledger: Ledger) -> None:
    ledger.record(NEW, {}, untold=UNTOLD)
    assert ledger.hooks.untold() == [UNTOLD]
    ledger.record(NEW, {})  # looked at once more
    ledger.hooks.told(NEW.name, "8" * 64)
    assert ledger.hooks.untold() == [UNTOLD]
    ledger.hooks.told(NEW.name, NEW.manifest)
    assert ledger.hooks.untold() == []


@pytest.mark.parametrize("table", ["deferred", "untold"])
def test_I1_a_row_that_is_not_what_it_was_is_not_believed(tmp_path: Path, table: str) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.record(NEW, {}, untold=UNTOLD)
        ledger.hooks.defer(replace(WAITS, number=8, manifest="8" * 64))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {table} SET number = number + 1")
    with Ledger(path) as ledger, pytest.raises(LedgerDamaged):
        ledger.check()
