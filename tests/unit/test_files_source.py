"""What is published is what was seen."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from netclnt.errors import BadArgument, SourceChanged, Unpublishable
from netclnt.files.root import open_root
from netclnt.files.source import open_content
from netclnt.model import EntryType
from netclnt.protocols import Item


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "file").write_bytes(b"12345")
    (top / "a.x").write_bytes(b"")
    (top / "a.x").chmod(0o4755)
    (top / "link").symlink_to("/nowhere")
    top.chmod(0o750)
    return top


def test_a_tree(tree: Path) -> None:
    with open_content(tree) as content:
        assert content.tree
        assert list(content.items()) == [
            Item("", EntryType.DIRECTORY, 0o750),
            Item("a", EntryType.DIRECTORY, 0o755),
            Item("a/b", EntryType.DIRECTORY, 0o755),
            Item("a/b/file", EntryType.FILE, 0o644, 5),
            Item("a.x", EntryType.FILE, 0o755, 0),
            Item("link", EntryType.LINK, 0o777, 0, "/nowhere"),
        ]
        with content.open("a/b/file") as file:
            assert file.read(3) == b"123"
            buffer = bytearray(10)
            assert file.readinto(buffer) == 2
            assert file.read() == b""
        content.check_unchanged()


def test_G6_a_file_by_way_of_a_link(tree: Path) -> None:
    (tree.parent / "link").symlink_to("tree/a/b/file")
    with open_content(tree.parent / "link") as content:
        assert not content.tree
        assert list(content.items()) == [Item("", EntryType.FILE, 0o644, 5)]
        with content.open("") as file:
            assert file.read() == b"12345"
        content.check_unchanged()


def append(tree: Path) -> None:
    with (tree / "a/b/file").open("ab") as file:
        file.write(b"6")


def rewrite_and_hide(tree: Path) -> None:
    before = (tree / "a/b/file").stat()
    (tree / "a/b/file").write_bytes(b"54321")
    os.utime(tree / "a/b/file", ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(tree: Path) -> None:
    (tree / "new").write_bytes(b"12345")
    (tree / "new").replace(tree / "a/b/file")


def become_a_link(tree: Path) -> None:
    (tree / "a/b/file").unlink()
    (tree / "a/b/file").symlink_to("/etc/passwd")


CHANGES = {
    "append": append,
    "rewrite and hide": rewrite_and_hide,
    "replace": replace,
    "remove": lambda tree: (tree / "a/b/file").unlink(),
    "link": become_a_link,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_A18_a_change_is_noticed(tree: Path, change) -> None:
    with open_content(tree) as content:
        list(content.items())
        change(tree)
        with pytest.raises(SourceChanged):
            content.open("a/b/file")
        with pytest.raises(SourceChanged):
            content.check_unchanged()


def test_A18_an_addition_and_another_mode_are_noticed(tree: Path) -> None:
    for change in (lambda: (tree / "a" / "more").touch(), lambda: (tree / "a.x").chmod(0o600)):
        with open_content(tree) as content:
            list(content.items())
            change()
            with pytest.raises(SourceChanged):
                content.check_unchanged()


def test_what_no_version_can_contain(tree: Path) -> None:
    def refused() -> str:
        with open_content(tree) as content, pytest.raises(Unpublishable) as caught:
            list(content.items())
        return caught.value.problem

    os.mkfifo(tree / "z")
    assert "FIFO" in refused()
    (tree / "z").unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tree / "z"))
        assert "socket" in refused()
    (tree / "z").unlink()
    for name in ("\udcff", "e\u0301", "line\nbreak"):
        (tree / name).touch()
        assert refused()
        (tree / name).unlink()
    (tree / "z").symlink_to("\udcff")
    assert "UTF-8" in refused()


def test_nothing_to_publish(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    for name in ("nowhere", "loop", "fifo/x"):
        with pytest.raises(BadArgument):
            open_content(tmp_path / name)
    for path in (tmp_path / "fifo", Path("/dev/null")):
        with pytest.raises(Unpublishable):
            open_content(path)


def test_descriptors_do_not_leak(tree: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with open_content(tree) as content:
        items = content.items()
        for _ in range(4):
            next(items)
        items.close()
        list(content.items())
        with content.open("a.x"):
            pass
    content.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


EXTENTS = [(0, 3), (5, 1), (400, 300), (1023, 1)]
"""First page and number of pages with content, in a file of 1,024 pages and one byte."""


@pytest.mark.parametrize("extents", [EXTENTS, EXTENTS[1:], EXTENTS[:-1], []])
@pytest.mark.parametrize("part", [1 << 23, 1 << 20, 12_288, 5000])
def test_holes_read_as_zeros(tmp_path: Path, extents, part: int) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        for first, count in extents:
            file.seek(first * 4096)
            file.write(os.urandom(count * 4096))
        file.truncate(1024 * 4096 + 1)
    with open_content(path) as content:
        list(content.items())
        read = bytearray()
        with content.open("") as file:
            buffer = bytearray(part)
            while count := file.readinto(buffer):
                read += buffer[:count]
        assert read == path.read_bytes()


def test_holes_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(64 << 20)
        file.write(b"x" * 4096)
    if path.stat().st_blocks * 512 >= path.stat().st_size:
        pytest.skip("a file system without holes")
    before = _bytes_read()
    with open_content(path) as content:
        list(content.items())
        with content.open("") as file:
            while file.readinto(bytearray(1 << 20)):
                pass
        assert file.closed
    assert _bytes_read() - before < 1 << 20


def _bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def test_seeds_that_cannot_be_read_are_passed_over(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "b").mkdir()
    (tree / "b" / "seed").touch()
    real = os.scandir

    def fail_for_a(directory: int):
        if os.path.samestat(os.fstat(directory), (tree / "a").stat()):
            raise OSError(errno.EIO, "Input/output error")
        return real(directory)

    monkeypatch.setattr(os, "scandir", fail_for_a)
    with open_root(tree, marker=None, writable=False) as root:
        assert dict(root.files()).keys() == {"a.x", "b/seed"}
