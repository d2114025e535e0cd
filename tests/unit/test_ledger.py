"""The ledger remembers what it was told, and refuses to be believed when its file is damaged."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from netclnt.errors import Incompatible, LedgerBusy, LedgerDamaged, LedgerForeign, LedgerLinked, NetclntError, StorageFailed
from netclnt.ledger import Applied, Held, Kept, Ledger, Quarantine, Run, RunImage, history, schema
from netclnt.ledger.rescue import replace_damaged, rescue
from netclnt.model import Kind
from netclnt.protocols import Facts

IDENTITY = "0123456789abcdef" * 2
DIGEST = "ab" * 32
APPLIED = Applied(IDENTITY, generation=7, schema_version=1, assignment_revision=2, statement_number=3, selection="x" * 64)
FILE = Held("images/a.img", Kind.IMAGE, 3, DIGEST, False, 1 << 40, "cd" * 32, 7, "2026-11-23T01:02:03Z")
TREE = Held("drivers", Kind.SOFTWARE, 1, "ef" * 32, True, 10, "", 5, "2026-11-23T01:02:03Z", pinned=True)
FACTS = {"": Facts(1 << 40, 1_700_000_000_000_000_000, 42)}
TREE_FACTS = {"": Facts(4096, 5, 2), "ü/x": Facts(10, -1, (1 << 64) - 1)}


def fill(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.set_identity(IDENTITY)
        ledger.set_marker(IDENTITY)
        ledger.set_applied(APPLIED)
        ledger.record(FILE, FACTS)
        ledger.record(TREE, TREE_FACTS)
        ledger.keep(FILE.name, 2, DIGEST, "aa")
        ledger.journal_add(DIGEST, range(100))
        ledger.start_run("run-1", "sync", "2026-11-23T01:02:03Z")


def read_all(ledger: Ledger) -> tuple[object, ...]:
    return (
        ledger.identity(),
        ledger.marker(),
        ledger.applied(),
        ledger.held(),
        ledger.get(FILE.name),
        dict(ledger.all_facts()),
        ledger.kept(),
        ledger.journal(DIGEST),
        ledger.runs(10),
    )


def test_a_new_ledger_is_empty() -> None:
    with Ledger(":memory:") as ledger:
        assert read_all(ledger) == (None, None, None, [], None, {}, [], set(), [])


def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    fill(tmp_path / "ledger.sqlite")
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.identity() == ledger.marker() == IDENTITY
        assert ledger.applied() == APPLIED
        assert ledger.held() == [TREE, FILE]
        assert ledger.get(TREE.name) == TREE
        assert dict(ledger.all_facts()) == {FILE.name: FACTS, TREE.name: TREE_FACTS}
        assert ledger.facts(TREE.name) == TREE_FACTS
        assert ledger.kept() == [Kept(FILE.name, 2, DIGEST, "aa")]
        assert ledger.journal(DIGEST) == set(range(100))
        ledger.check()


def test_names_are_ordered_by_their_bytes() -> None:
    with Ledger(":memory:") as ledger:
        names = ["a/b", "a", "Z", "ä", "a.b", "\U0001f600", "｡"]
        for name in names:
            ledger.record(replace(FILE, name=name), FACTS)
        assert [held.name for held in ledger.held()] == sorted(names, key=str.encode)


def test_record_replaces_row_and_facts_and_clears_its_journal() -> None:
    with Ledger(":memory:") as ledger:
        ledger.record(TREE, TREE_FACTS)
        ledger.journal_add(DIGEST, [1, 2])
        ledger.journal_add("12" * 32, [9])
        newer = replace(TREE, number=2, manifest=DIGEST, pinned=False)
        ledger.record(newer, {"": Facts(1, 2, 3)})
        assert ledger.held() == [newer]
        assert ledger.facts(TREE.name) == {"": Facts(1, 2, 3)}
        assert ledger.journal(DIGEST) == set()
        assert ledger.journal("12" * 32) == {9}


def test_a_record_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.record(TREE, TREE_FACTS)
        with pytest.raises(ZeroDivisionError):
            ledger.record(replace(TREE, number=2), _Failing(TREE_FACTS))
        assert ledger.get(TREE.name) == TREE
        assert ledger.facts(TREE.name) == TREE_FACTS


class _Failing(dict[str, Facts]):
    def items(self):
        yield next(iter(super().items()))
        raise ZeroDivisionError


def test_forget_and_correct() -> None:
    with Ledger(":memory:") as ledger:
        ledger.record(FILE, FACTS)
        ledger.correct(FILE, None)
        assert ledger.get(FILE.name) == replace(FILE, damaged=True)
        ledger.correct(FILE, FACTS)
        assert ledger.get(FILE.name) == FILE
        ledger.forget(FILE.name)
        ledger.forget(FILE.name)
        assert ledger.get(FILE.name) is None
        assert ledger.facts(FILE.name) == {}


def test_kept_versions() -> None:
    with Ledger(":memory:") as ledger:
        ledger.keep("b", 2, DIGEST, "02")
        ledger.keep("b", 1, DIGEST, "01")
        ledger.keep("a", 9, DIGEST, "09")
        assert [kept.token for kept in ledger.kept()] == ["09", "01", "02"]
        assert [kept.token for kept in ledger.kept("b")] == ["01", "02"]
        ledger.drop_kept("01")
        ledger.drop_kept("01")
        assert [kept.token for kept in ledger.kept("b")] == ["02"]


def test_quarantine_lasts_until_another_version_is_recorded() -> None:
    with Ledger(":memory:") as ledger:
        first = Quarantine("a", DIGEST, 2, 7, "2026-11-23T01:02:03Z", "wrong SHA-256")
        entries = [first, replace(first, manifest="12" * 32, number=3), replace(first, name="b")]
        for entry in (*entries, first):
            ledger.quarantine(entry)
        assert ledger.quarantined() == entries
        ledger.record(replace(FILE, name="a"), FACTS)
        assert ledger.quarantined() == entries[2:]


def test_what_a_look_found_is_recorded_only_of_the_version_that_was_looked_at() -> None:
    with Ledger(":memory:") as ledger:
        ledger.record(FILE, FACTS)
        newer = {"": Facts(1, 2, 3)}
        assert ledger.correct(FILE, None)
        assert ledger.get(FILE.name) == replace(FILE, damaged=True)
        assert ledger.correct(FILE, newer)
        assert (ledger.get(FILE.name), ledger.facts(FILE.name)) == (FILE, newer)
        for other in (replace(FILE, manifest="12" * 32), replace(FILE, shown_at="2026-11-24T01:02:03Z"), TREE):
            assert not ledger.correct(other, None)
            assert not ledger.correct(other, FACTS)
        assert (ledger.held(), ledger.facts(FILE.name)) == ([FILE], newer)


def test_I1_a_value_that_changed_in_the_file_is_not_believed(tmp_path: Path) -> None:
    fill(tmp_path / "l")
    with sqlite3.connect(tmp_path / "l") as raw:
        raw.execute("UPDATE held SET number = 4 WHERE name = 'drivers'")
        raw.execute("UPDATE applied SET generation = 1 << 40")
        raw.execute("UPDATE setting SET value = 'fedcba9876543210fedcba9876543210' WHERE key = 'identity'")
        raw.execute("UPDATE kept SET number = 9")
    raw.close()
    with Ledger(tmp_path / "l") as ledger:
        for work in (ledger.held, lambda: ledger.get("drivers"), ledger.applied, ledger.identity, ledger.kept, ledger.check):
            with pytest.raises(LedgerDamaged):
                work()
        assert ledger.marker() == IDENTITY
        assert ledger.get(FILE.name) == FILE


def test_L9_rows_of_a_release_without_checks_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("netclnt.ledger.database.MIGRATIONS", schema.MIGRATIONS[:1])
        Ledger(tmp_path / "l").close()
    with sqlite3.connect(tmp_path / "l") as raw:
        raw.execute("INSERT INTO setting VALUES ('identity', ?)", (IDENTITY,))
        raw.execute("INSERT INTO kept VALUES ('aa', 'a', 2, ?)", (DIGEST,))
    raw.close()
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.identity() == IDENTITY
        assert ledger.kept() == [Kept("a", 2, DIGEST, "aa")]


def test_L9_runs_of_the_release_before_are_read_and_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("netclnt.ledger.database.MIGRATIONS", schema.MIGRATIONS[:2])
        Ledger(tmp_path / "l").close()
    old = ("r1", "netclnt sync", "2026-11-22T01:02:03Z", "", None, 0, 0, 5, 0, 0.0, "")
    with closing(sqlite3.connect(tmp_path / "l")) as raw:
        raw.execute(f"INSERT INTO run VALUES (7, {', '.join('?' * 11)})", old)
        raw.commit()
    before = (tmp_path / "l").read_bytes()
    with Ledger(tmp_path / "l", readonly=True) as book:
        assert book.runs() == [Run("r1", "netclnt sync", "2026-11-22T01:02:03Z", bytes_fetched=5)]
    assert (tmp_path / "l").read_bytes() == before
    with Ledger(tmp_path / "l") as book:
        assert not book.start_run("r2", "netclnt sync", "2026-11-23T01:02:03Z")
        book.end_run("r1", ended="2026-11-23T01:02:04Z", code=0, bytes_fetched=7)
        assert [(run.run_id, run.bytes_fetched) for run in book.runs()] == [("r2", 0), ("r1", 7)]


def test_I1_a_quota_and_the_history_outlive_a_damaged_ledger(tmp_path: Path) -> None:
    at = "2026-11-23T01:02:03Z"
    with Ledger(tmp_path / "l") as book:
        run_once(book, "r1", bytes_fetched=10, images=[RunImage("a", "updated")])
        run_once(book, "r2", bytes_fetched=5)
        book.record(FILE, FACTS)
        book.start_run("r3", "netclnt sync", at)
        ended = book.runs()[1:]
    with closing(sqlite3.connect(tmp_path / "l")) as raw:
        raw.execute("UPDATE held SET number = 4")
        raw.commit()
    replace_damaged(tmp_path / "l", rescue(tmp_path / "l"), date="2026-11-23")
    with Ledger(tmp_path / "l") as book:
        assert book.rebuilding()
        assert book.runs() == ended
        assert book.fetched(since=at, until=at) == 15
        assert book.start_run("r3", "netclnt sync", at)  # the run that met the damage goes on with the new one
        book.end_run("r3", ended=at, code=0, bytes_fetched=7)
        assert book.fetched(since=at, until=at) == 22


def test_a_run_is_told_whether_the_one_before_it_ended() -> None:
    with Ledger(":memory:") as ledger:
        assert ledger.start_run("r1", "sync", "2026-11-23T01:02:03Z")
        assert not ledger.start_run("r2", "sync", "2026-11-23T01:02:03Z")
        ledger.end_run("r2", ended="2026-11-23T01:02:04Z", code=0)
        assert ledger.start_run("r3", "sync", "2026-11-23T01:02:03Z")


def test_a_lost_ledger_is_rebuilt_until_told_otherwise() -> None:
    with Ledger(":memory:") as ledger:
        assert not ledger.rebuilding()
        ledger.set_rebuilding(True)
        assert ledger.rebuilding()
        ledger.set_rebuilding(False)
        assert not ledger.rebuilding()


def test_journal_counts_each_page_once() -> None:
    with Ledger(":memory:") as ledger:
        ledger.journal_add(DIGEST, [1, 2])
        ledger.journal_add(DIGEST, [2, 3])
        assert ledger.journal(DIGEST) == {1, 2, 3}
        ledger.journal_clear(DIGEST)
        assert ledger.journal(DIGEST) == set()


def run_once(book: Ledger, run_id: str, *, at: str = "2026-11-23T01:02:03Z", **ended: object) -> None:
    book.start_run(run_id, "netclnt sync", at)
    book.end_run(run_id, ended=at, **{"code": 0, **ended})


def test_runs_newest_first() -> None:
    with Ledger(":memory:") as book:
        book.start_run("r1", "sync", "2026-11-23T01:02:03Z", process="boot:1:2")
        assert book.runs() == [Run("r1", "sync", "2026-11-23T01:02:03Z", process="boot:1:2")]
        book.end_run(
            "r1",
            ended="2026-11-23T01:02:04Z",
            code=7,
            generation=3,
            bytes_fetched=10,
            seconds=2,
            message="a\nb",
            forecast_bytes=20,
            forecast_seconds=3,
            nights_left=None,
        )
        book.end_run("unknown", ended="2026-11-23T01:02:04Z", code=0)
        book.start_run("r2", "sync", "2026-11-23T01:02:05Z")
        assert [run.run_id for run in book.runs()] == ["r2", "r1"]
        (_, first) = book.runs()
        assert first == replace(
            Run("r1", "sync", "2026-11-23T01:02:03Z", "2026-11-23T01:02:04Z", 7, 3, 0, 10, 0, 2.0, "a\nb"),
            forecast_bytes=20,
            forecast_seconds=3.0,
            process="boot:1:2",
        )
        assert book.runs(1)[0].run_id == "r2"


def test_runs_are_trimmed_first_those_that_found_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "RUNS_KEPT", 6)
    monkeypatch.setattr(history, "NEWEST_KEPT", 2)
    with Ledger(":memory:") as book:
        for number in range(12):
            images = [RunImage("a", "recorded")] if number in (1, 2, 4, 5, 6) else []
            run_once(book, f"r{number}", bytes_fetched=10, images=images)  # to look at the store's HEAD costs bytes
        assert [run.run_id for run in book.runs()] == ["r11", "r10", "r6", "r5", "r4", "r2"]
        for number in range(12, 20):
            run_once(book, f"r{number}", code=5)
        assert [run.run_id for run in book.runs()] == [f"r{number}" for number in range(19, 13, -1)]


def test_what_came_of_each_image_is_kept_with_its_run_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "IMAGES_KEPT", 5)
    some = [RunImage("b", "updated", 3, 10, 20, 1), RunImage("a", "failed", None, message="no\nspace")]
    with Ledger(":memory:") as book:
        for number in range(4):
            run_once(book, f"r{number}", images=some)
        run_once(book, "r4")
        assert [len(book.run_images(f"r{number}")) for number in range(5)] == [0, 2, 2, 2, 0]
        assert book.run_images("r3") == [replace(some[1]), replace(some[0], seconds=1.0)]
        assert book.run_images("unknown") == []
        asked: list[str] = []
        book._database._connection.set_trace_callback(asked.append)
        run_once(book, "r4b")
        book._database._connection.set_trace_callback(None)
        assert not any(sql.startswith("DELETE FROM run_image") for sql in asked)  # a run that found nothing to do adds none
        monkeypatch.setattr(history, "RUNS_KEPT", 1)
        monkeypatch.setattr(history, "NEWEST_KEPT", 1)
        run_once(book, "r5")
        assert not book._database.rows("SELECT * FROM run_image")


def test_bytes_fetched_count_in_the_quarter_of_an_hour_in_which_they_came(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as book:
        book.start_run("r1", "sync", "2026-10-31T23:58:00Z")
        book.journal_add(DIGEST, [1], fetched=10, at="2026-10-31T23:59:59.999Z")
        book.journal_add(DIGEST, [2], fetched=30, at="2026-11-01T00:00:00Z")
        book.note_fetched(30, at="2026-11-01T00:20:00Z")
    with Ledger(tmp_path / "l") as book:  # killed
        assert book.runs(1)[0].bytes_fetched == 30
        book.start_run("r2", "sync", "2026-11-01T00:30:00Z")
        book.note_fetched(5, at="2026-11-01T01:20:00+01:00")
        book.end_run("r2", ended="2026-11-01T00:29:00Z", code=14, bytes_fetched=12)

        def fetched(since: str, until: str = "2026-11-30T12:00:00Z") -> int:
            return book.fetched(since=since, until=until)

        assert fetched("2026-10-01T00:00:00Z") == 42
        assert fetched("2026-11-01T00:00:00Z") == 32
        assert fetched("2026-11-01T01:15:00+01:00") == 12
        assert fetched("2026-10-01T00:00:00Z", "2026-10-31T23:59:00Z") == 10
        assert fetched("2026-11-02T00:00:00Z") == 0
        book.check()


def test_a_lost_clock_ends_no_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was fetched in a year that is still to come does not count now; the count of quarters bounds them, not a date."""
    monkeypatch.setattr(history, "QUARTERS_KEPT", 3)
    with Ledger(":memory:") as book:
        run_once(book, "r1", at="2040-01-01T00:00:00Z", bytes_fetched=1 << 40)
        run_once(book, "r2", bytes_fetched=10)
        assert book.fetched(since="2026-11-01T00:00:00Z", until="2026-11-30T00:00:00Z") == 10
        for hour in range(5):
            run_once(book, f"later {hour}", at=f"2026-11-24T0{hour}:00:00Z", bytes_fetched=1)
        book.start_run("last", "sync", "2026-11-24T06:00:00Z")
        assert book.fetched(since="2026-11-01T00:00:00Z", until="2026-11-30T00:00:00Z") == 2


def test_I1_a_run_or_an_amount_that_changed_in_the_file_is_not_believed(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as book:
        run_once(book, "r1", bytes_fetched=10, images=[RunImage("a", "updated")])
    with closing(sqlite3.connect(tmp_path / "l")) as raw:
        for table, column in (("run", "seconds"), ("run_image", "seconds"), ("fetched", "bytes")):
            raw.execute(f"UPDATE {table} SET {column} = 7")
        raw.commit()
    at = "2026-11-23T01:02:03Z"
    with Ledger(tmp_path / "l") as book:
        for work in (
            book.runs,
            lambda: book.run_images("r1"),
            lambda: book.fetched(since=at, until=at),
            lambda: book.end_run("r1", ended=at, code=0),
            book.check,
        ):
            with pytest.raises(LedgerDamaged):
                work()


def test_an_up_to_date_check_asks_little(tmp_path: Path) -> None:
    fill(tmp_path / "l")
    with Ledger(tmp_path / "l") as ledger:
        asked: list[str] = []
        ledger._database._connection.set_trace_callback(asked.append)
        ledger.applied(), ledger.held(), dict(ledger.all_facts())
        assert len(asked) == 3


def test_it_is_durable_and_readable_by_all_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        with Ledger(tmp_path / "state" / "l") as ledger:
            assert ledger._database.rows("PRAGMA synchronous") == [(3,)]
            assert ledger._database.rows("PRAGMA journal_mode") == [("delete",)]
    finally:
        os.umask(old)
    assert (tmp_path / "state" / "l").stat().st_mode & 0o777 == 0o644


DYING = """
import os, signal, sqlite3, sys
ledger = sqlite3.connect(sys.argv[1], isolation_level=None)
ledger.execute("PRAGMA cache_size = 5")  # so that pages are written before the commit
ledger.execute("BEGIN IMMEDIATE")
ledger.execute("DELETE FROM held")
ledger.executemany("INSERT INTO journal VALUES (?, ?)", (("m" * 64, page) for page in range(5000)))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("behind_link", [False, True])
def test_A11_P3_what_a_writer_left_that_died_in_a_transaction_is_read_as_it_was_before(
    behind_link: bool, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Also by who may only read: nothing is written, and no disk is said to be read-only."""
    path = tmp_path / "ledger"
    fill(path)
    if behind_link:
        path = tmp_path_factory.mktemp("state") / "link"
        path.symlink_to(tmp_path / "ledger")
    with Ledger(path) as ledger:
        before = read_all(ledger)
    subprocess.run([sys.executable, "-c", DYING, path], check=False)
    left = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    assert sorted(left) == ["ledger", "ledger-journal"]
    for _ in range(2):
        with Ledger(path, readonly=True) as ledger:
            ledger.check()
            assert read_all(ledger) == before
        assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == left
    with Ledger(path) as ledger:
        assert read_all(ledger) == before


def test_readonly_changes_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l", readonly=True) as ledger:
        assert ledger.held() == []
    assert not (tmp_path / "l").exists()
    fill(tmp_path / "l")
    before = (tmp_path / "l").read_bytes()
    with Ledger(tmp_path / "l", readonly=True) as ledger:
        assert ledger.held() == [TREE, FILE]
        with pytest.raises(StorageFailed):
            ledger.forget(FILE.name)
    assert (tmp_path / "l").read_bytes() == before


# --- migrations


def test_migration_goes_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "l")
    steps = (*schema.MIGRATIONS, ("CREATE TABLE extra (x)",), ("INSERT INTO extra VALUES (5)",))
    monkeypatch.setattr("netclnt.ledger.database.MIGRATIONS", steps)
    with Ledger(tmp_path / "l", readonly=True) as ledger:
        assert ledger._database.rows("SELECT x FROM extra") == [(5,)]
    with Ledger(tmp_path / "l") as ledger:
        assert ledger._database.rows("SELECT x FROM extra") == [(5,)]
        assert ledger._database.rows("PRAGMA user_version") == [(len(steps),)]
        assert ledger.held() == [TREE, FILE]


def test_I4_a_migration_that_fails_leaves_the_old_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "l")
    steps = (*schema.MIGRATIONS, ("CREATE TABLE extra (x)", "INSERT INTO nowhere VALUES (5)"))
    with monkeypatch.context() as patch:
        patch.setattr("netclnt.ledger.database.MIGRATIONS", steps)
        with pytest.raises(LedgerDamaged):
            Ledger(tmp_path / "l")
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.held() == [TREE, FILE]


def test_I3_a_newer_ledger_or_a_foreign_database_is_left_alone(tmp_path: Path) -> None:
    fill(tmp_path / "newer")
    with sqlite3.connect(tmp_path / "newer") as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    with sqlite3.connect(tmp_path / "foreign") as raw:
        raw.execute("CREATE TABLE theirs (x)")
    raw.close()
    for name, error in (("newer", Incompatible), ("foreign", LedgerForeign)):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(error):
            Ledger(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before


# --- damage


def test_I1_an_empty_file_is_a_new_ledger(tmp_path: Path) -> None:
    (tmp_path / "l").touch()
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.held() == []


def test_I1_garbage_and_truncation_are_told(tmp_path: Path) -> None:
    (tmp_path / "garbage").write_bytes(random.Random(1).randbytes(20_000))
    fill(tmp_path / "cut")
    os.truncate(tmp_path / "cut", 5_000)
    for name in ("garbage", "cut"):
        with pytest.raises(LedgerDamaged), Ledger(tmp_path / name) as ledger:
            read_all(ledger)


@pytest.mark.parametrize("seed", range(50))
def test_I1_random_damage_is_told_or_read_as_valid_values(tmp_path: Path, seed: int) -> None:
    """Whatever a flipped bit or an overwritten page does: foreseen errors, or values that pass their own checks."""
    fill(tmp_path / "l")
    rng = random.Random(seed)
    data = bytearray((tmp_path / "l").read_bytes())
    if seed % 3:
        for _ in range(rng.randint(1, 20)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    else:
        page = rng.randrange(len(data) // 4096)
        data[page * 4096 : page * 4096 + 4096] = rng.randbytes(4096)
    (tmp_path / "l").write_bytes(data)
    for work in (read_all, lambda ledger: ledger.record(FILE, FACTS), lambda ledger: ledger.check()):
        try:
            with Ledger(tmp_path / "l", busy=0.0) as ledger:
                work(ledger)
        except NetclntError as error:
            assert isinstance(error, LedgerDamaged | LedgerForeign | Incompatible | StorageFailed), error


def test_a_value_that_no_ledger_contains_is_damage(tmp_path: Path) -> None:
    fill(tmp_path / "l")
    with sqlite3.connect(tmp_path / "l") as raw:
        raw.execute("UPDATE held SET kind = 'other' WHERE name = 'drivers'")
        raw.execute("UPDATE applied SET generation = 'x'")
        raw.execute("UPDATE fact SET path = x'ff' WHERE path <> ''")
        raw.execute("UPDATE setting SET value = '../etc'")
    raw.close()
    with Ledger(tmp_path / "l") as ledger:
        for work in (ledger.held, ledger.applied, ledger.identity, lambda: dict(ledger.all_facts())):
            with pytest.raises(LedgerDamaged):
                work()


def test_check_finds_what_reading_would_not(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        for number in range(200):
            ledger.record(replace(FILE, name=f"image-{number}"), FACTS)
    data = bytearray((tmp_path / "l").read_bytes())
    for page in range(2, len(data) // 4096):
        data[page * 4096 : page * 4096 + 8] = b"\xff" * 8
    (tmp_path / "l").write_bytes(data)
    with pytest.raises(LedgerDamaged), Ledger(tmp_path / "l") as ledger:
        ledger.check()


# --- others on the same file


HOLD = """
import sqlite3, sys
raw = sqlite3.connect(sys.argv[1], isolation_level=None)
raw.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


def test_H9_I5_an_admins_sqlite3_holds_the_ledger(tmp_path: Path) -> None:
    fill(tmp_path / "l")
    command = [sys.executable, "-c", HOLD, str(tmp_path / "l")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as admin:
        assert admin.stdout is not None
        assert admin.stdout.readline() == "held\n"
        with pytest.raises(LedgerBusy) as caught:
            Ledger(tmp_path / "l", busy=0.05)
        assert caught.value.seconds == 0.05
        assert caught.value.holder.startswith(f"pid {admin.pid} (python")
        admin.communicate()
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.held() == [TREE, FILE]


def test_I6_the_directory_is_gone_in_mid_run(tmp_path: Path) -> None:
    fill(tmp_path / "state" / "l")
    with Ledger(tmp_path / "state" / "l") as ledger:
        (tmp_path / "state" / "l").unlink()
        (tmp_path / "state").rmdir()
        with pytest.raises((StorageFailed, LedgerDamaged)):
            ledger.record(FILE, FACTS)


def test_G5_a_link_of_another_user_is_refused(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a link to another user")
    fill(tmp_path / "real")
    (tmp_path / "l").symlink_to("real")
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.held() == [TREE, FILE]
    os.lchown(tmp_path / "l", 65534, 65534)
    for readonly in (True, False):
        with pytest.raises(LedgerLinked) as caught:  # not as damaged: that would be replaced
            Ledger(tmp_path / "l", readonly=readonly)
        assert caught.value.owner == 65534


def test_a_directory_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "l").mkdir()
    with pytest.raises((StorageFailed, LedgerDamaged)):
        Ledger(tmp_path / "l")
