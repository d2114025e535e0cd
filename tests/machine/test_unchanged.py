"""An update of a tree takes unchanged files as they lie, if they look as they did when they were recorded; any other is read."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netclnt.errors import ExitCode, StorageFailed
from netclnt.files.root import DirectoryRoot, open_root
from netclnt.files.staging import DirectoryStage
from tests.support.world import World

FILES = {f"d{number % 7}/f{number:03}": random.Random(number).randbytes(300 + 997 * number % 30_000) for number in range(120)}
EDITED = "d3/f010"
UPDATED = FILES | {"d1/f001": b"another", "d2/f100": FILES["d2/f100"] + b"more", "new": b"new"}


class Reads:
    """Which files are opened to be read: the live ones, and those in staging by their paths."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.live: set[str] = set()
        self.staged: set[str] = set()
        opened, read_into = DirectoryRoot.open, DirectoryStage.read_into

        def open_live(root: DirectoryRoot, name: str, path: str) -> object:
            self.live.add(path)
            return opened(root, name, path)

        def read(stage: DirectoryStage, file: int, offset: int, buffer: bytearray | memoryview) -> int:
            self.staged.add(stage._entries[file].path)
            return read_into(stage, file, offset, buffer)

        monkeypatch.setattr(DirectoryRoot, "open", open_live)
        monkeypatch.setattr(DirectoryStage, "read_into", read)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def world(tmp_path: Path, place: Path) -> Iterator[World]:
    """A slave that holds a tree, while the master offers an update of it."""
    with open_root(place, marker=None) as root:
        made = World(tmp_path, root=root)
        made.publish("t", FILES)
        assert made.sync().exit_code is ExitCode.OK
        made.publish("t", UPDATED)
        yield made
        made.ledger.close()


def shown(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place / "t")): path.read_bytes() for path in (place / "t").rglob("*") if path.is_file()}


def inodes(place: Path) -> dict[str, int]:
    return {str(path.relative_to(place / "t")): path.stat().st_ino for path in (place / "t").rglob("*") if path.is_file()}


def updated(world: World, place: Path) -> None:
    """The update arrives whole, and a look at everything finds nothing wrong."""
    assert world.sync().exit_code is ExitCode.OK
    assert shown(place) == UPDATED
    assert [verdict.damage for verdict in world.verify()] == [()]
    before = world.catalog.queries
    assert world.sync().exit_code is ExitCode.OK
    assert world.catalog.queries - before == 2, "the next run has something to look at"


def test_unchanged_files_are_neither_read_nor_made(world: World, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = inodes(place)
    with monkeypatch.context() as patch:
        reads = Reads(patch)
        assert world.sync().exit_code is ExitCode.OK
    changed = {path for path in UPDATED if FILES.get(path) != UPDATED[path]}
    assert reads.live <= {"d2/f100", "d1/f001"}
    assert reads.staged <= changed, "what came whole was digested on its way in"
    after = inodes(place)
    assert {path for path in FILES if after[path] != before[path]} == changed & FILES.keys()
    assert world.done[0].bytes_reused > sum(map(len, FILES.values())) - 40_000
    assert world.planned[0].bytes_write < 80_000
    updated(world, place)


def edit_in_place(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"EDITED")


def edit_at_once(path: Path) -> None:
    before = path.stat()
    edit_in_place(path)
    os.utime(path, ns=(before.st_mtime_ns + 1, before.st_mtime_ns + 1))


def replace(path: Path) -> None:
    """Other content of the same size and times, by way of another file."""
    before = path.stat()
    new = path.with_name("other")
    new.write_bytes(b"R" * before.st_size)
    os.utime(new, ns=(before.st_mtime_ns, before.st_mtime_ns))
    new.replace(path)


def grow(path: Path) -> None:
    before = path.stat()
    with path.open("ab") as file:
        file.write(b"more")
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))


def change_mode(path: Path) -> None:
    path.chmod(0o600)


def become_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def become_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


CHANGES = [edit_in_place, edit_at_once, replace, grow, change_mode, become_a_link, become_a_directory, Path.unlink]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_live_file_is_noticed_before_the_run(world: World, place: Path, change: Callable[[Path], None]) -> None:
    change(place / "t" / EDITED)
    updated(world, place)
    assert (place / "t" / EDITED).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("when", ["link", "seal"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_live_file_is_noticed_within_the_run(
    world: World, place: Path, change: Callable[[Path], None], when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changed behind the look that begins a run: just before files are linked, or between that and the seal."""
    done: list[str] = []
    call = getattr(DirectoryStage, when)

    def changed(*arguments: object) -> object:
        if not done:
            done.append(when)
            change(place / "t" / EDITED)
        return call(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(DirectoryStage, when, changed)
        assert world.sync().exit_code is ExitCode.OK
    assert done
    assert shown(place) == UPDATED
    updated(world, place)


def test_after_a_death_behind_the_links_the_next_run_goes_on(world: World, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(DirectoryRoot, "show", _fail)
        assert world.sync().exit_code is not ExitCode.OK
    assert shown(place) == FILES
    with monkeypatch.context() as patch:
        reads = Reads(patch)
        assert world.sync().exit_code is ExitCode.OK
        assert world.done[0].bytes_fetched < 10_000
    assert len(reads.staged) < 10
    updated(world, place)


def test_after_a_death_behind_the_links_an_edit_is_noticed(world: World, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(DirectoryRoot, "show", _fail)
        assert world.sync().exit_code is not ExitCode.OK
    edit_in_place(place / "t" / EDITED)
    updated(world, place)


def _fail(*_: object, **__: object) -> None:
    raise StorageFailed(action="show", path="t", errno=5, cause="Input/output error")


def test_a_ledger_that_lost_its_facts_makes_it_read_everything(
    world: World, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection: sqlite3.Connection = world.ledger._database._connection
    connection.execute("DELETE FROM fact")
    connection.commit()
    reads = Reads(monkeypatch)
    monkeypatch.setattr("netclnt.look.facts_if_whole", lambda *_: None)
    assert world.sync().exit_code is ExitCode.OK
    fetched = {path for path, data in UPDATED.items() if FILES.get(path) != data}
    assert reads.staged | fetched == {path for path, data in UPDATED.items() if data}
    monkeypatch.undo()
    updated(world, place)


def test_what_verify_finds_is_mended_by_reading(world: World, place: Path) -> None:
    """Damage that leaves size, mtime and inode as they were is carried along, until it is looked for."""
    path = place / "t" / EDITED
    before = path.stat()
    edit_in_place(path)
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert world.sync().exit_code is ExitCode.OK
    assert [damage.path for verdict in world.verify() for damage in verdict.damage] == [EDITED]
    updated(world, place)


@pytest.mark.parametrize("number", [1, 18, 31])
def test_where_no_links_can_be_made_it_is_read_and_copied(
    world: World, place: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    before = inodes(place)
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refuse)
        assert world.sync().exit_code is ExitCode.OK
    assert not set(before.values()) & set(inodes(place).values())
    updated(world, place)


def test_a_wrong_copy_beside_linked_files_is_fetched(world: World, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed of the one file that grew was changed under our hands: its blocks come from the store."""
    call = DirectoryStage.link

    def changed(*arguments: object) -> object:
        linked = call(*arguments)
        edit_in_place(place / "t/d2/f100")
        return linked

    with monkeypatch.context() as patch:
        patch.setattr(DirectoryStage, "link", changed)
        assert world.sync().exit_code is ExitCode.OK
    updated(world, place)
