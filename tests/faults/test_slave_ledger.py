"""I. The ledger: damaged, held by others, gone; and what a run that meets that does."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from netclnt.files.root import open_root
from netclnt.ledger import Ledger, schema
from tests.support.amount import amount
from tests.support.images import content
from tests.support.oracle import oracle
from tests.support.proxy import Proxy
from tests.support.site import Site, digest, good
from tests.support.trace import NAMES, SYNCS, WRITES, points, read_trace, sample, tracing

pytestmark = pytest.mark.slow

MakeSite = Callable[..., Site]
METADATA = 100_000
CHANGING = (*WRITES[1:], *SYNCS, *NAMES)


def publish_all(site: Site, turn: int) -> None:
    tree = site.source / "tree"
    (tree / "lib").mkdir(parents=True, exist_ok=True)
    for number in range(5):
        (tree / f"lib/{number}").write_bytes(content(f"I/{number}/{turn}", 30_000))
    site.publish(site.put("image", random.Random(turn).randbytes(600_000)))
    site.publish(tree)


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    made = make_site()
    publish_all(made, 1)
    made.sync()
    return made


def ledger_of(site: Site) -> Path:
    return site.state / "ledger.sqlite"


def aside(site: Site) -> list[Path]:
    return sorted(path for path in site.state.glob("ledger.damaged-*") if not path.name.endswith("-journal"))


def truncate(data: bytes, source: random.Random) -> bytes:
    return data[: source.randrange(1, len(data))]


def garbage(data: bytes, source: random.Random) -> bytes:
    return source.randbytes(len(data))


def page(data: bytes, source: random.Random) -> bytes:
    begin = source.randrange(len(data) // 4096) * 4096
    return data[:begin] + source.randbytes(4096) + data[begin + 4096 :]


def bits(data: bytes, source: random.Random) -> bytes:
    """A few flipped bits, but of the two numbers of the header by which SQLite's users know whose file it is (offsets 60 and 68
    of its file format): these say that it is a newer netclnt's, or another program's, and that is told."""
    changed = bytearray(data)
    for _ in range(source.randint(1, 30)):
        at = source.randrange(len(data))
        if not 60 <= at < 72:
            changed[at] ^= 1 << source.randrange(8)
    return bytes(changed)


DAMAGES = (truncate, garbage, page, bits)


def test_I1_P3_a_damaged_ledger_is_put_aside_and_nothing_is_fetched_again(site: Site, request: pytest.FixtureRequest) -> None:
    """The next run mends it by itself, whatever is damaged; what is in the root is as offered, and not fetched."""
    good_ledger = ledger_of(site).read_bytes()
    seed = int(request.config.option.hypothesis_seed)
    with oracle(site, request) as watch:
        for number in range(amount(request, 8, 200)):
            source = random.Random(seed + number)
            damage = DAMAGES[number % len(DAMAGES)]
            ledger_of(site).write_bytes(damage(good_ledger, source))
            run = watch.sync()
            what = f"{damage.__name__} by seed {seed + number}: {run.out}{run.err}"
            assert run.code == 0, what
            # damage that shows on the way ends one attempt with its totals, and begins another
            assert sum(each["bytes_fetched"] for each in run.of("summary")) < METADATA, what
            checked = watch.slave("verify")  # which reads all of the ledger, where a run with nothing to do does not
            assert checked.code in (0, 11), f"{what}{checked.err}"
            if checked.code:
                run = watch.sync()
                assert [each["code"] for each in run.of("warning")] == ["ledger-damaged"], f"{what}{run.out}"
            watch.look()
            assert watch.believed() == {"image": 1, "tree": 1}, what
            for path in site.state.glob("ledger.damaged-*"):
                path.unlink()


@pytest.mark.parametrize("damage", ["gone", "empty", "garbage"])
def test_I1_P3_an_older_version_is_recognized_and_updated_without_adopt(
    damage: str, site: Site, request: pytest.FixtureRequest
) -> None:
    publish_all(site, 2)
    with oracle(site, request) as watch:
        match damage:
            case "gone":
                ledger_of(site).unlink()
            case "empty":
                os.truncate(ledger_of(site), 0)
            case "garbage":
                ledger_of(site).write_bytes(random.Random(1).randbytes(20_000))
        run = watch.sync()
        assert run.code == 0, run.out
        done = [(event["image"], event["version"], event["result"]) for event in run.of("image")]
        assert sorted(done[:2]) == [("image", 1, "recorded"), ("tree", 1, "recorded")]
        assert sorted(done[2:]) == [("image", 2, "updated"), ("tree", 2, "updated")]
        assert [each["code"] for each in run.of("warning")] == (["ledger-damaged"] if damage == "garbage" else [])
        assert len(aside(site)) == (damage == "garbage")


def test_I1_what_no_version_ever_was_is_not_recognized(site: Site) -> None:
    (site.root / "image").write_bytes(b"the admin's own by now")
    ledger_of(site).unlink()
    run = site.slave("--json", "sync")
    assert run.code == 9
    assert [(error["image"], error["cause"]) for error in run.of("error")] == [("image", "ForeignFile")]
    assert (site.root / "image").read_bytes() == b"the admin's own by now"


def test_H2_I1_a_damaged_ledger_waits_for_the_lock_as_a_sound_one_does(site: Site, request: pytest.FixtureRequest) -> None:
    ledger_of(site).write_bytes(b"garbage" * 5000)
    with oracle(site, request) as watch:
        with open_root(site.root, marker=None) as root, ExitStack() as held:
            held.enter_context(root.lock("the test"))
            assert watch.sync().code == 10
            waiting = watch.start("slave", "--json", "sync", "--lock-timeout", "60")
            while "the test" not in Path(f"/proc/self/fd/{waiting.out.fileno()}").read_text():
                assert waiting.process.poll() is None
            held.close()
        assert waiting.wait().code == 0


def test_I1_C18_with_a_damaged_ledger_too_a_root_that_is_not_mounted_is_not_refilled(site: Site) -> None:
    shutil.move(site.root, site.directory / "unmounted")
    site.root.mkdir()
    before = random.Random(1).randbytes(20_000)
    ledger_of(site).write_bytes(before)
    run = site.slave("--json", "sync")
    assert (run.code, run.one("error")["cause"]) == (9, "RootNotMounted")
    assert list(site.root.iterdir()) == []
    assert ledger_of(site).read_bytes() == before
    site.root.rmdir()
    shutil.move(site.directory / "unmounted", site.root)
    assert site.sync().one("summary")["bytes_fetched"] < METADATA


def test_I1_identity_and_quarantine_outlive_a_damaged_ledger(site: Site) -> None:
    """Page by page: what can still be read of it is believed, if it vouches for itself."""
    with sqlite3.connect(ledger_of(site)) as raw:
        raw.execute("UPDATE held SET number = 77")
    raw.close()
    with closing(sqlite3.connect(Path(site.place.master.removeprefix("sqlite:")))) as catalog:
        catalog.execute("UPDATE nc_state SET identity_hex = ?", ("f" * 32,))
        catalog.commit()
    run = site.slave("--json", "sync")
    assert (run.code, run.one("error")["cause"]) == (8, "ForeignMaster")


def test_I1_other_commands_tell_and_change_nothing(site: Site) -> None:
    ledger_of(site).write_bytes(random.Random(1).randbytes(20_000))
    before = ledger_of(site).read_bytes()
    for words in (["status"], ["list"], ["diff"], ["verify"], ["sync", "--dry-run"]):
        run = site.slave(*words)
        assert run.code == 11, words
        assert "netclnt sync" in run.err
    assert ledger_of(site).read_bytes() == before
    assert aside(site) == []


def test_I1_A11_killed_while_the_ledger_is_replaced(site: Site, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    damaged = random.Random(1).randbytes(20_000)
    ledger_of(site).write_bytes(damaged)
    (site.state / "ledger.sqlite-journal").write_bytes(random.Random(2).randbytes(4096))
    site.save(tmp_path)
    log = tmp_path / "trace"
    site.sync(before=tracing(log, CHANGING))
    chosen = points(read_trace(log), [site.state])
    for name, number in sample(chosen, amount(request, 5, len(chosen)), request):
        site.restore(tmp_path)
        with oracle(site, request) as watch:
            run = watch.slave("sync", before=tracing(log, CHANGING, inject=f"{name}:signal=KILL:when={number}"))
            assert run.code in (0, -signal.SIGKILL), f"{name} {number}: {run.err}"
            done = site.sync()
            assert done.one("summary")["bytes_fetched"] < METADATA, f"{name} {number}"


def test_I3_a_newer_ledger_is_INCOMPAT_and_another_programs_is_STATE(site: Site) -> None:
    kept = ledger_of(site).read_bytes()
    with sqlite3.connect(ledger_of(site)) as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    newer = ledger_of(site).read_bytes()
    run = site.slave("sync")
    assert run.code == 12
    assert "netclnt --version" in run.err
    ledger_of(site).unlink()
    with sqlite3.connect(ledger_of(site)) as raw:
        raw.execute("CREATE TABLE theirs (x)")
    raw.close()
    theirs = ledger_of(site).read_bytes()
    run = site.slave("sync")
    assert run.code == 11
    assert f"mv {ledger_of(site)} " in run.err
    assert ledger_of(site).read_bytes() == theirs
    ledger_of(site).write_bytes(newer)
    assert site.slave("sync").code == 12
    assert ledger_of(site).read_bytes() == newer
    ledger_of(site).write_bytes(kept)
    assert site.sync().one("summary")["sftp_connections"] == 0


def test_I4_L9_killed_in_a_migration(
    site: Site, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger of the first release, while a run brings it up to date."""
    with closing(sqlite3.connect(ledger_of(site))) as new:
        rows = {
            table: new.execute(f"SELECT * FROM {table}").fetchall() for table in ("setting", "held", "fact", "kept", "applied")
        }
    with monkeypatch.context() as patch:
        patch.setattr("netclnt.ledger.database.MIGRATIONS", schema.MIGRATIONS[:1])
        ledger_of(site).unlink()
        Ledger(ledger_of(site)).close()
    with closing(sqlite3.connect(ledger_of(site))) as old:
        for table, values in rows.items():
            columns = len(old.execute(f"PRAGMA table_info({table})").fetchall())
            marks = ", ".join("?" * columns)
            old.executemany(f"INSERT INTO {table} VALUES ({marks})", [row[:columns] for row in values])
        old.commit()
    site.save(tmp_path)
    log = tmp_path / "trace"
    assert site.sync(before=tracing(log, CHANGING)).one("summary")["sftp_connections"] == 0
    calls = read_trace(log)
    first = points(calls, [ledger_of(site)])[:25]
    for name, number in sample(first, amount(request, 5, len(first)), request):
        site.restore(tmp_path)
        with oracle(site, request) as watch:
            run = watch.slave("sync", before=tracing(log, CHANGING, inject=f"{name}:signal=KILL:when={number}"))
            assert run.code in (0, -signal.SIGKILL), f"{name} {number}: {run.err}"
            assert site.sync().one("summary")["sftp_connections"] == 0


HOLD = """
import sqlite3, sys
raw = sqlite3.connect(sys.argv[1], isolation_level=None)
raw.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def admin_holds(path: Path) -> Iterator[int]:
    """Another process has an open transaction on the ledger."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as admin:
        assert admin.stdout is not None
        assert admin.stdout.readline() == "held\n"
        yield admin.pid
        admin.communicate()


def test_I5_H9_P9_a_ledger_that_an_admin_holds_is_STATE_after_a_while_and_says_who(
    site: Site, request: pytest.FixtureRequest
) -> None:
    publish_all(site, 2)
    with oracle(site, request) as watch, admin_holds(ledger_of(site)) as pid:
        started = [watch.start("slave", "--json", *words) for words in (["sync"], ["status"])]
        for run in [each.wait() for each in started]:
            assert (run.code, run.one("error")["cause"]) == (11, "LedgerBusy")
            assert f"pid {pid} (" in run.one("error")["message"]
            assert "--lock-timeout" in run.one("error")["hint"]


def test_H9_a_run_waits_for_an_admin_who_ends_in_time(site: Site, request: pytest.FixtureRequest) -> None:
    publish_all(site, 2)
    with oracle(site, request) as watch:
        with admin_holds(ledger_of(site)):
            started = watch.start("slave", "--json", "sync", "--lock-timeout", "40")
            while not started.out.seek(0) and b'"start"' not in started.out.read():
                assert started.process.poll() is None
        assert started.wait().code == 0


def test_I6_the_state_directory_is_gone_in_mid_run(slow_site: MakeSite, line: Proxy, request: pytest.FixtureRequest) -> None:
    site = slow_site()
    site.publish(site.put("image", random.Random(7).randbytes(4 << 20)))
    with oracle(site, request) as watch:
        line.hold_after(2 << 20)
        started = watch.start("slave", "--json", "sync")
        line.wait_until_held()
        shutil.rmtree(site.state)
        line.release()
        run = started.wait()
        assert run.code == 9, run.out
        assert site.known_hosts is not None


def test_a_run_that_never_ended_has_the_ledger_read_through(site: Site, request: pytest.FixtureRequest) -> None:
    """Damage where nobody looks on the way: found behind an unclean end, and mended."""
    with closing(sqlite3.connect(ledger_of(site))) as raw:
        raw.execute("UPDATE run SET code = NULL WHERE id = (SELECT max(id) FROM run)")
        raw.execute("UPDATE kept SET number = number + 1")
        raw.execute("INSERT INTO quarantine VALUES ('x', ?, 1, 1, '', '', 5)", ("ab" * 32,))
        raw.commit()
    with oracle(site, request) as watch:
        run = watch.sync()
        assert [each["code"] for each in run.of("warning")] == ["ledger-damaged"]
        assert run.one("exit")["code"] == 0
        assert watch.sync().of("warning") == []


def test_H1_a_start_that_is_LOCKED_is_no_run(slow_site: MakeSite, line: Proxy) -> None:
    site = slow_site()
    image = site.put("image", random.Random(4).randbytes(2 << 20))
    site.publish(image)
    line.hold_after(1_000_000)
    process = site.start("slave", "sync")
    try:
        line.wait_until_held()
        assert site.slave("sync").code == 10
        assert good(site.slave("status")).rows[0][7] == "running"
        line.release()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()
    assert good(site.slave("status")).rows[0][7] == "OK"
    with Ledger(ledger_of(site), readonly=True) as ledger:
        assert [run.code for run in ledger.runs()] == [0]
    assert digest(site.root / "image") == digest(image)
