"""A root when the machine dies, the disk fails, or the kernel lacks something."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netclnt.errors import ForbiddenValue, ForeignFile, Locked, StorageFailed
from netclnt.files import sealing, staging, syscalls
from netclnt.files.root import DirectoryRoot, open_root
from netclnt.files.workarea import Ownership
from netclnt.model import Entry, EntryType
from tests.contract.test_root import NEW, OLD, content, everything, file, put, shape


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def root(place: Path) -> Iterator[DirectoryRoot]:
    with open_root(place, marker=None) as root:
        yield root


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


# --- A: death


class Killed(BaseException):
    """Ends work at one call, as SIGKILL would: nothing but closing of descriptors happens behind it."""


CALLS = ("rename", "link", "mkdir", "unlink", "rmdir", "fsync")


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """After ``kill_at(n)``, Killed is raised right behind the n-th call that changes or syncs names; never for 0."""
    left = 0

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            nonlocal left
            result = real(*arguments, **named)
            left -= 1
            if left == 0:
                raise Killed
            return result

        return call

    def set_left(number: int) -> None:
        nonlocal left
        left = number

    for name in CALLS:
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    monkeypatch.setattr("netclnt.files.showing.renameat2", counted(syscalls.renameat2))
    return set_left


CASES = {
    "file": (b"old", b"new"),
    "tree": (OLD, NEW),
    "file to tree": (b"old", NEW),
    "tree to file": (OLD, b"new"),
    "new": (None, NEW),
}


@pytest.mark.parametrize("keep", [None, "0f"])
@pytest.mark.parametrize("case", CASES)
def test_A1_killed_at_each_step_of_showing(place: Path, kill_at, case: str, keep: str | None) -> None:
    """What is live is the old version or the new one, whole; and the next run ends with the new one."""
    old, new = CASES[case]
    for number in range(1, 100):
        name = f"images/{number}"
        with open_root(place, marker=None) as root:
            if old is not None:
                put(root, name, old)
            kill_at(number)
            try:
                put(root, name, new, keep=keep)
            except Killed:
                died = True
            else:
                died = False
            kill_at(0)
        with open_root(place, marker=None) as root:
            live = [] if root.type(name) == "absent" else list(root.tree(name))
            wanted = shape(new)[0]
            if live != wanted:
                assert live == ([] if old is None else shape(old)[0])
                put(root, name, new, keep=keep)
                assert list(root.tree(name)) == wanted
            for token in root.staged():  # as a sync's clean-up does
                root.discard(token)
            for token in root.kept():
                if old is not None and live != wanted:
                    path = "" if old == b"old" else "a"
                    assert everything(root.open_kept(token, path)) == (b"old" if old == b"old" else b"old a")
                root.drop(token)
            assert (root.staged(), root.kept()) == ([], [])
        if not died:
            assert number > 5
            return
    pytest.fail("it never ran through")


def test_A1_an_old_tree_left_in_staging_is_never_written_to(root: DirectoryRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, "t", OLD)
    opened = root.open("t", "a")
    real = syscalls.renameat2

    def exchange_and_die(*arguments: object) -> None:
        real(*arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("netclnt.files.showing.renameat2", exchange_and_die)
        with pytest.raises(Killed):
            put(root, "t", NEW)
    stage = root.stage("a1")
    assert not any(stage.prepare(shape(OLD)[0]))
    stage.write(1, 0, [b"XXXXX"])
    stage.close()
    assert everything(opened) == b"old a"


@pytest.mark.parametrize("tree", [False, True])
def test_C21_other_names_of_an_image_are_left_alone(root: DirectoryRoot, place: Path, tree: bool) -> None:
    put(root, "x", OLD if tree else b"old")
    (place / "mine").hardlink_to(place / "x" / "a" if tree else place / "x")
    before = (place / "mine").read_bytes(), (place / "mine").stat().st_mtime_ns
    put(root, "x", NEW if tree else b"new", keep="0f")
    put(root, "x", OLD if tree else b"again")
    root.drop("0f")
    assert ((place / "mine").read_bytes(), (place / "mine").stat().st_mtime_ns) == before


# --- B, C: what the disk is told, and what it answers

SCRIPT = """
import hashlib, sys
from netclnt.errors import StorageError
from netclnt.files.root import open_root
from netclnt.model import Entry, EntryType
place, count = sys.argv[1], int(sys.argv[2])
entries = [Entry("", EntryType.DIRECTORY, 0o775)]  # modes that the usual umask does not let through
entries += [Entry(f"f{n:03}", EntryType.FILE, 0o664, 3, bytes(32)) for n in range(count)]
with open_root(place, marker=None) as root:
    stage = root.stage("a1")
    stage.prepare(entries)
    for number in range(1, count + 1):
        stage.write(number, 0, [b"abc"])
    errors = []
    for work in (stage.sync, stage.sync, lambda: stage.seal("t"), lambda: root.show("a1", "t", keep=None)):
        try:
            work()
        except StorageError as error:
            errors.append(type(error).__name__ + str(getattr(error, "errno", "")))
    print(*errors, root.staged(), root.type("t"))
"""


def traced(place: Path, files: int, *options: str) -> tuple[str, list[str]]:
    """What the script printed, and its calls, one a line."""
    log = place.parent / "trace"
    command = ["strace", "-f", "-qq", "-y", "-o", str(log), *options, sys.executable, "-c", SCRIPT, str(place), str(files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip(), [line.split(maxsplit=1)[1] for line in log.read_text().splitlines()]


@needs_strace
@pytest.mark.parametrize(("files", "call"), [(2, "fdatasync"), (100, "syncfs")])
def test_C9_after_a_failed_fsync_nothing_is_believed(place: Path, files: int, call: str) -> None:
    printed, _ = traced(place, files, "-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when=1")
    errors = f"StorageFailed{errno.EIO} " * 3 + f"StorageFailed{errno.ENOENT}"
    assert printed == f"{errors} [] absent"


@needs_strace
def test_B5_content_is_durable_before_its_name_and_the_name_before_the_end(place: Path) -> None:
    printed, calls = traced(place, 2, "-e", "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2,fchmod")
    assert printed == "[] directory"
    image = f"{place}/.netclnt/staging/a1/image"
    names = [call for call in calls if "a1" in call or f"<{place}>" in call]
    renamed = next(number for number, call in enumerate(names) if call.startswith("rename"))
    for synced in (f"{image}/f000>", f"{image}/f001>", f"{image}>"):
        last_mode = max(number for number, call in enumerate(names) if call.startswith("fchmod") and synced in call)
        assert any(call.startswith("fsync") and synced in call for call in names[last_mode:renamed])
    assert any(call.startswith("fsync") and f"<{place}>" in call for call in names[renamed:])


@needs_strace
def test_a_tree_of_many_files_is_made_durable_by_few_calls(place: Path) -> None:
    printed, calls = traced(place, 100, "-e", "trace=fsync,fdatasync,syncfs")
    assert printed == "[] directory"
    assert sum(call.startswith("syncfs") for call in calls) == 2
    assert len(calls) < 20


def test_C8_an_error_while_writing_is_told(root: DirectoryRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    stage = root.stage("a1")
    stage.prepare([file(b"12345")])
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", fail)
        with pytest.raises(StorageFailed) as caught:
            stage.write(0, 0, [b"12345"])
    assert (caught.value.action, caught.value.errno) == ("write", errno.EIO)
    stage.close()


def test_short_writes_and_reads_are_continued(root: DirectoryRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    pwritev, preadv = os.pwritev, os.preadv
    monkeypatch.setattr(os, "pwritev", lambda fd, buffers, offset: pwritev(fd, [buffers[0][:7]], offset))
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, offset: preadv(fd, [buffers[0][:5]], offset))
    data = os.urandom(1000)
    stage = root.stage("a1")
    stage.prepare([file(data)])
    stage.write(0, 0, [data[:500], data[500:501], data[501:]])
    buffer = bytearray(1000)
    assert stage.read_into(0, 0, buffer) == 1000
    assert buffer == data
    stage.close()


def test_more_buffers_than_one_call_takes(root: DirectoryRoot) -> None:
    data = os.urandom(5000)
    stage = root.stage("a1")
    stage.prepare([file(data)])
    stage.write(0, 0, [data[n : n + 1] for n in range(5000)])
    buffer = bytearray(5000)
    stage.read_into(0, 0, buffer)
    assert buffer == data
    stage.close()


def test_C15_few_descriptors_for_many_files(root: DirectoryRoot) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    contents = {f"d{number // 50}/f{number:03}": b"x" for number in range(300)} | {f"d{number}": None for number in range(6)}
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 16, hard))
    try:
        put(root, "t", contents)
        put(root, "t", contents, keep="0f")
        assert sum(1 for _ in root.tree("t")) == 307
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(list(Path("/proc/self/fd").iterdir())) == used


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_C14_an_immutable_target_is_told_and_stays(root: DirectoryRoot, place: Path) -> None:
    put(root, "a", b"old")
    if subprocess.run(["chattr", "+i", str(place / "a")], capture_output=True, check=False).returncode:
        pytest.skip("this file system knows no immutable files")
    try:
        for keep in (None, "0f"):
            with pytest.raises(StorageFailed):
                put(root, "a", b"new", keep=keep)
        assert content(root, "a") == b"old"
    finally:
        subprocess.run(["chattr", "-i", str(place / "a")], check=True)
    put(root, "a", b"new", token="a2", keep="0f")
    assert content(root, "a") == b"new"


# --- C24: kernels and file systems that lack something


def lacking(code: int) -> Callable[..., object]:
    def call(*_: object, **__: object) -> object:
        raise OSError(code, os.strerror(code))

    return call


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, None])
def test_C24_no_copy_file_range(root: DirectoryRoot, monkeypatch: pytest.MonkeyPatch, code: int | None) -> None:
    monkeypatch.setattr(os, "copy_file_range", (lambda *_: 0) if code is None else lacking(code))
    data = os.urandom(3_000_000)
    put(root, "seed", data)
    seed = root.open("seed", "")
    stage = root.stage("a1")
    stage.prepare([file(data)])
    assert stage.copy(0, 0, seed, 0, 2_500_000) == 2_500_000
    assert stage.copy(0, 2_500_000, seed, 2_500_000, 500_000) == 500_000
    assert stage.copy(0, 2_500_000, seed, 2_999_990, 500_000) == 10
    buffer = bytearray(2_500_000)
    stage.read_into(0, 0, buffer)
    assert buffer == data[:2_500_000]
    stage.close()
    seed.close()


def test_C24_no_holes(root: DirectoryRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscalls, "punch_hole", lacking(errno.EOPNOTSUPP))
    stage = root.stage("a1")
    stage.prepare([Entry("", EntryType.FILE, 0o644, 3_000_000, bytes(32))])
    stage.write(0, 0, [b"x" * 3_000_000])
    stage.zero(0, 10, 2_500_000)
    buffer = bytearray(3_000_000)
    stage.read_into(0, 0, buffer)
    assert buffer == b"x" * 10 + bytes(2_500_000) + b"x" * 499_990
    stage.close()


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS])
@pytest.mark.parametrize("keep", [None, "0f"])
def test_no_exchange(root: DirectoryRoot, monkeypatch: pytest.MonkeyPatch, code: int, keep: str | None) -> None:
    monkeypatch.setattr("netclnt.files.showing.renameat2", lacking(code))
    for old, new in [(None, b"1"), (b"1", b"2"), (b"2", OLD), (OLD, NEW), (NEW, b"3")]:
        put(root, "x", new, keep=keep)
        assert list(root.tree("x")) == shape(new)[0]
        assert root.kept() == ([keep] if keep and old is not None else [])


def test_no_links(root: DirectoryRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", lacking(errno.EPERM))
    put(root, "a", b"old")
    put(root, "a", b"new", keep="0f")
    assert content(root, "a") == b"new"
    assert everything(root.open_kept("0f", "")) == b"old"


# --- C26: owner, group, mode, label


@needs_root
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_C26_owner_group_mode_of_what_is_replaced(place: Path, umask: int) -> None:
    ownership = Ownership(owner=1001, group=1002, mode=0o604)
    before = os.umask(umask)
    try:
        with open_root(place, marker=None, ownership=ownership) as root:
            put(root, "os/a", b"old")
            put(root, "t", OLD)
            assert looks(place / "os") == (1001, 1002, 0o755)
            assert looks(place / "os/a") == (1001, 1002, 0o604)
            assert looks(place / "t/d/x") == (1001, 1002, 0o644)
            assert looks(place / ".netclnt")[2] == 0o700
            for path, owner, mode in (("os/a", 7, 0o640), ("t", 8, 0o2750), ("t/d/x", 9, 0o600)):
                os.chown(place / path, owner, owner)
                (place / path).chmod(mode)
            put(root, "os/a", b"new")
            put(root, "t", NEW)
    finally:
        os.umask(before)
    assert looks(place / "os/a") == (7, 7, 0o640)
    assert looks(place / "t") == (8, 8, 0o2750)
    assert looks(place / "t/a") == (1001, 1002, 0o644)
    assert looks(place / "t/d/x") == (9, 9, 0o644)
    assert looks(place / "t/é") == (8, 8, 0o644)
    assert looks(place / "t/link")[:2] == (8, 8)


def looks(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


LABEL = b"system_u:object_r:tftpdir_t:s0\0"
OTHER = b"system_u:object_r:httpd_sys_content_t:s0\0"


@pytest.fixture
def labelled(place: Path) -> Path:
    """A root on a file system that keeps labels."""
    try:
        os.setxattr(place, sealing.LABEL, OTHER)
        os.removexattr(place, sealing.LABEL)
    except OSError:
        pytest.skip("this file system keeps no labels")
    return place


def label_of(path: Path) -> bytes:
    try:
        return os.getxattr(path, sealing.LABEL, follow_symlinks=False)
    except OSError as error:
        assert error.errno == errno.ENODATA
        return b""


@needs_root
def test_C26_the_security_label_of_what_is_replaced(root: DirectoryRoot, labelled: Path) -> None:
    put(root, "a", b"old")
    put(root, "t", OLD)
    for path in ("a", "t", "t/a", "t/d"):
        os.setxattr(labelled / path, sealing.LABEL, LABEL)
    os.setxattr(labelled / "t/d/x", sealing.LABEL, OTHER)
    put(root, "a", b"new")
    put(root, "t", NEW)
    assert [label_of(labelled / path) for path in ("a", "t", "t/a", "t/d", "t/d/x")] == [LABEL, LABEL, LABEL, LABEL, OTHER]
    assert {label_of(path) for path in labelled.rglob("t/**/*")} == {LABEL, OTHER}, "what is new has that of the tree, links too"


@needs_root
def test_C26_new_images_have_the_label_of_the_config(labelled: Path) -> None:
    with open_root(labelled, marker=None, ownership=Ownership(label=LABEL)) as root:
        put(root, "os/a", b"old")
        put(root, "t", OLD)
        put(root, "u", NEW)
        shown = [path for path in labelled.rglob("*") if ".netclnt" not in path.parts]
        assert {label_of(path) for path in shown} == {LABEL}, "directories above an image and links, too"
        os.setxattr(labelled / "os/a", sealing.LABEL, OTHER)
        os.removexattr(labelled / "t", sealing.LABEL)
        put(root, "os/a", b"new")
        put(root, "t", NEW)
    assert label_of(labelled / "os/a") == OTHER, "that of the file replaced goes first"
    assert label_of(labelled / "t") == LABEL, "which has none"
    assert label_of(labelled / ".netclnt") == b""


def test_C26_a_label_that_cannot_be_set_is_an_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "setxattr", refuse)
    with open_root(place, marker=None, ownership=Ownership(label=LABEL)) as root:
        with pytest.raises(StorageFailed) as caught:
            put(root, "a", b"new")
        assert "label" in caught.value.action
        assert not (place / "a").exists()


@pytest.mark.parametrize("mode", [0o1755, 0o2755, 0o4755, 0o6755, -1])
def test_F10_a_version_brings_no_set_user_id(mode: int) -> None:
    with pytest.raises(ForbiddenValue):
        Entry("a", EntryType.FILE, mode, 0, bytes(32))


# --- an account without privileges


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A directory of an ordinary user, as whom the test runs."""
    if os.geteuid():
        pytest.skip("needs root")
    home = Path(tempfile.mkdtemp())
    os.chown(home, 65534, 65534)
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield home
    finally:
        os.seteuid(0)
        os.setegid(0)
        shutil.rmtree(home)


def test_an_ordinary_user_replaces_read_only_trees(nobody: Path) -> None:
    entries = [
        Entry("", EntryType.DIRECTORY, 0o555),
        Entry("d", EntryType.DIRECTORY, 0o555),
        Entry("d/x", EntryType.FILE, 0o444, 3, hashlib.sha256(b"abc").digest()),
    ]
    with open_root(nobody, marker=None) as root:
        for keep in (None, None, "0f", "0f"):
            for seals in range(2):
                stage = root.stage("a1")
                assert list(stage.prepare(entries)) == [False, False, seals == 1]
                stage.write(2, 0, [b"abc"])
                stage.seal("t")
                stage.close()
            root.show("a1", "t", keep=keep)
            assert list(root.tree("t")) == entries
        stage = root.stage("a1")
        stage.prepare(entries)
        stage.seal("t")
        stage.close()
        root.discard("a1")
        root.drop("0f")
        assert (root.staged(), root.kept()) == ([], [])


def test_C13_what_an_ordinary_user_may_not_do_is_told(nobody: Path) -> None:
    os.seteuid(0)
    (nobody / "theirs").mkdir(0o755)
    (nobody / "theirs" / "a").write_bytes(b"old")
    (nobody / "b").write_bytes(b"of another owner, in a directory of ours")
    os.seteuid(65534)
    with open_root(nobody, marker=None) as root:
        for name in ("theirs/a", "theirs/new", "b"):
            with pytest.raises(StorageFailed) as caught:
                put(root, name, b"new")
            assert caught.value.errno in (errno.EACCES, errno.EPERM)
        assert content(root, "theirs/a") == b"old"


def test_status_reads_a_root_whose_work_area_is_private(nobody: Path) -> None:
    os.seteuid(0)
    nobody.chmod(0o755)
    with open_root(nobody, marker=None) as root:
        put(root, "a", b"new")
        marker = root.marker
    os.seteuid(65534)
    with open_root(nobody, marker=marker, writable=False) as root:
        assert content(root, "a") == b"new"
        assert root.kept() == []
    with pytest.raises(StorageFailed):
        open_root(nobody, marker=marker)


# --- G: odd local files


@needs_root
def test_G2_devices_and_sockets(root: DirectoryRoot, place: Path) -> None:
    os.mknod(place / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place / "socket"))
    for name, found in (("device", "character device"), ("socket", "socket")):
        with pytest.raises(ForeignFile) as caught:
            put(root, name, b"new")
        assert caught.value.found == found


def test_G4_links_where_staging_belongs(root: DirectoryRoot, place: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "image").write_bytes(b"mine!")
    work = place / ".netclnt"
    (work / "staging" / "a1").symlink_to(tmp_path / "outside")
    with pytest.raises(StorageFailed):
        root.stage("a1")
    root.discard("a1")
    (work / "staging" / "a1").mkdir()
    (work / "staging" / "a1" / "image").symlink_to(tmp_path / "outside" / "image")
    put(root, "x", b"12345")
    (work / "staging" / "a1" / "image").mkdir(parents=True)
    (work / "staging" / "a1" / "image" / "d").symlink_to(tmp_path / "outside")
    put(root, "y", {"d": None, "d/image": b"12345"})
    (work / "staging" / "a1").mkdir()
    (work / "staging" / "a1" / "image").hardlink_to(tmp_path / "outside" / "image")
    put(root, "z", b"12345")
    assert (tmp_path / "outside" / "image").read_bytes() == b"mine!"
    assert content(root, "x") == content(root, "y", "d/image") == content(root, "z") == b"12345"


def test_an_entry_behind_a_link_is_not_made(root: DirectoryRoot, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    stage = root.stage("a1")
    stage.prepare(
        [
            Entry("", EntryType.DIRECTORY, 0o755),
            Entry("a", EntryType.LINK, 0o777, target=str(tmp_path / "outside")),
            Entry("a/b", EntryType.FILE, 0o644, 1, bytes(32)),
        ]
    )
    for work in (lambda: stage.write(2, 0, [b"x"]), lambda: stage.seal("t")):
        with pytest.raises(StorageFailed):
            work()
    stage.close()
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("name", ["lock", "marker", "staging"])
def test_G5_links_in_the_work_area(place: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").write_bytes(b"mine")
    (place / ".netclnt").mkdir(mode=0o700)
    (place / ".netclnt" / name).symlink_to(tmp_path / "outside")

    def use() -> None:
        with open_root(place, marker=None) as root, root.lock("me"):
            put(root, "a", b"new")

    if name == "marker":
        use()
    else:
        with pytest.raises(StorageFailed):
            use()
    assert (tmp_path / "outside").read_bytes() == b"mine"


def test_the_work_area_is_no_link(place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (place / ".netclnt").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ForeignFile):
        open_root(place, marker=None)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_G6_the_root_may_be_a_link(place: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(place)
    with open_root(tmp_path / "link", marker=None) as root:
        assert root.path == str(place.resolve())
        (tmp_path / "link").unlink()
        put(root, "a", b"new")
    assert (place / "a").read_bytes() == b"new"


def test_reading_alone_creates_nothing(place: Path) -> None:
    (place / "a").write_bytes(b"mine")
    with open_root(place, marker=None, writable=False) as root:
        assert root.marker is None
        assert content(root, "a") == b"mine"
        assert (root.staged(), root.kept()) == ([], [])
        with pytest.raises(StorageFailed):
            root.stage("a1")
    assert [path.name for path in place.iterdir()] == ["a"]


# --- H: together

HOLDER = """
import sys
from netclnt.files.root import open_root
with open_root(sys.argv[1], marker=None) as root, root.lock("pid of the other"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_P10_H3_the_lock_holds_by_any_path_and_dies_with_its_holder(place: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(place)
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "link")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with open_root(place, marker=None) as root:
            with pytest.raises(Locked) as caught, root.lock("me"):
                pass
            assert caught.value.holder == "pid of the other"
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            with root.lock("me"):
                pass


def test_an_old_kernel_tells_no_errors_of_syncfs(monkeypatch: pytest.MonkeyPatch) -> None:
    for release, known in (("5.7.9-200", False), ("5.8.0", True), ("6.18.44-x", True), ("4.18.0-553.el8", False), ("odd", False)):
        monkeypatch.setattr("platform.release", lambda release=release: release)
        assert staging._syncfs_tells_errors() is known


def test_P3_a_write_that_is_noted_while_others_are_made_durable_is_not_forgotten(
    root: DirectoryRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread has written, and is about to say so, while another makes durable what was written: the next sync has it."""
    about_to, go_on = threading.Event(), threading.Event()

    class Slow(set[int]):
        def add(self, file: int) -> None:
            about_to.set()
            assert go_on.wait(10)
            super().add(file)

    durable: list[int] = []
    real = os.fdatasync
    stage = root.stage("a1")
    stage.prepare([file(b"12345")])
    monkeypatch.setattr(stage, "_touched", Slow())
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: (durable.append(os.fstat(descriptor).st_ino), real(descriptor)))
    writer = threading.Thread(target=stage.write, args=(0, 0, [b"12345"]))
    writer.start()
    assert about_to.wait(10)
    stage.sync()
    go_on.set()
    writer.join()
    durable.clear()
    stage.sync()
    assert durable
    stage.close()


def test_C8_P9_a_marker_that_cannot_be_read_is_a_storage_error(place: Path) -> None:
    """Neither a bug, nor a root that is not mounted."""
    with open_root(place, marker=None) as root:
        marker = root.marker
    (place / ".netclnt/marker").unlink()
    (place / ".netclnt/marker").mkdir()
    for known in (marker, None):
        with pytest.raises(StorageFailed) as caught:
            open_root(place, marker=known)
        assert caught.value.errno == errno.EISDIR


def test_C8_P9_an_image_that_cannot_be_looked_at_while_it_is_replaced(
    root: DirectoryRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, "a", b"old")
    stage = root.stage("a1")
    stage.prepare([file(b"12345")])
    stage.write(0, 0, [b"12345"])

    def fail(_: int) -> os.stat_result:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fail)
        with pytest.raises(StorageFailed):
            stage.seal("a")
    stage.close()


def test_C13_a_root_whose_work_area_may_not_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), ".netclnt")

    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(StorageFailed) as caught:
        open_root(tmp_path.resolve(), marker=None)
    monkeypatch.undo()
    assert (caught.value.errno, caught.value.path) == (errno.EACCES, f"{tmp_path}/.netclnt")
