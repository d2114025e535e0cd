"""C. Disk: one that is full, fails, lies, is slow, is mounted elsewhere, or lacks what others have."""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.amount import amount
from tests.support.images import content
from tests.support.mounts import mounted
from tests.support.oracle import oracle
from tests.support.site import Site, entries, good
from tests.support.trace import CHANGING, NAMES, SYNCS, WRITES, points, read_trace, sample, tracing
from tests.support.update import make_update

pytestmark = pytest.mark.slow  # dozens of whole runs

MakeSite = Callable[..., Site]
Update = tuple[Site, Path]
MEGABYTE = 1 << 20

OPENING = ("openat", "openat2", "mkdirat", "mkdir", "newfstatat")
FAILURES = [
    pytest.param("ENOSPC", (*WRITES, *NAMES, *OPENING[:4]), "", 3, id="C2"),
    pytest.param("EDQUOT", (*WRITES, *NAMES, *OPENING[:4]), "", 2, id="C6"),
    pytest.param("EIO", (*WRITES, "pread64", "preadv", "read"), "", 2, id="C8"),
    pytest.param("EIO", (*SYNCS, "syncfs"), "", 2, id="C9"),
    pytest.param("EROFS", CHANGING, "+", 1, id="C12"),
    pytest.param("EACCES", (*OPENING, *NAMES), "", 2, id="C13"),
    pytest.param("EMFILE", OPENING[:2], "", 1, id="C15-EMFILE"),
    pytest.param("EFBIG", WRITES, "", 1, id="C15-EFBIG"),
]
"""error, calls, ``+`` if all later calls fail, too, and how many points the usual run tries."""

ENDINGS = (0, 2, 3, 5, 7, 9, 11)
"""How a run on a failing disk may end: as if nothing had been (a second attempt, an optional call), or in one of these; never as
a bug. TEMP where the catalog's or the line's own files failed; INTEGRITY where what was read was not what had been written."""


@pytest.mark.parametrize(("error", "calls", "on", "usual"), FAILURES)
@pytest.mark.timeout(3600)
def test_P1_P3_P8_P9_the_nth_call_fails(
    error: str,
    calls: Sequence[str],
    on: str,
    usual: int,
    update: Update,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    site, saved = update
    log = tmp_path / "trace"
    with oracle(site, request) as watch:
        assert watch.sync(before=tracing(log, calls)).code == 0
        places = points(read_trace(log), [site.root, site.state], only=True)
        for name, number in sample(places, amount(request, usual, 150), request):
            site.restore(saved)
            run = watch.sync(before=tracing(log, calls, inject=f"{name}:error={error}:when={number}{on}"))
            assert run.code in ENDINGS, f"{name} {number}: {run}"
            watch.settle()


@contextmanager
def full(directory: Path) -> Iterator[None]:
    """Within, not one byte more fits onto the file system."""
    path = directory / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue
    yield
    path.unlink()


def test_C3_P3_P9_the_state_directory_is_full(make_site: MakeSite, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with mounted("tmpfs", tmp_path, megabytes=4) as state:
        site = make_site(state_directory=state / "state")
        make_update(site, tmp_path / "saved")
        with oracle(site, request) as watch:
            with full(state):
                run = watch.sync()
                assert run.code == 9, run
                assert run.of("error")[-1]["code"] == "STORAGE"
                for words in (("status",), ("list",), ("diff", "--exit-zero")):
                    assert watch.slave(*words).code in (0, 9)
            watch.look()


def test_C4_P9_the_log_is_full_and_the_sync_goes_on(update: Update, request: pytest.FixtureRequest) -> None:
    site, saved = update
    with oracle(site, request) as watch, Path("/dev/full").open("wb") as nowhere:
        assert watch.slave("-v", "sync", "--progress", "always", stderr=nowhere).code == 0
        assert watch.settle().one("summary")["images_changed"] == 0
        site.restore(saved)
        told = watch.sync(stdout=nowhere)
        assert told.code == 9
        assert "No space left" in told.err
        assert watch.settle().one("summary")["images_changed"] == 0


def test_C5_P3_P9_no_inodes(make_site: MakeSite, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with mounted("tmpfs", tmp_path, megabytes=24, options="nr_inodes=60") as root:
        site = make_site(root=root)
        tree = site.source / "many"
        tree.mkdir()
        for number in range(100):
            (tree / f"{number:03}").write_bytes(content(f"C5/{number}", 9000))
        site.publish(site.put("image", content("C5", 200_000)))
        site.publish(tree)
        with oracle(site, request) as watch:
            run = watch.sync()
            assert run.code == 3, run
            (failed,) = run.of("error")
            assert (failed["code"], failed["image"]) == ("STORAGE", "many")
            assert "inodes" in failed["message"]
            assert run.one("summary")["bytes_fetched"] < 500_000
            watch.look()
            subprocess.run(["mount", "-o", "remount,nr_inodes=1000", root], check=True)


# --- C10: a disk that lies


def test_C10_P1_P3_the_roots_disk_forgets_what_it_had_taken(
    update: Update, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It said that all was durable, and after a power cut it has an older state than the ledger, on another disk."""
    site, saved = update
    with oracle(site, request, lies=True) as watch:
        assert watch.sync().code == 0
        subprocess.run(["cp", "-a", "--", site.state, tmp_path / "newer"], check=True)
        site.restore(saved)
        subprocess.run(["rm", "-r", "--", site.state], check=True)
        subprocess.run(["cp", "-a", "--", tmp_path / "newer", site.state], check=True)
        assert watch.believed() == {}


def test_C10_P5_writes_that_were_taken_and_lost(update: Update, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The kernel says that one byte was written, and wrote nothing."""
    site, saved = update
    log = tmp_path / "trace"
    calls = ("pwrite64", "pwritev")
    with oracle(site, request) as watch:
        assert watch.sync(before=tracing(log, calls)).code == 0
        places = points(read_trace(log), [site.root / ".netclnt/staging"], only=True)
        for name, number in sample(places, amount(request, 3, 40), request):
            site.restore(saved)
            run = watch.sync("image", before=tracing(log, calls, inject=f"{name}:retval=1:when={number}"))
            assert run.code in (0, 7, 9, 11), run
            watch.settle()


# --- C12, C14–C18: what an admin or the system did to it


def test_C12_C16_P1_P9_a_disk_that_is_slow_and_then_read_only(
    make_site: MakeSite, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with mounted("ext4", tmp_path, megabytes=64) as root:
        site, log = make_site(root=root), tmp_path / "trace"
        make_update(site, tmp_path / "saved")
        slow = "fsync,fdatasync,pwritev,renameat2,rename:delay_enter=100000"
        calls = ("fsync", "fdatasync", "pwritev", "renameat2", "rename")
        with oracle(site, request) as watch:
            run = watch.start("slave", "--json", "sync", before=tracing(log, calls, inject=slow))
            while not list((root / ".netclnt/staging").glob("*/image")):
                assert run.process.returncode is None
            done = subprocess.run(["mount", "-o", "remount,ro", root], check=False, capture_output=True)
            ended = run.wait()
            if done.returncode == 0:  # else a file was open for writing just then, and the kernel refused
                assert ended.code in (3, 9), ended
            watch.look()
            subprocess.run(["mount", "-o", "remount,rw", root], check=True)
            assert watch.sync(before=tracing(log, calls, inject=slow)).code == 0
            assert watch.settle().one("summary")["images_changed"] == 0


_GET_FLAGS, _SET_FLAGS, _IMMUTABLE = 0x80086601, 0x40086602, 0x10
"""``ioctl_iflags(2)``: a descriptor still leads to what has moved, as no path does."""


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    """Within, this file or directory is immutable, wherever it lies by the end."""
    opened = os.open(path, os.O_RDONLY)
    try:
        (before,) = struct.unpack("l", fcntl.ioctl(opened, _GET_FLAGS, bytes(8)))
        fcntl.ioctl(opened, _SET_FLAGS, struct.pack("l", before | _IMMUTABLE))
        try:
            yield
        finally:
            fcntl.ioctl(opened, _SET_FLAGS, struct.pack("l", before))
    finally:
        os.close(opened)


STOPPED = {
    "image": (3,),
    "tree": (3,),
    "tree/etc/hostname": (0, 3),
    "tree/same": (0, 3),
    ".": (9,),
    ".netclnt/staging": (3, 9),
    ".netclnt/kept": (3, 9),
}
"""How a run may end when this is immutable."""


def test_C14_P1_P3_P9_an_immutable_file_or_directory(make_site: MakeSite, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with mounted("ext4", tmp_path, megabytes=64) as disk:
        (disk / "root").mkdir()
        site = make_site(root=disk / "root")
        saved = make_update(site, tmp_path / "saved")
        with oracle(site, request) as watch:
            for target, codes in STOPPED.items():
                site.restore(saved)
                with immutable(site.root / target):
                    run = watch.sync()
                    assert run.code in codes, f"{target}: {run}"
                    watch.look()
                    if target in ("image", "tree"):  # the other one was brought
                        assert [event["image"] for event in run.of("error")] == [target]
                        assert [event["image"] for event in run.of("image") if event["result"] == "updated"]
                watch.settle()


@pytest.mark.parametrize(
    "limit", ["--fsize=100000", "--fsize=5000", "--nofile=24", "--nofile=32", "--nofile=12"], ids=lambda limit: f"C15{limit}"
)
def test_P1_P3_P9_limits_of_files(limit: str, update: Update, request: pytest.FixtureRequest) -> None:
    site, _ = update
    with oracle(site, request) as watch:
        run = watch.sync(before=["prlimit", limit], starved=limit == "--nofile=12")
        assert run.code in (0, 3, 5, 9, 11) or limit == "--nofile=12", run
        watch.look()


def test_C17_P8_P9_staging_on_another_file_system_is_refused_at_start(
    update: Update, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    site, _ = update
    with mounted("tmpfs", tmp_path, megabytes=4) as other, oracle(site, request) as watch:
        subprocess.run(["mount", "--bind", other, site.root / ".netclnt"], check=True)
        try:
            run = watch.sync()
            assert run.code == 9, run
            assert not run.of("image")
            assert list(other.iterdir()) == []
        finally:
            subprocess.run(["umount", site.root / ".netclnt"], check=True)


def test_C18_P8_P11_the_roots_disk_goes_away_and_comes_back(
    make_site: MakeSite, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with mounted("tmpfs", tmp_path, megabytes=24) as root:
        site = make_site(root=root)
        make_update(site, tmp_path / "saved")
        with oracle(site, request) as watch:
            away = tmp_path / "away"
            away.mkdir()
            subprocess.run(["mount", "--move", root, away], check=True)
            try:
                for words in (("sync",), ("verify",), ("sync", "--dry-run")):
                    run = watch.slave(*words)
                    assert run.code == 9, run
                    assert "not mounted" in run.err
                assert list(root.iterdir()) == []
            finally:
                subprocess.run(["mount", "--move", away, root], check=True)


# --- C20–C22, C27: others who hold, change or read what is live


CHANGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: os.truncate(path, 1000),
    "longer": lambda path: os.truncate(path, path.stat().st_size + 1),
    "replaced": lambda path: (path.unlink(), path.write_bytes(b"something else")),
    "only touched": lambda path: path.touch(),
    "removed": lambda path: path.unlink(),
    "emptied": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("change", CHANGES)
def test_C20_P1_P5_a_live_image_is_changed(change: str, update: Update, request: pytest.FixtureRequest) -> None:
    site, _ = update
    with oracle(site, request, kept=False) as watch:
        watch.settle()
        CHANGES[change](site.root / "image")
        CHANGES[change](site.root / "tree/same")
        done = good(site.slave("--json", "sync"))
        if change == "only touched":
            assert done.one("summary")["images_changed"] == 0
            assert done.one("summary")["bytes_fetched"] < 20_000


def test_C21_P8_hard_links_to_live_images_are_left_alone(update: Update, request: pytest.FixtureRequest) -> None:
    """A file that stays as it is has one more name while its tree is built anew: the admin's name for it is none of that."""
    site, _ = update
    for name in ("image", "tree/same", "tree/etc/hostname"):
        (site.root / f"link-to-{Path(name).name}").hardlink_to(site.root / name)
    with oracle(site, request, kept=False) as watch:
        assert watch.sync().code == 0
        watch.look()
        for name in ("same", "hostname", "image"):  # written to by way of its other name: noticed like any change
            with (site.root / f"link-to-{name}").open("ab") as file:
                file.write(b"by the admin")
        watch.begin()
        assert watch.sync().code == 0


def version_of(data: bytes) -> int:
    return int(data[:8])


@pytest.mark.timeout(3600)
def test_C22_C27_P1_readers_see_whole_versions_while_they_come_and_go(
    make_site: MakeSite, request: pytest.FixtureRequest
) -> None:
    """One reader opens the image by its name and hashes it; another opens the tree, and reads two files in it; a third one holds
    the first version open all the time."""
    site = make_site()
    tree = site.source / "tree"
    (tree / "etc").mkdir(parents=True)
    published: set[str] = set()

    def publish(turn: int) -> None:
        data = b"%08d" % turn + content(f"C22/{turn // 2}", 300_000)
        published.add(hashlib.sha256(data).hexdigest())
        site.publish(site.put("image", data))
        for name in ("a", "etc/b"):
            (tree / name).write_bytes(b"%08d" % turn + content(f"C27/{name}", 20_000))
        site.publish(tree)

    publish(0)
    site.sync()
    stop = threading.Event()
    seen: set[str] = set()
    halves: list[tuple[int, int]] = []

    def hash_image() -> None:
        while not stop.wait(0.002):
            with (site.root / "image").open("rb") as file:
                seen.add(hashlib.file_digest(file, "sha256").hexdigest())

    def read_tree() -> None:
        while not stop.wait(0.002):
            opened = os.open(site.root / "tree", os.O_RDONLY | os.O_DIRECTORY)
            try:
                found = []
                for name in ("a", "etc/b"):
                    with open(name, "rb", opener=lambda path, flags, at=opened: os.open(path, flags, dir_fd=at)) as file:
                        found.append(version_of(file.read()))
                halves.append((found[0], found[1]))
            except FileNotFoundError:
                continue  # the tree that it holds open was the old one, and is being removed: it has lost, not mixed, a file
            finally:
                os.close(opened)

    readers = [threading.Thread(target=target) for target in (hash_image, read_tree)]
    turns = amount(request, 3, 50)
    for reader in readers:
        reader.start()
    try:
        with (site.root / "image").open("rb") as opened:
            first = hashlib.file_digest(opened, "sha256").hexdigest()
            for turn in range(1, turns + 1):
                publish(turn)
                site.sync()
            opened.seek(0)
            assert hashlib.file_digest(opened, "sha256").hexdigest() == first
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    request.node.user_properties.append(("runs", turns))
    assert seen <= published
    assert len(seen) > 1
    assert all(a == b for a, b in halves), f"half old and half new: {[pair for pair in halves if pair[0] != pair[1]][:3]}"
    assert len({a for a, _ in halves}) > 1


# --- C24–C26: kernels, sizes, umasks


@pytest.mark.parametrize("kind", ["ext4", "xfs", "tmpfs"])
@pytest.mark.timeout(3600)
def test_C24_P1_P9_no_copy_file_range_no_holes(
    kind: str, make_site: MakeSite, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with mounted(kind, tmp_path, megabytes=320 if kind == "xfs" else 64) as disk:
        (disk / "root").mkdir()
        site, log = make_site(root=disk / "root"), tmp_path / "trace"
        saved = make_update(site, tmp_path / "saved")
        calls = ("copy_file_range", "fallocate")
        with oracle(site, request) as watch:
            for error in ("EOPNOTSUPP", "EXDEV", "ENOSYS", "EINVAL")[: amount(request, 1, 4)]:
                site.restore(saved)
                run = watch.sync(before=tracing(log, calls, inject=f"{','.join(calls)}:error={error}"))
                assert run.code == 0, f"{error}: {run}"
                assert run.one("summary")["bytes_reused"] > 400_000


def test_C26_P8_the_umask_decides_no_mode(make_site: MakeSite, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    site = make_site()
    make_update(site, tmp_path / "saved")
    (site.root / "image").chmod(0o640)
    os.chown(site.root / "image", 12, 34)
    (site.root / "tree").chmod(0o750)
    site.publish(site.put("fresh", b"fresh"))
    before = tmp_path / "before"
    before.mkdir()
    site.save(before)
    with oracle(site, request) as watch:
        for umask in ("000", "077", "027")[: amount(request, 2, 3)]:
            site.restore(before)
            run = watch.sync(before=["sh", "-c", f'umask {umask}; exec "$@"', "sh"])
            assert run.code == 0, run
            found = (site.root / "image").stat()
            assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (0o640, 12, 34)
            assert (site.root / "tree").stat().st_mode & 0o777 == 0o750
            assert (site.root / "fresh").stat().st_mode & 0o777 == 0o644
            assert entries(site.root / "tree/etc") == entries(site.source / "tree/etc")
            assert (site.root / ".netclnt").stat().st_mode & 0o777 == 0o700
