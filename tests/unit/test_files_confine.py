"""No path leads out of a directory, whichever way the kernel offers to see to that."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netclnt.files import confine, syscalls
from netclnt.files.confine import open_beneath, open_by_component
from netclnt.files.removal import remove

Opener = Callable[..., int]


@pytest.fixture(params=["openat2", "by component", "openat2 forbidden"])
def opener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Opener:
    if request.param == "by component":
        return open_by_component
    if request.param == "openat2 forbidden":

        def forbidden(*_: object) -> int:
            raise OSError(errno.EPERM, "as an old container runtime says")

        monkeypatch.setattr(syscalls, "openat2", forbidden)
        return open_beneath
    monkeypatch.setattr(confine, "open_by_component", None)
    return open_beneath


@pytest.fixture
def top(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "top" / "a" / "b").mkdir(parents=True)
    (tmp_path / "top" / "a" / "b" / "file").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    (tmp_path / "top" / "up").symlink_to("..")
    (tmp_path / "top" / "abs").symlink_to(tmp_path)
    (tmp_path / "top" / "inner").symlink_to("a/b")
    (tmp_path / "top" / "a" / "last").symlink_to("b/file")
    descriptor = os.open(tmp_path / "top", os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def read(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def test_what_lies_beneath_is_opened(opener: Opener, top: int) -> None:
    assert read(opener(top, "a/b/file", os.O_RDONLY)) == b"inside"
    same = opener(top, "", os.O_RDONLY | os.O_DIRECTORY)
    assert os.path.samestat(os.fstat(same), os.fstat(top))
    assert not os.get_inheritable(same)
    os.close(same)
    made = opener(top, "a/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    assert os.fstat(made).st_mode & 0o777 == 0o600
    os.close(made)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("up/secret", errno.ELOOP),
        ("abs/secret", errno.ELOOP),
        ("inner/file", errno.ELOOP),
        ("a/last", errno.ELOOP),
        ("inner", errno.ELOOP),
        ("../secret", errno.EXDEV),
        ("a/../../secret", errno.EXDEV),
        ("/etc/passwd", errno.EXDEV),
        ("a//b", errno.EXDEV),
        ("a/nowhere/file", errno.ENOENT),
        ("a/b/file/x", errno.ENOTDIR),
    ],
)
def test_G1_nothing_leads_out(opener: Opener, top: int, path: str, code: int) -> None:
    with pytest.raises(OSError) as caught:
        opener(top, path, os.O_RDONLY)
    assert caught.value.errno == code


def test_G1_a_directory_that_is_a_link_is_called_a_link(opener: Opener, top: int) -> None:
    for path in ("inner", "up"):
        with pytest.raises(OSError) as caught:
            opener(top, path, os.O_RDONLY | os.O_DIRECTORY)
        assert caught.value.errno == errno.ELOOP


def test_another_file_system_is_seen(opener: Opener) -> None:
    slash = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.close(opener(slash, "proc", os.O_RDONLY | os.O_DIRECTORY))
        with pytest.raises(OSError) as caught:
            opener(slash, "proc", os.O_RDONLY | os.O_DIRECTORY, same_mount=True)
        assert caught.value.errno == errno.EXDEV
    finally:
        os.close(slash)


def test_P8_removal_follows_no_link(top: int, tmp_path: Path) -> None:
    (tmp_path / "top" / "a").chmod(0o500)
    for name in ("up", "abs", "inner", "a", "a"):
        remove(top, name)
    assert os.listdir(top) == []
    assert (tmp_path / "secret").read_bytes() == b"outside"


def test_descriptors_do_not_leak(opener: Opener, top: int) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("a/b/file", "up/secret", "a/nowhere/file", "a/b/file/x"):
        try:
            os.close(opener(top, path, os.O_RDONLY))
        except OSError:
            continue
    assert len(list(Path("/proc/self/fd").iterdir())) == before
