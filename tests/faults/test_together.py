"""H. Together: several runs on one root, and people who look at it meanwhile."""

from __future__ import annotations

import random
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.amount import amount
from tests.support.oracle import oracle
from tests.support.proxy import Proxy
from tests.support.site import Site
from tests.support.update import make_update, publish_turn

pytestmark = pytest.mark.slow  # dozens of whole runs

MakeSite = Callable[..., Site]
Update = tuple[Site, Path]
SIZE = 2 << 20


def test_H1_H2_H3_P9_P10_patience_with_the_lock_and_a_holder_that_is_killed(
    slow_site: MakeSite, line: Proxy, request: pytest.FixtureRequest
) -> None:
    site = slow_site()
    site.publish(site.put("image", random.Random(4).randbytes(SIZE)))
    with oracle(site, request) as watch:
        line.hold_after(SIZE // 2)
        holder = watch.start("slave", "--json", "sync")
        line.wait_until_held()
        for patience in ((), ("--lock-timeout", "1")):
            second = watch.sync(*patience)
            assert second.code == 10
            assert f"pid {holder.pid}" in second.one("error")["message"]
        patient = [watch.start("slave", "--json", "sync", "--lock-timeout", "40") for _ in range(2)]
        holder.signal(signal.SIGKILL)
        assert holder.wait().code == -signal.SIGKILL
        line.release()
        ended = [each.wait() for each in patient]
        assert [run.code for run in ended] == [0, 0]
        assert sum(bool(run.of("image")) for run in ended) == 1


def test_H5_P10_many_starts_in_one_second(update: Update, request: pytest.FixtureRequest) -> None:
    site, _ = update
    with oracle(site, request) as watch:
        started = [watch.start("slave", "--json", "sync") for _ in range(amount(request, 6, 20))]
        runs = [each.wait() for each in started]
        assert {run.code for run in runs} <= {0, 10}
        updated = [event["image"] for run in runs for event in run.of("image") if event["result"] == "updated"]
        assert sorted(updated) == ["image", "tree"]


COMMANDS = (
    ("sync", (0, 10)),
    ("verify", (0, 7, 10)),
    ("list", (0,)),
    ("status", (0, 4)),
    ("diff --exit-zero", (0,)),
    ("show image", (0,)),
    ("sync --dry-run", (0,)),
    ("show image --remote", (0,)),
    ("prune", (0, 10)),
    ("prune --keep 0", (0, 10)),
    ("prune --dry-run", (0,)),
)


@pytest.mark.timeout(3600)
def test_H7_P1_P3_P10_everything_at_once(make_site: MakeSite, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    source = random.Random(int(request.config.option.hypothesis_seed))
    site = make_site()
    make_update(site, tmp_path / "saved")
    with oracle(site, request) as watch:
        for turn in range(3, 3 + amount(request, 2, 25)):
            publish_turn(site, turn)
            watch.begin()
            chosen = [COMMANDS[0], COMMANDS[0], *source.choices(COMMANDS, k=4)]
            source.shuffle(chosen)
            started = [(words, codes, watch.start("slave", "--json", *words.split())) for words, codes in chosen]
            for words, codes, each in started:
                run = each.wait()
                assert run.code in codes, f"{words}: {run}"
            watch.settle()


@contextmanager
def held_by_an_admin(ledger: Path, how: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(ledger, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute(how)
        connection.execute("SELECT count(*) FROM held").fetchone()
        yield connection


@pytest.mark.parametrize("how", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE", "BEGIN"])
def test_H9_P3_P9_an_admins_sqlite3_holds_the_ledger_for_a_while(
    how: str, update: Update, request: pytest.FixtureRequest
) -> None:
    site, _ = update
    with oracle(site, request) as watch:
        with held_by_an_admin(site.state / "ledger.sqlite", how) as connection:
            freed = threading.Timer(2.0, connection.rollback)
            freed.start()
            run = watch.sync()
            freed.join()
        assert run.code == 0, run
        assert watch.settle().one("summary")["images_changed"] == 0


def test_H9_P3_P9_an_admins_sqlite3_never_lets_go(update: Update, request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--thorough"):
        pytest.skip("takes the minute that a run waits for its ledger; tests/unit/test_ledger.py has the same in less")
    site, _ = update
    with oracle(site, request, deadline=150) as watch, held_by_an_admin(site.state / "ledger.sqlite", "BEGIN EXCLUSIVE"):
        run = watch.sync()
        assert (run.code, run.of("error")[-1]["code"]) == (11, "STATE")
