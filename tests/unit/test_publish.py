"""Publishing: what adds a version and what does not, and what every possible interruption leaves behind."""

import errno
import random
import shutil
import sqlite3
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace

import pytest

from netclnt.blockindex import Run, merge_runs, write_run
from netclnt.catalog.toc import open_toc
from netclnt.dedup import StoreIndex, encode_location
from netclnt.errors import (
    BadArgument,
    CatalogBehindStore,
    Damaged,
    ExitCode,
    ForeignMaster,
    Locked,
    NoSpace,
    SourceChanged,
    SourceMissing,
    StorageFailed,
)
from netclnt.events import Progressed
from netclnt.head import HEAD_PATH, decode_store_head, encode_store_head
from netclnt.locations import Frame
from netclnt.master import read_head, refresh_head
from netclnt.memory.content import MemoryContent
from netclnt.model import DEFAULT_CHANNEL, Kind, Requirement
from netclnt.publish import Request, publish, read_entries
from tests.support.storereader import content_of, read_version
from tests.support.world import World

REQUEST = Request("debian", Kind.IMAGE, DEFAULT_CHANNEL, "", (), "2026-11-23T00:00:00Z")


def noise(seed, size=300_000):
    return random.Random(seed).randbytes(size)


def pack_bytes(world):
    return sum(len(data) for path, data in world.store.files.items() if path.startswith("packs/"))


def head(world):
    return decode_store_head(world.store.files[HEAD_PATH])


def check_store(world, directory):
    """The oracle: HEAD speaks of one whole generation; all that it and the catalog offer can be read to the last byte."""
    state = world.catalog.state()
    for version in world.catalog.published(after=0, until=state.generation):
        content_of(world.store.files, version)
    if HEAD_PATH not in world.store.files:
        return None
    found = head(world)
    assert found.state.generation <= state.generation
    _, toc = read_version(world.store.files, found.toc, found.toc_head_bytes)
    path = directory / "oracle.sqlite"
    path.write_bytes(toc[""])
    reader = open_toc(path)
    try:
        assert reader.state().generation == found.state.generation
        for version in reader.current(generation=found.state.generation, channel=DEFAULT_CHANNEL):
            content_of(world.store.files, version)
    finally:
        reader.close()
    return found


# --- what is new


def test_a_version_is_in_catalog_store_and_HEAD(world, tmp_path):
    done = world.publish("debian", noise(1))
    assert (done.new, done.version.number, done.bytes_new) == (True, 1, 300_000)
    assert content_of(world.store.files, done.version) == {"": noise(1)}
    assert check_store(world, tmp_path).state == world.catalog.state()
    assert read_entries(world.store, done.version)[0].sha256.hex() == done.version.sha256


def test_versions_and_images_share_their_blocks(world, tmp_path):
    world.publish("debian", noise(1, 1 << 20))
    again = world.publish("debian", noise(1, 1 << 20) + b"end")
    other = world.publish("other", {"a": noise(1, 1 << 20), "b": noise(2, 1000)}, kind=Kind.SOFTWARE)
    assert again.version.number == 2
    assert 0 < again.bytes_new < 70_000
    assert other.bytes_new < 72_000
    check_store(world, tmp_path)


@pytest.mark.parametrize(
    "content", [b"", noise(1), bytes(1 << 20), {"a/b": noise(1), "c": b""}], ids=["empty", "noise", "zeros", "tree"]
)
def test_unchanged_content_adds_no_version_and_no_byte(world, content):
    first = world.publish("debian", content)
    before = dict(world.store.files)
    again = world.publish("debian", content)
    assert (again.new, again.version, again.bytes_new, again.bytes_stored) == (False, first.version, 0, 0)
    assert world.store.files == before
    assert world.catalog.state().generation == 1


def test_content_that_was_current_before_is_a_new_version_and_costs_nothing(world):
    world.publish("debian", noise(1))
    world.publish("debian", noise(2))
    back = world.publish("debian", noise(1))
    assert (back.new, back.version.number, back.bytes_new) == (True, 3, 0)


def test_other_requirements_are_a_change(world, tmp_path):
    world.publish("driver", b"d", kind=Kind.SOFTWARE)
    first = world.publish("debian", noise(1))
    with_driver = (Requirement("driver"),)
    second = world.publish("debian", noise(1), requires=with_driver)
    assert (second.new, second.version.number, second.bytes_new) == (True, 2, 0)
    assert second.version.requires == with_driver
    assert second.version.manifest == first.version.manifest
    assert not world.publish("debian", noise(1), requires=with_driver).new
    third = world.publish("debian", noise(1))
    assert (third.new, third.version.number, third.version.requires) == (True, 3, ())
    check_store(world, tmp_path)
    assert world.sync().exit_code is ExitCode.OK


def test_requirements_in_another_order_are_no_change(world):
    requires = (Requirement("a"), Requirement("b", "2-"))
    assert world.publish("debian", noise(1), requires=requires).new
    assert not world.publish("debian", noise(1), requires=requires[::-1]).new


def test_another_kind_is_refused_even_if_the_content_is_the_same(world):
    world.publish("debian", noise(1))
    before = head(world)
    for content in (noise(1), noise(2)):
        with pytest.raises(BadArgument):
            world.publish("debian", content, kind=Kind.SOFTWARE)
    assert head(world) == before


def test_a_tree_of_one_file_is_another_content_than_the_file(world):
    world.publish("debian", noise(1))
    assert world.publish("debian", {"debian": noise(1)}).new


def test_progress_counts_the_bytes_read(world):
    world.publish("debian", bytes(40 << 20))
    told = [event.bytes_done for event in world.events if isinstance(event, Progressed)]
    assert told == sorted(set(told))
    assert 3 <= len(told) <= 6


def test_a_content_is_walked_through_once(world):
    walks = []

    class Walked(MemoryContent):
        def items(self):
            walks.append(self)
            return super().items()

    publish(Walked({"a": b"1", "b": b"2"}), REQUEST, master=world.master(), observer=lambda _: None)
    assert len(walks) == 1


# --- what is refused


def test_A18_a_source_that_changes_leaves_the_catalog_as_it_was(world, tmp_path):
    world.publish("debian", noise(1))
    before = (world.catalog.state(), head(world))
    with pytest.raises(SourceChanged):
        publish(MemoryContent({"": noise(2)}, changed=True), REQUEST, master=world.master(), observer=lambda _: None)
    assert (world.catalog.state(), head(world)) == before
    assert world.publish("debian", noise(2)).version.number == 2
    check_store(world, tmp_path)


def test_E20_a_catalog_restored_from_a_backup_is_refused(world):
    world.publish("debian", noise(1))
    ahead = head(world)
    ahead = replace(ahead, state=replace(ahead.state, generation=9))
    world.store.files[HEAD_PATH] = encode_store_head(ahead)
    before = dict(world.store.files)
    for refused in (lambda: world.publish("debian", noise(2)), lambda: refresh_head(world.master())):
        with pytest.raises(CatalogBehindStore) as caught:
            refused()
        assert (caught.value.catalog_generation, caught.value.store_generation) == (1, 9)
    assert world.store.files == before
    assert world.catalog.state().generation == 1


def test_E20_an_index_that_is_ahead_of_a_restored_catalog_and_store_is_not_believed(world, tmp_path):
    world.publish("debian", noise(1))
    backup = deepcopy(world.catalog), dict(world.store.files)
    world.publish("debian", noise(2))
    world.catalog = backup[0]
    world.store.files.clear()
    world.store.files.update(backup[1])
    assert world.publish("debian", noise(2)).bytes_new == 300_000
    check_store(world, tmp_path)


@pytest.mark.parametrize("index_is_there", [True, False])
def test_a_store_of_another_origin_is_refused(world, index_is_there):
    world.publish("debian", noise(1))
    foreign = head(world)
    world.store.files.clear()
    world.store.files[HEAD_PATH] = encode_store_head(replace(foreign, state=replace(foreign.state, identity="e" * 32)))
    if not index_is_there:
        shutil.rmtree(world.directory / "master" / "index")
    before = dict(world.store.files)
    with pytest.raises(ForeignMaster) as caught:
        world.publish("debian", noise(2))
    assert caught.value.found == "e" * 32
    assert world.store.files == before


def test_a_damaged_HEAD_is_not_written_over(world):
    world.publish("debian", noise(1))
    world.store.files[HEAD_PATH] = world.store.files[HEAD_PATH][:-5]
    with pytest.raises(Damaged):
        world.publish("debian", noise(2))


@pytest.mark.parametrize("held", ["store", "catalog"])
def test_E19_a_second_publisher_is_told_who_is_first(world, held):
    lock = world.store.lock if held == "store" else world.catalog.writer_lock
    with lock("pid 4711 on otherhost"), pytest.raises(Locked, match="pid 4711 on otherhost"):
        world.publish("debian", noise(1))
    assert world.publish("debian", noise(1)).new


# --- the index of blocks


def index_directory(world):
    return world.directory / "master" / "index"


@pytest.mark.parametrize(
    "damage", ["gone", "state gone", "state garbage", "state a list", "run gone", "run cut", "run empty", "run of others"]
)
def test_the_index_is_made_anew(world, tmp_path, damage):
    world.publish("debian", noise(1, 1 << 20))
    world.publish("other", noise(2, 1 << 20))
    directory = index_directory(world)
    run = max(directory.glob("*.run"), key=lambda path: path.stat().st_size)
    match damage:
        case "gone":
            shutil.rmtree(directory)
        case "state gone":
            (directory / "index.json").unlink()
        case "state garbage":
            (directory / "index.json").write_bytes(b"\xff{")
        case "state a list":
            (directory / "index.json").write_text("[1, 2]")
        case "run gone":
            run.unlink()
        case "run cut":
            run.write_bytes(run.read_bytes()[:-1])
        case "run empty":
            run.write_bytes(b"")
        case "run of others":
            write_run(run, [b"x" * 20], value_size=4)
    both = world.publish("third", {"a": noise(1, 1 << 20), "b": noise(2, 1 << 20)})
    assert both.bytes_new < 140_000  # where the pieces meet
    check_store(world, tmp_path)


def test_an_index_of_another_catalog_is_not_believed(tmp_path):
    index = StoreIndex(tmp_path, identity="a" * 32)
    index.add([b"x" * 16 + bytes(25)], generation=5)
    index.close()
    other = StoreIndex(tmp_path, identity="b" * 32)
    assert (other.generation, other.find(b"x" * 16)) == (0, None)
    other.close()
    assert not list(tmp_path.glob("*.run"))


def test_a_location_that_cannot_be_is_never_published(world, tmp_path):
    """A run whose values a power cut turned into zeros."""
    world.publish("debian", noise(1))
    for run in index_directory(world).glob("*.run"):
        data = bytearray(run.read_bytes())
        values = int.from_bytes(data[8:16], "little") * 25
        if values:
            data[-values:] = bytes(values)
        run.write_bytes(data)
    with pytest.raises(Damaged):
        world.publish("other", noise(1) + b"tail")
    assert world.publish("other", noise(1) + b"tail").bytes_new < 70_000
    check_store(world, tmp_path)


def test_an_index_writes_a_record_anew_only_seldom(tmp_path, monkeypatch):
    """Made anew from thousands of versions, it must not take a time that grows with their square."""
    written = []

    def counting(path, parts, *, value_size):
        merge_runs(path, parts, value_size=value_size)
        run = Run(path)
        written.append(run.count)
        run.close()

    monkeypatch.setattr("netclnt.dedup.merge_runs", counting)
    index = StoreIndex(tmp_path, identity="a" * 32)
    location = encode_location(Frame(1, 16, 5, 5, 0), 0)
    for number in range(1, 401):
        index.add([number.to_bytes(2, "big") + bytes([n]) * 14 + location for n in range(number % 5)], generation=number)
        assert len(list(tmp_path.glob("*.run"))) <= 12
    assert sum(written) <= 800 * 12
    assert all(index.find(number.to_bytes(2, "big") + bytes(14)) for number in range(1, 401) if number % 5)
    index.close()


def test_an_index_of_many_publishes_stays_in_few_runs(world):
    for number in range(30):
        world.publish("debian", noise(number, 5000))
    assert len(list(index_directory(world).glob("*.run"))) <= 7
    index = StoreIndex(index_directory(world), identity=world.catalog.state().identity)
    assert index.generation == 30
    index.close()
    assert world.publish("all", {str(number): noise(number, 5000) for number in range(30)}).bytes_new == 0


# --- the state directory


def test_C3_a_state_directory_that_cannot_be_written_is_a_storage_error(world):
    shutil.rmtree(world.directory / "master")
    (world.directory / "master").write_bytes(b"in the way")
    with pytest.raises(StorageFailed):
        world.publish("debian", noise(1))


def test_C3_a_full_state_directory_is_a_storage_error(world, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("netclnt.master.tempfile.TemporaryFile", full)
    with pytest.raises(NoSpace):
        world.publish("debian", noise(1))


# --- interruptions


class InjectedError(NoSpace):
    pass


class Plan:
    """Counts calls, and fails at the n-th, ``before`` it is done or after."""

    def __init__(self, at, *, before):
        self.left = at
        self.before = before
        self.trace = []

    @contextmanager
    def step(self, name):
        self.left -= 1
        self.trace.append(name)
        if not self.left and self.before:
            raise InjectedError(name, 1, 0)
        yield
        if not self.left and not self.before:
            raise InjectedError(name, 1, 0)


class Faulty:
    """Passes all calls on, as the plan wants."""

    def __init__(self, inner, plan):
        self._inner = inner
        self._plan = plan

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*args, **kwargs):
            with self._plan.step(name):
                done = found(*args, **kwargs)
            return Faulty(done, self._plan) if name == "new_pack" else done

        return call


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_A16_an_error_at_any_step_leaves_whole_generations_and_the_next_publish_succeeds(tmp_path, before):
    at = 0
    while True:
        at += 1
        directory = tmp_path / str(at)
        directory.mkdir()
        world = World(directory, store_catalog=True)
        world.publish("debian", noise(1, 100_000))
        world.sync()
        plan = Plan(at, before=before)
        master = replace(world.master(), catalog=Faulty(world.catalog, plan), store=Faulty(world.store, plan))
        try:
            publish(MemoryContent({"": noise(2, 200_000)}), REQUEST, master=master, observer=lambda _: None)
        except InjectedError:
            reached = True
        else:
            reached = plan.left <= 0
        check_store(world, directory)
        assert world.sync().exit_code is ExitCode.OK
        assert world.live("debian") in (noise(1, 100_000), noise(2, 200_000))

        assert world.publish("debian", noise(2, 200_000)).version.number == 2
        assert check_store(world, directory).state == world.catalog.state()
        assert world.sync().exit_code is ExitCode.OK
        assert world.live("debian") == noise(2, 200_000)
        assert not world.publish("debian", noise(2, 200_000)).new
        world.ledger.close()
        if not reached:
            break
    assert {"lock", "writer_lock", "new_pack", "append", "close", "put", "sync", "publish"} <= set(plan.trace)
    assert at > 15


def test_A16_a_HEAD_that_fell_behind_is_repaired_first(world, tmp_path):
    world.publish("debian", noise(1))
    old = world.store.files[HEAD_PATH]
    world.publish("debian", noise(2))
    world.store.files[HEAD_PATH] = old
    refresh_head(world.master())
    assert check_store(world, tmp_path).state == world.catalog.state()
    before = dict(world.store.files)
    refresh_head(world.master())
    assert world.store.files == before


def test_a_new_catalog_gets_a_HEAD(world, tmp_path):
    world.store.files.clear()
    assert read_head(world.store) is None
    refresh_head(world.master())
    assert head(world).state == world.catalog.state()
    check_store(world, tmp_path)


def test_a_store_that_was_lost_is_noticed(world):
    """The index of its blocks is still there, and must not lead to packs that are not."""
    world.publish("debian", noise(1))
    world.store.files.clear()
    with pytest.raises(SourceMissing):
        world.publish("debian", noise(1) + b"tail")
    assert not world.store.files


def test_a_lost_manifest_is_told(world):
    world.publish("debian", noise(1))
    shutil.rmtree(index_directory(world))
    for path in [path for path in world.store.files if path.startswith("manifests/")]:
        del world.store.files[path]
    with pytest.raises(SourceMissing):
        world.publish("other", noise(1))


def test_the_toc_holds_the_catalog(world, tmp_path):
    world.publish("debian", noise(1))
    check_store(world, tmp_path)
    with sqlite3.connect(tmp_path / "oracle.sqlite") as toc:
        assert toc.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] > 0
    toc.close()


def test_a_store_restored_from_a_backup_is_not_built_upon(world):
    world.publish("debian", noise(1))
    backup = dict(world.store.files)
    world.publish("debian", noise(2))
    world.store.files.clear()
    world.store.files.update(backup)
    with pytest.raises(SourceMissing, match="manifests/"):
        world.publish("debian", noise(2) + b"more")
