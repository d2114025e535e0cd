"""The master's commands as an admin runs them: killed, cut off from power, all at once, and after its catalog was lost."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netclnt.catalog import schema
from tests.support.amount import amount
from tests.support.images import content
from tests.support.mounts import LAZY, Disk
from tests.support.proxy import Proxy
from tests.support.site import Site, catalog_place, digest, good
from tests.support.sshd import Sshd
from tests.support.trace import CHANGING, points, read_trace, sample, tracing

pytestmark = pytest.mark.slow  # dozens of whole runs

MakeSite = Callable[..., Site]


def packs(site: Site) -> dict[Path, int]:
    return {path: path.stat().st_size for path in (site.store / "packs").rglob("*.pack")}


def healthy(site: Site) -> None:
    assert good(site.master("verify", "--store")).out == ""


def publish(site: Site, name: str, data: bytes) -> dict[str, object]:
    return site.publish(site.put(name, data))


# --- the commands


def some(request: pytest.FixtureRequest, usual: int, *catalogs: str) -> list[str]:
    """So many of the catalogs, by the seed of the test run; all of them if it is thorough."""
    seed = int(request.config.option.hypothesis_seed)
    return random.Random(seed).sample(catalogs, amount(request, usual, len(catalogs)))


@pytest.mark.timeout(600)
def test_a_version_is_called_back_brought_back_and_dropped(make_site: MakeSite, request: pytest.FixtureRequest) -> None:
    for catalog in some(request, 1, "sqlite", "store", "postgresql", "mariadb"):
        call_back(make_site(catalog, name=catalog))


def call_back(site: Site) -> None:
    for turn in (1, 2, 3):
        publish(site, "image", content(f"turn/{turn}", 300_000))
    site.sync()
    assert good(site.master("retire", "image@3")).out == "stable\t2\n"
    assert good(site.master("--json", "retire", "image@3")).one("image")["result"] == "unchanged"
    site.sync()
    assert (site.root / "image").read_bytes() == content("turn/2", 300_000)
    assert good(site.master("promote", "image@1")).out == "image@1\n"
    assert good(site.master("--json", "promote", "image@1")).one("image")["result"] == "unchanged"
    good(site.master("promote", "image@3", "--channel", "canary"))
    site.sync()
    assert (site.root / "image").read_bytes() == content("turn/1", 300_000)
    assert site.sync().one("summary")["images_changed"] == 0

    for words in (
        ["promote", "image@9"],
        ["promote", "image"],
        ["promote", "image@x"],
        ["retire", "other"],
        ["retire", "image@0"],
    ):
        assert site.master(*words).code == 2, words
    assert site.master("retire", "../x").code == 8

    before = packs(site)
    dry = good(site.master("gc", "--dry-run", "--keep-versions", "0", "--grace-days", "0"))
    assert packs(site) == before
    done = good(site.master("--json", "gc", "--keep-versions", "0", "--grace-days", "0")).one("gc")
    assert done["versions"] == ["image@2"]
    assert dry.rows[0] == [str(done[key]) for key in list(done) if key not in ("type", "time", "run_id", "dry_run", "versions")]
    assert [row[:2] for row in good(site.master("show", "image")).rows] == [["3", "older"], ["2", "dropped"], ["1", "current"]]
    assert site.master("promote", "image@2").code == 2
    healthy(site)
    site.sync()
    assert good(site.master("retire", "image")).rows == [["canary", ""], ["stable", ""]]
    assert good(site.master("list")).out == ""


def test_a_damaged_pack_is_exit_7_and_publishing_again_heals_it(make_site: MakeSite) -> None:
    site = make_site()
    data = content("heal", 2 << 20)
    publish(site, "image", data)
    path = max(packs(site), key=lambda each: packs(site)[each])
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"damage")
    found = site.master("verify", "--store")
    assert found.code == 7
    assert found.rows[0][:3] == ["image", "1", str(path.relative_to(site.store))]
    assert site.slave("sync").code == 7
    assert site.publish(site.source / "image")["result"] == "unchanged"
    healthy(site)
    site.sync()
    assert digest(site.root / "image") == digest(site.source / "image")
    assert site.master("verify", "--store", "--subset", "1/0").code == 2
    assert good(site.master("verify", "--store", "--subset", "2/3")).out == ""
    told = site.master("--json", "verify", "--store", "--subset", "5%").one("subset")["subset"]
    assert told.startswith("5%:")
    assert site.master("--json", "verify", "--store", "--subset", told).one("subset")["subset"] == told


# --- the catalog is lost


def lose(site: Site) -> None:
    """The catalog is gone: its file, or all its tables."""
    if site.place.database is None:
        (site.directory / "catalog.sqlite").unlink()
        return
    for table in schema.TABLES:
        site.place.database.admin(f"DROP TABLE {table.name}")


@pytest.mark.timeout(600)
def test_E20_P11_a_lost_catalog_is_made_anew_and_slaves_go_on(make_site: MakeSite, request: pytest.FixtureRequest) -> None:
    for catalog in some(request, 2, "sqlite", "store", "sqlite-odbc", "postgresql", "mariadb"):
        go_on(make_site(catalog, name=catalog))


def go_on(site: Site) -> None:
    for turn in (1, 2):
        publish(site, "image", content(f"E20/{turn}", 300_000))
    site.sync()
    before = good(site.master("--json", "show", "image")).of("version")
    identity = good(site.master("--json", "init", "master")).one("init")["identity"]
    lose(site)
    assert site.master("publish", site.source / "image").code in (5, 12)
    refused = site.master("init", "master")
    assert refused.code == 12
    assert "netclnt init master --recover" in refused.err
    assert good(site.master("--json", "init", "master", "--recover")).one("init")["identity"] == identity
    after = good(site.master("--json", "show", "image")).of("version")
    assert [each | {"time": "", "run_id": ""} for each in after] == [each | {"time": "", "run_id": ""} for each in before]
    assert site.sync().one("summary")["images_changed"] == 0
    assert publish(site, "image", content("E20/3", 300_000))["version"] == 4
    site.sync()
    assert digest(site.root / "image") == digest(site.source / "image")
    healthy(site)


@pytest.mark.parametrize("catalog", ["sqlite", "store"])
def test_E20_a_catalog_from_a_backup_is_refused_and_mended(catalog: str, make_site: MakeSite) -> None:
    site = make_site(catalog)
    publish(site, "image", content("backup/1", 300_000))
    backup = (site.directory / "catalog.sqlite").read_bytes()
    publish(site, "image", content("backup/2", 300_000))
    publish(site, "other", content("backup/3", 300_000))
    site.sync()
    (site.directory / "catalog.sqlite").write_bytes(backup)
    for words in (["publish", site.source / "image"], ["gc"], ["retire", "image@1"]):
        refused = site.master(*words)
        assert refused.code == 12
        assert "netclnt init master --recover" in refused.err
    good(site.master("init", "master", "--recover"))
    assert [row[:3] for row in good(site.master("list")).rows] == [["image", "image", "2"], ["other", "image", "1"]]
    assert site.sync().one("summary")["images_changed"] == 0
    healthy(site)


# --- death


def parts(turn: int) -> list[bytes]:
    return [content(f"A16/{turn}/{number}", 250_000) for number in range(4)]


def with_waste(site: Site) -> None:
    """Versions to drop, a pack to put together, and the rest of an interrupted publish."""
    publish(site, "image", b"".join(parts(1)))
    publish(site, "other", parts(1)[2])
    publish(site, "image", b"".join(parts(2)))
    big = site.put("big", random.Random(5).randbytes(300_000))
    log = site.directory / "trace"
    killed = site.master("publish", big, before=tracing(log, CHANGING, inject="fsync:signal=KILL:when=1"))
    assert killed.code == -signal.SIGKILL
    site.sync()


GC = ("gc", "--keep-versions", "1", "--grace-days", "0")


@pytest.mark.timeout(3600)
def test_A13_A16_gc_is_killed_at_the_nth_call(make_site: MakeSite, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    site, log = make_site("store"), tmp_path / "trace"
    with_waste(site)
    saved = tmp_path / "master"
    names = ("store", "master-state", "catalog.sqlite")

    def copy(source: Path, target: Path) -> None:
        for name in names:
            subprocess.run(["rm", "-rf", target / name], check=True)
            subprocess.run(["cp", "-a", source / name, target / name], check=True)

    saved.mkdir()
    copy(site.directory, saved)
    good(site.master(*GC, before=tracing(log, CHANGING)))
    chosen = points(read_trace(log), [site.directory / name for name in names])
    assert len(chosen) > 30
    killed = 0
    for name, number in sample(chosen, amount(request, 2, 60), request):
        copy(saved, site.directory)
        run = site.master(*GC, before=tracing(log, CHANGING, inject=f"{name}:signal=KILL:when={number}"))
        assert run.code in (0, -signal.SIGKILL), f"{name} {number}: {run.err}"
        killed += run.code != 0
        assert site.slave("sync").code == 0
        for _ in range(2):
            good(site.master(*GC))
        healthy(site)
        rest = sum(packs(site).values())
        assert rest < 2_000_000, f"{name} {number}: {rest} bytes left"
        site.sync()
        for image in ("image", "other"):
            assert digest(site.root / image) == digest(site.source / image)
    assert killed
    request.node.user_properties.append(("runs", killed))


def test_A17_gc_publish_and_a_slow_sync_at_once(slow_site: MakeSite, line: Proxy) -> None:
    site = slow_site()
    old = random.Random(1).randbytes(6 << 20)
    publish(site, "image", old)
    publish(site, "other", old[: 1 << 20])
    line.hold_after(2 << 20)
    process = site.start("slave", "--json", "sync", "--timeout", "120")
    try:
        line.wait_until_held()
        publish(site, "image", random.Random(2).randbytes(3 << 20))
        for _ in range(2):  # what it is told of goes under its hands: the trash is emptied at once
            good(site.master("gc", "--keep-versions", "1", "--grace-days", "0"))
        line.release()
        out, err = process.communicate(timeout=100)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode in (0, 3, 5), out + err
    site.sync()
    for image in ("image", "other"):
        assert digest(site.root / image) == digest(site.source / image)
    healthy(site)


def test_A17_within_the_grace_time_a_slow_sync_does_not_notice(slow_site: MakeSite, line: Proxy) -> None:
    site = slow_site()
    shared = random.Random(3).randbytes(2 << 20)
    publish(site, "big", random.Random(4).randbytes(5 << 20) + shared)
    publish(site, "image", shared)
    publish(site, "big", b"small now")
    good(site.master("gc", "--keep-versions", "0", "--grace-days", "0"))
    line.hold_after(500_000)
    process = site.start("slave", "--json", "sync", "--timeout", "120")
    try:
        line.wait_until_held()
        good(site.master("gc", "--keep-versions", "0"))
        line.release()
        out, err = process.communicate(timeout=100)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 0, out + err
    assert digest(site.root / "image") == digest(site.source / "image")


# --- power


@pytest.fixture
def on_disk(request: pytest.FixtureRequest, sshd: Sshd, tmp_path: Path) -> Iterator[tuple[Site, Disk]]:
    """A site all of which lies on a disk whose power can be cut."""
    with Disk("ext4", tmp_path, options=LAZY) as disk:
        directory = disk.place / "site"
        directory.mkdir()
        site = Site(directory, sshd, catalog_place("store", request, directory))
        site.init()
        yield site, disk


@pytest.mark.timeout(3600)
def test_B7_power_is_cut_at_any_call_of_a_publish(
    on_disk: tuple[Site, Disk], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    site, disk = on_disk
    log, before = tmp_path / "trace", tmp_path / "before.img"
    image = site.put("image", content("B7/1", 1 << 20))
    site.publish(image)
    site.sync()
    first = digest(image)
    site.put("image", content("B7/1", 600_000) + content("B7/2", 600_000))
    second = digest(image)
    subprocess.run(["sync", "-f", site.directory], check=True)
    disk.save(before)
    good(site.master("publish", image, before=tracing(log, CHANGING)))
    disk.cut()
    assert good(site.master("list")).rows[0][2] == "2"  # exit 0 survives
    healthy(site)
    killed = 0
    for name, number in sample(points(read_trace(log), [disk.place]), amount(request, 2, 50), request):
        disk.restore(before)
        run = site.master("publish", image, before=tracing(log, CHANGING, inject=f"{name}:signal=KILL:when={number}"))
        assert run.code in (0, -signal.SIGKILL), f"{name} {number}: {run.err}"
        killed += run.code != 0
        disk.cut()
        site.sync()
        assert digest(site.root / "image") in (first, second)
        good(site.master("publish", image))
        healthy(site)
        site.sync()
        assert digest(site.root / "image") == second
    assert killed
    request.node.user_properties.append(("runs", killed))
