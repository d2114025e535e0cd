"""Trees of many small files: made late, in one go each; unchanged ones shared with the live version, which nothing may touch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from netclnt.errors import ContentMismatch, NoSpace
from netclnt.files import stagedfiles
from netclnt.files.root import DirectoryRoot, open_root
from netclnt.files.staging import DirectoryStage
from netclnt.model import Entry
from netclnt.protocols import Facts
from tests.contract.test_root import content, everything, put, shape

TREE = {"a": b"content a", "d": None, "d/b": b"content b", "d/c": b"content c"}
A, B = 1, 3
"""Numbers of the entries ``a`` and ``d/b``."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def root(place: Path) -> Iterator[DirectoryRoot]:
    with open_root(place, marker=None) as root:
        put(root, "t", TREE)
        yield root


def copied(root: DirectoryRoot, tree: dict[str, bytes | str | None] = TREE, *, source: str = "t") -> DirectoryStage:
    """A stage of a version whose files are all copied whole from their paths in the live image ``source``."""
    entries, data = shape(tree)
    stage = root.stage("a2")
    stage.prepare(entries)
    for number, part in enumerate(data):
        if part:
            copy(root, stage, number, source, entries[number].path, len(part))
    return stage


def copy(root: DirectoryRoot, stage: DirectoryStage, number: int, source: str, path: str, length: int) -> None:
    reader = root.open(source, path)
    assert stage.copy(number, 0, reader, 0, length) == length
    reader.close()


def finish(root: DirectoryRoot, stage: DirectoryStage, name: str = "t") -> None:
    stage.seal(name)
    stage.close()
    root.show("a2", name, keep="0f")


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_what_did_not_change_is_the_same_file_afterwards(root: DirectoryRoot, place: Path) -> None:
    before = {path: inode(place / "t" / path) for path in ("a", "d/b")}
    stage = copied(root)
    stage.write(A, 0, [b"CONTENT A"])
    assert content(root, "t", "a") == b"content a"
    finish(root, stage)
    assert content(root, "t", "a") == b"CONTENT A"
    assert everything(root.open_kept("0f", "a")) == b"content a"
    assert inode(place / "t/a") != before["a"]
    assert inode(place / "t/d/b") == before["d/b"]


@pytest.mark.parametrize(
    "write",
    [
        lambda stage: stage.write(A, 3, [b"XXX"]),
        lambda stage: stage.zero(A, 0, 4),
        lambda stage: stage.write(A, 0, [b"XXXXXXXXX"]),
    ],
)
def test_a_live_file_is_never_written_to(root: DirectoryRoot, place: Path, write) -> None:
    stage = copied(root)
    before = (place / "t/a").stat()
    write(stage)
    after = (place / "t/a").stat()
    assert (after.st_mtime_ns, after.st_mode) == (before.st_mtime_ns, before.st_mode)
    assert content(root, "t", "a") == b"content a"
    buffer = bytearray(9)
    stage.read_into(A, 0, buffer)
    assert buffer != b"content a"
    stage.close()


def test_neither_another_image_nor_another_path_is_shared(root: DirectoryRoot, place: Path) -> None:
    put(root, "other", TREE)
    stage = copied(root, source="other")
    finish(root, stage)
    assert inode(place / "t/a") != inode(place / "other/a")
    stage = root.stage("a2")
    stage.prepare(shape(TREE)[0])
    copy(root, stage, A, "t", "d/b", 9)
    finish(root, stage)
    assert inode(place / "t/a") != inode(place / "t/d/b")
    assert content(root, "t", "a") == b"content b"
    put(root, "single", b"content")
    stage = root.stage("a2")
    stage.prepare(shape(b"content")[0])
    copy(root, stage, 0, "single", "", 7)
    before = inode(place / "single")
    finish(root, stage, "single")
    assert inode(place / "single") != before


def test_another_mode_makes_a_file_of_its_own(root: DirectoryRoot, place: Path) -> None:
    (place / "t/a").chmod(0o600)
    stage = copied(root)
    (place / "t/d/b").chmod(0o640)
    before = inode(place / "t/d/b")
    opened = root.open("t", "d/b")
    finish(root, stage)
    assert [(place / "t" / path).stat().st_mode & 0o777 for path in ("a", "d/b", "d/c")] == [0o644] * 3
    assert inode(place / "t/d/b") != before
    assert os.fstat(opened.fileno()).st_mode & 0o777 == 0o640
    opened.close()


def test_a_change_between_the_look_and_the_seal_is_noticed(root: DirectoryRoot, place: Path) -> None:
    stage = copied(root)
    (place / "t/a").write_bytes(b"content X")
    with pytest.raises(ContentMismatch) as caught:
        stage.seal("t")
    assert (caught.value.path, caught.value.found) == ("a", hashlib.sha256(b"content X").hexdigest())
    stage.close()
    root.discard("a2")
    (place / "t/a").write_bytes(b"content a")
    stage = copied(root)
    (place / "t/a").write_bytes(b"content a")
    os.utime(place / "t/a", ns=(0, 0))
    before = inode(place / "t/a")
    finish(root, stage)
    assert content(root, "t", "a") == b"content a"
    assert inode(place / "t/a") != before


def test_a_change_behind_the_seal_shows_in_the_facts(root: DirectoryRoot, place: Path) -> None:
    stage = copied(root)
    sealed = stage.seal("t")
    assert [sealed[A], sealed[B]] == list(root.facts("t", ["a", "d/b"]))
    (place / "t/a").write_bytes(b"content X")
    stage.close()
    root.show("a2", "t", keep="0f")
    shown = root.facts("t", ["a", "d/b"])
    assert shown[0] != sealed[A]
    assert shown[1] == sealed[B]


def test_A2_a_second_run_goes_on_with_what_is_shared(root: DirectoryRoot, place: Path) -> None:
    before = inode(place / "t/d/b")
    copied(root).close()
    entries, _ = shape(TREE)
    stage = root.stage("a2")
    assert list(stage.prepare(entries)) == [False, True, False, True, True]
    assert (place / "t/a").stat().st_mode & 0o777 == 0o644
    stage.write(A, 0, [b"C"])
    assert content(root, "t", "a") == b"content a"
    finish(root, stage)
    assert content(root, "t", "a") == b"Content a"
    assert inode(place / "t/d/b") == before


def test_a_file_that_was_cut_short_is_made_anew(root: DirectoryRoot, place: Path) -> None:
    entries, _ = shape(TREE | {"new": b"12345"})
    stage = root.stage("a3")
    stage.prepare(entries)
    stage.write(5, 0, [b"12345"])
    stage.close()
    (place / ".netclnt/staging/a3/image/new").write_bytes(b"12")
    stage = root.stage("a3")
    assert not stage.prepare(entries)[5]
    assert list(stage.data_ranges(5, 0, 5)) == []
    stage.write(5, 3, [b"45"])
    buffer = bytearray(5)
    assert stage.read_into(5, 0, buffer) == 5
    assert buffer == b"\0\0\x0045"
    stage.close()


def test_where_no_second_name_can_be_made_it_is_a_copy(root: DirectoryRoot, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    before = inode(place / "t/a")
    monkeypatch.setattr(stagedfiles.os, "link", refuse)
    stage = copied(root)
    monkeypatch.undo()
    finish(root, stage)
    assert content(root, "t", "a") == b"content a"
    assert inode(place / "t/a") != before


def test_a_failed_write_leaves_no_part_of_a_file(root: DirectoryRoot, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    stage = root.stage("a4")
    stage.prepare(shape(TREE)[0])
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", fail)
        with pytest.raises(NoSpace):
            stage.write(A, 0, [b"content a"])
    assert not (place / ".netclnt/staging/a4/image/a").exists()
    stage.write(A, 0, [b"content a"])
    stage.close()


def test_an_unread_file_costs_one_link_and_two_looks(root: DirectoryRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree may have a million of them. Threads share the work from some number on."""
    tree: dict[str, bytes | str | None] = {"a": None, "b": None}
    tree |= {f"{name}/{number:02}": b"%d" % number for name in "ab" for number in range(30)}
    put(root, "many", tree)
    entries, files = unread(root, "many", tree)
    monkeypatch.setattr(stagedfiles, "_MANY", 10)
    calls: list[str] = []
    for name in ("link", "stat"):
        monkeypatch.setattr(os, name, counted(calls, getattr(os, name)))
    with closing(root.stage("a3")) as stage:
        stage.prepare(entries)
        calls.clear()
        assert sorted(stage.link("many", files)) == [number for number, _ in files]
        assert (calls.count("link"), calls.count("stat")) == (60, 60)
        calls.clear()
        sealed = stage.seal("many")
        directories = len(entries) - len(files)
        assert (calls.count("link"), calls.count("stat") - 2 * directories + 1) == (0, 60)
        assert [sealed[number] for number, _ in files] == [facts for _, facts in files]


@pytest.mark.parametrize("text", [b"CONTENT B", b"longer than it was"])
def test_a_change_of_an_unread_file_before_the_seal_is_noticed(root: DirectoryRoot, place: Path, text: bytes) -> None:
    entries, files = unread(root, "t", TREE)
    with closing(root.stage("a3")) as stage:
        stage.prepare(entries)
        stage.link("t", files)
        (place / "t/d/b").write_bytes(text)
        with pytest.raises(ContentMismatch):
            stage.seal("t")
    assert (place / "t/d/b").read_bytes() == text


def unread(
    root: DirectoryRoot, name: str, tree: dict[str, bytes | str | None]
) -> tuple[Sequence[Entry], list[tuple[int, Facts]]]:
    """The entries of a live tree, and how its files look, by the numbers of theirs."""
    entries, _ = shape(tree)
    looks = root.facts(name, [entry.path for entry in entries])
    return entries, [(number, facts) for number, facts in enumerate(looks) if facts and entries[number].sha256]


def counted(calls: list[str], function: Callable[..., object]) -> Callable[..., object]:
    def call(*arguments: object, **options: object) -> object:
        if "dir_fd" in options or "src_dir_fd" in options:
            calls.append(function.__name__)
        return function(*arguments, **options)

    return call
