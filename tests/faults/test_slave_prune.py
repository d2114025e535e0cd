"""``prune``: what goes and what stays, killed at any call, and never outside its room."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.amount import amount
from tests.support.oracle import oracle
from tests.support.proxy import Proxy
from tests.support.site import Site, digest, good
from tests.support.trace import NAMES, SYNCS, WRITES, points, read_trace, sample, tracing

pytestmark = pytest.mark.slow

MakeSite = Callable[..., Site]
CHANGING = (*WRITES[1:], *SYNCS, *NAMES)
SIZE = 300_000


def noise(seed: int) -> bytes:
    return random.Random(seed).randbytes(SIZE)


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """Three versions of a file and a tree are kept; in staging lie what is offered no longer, and an orphan."""
    made = make_site(flags=("--keep", "3"))
    tree = made.source / "tree"
    tree.mkdir()
    for turn in range(4):
        (tree / "data").write_bytes(noise(turn + 10))
        made.publish(made.put("image", noise(turn)))
        made.publish(tree)
        made.sync()
    work = made.root / ".netclnt"
    (work / "staging/ab").mkdir()
    (work / "staging/ab/image").write_bytes(noise(30))
    (work / "kept/cd").mkdir()
    (work / "kept/cd/image").write_bytes(noise(31))
    (made.state / "manifests" / ("ef" * 32 + ".manifest")).write_bytes(b"stale")
    (made.state / "scratch").mkdir(exist_ok=True)
    (made.state / "scratch" / ("12" * 32 + ".34.scan")).write_bytes(b"of a directory that is a seed no longer")
    (made.root / "notes.txt").write_text("the admin's own\n")
    return made


def kept(site: Site) -> set[str]:
    return {path.name for path in (site.root / ".netclnt/kept").iterdir()}


def test_P8_prune_removes_what_need_not_be_kept_and_tells_the_bytes(site: Site) -> None:
    before = kept(site)
    with site.nothing_changes():
        planned = good(site.slave("--json", "prune", "--dry-run", "--keep", "1"))
        assert kept(site) == before
        done = good(site.slave("--json", "prune", "--keep", "1"))
        assert [{**each, "time": ""} for each in planned.of("pruned")] == [
            {**each, "time": "", "run_id": planned.events[0]["run_id"]} for each in done.of("pruned")
        ]
        what = [(each["what"], each["image"], each["version"]) for each in done.of("pruned")]
        assert what[:6] == [
            *[("kept", name, number) for name in ("image", "tree") for number in (2, 1)],
            ("kept", "", None),
            ("staging", "", None),
        ]
        assert [each[0] for each in what[6:]] == ["manifest"] * 5 + ["index"]
        assert all(SIZE <= each["bytes"] < 1.2 * SIZE for each in done.of("pruned")[:6])
        assert good(site.slave("prune", "--keep", "1")).out == ""
        assert [row[:2] for row in good(site.slave("show", "image")).rows] == [["4", "held"], ["3", "kept"]]
        assert len(kept(site)) == 2
        assert good(site.slave("verify")).out == ""
    assert site.sync("--keep", "1").one("summary")["sftp_connections"] == 0


def test_what_a_sync_will_go_on_with_stays(slow_site: MakeSite, line: Proxy) -> None:
    site = slow_site()
    image = site.put("image", random.Random(1).randbytes(8 << 20))
    site.publish(image)
    line.hold_after(4 << 20)
    process = site.start("slave", "sync")
    line.wait_until_held()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    process.communicate()
    line.cut()
    line.release()
    assert good(site.slave("prune")).out == ""
    assert site.sync().one("summary")["bytes_fetched"] < 6 << 20
    assert digest(site.root / "image") == digest(image)


def test_H7_prune_beside_a_sync_is_LOCKED_and_a_dry_run_is_not(slow_site: MakeSite, line: Proxy) -> None:
    site = slow_site()
    site.publish(site.put("image", random.Random(1).randbytes(2 << 20)))
    line.hold_after(1_000_000)
    process = site.start("slave", "sync")
    try:
        line.wait_until_held()
        assert site.slave("prune").code == 10
        assert good(site.slave("prune", "--dry-run")).out == ""
        line.release()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def test_A1_A13_P1_P3_P8_killed_at_the_nth_call_of_prune(site: Site, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    site.save(saved)
    log = tmp_path / "trace"
    done = good(site.slave("prune", "--keep", "1", before=tracing(log, CHANGING)))
    assert len(done.rows) > 6
    chosen = points(read_trace(log), [site.root, site.state])
    for name, number in sample(chosen, amount(request, 5, len(chosen)), request):
        site.restore(saved)
        with oracle(site, request) as watch:
            inject = f"{name}:signal=KILL:when={number}"
            run = watch.slave("prune", "--keep", "1", before=tracing(log, CHANGING, inject=inject))
            assert run.code in (0, -signal.SIGKILL), f"{name} {number}: {run.err}"
            assert {row[1] for row in site.slave("show", "image").rows} <= {"held", "kept"}
            good(site.slave("prune", "--keep", "1"))
            assert len(kept(site)) == 2, f"{name} {number}"
            assert good(site.slave("prune", "--keep", "1")).out == "", f"{name} {number}"


@pytest.mark.parametrize("odd", ["manifests/0123.manifest", "scratch/0123.45.scan"])
def test_G2_P9_what_cannot_be_removed_from_the_state_directory_is_told(odd: str, make_site: MakeSite) -> None:
    site = make_site()
    site.publish(site.put("image", noise(1)))
    site.sync()
    (site.state / odd).mkdir(parents=True)
    run = site.slave("--json", "prune")
    assert run.code == 9, run
    assert odd in run.one("error")["message"]
