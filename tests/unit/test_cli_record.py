"""A run in the ledger: what is recorded of one that ends before it could be."""

import sqlite3
from contextlib import closing

import pytest

from netclnt.cli.output import OutputClosed
from netclnt.cli.record import Recorded
from netclnt.cli.runs import run_result
from netclnt.cli.session import Session
from netclnt.cli.show import now
from netclnt.errors import ExitCode, LedgerBusy, Unreachable
from netclnt.ledger import Ledger


@pytest.fixture
def session():
    return Session("netclnt sync", "0" * 16, now(), options=None, view=None, environment={})


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite", busy=0.01) as ledger:
        yield ledger


def test_a_run_is_ended_by_the_error_that_ends_it_begun_or_not(session, ledger):
    for begun in (True, False):
        with pytest.raises(Unreachable), Recorded(session, ledger) as recorded:
            if begun:
                recorded.begin()
            raise Unreachable("store", "x", "y")
        assert ledger.runs()[0].code == ExitCode.TEMP
        assert len(ledger.runs()) == 1 + (not begun)
        session = Session("netclnt sync", "1" * 16, now(), options=None, view=None, environment={})


def test_A7_a_run_whose_reader_went_away_is_told_as_that_and_not_as_a_bug(session, ledger):
    with pytest.raises(OutputClosed), Recorded(session, ledger) as recorded:
        recorded.begin()
        raise OutputClosed
    (run,) = ledger.runs()
    assert (run.code, run_result(run)) == (141, "SIGPIPE")
    assert run.message == "Standard output's reader went away."


def test_H9_a_ledger_that_is_held_is_waited_for_once(session, ledger, tmp_path, monkeypatch):
    waited = []
    end_run = Ledger.end_run
    monkeypatch.setattr(Ledger, "end_run", lambda *args, **values: waited.append(end_run) or end_run(*args, **values))
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)) as admin:
        admin.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerBusy), Recorded(session, ledger) as recorded:
            recorded.begin()
    assert not waited
    assert not ledger.runs()
