"""Looks at the local disk and the kernel that leave no trace."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from netclnt.errors import StorageFailed
from netclnt.files import looking, syscalls
from netclnt.files.looking import LocalDisk
from tests.support.mounts import mounted

DISK = LocalDisk()


def test_P8_nothing_is_left_behind(tmp_path: Path) -> None:
    before = tmp_path.stat()
    DISK.try_writing(tmp_path)
    DISK.shares(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert (tmp_path.stat().st_mtime_ns, tmp_path.stat().st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)


def test_looks_and_space(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    assert DISK.looks(tmp_path).mode == 0o750
    assert DISK.space(tmp_path).free > 0
    for look in (DISK.looks, DISK.space, DISK.try_writing):
        with pytest.raises(StorageFailed):
            look(tmp_path / "absent")
    assert DISK.shares(tmp_path / "absent") is False


@pytest.mark.parametrize(("kind", "shares"), [("tmpfs", False), ("xfs", True)])
def test_C24_whether_blocks_can_be_shared_is_told_of_the_file_system(kind: str, shares: bool, tmp_path: Path) -> None:
    with mounted(kind, tmp_path) as place:
        assert DISK.shares(place) is shares


@pytest.mark.parametrize("unnamed", [True, False])
def test_C12_C13_who_may_not_write_is_told_so(unnamed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the file system has no files without names."""
    with mounted("tmpfs", tmp_path) as place:
        if not unnamed:
            monkeypatch.setattr(looking, "_UNNAMED", os.O_RDWR)  # EISDIR: how a kernel answers that does not know O_TMPFILE
        DISK.try_writing(place)
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        with pytest.raises(StorageFailed) as caught:
            DISK.try_writing(place)
        assert caught.value.errno == errno.EROFS


def test_C13_permissions_count_where_there_are_no_files_without_names(tmp_path: Path) -> None:
    """As another user, in a process of its own: root may write anywhere."""
    program = (
        "import os, sys; from pathlib import Path; from netclnt.files import looking; from netclnt.errors import StorageFailed\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: looking._refuse_by_permissions(Path(sys.argv[1]))\n"
        "except OSError as error: print(error.errno)\n"
    )
    if os.geteuid():
        pytest.skip("changing the user needs root")
    done = subprocess.run([sys.executable, "-c", program, "/"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{errno.EACCES}\n"


def test_C24_calls_that_the_kernel_lacks_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looking.missing_calls() == []

    def lacking(*_: object) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(syscalls, "openat2", lacking)
    monkeypatch.setattr(os, "copy_file_range", lacking)
    assert looking.missing_calls() == ["openat2", "copy_file_range"]


def test_C15_the_limit_of_open_files_is_told() -> None:
    command = ["prlimit", "--nofile=123", sys.executable, "-c", "from netclnt.files import looking; print(looking.open_files())"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "123\n"
