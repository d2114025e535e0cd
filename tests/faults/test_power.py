"""B. Power: the plug is pulled, and what was promised durable is there when the disk is mounted again."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.amount import amount
from tests.support.images import content
from tests.support.mounts import LAZY, Disk
from tests.support.oracle import Oracle, oracle
from tests.support.site import Site, catalog_place, good, shape
from tests.support.sshd import Sshd
from tests.support.trace import CHANGING, SYNCS, WRITES, Call, points, read_trace, sample, tracing
from tests.support.update import NAMES, make_update

pytestmark = pytest.mark.slow  # dozens of whole runs

MakeSite = Callable[..., Site]

DISKS = [
    pytest.param("ext4", LAZY, id="B4-ext4-ordered"),
    pytest.param("ext4", f"{LAZY},data=writeback", id="B4-ext4-writeback"),
    pytest.param("xfs", "", id="B4-xfs"),
    pytest.param("btrfs", "commit=300", id="B4-btrfs"),
]


@contextmanager
def slave_on(disk: Disk, make_site: MakeSite, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Oracle, Path]]:
    """An oracle on a site whose slave, root and state, lies on the disk, and that disk's content before the update."""
    (disk.place / "root").mkdir()
    site = make_site(root=disk.place / "root", state_directory=disk.place / "state")
    make_update(site, tmp_path / "saved")
    before = tmp_path / "before.img"
    disk.save(before)
    with oracle(site, request) as watch:
        yield watch, before


@pytest.mark.parametrize(("kind", "options"), DISKS)
@pytest.mark.timeout(3600)
def test_B1_B2_P1_P2_P3_P4_power_is_cut_at_any_call_and_right_after_exit_0(
    kind: str, options: str, make_site: MakeSite, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    log = tmp_path / "trace"
    with Disk(kind, tmp_path, options=options) as disk, slave_on(disk, make_site, request, tmp_path) as (watch, before):
        assert watch.sync(before=tracing(log, CHANGING)).code == 0
        is_durable(watch, disk)
        places = points(read_trace(log), [disk.place])
        for name, number in sample(places, amount(request, 1, 50), request):
            disk.restore(before)
            run = watch.sync(before=tracing(log, CHANGING, inject=f"{name}:signal=KILL:when={number}"))
            assert run.code in (0, -signal.SIGKILL), f"{name} {number}: {run.err}"
            disk.cut()
            watch.settle()
        for _ in range(amount(request, 0, 10)):
            disk.restore(before)
            assert watch.sync().code == 0
            is_durable(watch, disk)


def is_durable(watch: Oracle, disk: Disk) -> None:
    """Right after exit 0 the power is cut, and nothing is missing: neither image nor ledger, nor what a verify needs."""
    disk.cut()
    newest = {name: max(watch.site.published[name]) for name in NAMES}
    assert watch.live() == {name: watch.site.published[name][newest[name]] for name in NAMES}
    assert watch.believed() == newest
    assert good(watch.site.slave("verify")).out == ""
    assert watch.settle().one("summary")["images_changed"] == 0


def test_B2_P2_a_first_sync_survives_a_cut(make_site: MakeSite, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Names that are new all the way down: root, state, directories of images."""
    with Disk("ext4", tmp_path, options=LAZY) as disk:
        (disk.place / "root").mkdir()
        site = make_site(root=disk.place / "root", state_directory=disk.place / "state")
        site.publish(site.put("image", b"x" * 5000), "--name", "a/b/image")
        with oracle(site, request) as watch:
            assert watch.sync().code == 0
            disk.cut()
            assert watch.believed() == {"a/b/image": 1}
            assert watch.settle().one("summary")["images_changed"] == 0


@pytest.mark.timeout(3600)
def test_B7_P1_P2_P3_power_is_cut_in_publish_and_right_after(sshd: Sshd, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Master and slave lie on the same disk: what the one has published, the other gets, and the next publish goes on."""
    log = tmp_path / "trace"
    with Disk("ext4", tmp_path, options=LAZY) as disk:
        directory = disk.place / "site"
        directory.mkdir()
        site = Site(directory, sshd, catalog_place("sqlite", request, directory))
        site.init()
        make_update(site, tmp_path / "saved")
        new, before = site.put("image", content("B7", 300_000)), tmp_path / "before.img"
        disk.save(before)
        with oracle(site, request, but=("store", "master-state")) as watch:
            done = watch.run("master", "--json", "publish", new, before=tracing(log, CHANGING))
            assert done.code == 0
            site.published["image"][done.one("image")["version"]] = shape(new)
            disk.cut()
            watch.settle()
            places = points(read_trace(log), [disk.place])
            for name, number in sample(places, amount(request, 2, 50), request):
                disk.restore(before)
                inject = f"{name}:signal=KILL:when={number}"
                run = watch.run("master", "--json", "publish", new, before=tracing(log, CHANGING, inject=inject))
                assert run.code in (0, -signal.SIGKILL), f"{name} {number}: {run.err}"
                disk.cut()
                assert watch.sync().code == 0
                watch.look()
                site.publish(new)
                watch.settle()


class Order:
    """The calls of a run, and where in it some of them are."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls

    def all(self, names: tuple[str, ...], *words: str, until: int | None = None) -> list[int]:
        within = enumerate(self.calls[:until])
        found = [at for at, call in within if call.name in names and all(word in call.text for word in words)]
        assert found, f"no {names} of {words}"
        return found


RENAMES = ("rename", "renameat", "renameat2")


@pytest.mark.parametrize("name", NAMES)
def test_B5_P2_P3_write_then_fsync_then_rename_then_fsync_then_the_ledger(
    name: str, update: tuple[Site, Path], tmp_path: Path
) -> None:
    site, log = update[0], tmp_path / "trace"
    site.sync(name, before=tracing(log, CHANGING))
    order = Order(read_trace(log))
    root = re.escape(f"<{site.root}>")
    shown = next(at for at, call in enumerate(order.calls) if call.name in RENAMES and re.search(rf'{root}, "{name}"', call.text))
    written = order.all(WRITES, "/staging/", "/image", until=shown)[-1]
    durable = order.all((*SYNCS, "syncfs"), "/staging/", until=shown)[-1]
    assert written < durable < shown
    if name == "tree":  # each file that was written, and each directory, has an fsync of its own behind its last write
        for file in ("etc/hostname", "only-in-2"):
            last = order.all(WRITES, f"/image/{file}>", until=shown)[-1]
            assert order.all(SYNCS, f"/image/{file}>", until=shown)[-1] > last
        for directory in ("/image>", "/image/etc>"):
            assert order.all(SYNCS, directory, until=shown)
        assert not [call for call in order.calls if call.name in WRITES and "/image/same>" in call.text]
    directory = next(at for at in order.all(("fsync",), f"<{site.root}>") if at > shown)
    kept = [at for at in order.all(SYNCS, "/.netclnt/kept") if at > shown or name == "image"]
    recorded = order.all(SYNCS, "ledger.sqlite>")[-1]
    committed = order.all(("unlink", "ftruncate"), "ledger.sqlite-journal")[-1]
    assert shown < directory < recorded < committed
    assert kept[0] < committed
