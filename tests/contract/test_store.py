"""What every Store promises, and what the one on a real directory promises beyond that."""

import errno
import os
import stat
import subprocess
import sys

import pytest

from netclnt.errors import Damaged, Locked, NetclntError, NoSpace, SourceMissing, StorageFailed
from netclnt.memory.store import MemoryStore
from netclnt.pack import encode_header, pack_path
from netclnt.store import DirectoryStore
from tests.support.mounts import mounted


@pytest.fixture(params=["directory", "memory"])
def store(request, tmp_path):
    return DirectoryStore.create(tmp_path / "store") if request.param == "directory" else MemoryStore()


@pytest.fixture
def directory(tmp_path):
    return DirectoryStore.create(tmp_path / "store")


# --- files


def test_what_was_put_is_read(store):
    store.put("manifests/ab/cd", [b"one ", bytearray(b"two "), memoryview(b"three")])
    assert store.size("manifests/ab/cd") == 13
    assert store.read("manifests/ab/cd", 0, 13) == b"one two three"
    assert store.read("manifests/ab/cd", 4, 3) == b"two"
    assert store.read("manifests/ab/cd", 13, 0) == b""
    store.sync()
    assert store.read("manifests/ab/cd", 0, 3) == b"one"


def test_an_empty_file_is_a_file(store):
    store.put("empty", [])
    assert store.size("empty") == 0
    assert store.read("empty", 0, 0) == b""


def test_a_file_is_replaced(store):
    store.put("HEAD", [b"an old, long one"])
    store.put("HEAD", [b"new"])
    assert (store.size("HEAD"), store.read("HEAD", 0, 3)) == (3, b"new")


def test_a_put_that_fails_leaves_the_old_file(store):
    store.put("HEAD", [b"old"])

    def parts():
        yield b"new and lon"
        assert store.read("HEAD", 0, 3) == b"old"
        raise Damaged(what="page", where="source", problem="made up")

    with pytest.raises(Damaged, match="made up"):
        store.put("HEAD", parts())
    assert (store.size("HEAD"), store.read("HEAD", 0, 3)) == (3, b"old")
    store.put("HEAD", [b"newer"])
    assert store.read("HEAD", 0, 5) == b"newer"


def test_what_is_not_there_is_missing(store):
    assert store.size("manifests/ab/cd") is None
    with pytest.raises(SourceMissing):
        store.read("manifests/ab/cd", 0, 1)


@pytest.mark.parametrize(("offset", "length"), [(0, 4), (2, 2), (3, 1), (100, 1)])
def test_a_file_that_ends_early_is_damaged(store, offset, length):
    store.put("file", [b"abc"])
    with pytest.raises(Damaged):
        store.read("file", offset, length)


def test_what_packs_and_manifests_consist_of_is_listed(store):
    store.put("HEAD", [b"x"])
    store.put("manifests/ab/cd.manifest", [b"four"])
    writer = store.new_pack()
    writer.append(b"frame")
    writer.close()
    assert dict(store.content()) == {"manifests/ab/cd.manifest": 4, pack_path(writer.pack): 21}


def test_an_empty_store_lists_nothing(store):
    assert list(store.content()) == []


def test_what_is_removed_is_gone_and_removing_it_again_is_fine(store):
    store.put("manifests/ab/cd", [b"x"])
    for _ in range(2):
        store.remove("manifests/ab/cd")
        assert store.size("manifests/ab/cd") is None
    store.sync()


# --- packs


def test_a_pack_of_an_interrupted_writer_can_be_secured(store):
    writer = store.new_pack()
    writer.append(b"frame")
    writer.close()
    store.secure(pack_path(writer.pack))
    store.sync()
    assert store.size(pack_path(writer.pack)) == 21


def test_a_pack_is_its_header_and_what_was_appended(store):
    writer = store.new_pack()
    assert writer.size == 16
    writer.append(b"frame one")
    writer.append(memoryview(b"frame two"))
    writer.append(bytearray(b"three"))
    assert writer.size == 16 + 9 + 9 + 5
    writer.close()
    store.sync()
    path = pack_path(writer.pack)
    assert store.size(path) == writer.size
    assert store.read(path, 0, writer.size) == encode_header(writer.pack) + b"frame oneframe twothree"


def test_packs_have_ids_of_their_own(store):
    writers = [store.new_pack() for _ in range(20)]
    for writer in writers:
        writer.close()
    assert len({writer.pack for writer in writers}) == 20
    assert all(0 <= writer.pack < 1 << 64 for writer in writers)


# --- the lock


def test_H1_one_writer_at_a_time_and_the_second_is_told_who(store):
    with store.lock("pid 4711, netclnt publish"):
        with pytest.raises(Locked) as caught, store.lock("pid 4712, netclnt gc"):
            pass
        assert caught.value.holder == "pid 4711, netclnt publish"
    with store.lock("pid 4712, netclnt gc"):
        pass


def test_the_lock_is_free_after_an_error(store):
    with pytest.raises(NoSpace), store.lock("a"):
        raise NoSpace(path="", needed=0, free=0)
    with store.lock("b"):
        pass


def test_H1_a_shorter_holder_leaves_nothing_of_a_longer_one(directory, tmp_path):
    with directory.lock("a very long description of whoever holds it"):
        pass
    with (
        directory.lock("short ä"),
        pytest.raises(Locked, match=r"holder='short ä'"),
        DirectoryStore(tmp_path / "store").lock("other"),
    ):
        pass


def test_H3_a_holder_that_is_killed_holds_no_longer(directory, tmp_path):
    program = (
        "import sys, pathlib\nfrom netclnt.store import DirectoryStore\n"
        "with DirectoryStore(pathlib.Path(sys.argv[1])).lock('the child'):\n print('held', flush=True)\n sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "store")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(Locked, match="the child"), directory.lock("us"):
            pass
        child.kill()
        child.wait()
    with directory.lock("us"):
        pass


# --- a real directory


def test_links_and_what_lies_deeper_are_not_listed(directory, tmp_path):
    directory.put("packs/ab/file", [b"x"])
    (tmp_path / "store" / "packs" / "ab" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "store" / "packs" / "cd").symlink_to(tmp_path)
    (tmp_path / "store" / "packs" / "ab" / "deeper").mkdir()
    (tmp_path / "store" / "packs" / "ab" / "deeper" / "file").write_bytes(b"x")
    assert list(directory.content()) == [("packs/ab/file", 1)]


def test_removing_what_cannot_be_removed_is_a_storage_error(directory, tmp_path):
    (tmp_path / "store" / "packs").mkdir()
    for action in (lambda: directory.remove("packs"), lambda: directory.secure("packs/ab/none")):
        with pytest.raises(StorageFailed):
            action()


def test_it_can_be_created_twice(tmp_path):
    DirectoryStore.create(tmp_path / "store").put("HEAD", [b"x"])
    assert DirectoryStore.create(tmp_path / "store").read("HEAD", 0, 1) == b"x"


def test_its_parent_must_be_there(tmp_path):
    with pytest.raises(StorageFailed):
        DirectoryStore.create(tmp_path / "no" / "store")


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_C26_all_may_read_and_none_else_may_write_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        store = DirectoryStore.create(tmp_path / "store")
        store.put("manifests/ab/cd", [b"x"])
        writer = store.new_pack()
        writer.append(b"x")
        writer.close()
        store.sync()
    finally:
        os.umask(before)
    modes = {path.relative_to(tmp_path).parts[-1]: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert {mode for name, mode in modes.items() if "." in name or name == "cd"} == {0o644}
    assert {mode for name, mode in modes.items() if not ("." in name or name == "cd")} == {0o755}


def test_a_reader_keeps_what_it_opened(directory, tmp_path):
    directory.put("HEAD", [b"old"])
    with (tmp_path / "store" / "HEAD").open("rb") as reader:
        directory.put("HEAD", [b"new"])
        assert reader.read() == b"old"


def test_a_put_leaves_no_other_file(directory, tmp_path):
    directory.put("a/HEAD", [b"old"])
    assert [path.name for path in (tmp_path / "store" / "a").iterdir()] == ["HEAD"]


def test_G5_a_lock_that_is_a_link_is_not_followed(directory, tmp_path):
    (tmp_path / "store" / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageFailed), directory.lock("us"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_in_the_way_is_a_storage_error(directory, tmp_path):
    (tmp_path / "store" / "manifests").write_bytes(b"")
    (tmp_path / "store" / "packs").write_bytes(b"")
    (tmp_path / "store" / "HEAD").mkdir()
    for action in (
        lambda: directory.put("manifests/ab/cd", [b"x"]),
        directory.new_pack,
        lambda: directory.put("HEAD", [b"x"]),
        lambda: directory.read("HEAD", 0, 1),
        lambda: directory.size("manifests/ab/cd"),
    ):
        with pytest.raises(StorageFailed):
            action()


def test_a_file_system_without_locks_is_a_storage_error(directory, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("netclnt.store.fcntl.flock", flock)
    with pytest.raises(StorageFailed), directory.lock("us"):
        pass


def test_C2_a_full_disk_is_told_and_leaves_the_old_file(tmp_path):
    with mounted("tmpfs", tmp_path, megabytes=1) as place:
        store = DirectoryStore.create(place / "store")
        store.put("HEAD", [b"old"])
        with pytest.raises(NoSpace):
            store.put("HEAD", [bytes(65536)] * 64)
        assert store.read("HEAD", 0, 3) == b"old"
        store.put("HEAD", [b"new"])
        with pytest.raises(NoSpace):
            fill(store)
        assert store.read("HEAD", 0, 3) == b"new"


def test_C5_no_inodes_left_is_told(tmp_path):
    with mounted("tmpfs", tmp_path, megabytes=1, options="nr_inodes=5") as place:
        store = DirectoryStore.create(place / "store")
        with pytest.raises(NoSpace) as caught:
            for number in range(10):
                store.put(f"{number}", [b"x"])
        assert isinstance(caught.value, NetclntError)


def fill(store):
    writer = store.new_pack()
    try:
        for _ in range(64):
            writer.append(bytes(65536))
    finally:
        writer.close()
