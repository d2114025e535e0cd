"""A sync that is killed, signalled, or meets another one: what it leaves, and that the next run goes on from there."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.images import content
from tests.support.proxy import Proxy
from tests.support.site import TRANSPORTS, Run, Site, checked, digest, entries, good, snapshot
from tests.support.trace import NAMES, SYNCS, WRITES, points, read_trace, sample, tracing

pytestmark = pytest.mark.slow  # dozens of whole runs; the quick tier has the main job

MakeSite = Callable[..., Site]
END_SECONDS = 20
"""Only against hanging: well below the line's own time-out of 30 s."""

SIZE = 24 << 20
IN_FLIGHT = 16 * 261_120
"""Bytes asked for and not yet written that a death may cost."""


@contextmanager
def running(site: Site, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A sync in the background, ended at the latest with the block."""
    process = site.start("slave", "--json", "sync", *words)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> Run:
    out, err = process.communicate(timeout=END_SECONDS)
    return checked(Run(process.returncode, out, err), None)


def test_A2_P4_killed_again_and_again_it_repeats_no_more_than_was_in_flight(
    slow_site: MakeSite, line: Proxy, request: pytest.FixtureRequest
) -> None:
    source = random.Random(int(request.config.option.hypothesis_seed))
    site = slow_site()
    image = site.put("image", random.Random(1).randbytes(SIZE))
    site.publish(image)
    kills = 3
    for _ in range(kills):
        line.hold_after(source.randrange(SIZE // 8, SIZE // 4))
        with running(site) as process:
            line.wait_until_held()
            process.kill()
            assert process.wait() == -signal.SIGKILL
        line.cut()
        line.release()
        assert not (site.root / "image").exists()
    site.sync()
    assert digest(site.root / "image") == digest(image)
    assert line.passed < 1.05 * SIZE + kills * IN_FLIGHT


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_bytes_fetched_is_what_crosses_the_line(transport: str, slow_site: MakeSite, line: Proxy) -> None:
    site = slow_site(transport=transport)
    for data in (content("crosses", 6 << 20), content("crosses", 3 << 20) + content("crosses/2", 200_000)):
        site.publish(site.put("image", data))
        before = line.passed
        fetched = site.sync().one("summary")["bytes_fetched"]
        assert fetched < line.passed - before < fetched * 1.02 + 20_000  # the rest is encryption and the handshake


SIGNALS = [
    pytest.param("paramiko", signal.SIGTERM, 143, id="A4-paramiko"),
    pytest.param("openssh", signal.SIGTERM, 143, id="A4-openssh"),
    pytest.param("paramiko", signal.SIGINT, 130, id="A5"),
    pytest.param("paramiko", signal.SIGHUP, 129, id="A6"),
]


@pytest.mark.parametrize(("transport", "number", "code"), SIGNALS)
def test_a_signal_while_the_line_is_frozen_ends_the_run_and_frees_the_lock(
    transport: str, number: signal.Signals, code: int, slow_site: MakeSite, line: Proxy
) -> None:
    site = slow_site(transport=transport)
    image = site.put("image", random.Random(2).randbytes(SIZE))
    site.publish(image)
    line.hold_after(SIZE // 2)
    with running(site) as process:
        line.wait_until_held()
        process.send_signal(number)
        run = ended(process)
    assert run.code == code
    assert run.events[-1]["type"] == "exit"
    line.cut()
    line.release()
    again = site.sync()
    assert digest(site.root / "image") == digest(image)
    fetched = [each.one("summary")["bytes_fetched"] for each in (run, again)]
    assert fetched[0] > SIZE // 4
    assert sum(fetched) < 1.3 * SIZE


def test_A5_a_second_SIGINT_ends_it_at_once(slow_site: MakeSite, line: Proxy) -> None:
    site = slow_site()
    image = site.put("image", random.Random(3).randbytes(2 << 20))
    site.publish(image)
    line.hold_after(1_000_000)
    with running(site) as process:
        line.wait_until_held()
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=END_SECONDS)
        assert process.returncode in (130, -signal.SIGINT)
    line.release()
    site.sync()
    assert digest(site.root / "image") == digest(image)


def test_H1_H3_a_second_sync_is_LOCKED_and_a_killed_holder_needs_no_unlock(slow_site: MakeSite, line: Proxy) -> None:
    site = slow_site()
    image = site.put("image", random.Random(4).randbytes(2 << 20))
    site.publish(image)
    line.hold_after(1_000_000)
    with running(site) as holder:
        line.wait_until_held()
        assert good(site.slave("status")).rows[0][7] == "running"
        second = site.slave("sync")
        assert second.code == 10
        assert f"pid {holder.pid}" in second.err
        assert (site.slave("-q", "sync").code, site.slave("-q", "sync").err) == (10, "")
        holder.kill()
        holder.wait()
    line.release()
    site.sync()
    assert digest(site.root / "image") == digest(image)


# --- killed at every call that changes the disk


class Update:
    """A slave that holds the first versions of a file and a tree, while the master offers the second ones."""

    def __init__(self, site: Site, tmp_path: Path) -> None:
        self.site = site
        self.saved = tmp_path / "saved"
        self.saved.mkdir()
        tree = site.source / "tree"
        (tree / "etc").mkdir(parents=True)
        data = content("A1", 400_000)
        self.versions = []
        for turn in (1, 2):
            site.put("image", data + content(f"A1/{turn}", 50_000 * turn))
            (tree / "etc/hostname").write_text(f"version {turn}\n")
            (tree / f"only-in-{turn}").write_bytes(content(f"A1/tree/{turn}", 30_000))
            if turn == 2:
                (tree / "only-in-1").unlink()
            site.publish(site.source / "image")
            site.publish(tree)
            self.versions.append((digest(site.source / "image"), entries(tree)))
            if turn == 1:
                site.sync()
                (site.root / "notes.txt").write_text("the admin's own\n")
                site.save(self.saved)
        self.outside = self.look_outside()

    def look_outside(self) -> list[dict[str, tuple[object, ...]]]:
        site = self.site
        return [snapshot(path) for path in (site.source, site.store, site.directory / "home", site.root / "notes.txt")]

    def check(self) -> None:
        """The oracle: whole versions only, and the next run equals the master."""
        root = self.site.root
        assert digest(root / "image") in [image for image, _ in self.versions]
        assert entries(root / "tree") in [tree for _, tree in self.versions]
        self.site.sync()
        assert (digest(root / "image"), entries(root / "tree")) == self.versions[1]
        assert self.look_outside() == self.outside
        with closing(sqlite3.connect(f"file:{self.site.state / 'ledger.sqlite'}?mode=ro", uri=True)) as ledger:
            assert ledger.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.fixture
def update(make_site: MakeSite, tmp_path: Path) -> Update:
    return Update(make_site(), tmp_path)


CHANGING = (*WRITES[1:], *SYNCS, *NAMES)


KILLS = [pytest.param(8, id="8"), pytest.param(40, id="40", marks=pytest.mark.slow)]
"""How many of the points, which are chosen anew in each run."""


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.timeout(600)
def test_A1_killed_at_the_nth_call_that_changes_the_disk(
    kills: int, update: Update, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    site, log = update.site, tmp_path / "trace"
    site.sync(before=tracing(log, CHANGING))
    chosen = points(read_trace(log), [site.root, site.state])
    assert len(chosen) > 20
    for name, number in sample(chosen, kills, request):
        site.restore(update.saved)
        run = site.slave("sync", before=tracing(log, CHANGING, inject=f"{name}:signal=KILL:when={number}"))
        assert run.code in (0, -signal.SIGKILL), f"{name} {number}: {run.err}"
        update.check()


def test_B5_write_then_fsync_then_rename_then_fsync_then_the_ledger(update: Update, tmp_path: Path) -> None:
    site, log = update.site, tmp_path / "trace"
    site.sync("image", before=tracing(log, CHANGING))
    calls = read_trace(log)

    def last(names: tuple[str, ...], *words: str) -> int:
        found = [at for at, call in enumerate(calls) if call.name in names and all(word in call.text for word in words)]
        assert found, f"no {names} of {words}"
        return found[-1]

    shown = last(("rename", "renameat", "renameat2"), "/root>", '"image"')
    first = next(at for at, call in enumerate(calls) if call.name.startswith("rename") and '"image"' in call.text)
    written = max(at for at, call in enumerate(calls[:shown]) if call.name in WRITES and "/staging/" in call.text)
    durable = max(
        at for at, call in enumerate(calls[:first]) if call.name in SYNCS and "/staging/" in call.text and "/image>" in call.text
    )
    assert written < durable < shown
    directory = next(
        at for at, call in enumerate(calls) if at > shown and call.name in SYNCS and call.text.split(">")[0].endswith("/root")
    )
    recorded = last(("fsync", "fdatasync"), "ledger.sqlite>")
    committed = last(("unlink", "ftruncate"), "ledger.sqlite-journal")
    assert shown < directory < recorded < committed
