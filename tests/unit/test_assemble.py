"""Assembling under faults: every order of errors ends, with the right error, and a clean run completes what it left."""

import hashlib
import random
import signal
from collections import Counter
from dataclasses import replace
from threading import Lock

import pytest

from netclnt import ingest
from netclnt.errors import Damaged, ExitCode, InQuarantine, LineBroken, NetclntError, StorageFailed, Terminated
from netclnt.events import Progressed
from netclnt.ledger import Ledger
from netclnt.memory.root import MemoryRoot, MemoryStage
from netclnt.memory.source import Corruption, MemorySource
from tests.support.world import World

MB = 1 << 20


def noise(seed, size=MB):
    return random.Random(seed).randbytes(size)


@pytest.fixture(autouse=True)
def ends():
    """A run that hangs fails, instead of the whole suite."""

    def late(*_):
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.ledger.close()


def packs(world):
    """The store's packs, the longest first."""
    return sorted(
        (path for path in world.store.files if path.startswith("packs/")), key=lambda path: -len(world.store.files[path])
    )


# --- a second pass


def test_D14_a_damaged_block_of_a_page_with_repeated_content(world):
    """What lies earlier in the version is copied only once its page is whole: also when that page must be mended first."""
    data = noise(1, 400_000) * 3
    world.publish("debian", data)
    world.source.corruptions.append(Corruption(packs(world)[0], 300_000, 10))
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == data


def test_D14_an_earlier_page_is_mended_before_a_later_one_copies_from_it(world):
    data = noise(1, 20 * MB) + noise(1, 6 * MB) + noise(2, 6 * MB)
    world.publish("debian", data)
    for offset in (100_000, 10 * MB, 22 * MB):
        world.source.corruptions.append(Corruption(packs(world)[0], offset, 10))
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == data


def lie(world, name, where):
    """Change a live file so that nobody sees it: its index tells of blocks that are not there."""
    node = world.root.live[name]
    for offset in where:
        node.data[offset] ^= 1


def test_a_seed_that_lies_beside_repeated_content_and_a_damaged_frame(world):
    old = noise(1, 6 * MB)
    world.publish("debian", old)
    world.sync()
    lie(world, "debian", range(10_000, 6 * MB, 200_000))
    world.publish("debian", noise(2, 2 * MB) + old + noise(2, 2 * MB) + old[: 2 * MB])
    world.source.corruptions.append(Corruption(packs(world)[1], 20_000, 10))
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == noise(2, 2 * MB) + old + noise(2, 2 * MB) + old[: 2 * MB]


def test_a_page_first_found_bad_in_the_second_pass_is_mended_too(world):
    """A page that copies from an earlier one is checked late; its seeds may have lied all the same."""
    old = noise(1, 6 * MB)
    world.publish("debian", old)
    world.sync()
    lie(world, "debian", range(1 * MB, 6 * MB, 300_000))
    new = noise(2, 9 * MB) + b"".join(noise(2, 100_000) + old[i : i + 100_000] for i in range(0, 5 * MB, 100_000))
    world.publish("debian", new)
    world.source.corruptions.append(Corruption(packs(world)[0], 20_000, 10))
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == new


def test_what_a_lying_seed_gave_is_not_counted_as_reused(world):
    old = noise(1, 3 * MB)
    world.publish("debian", old)
    world.sync()
    lie(world, "debian", range(0, 3 * MB, 2_000))
    world.publish("debian", old + noise(2, 10_000))
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == old + noise(2, 10_000)
    assert world.done[0].bytes_fetched > 3 * MB
    assert world.done[0].bytes_reused < 100_000


@pytest.mark.parametrize("times", [1, 2])
def test_D14_locations_that_came_damaged_once_are_fetched_again(world, times):
    """Nothing vouches for locations: whatever is wrong with them, be it only a value out of range, is damage of the line."""
    data = noise(1, 3 * MB)
    manifest = world.publish("debian", data).version.manifest
    path = next(path for path in world.store.files if manifest in path and path.endswith(".locations"))
    record = len(world.store.files[path]) - 20
    for offset in (record, 13, 0)[times - 1 :: 2]:
        world.source.corruptions.append(Corruption(path, offset, 2))
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == data


def test_D14_locations_with_any_byte_wrong_are_damage_and_not_an_attack(world):
    """Each byte of the table and of a record: what comes is fetched again, or tried again by the next run; never believed."""
    data = noise(1, 100_000)
    manifest = world.publish("debian", data).version.manifest
    path = next(path for path in world.store.files if manifest in path and path.endswith(".locations"))
    for offset in range(len(world.store.files[path])):
        world.source = MemorySource(world.store.files)
        world.source.corruptions.append(Corruption(path, offset, 1))
        for _, error in world.sync().failed:
            assert isinstance(error, Damaged)
            assert "too early" in error.problem  # the record led behind the end of a pack
            assert world.sync().exit_code is ExitCode.OK
        assert world.live("debian") == data
        world.root = MemoryRoot()
        world.ledger.close()
        world.ledger = Ledger(":memory:")


# --- errors of every kind, at every call


OLD = noise(1, 5 * MB)
NEW = noise(2, 300_000) + OLD[MB:] + bytes(400_000) + noise(2, 300_000) + OLD[:MB] + noise(3, 4 * MB) + noise(3, 4 * MB)[MB:]


class FaultyRoot(MemoryRoot):
    """Raises ``error`` from the ``number``-th call (from 1) of ``call``, by whichever thread."""

    def __init__(self, call=None, number=0, error=None):
        super().__init__()
        self._at, self._error = (call, number), error
        self._calls = Counter()
        self._lock = Lock()
        self.raised = False

    def fail(self, call):
        with self._lock:
            self._calls[call] += 1
            hit = (call, self._calls[call]) == self._at
            self.raised |= hit
        if hit:
            raise self._error


@pytest.fixture
def updated(world, monkeypatch):
    """An old version on the slave, and a new one that needs fetching, copying, zeroing and content that repeats."""
    for name in ("read_into", "zero"):
        real = getattr(MemoryStage, name)

        def counted(self, *arguments, name=name, real=real):
            self._root.fail(name)
            return real(self, *arguments)

        monkeypatch.setattr(MemoryStage, name, counted)
    world.publish("debian", OLD)
    world.sync()
    world.held = world.ledger.get("debian")
    world.publish("debian", NEW)
    return world


def begin_again(world, root):
    """The slave as it was with the old version, with ``root`` for its root."""
    world.root = root
    root.put_file("debian", OLD)
    world.source = MemorySource(world.store.files)
    world.ledger.close()
    world.ledger = Ledger(":memory:")
    world.ledger.record(world.held, {"": root.facts("debian", [""])[0]})


def completes(world):
    """A following clean run completes what the faulty one left."""
    world.source = MemorySource(world.store.files)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == NEW


@pytest.mark.parametrize(
    "error", [StorageFailed("write", "memory", 5, "injected"), ZeroDivisionError("a bug")], ids=["disk", "bug"]
)
@pytest.mark.parametrize("call", ["write", "copy", "zero", "read_into", "clone", "seal", "show"])
def test_A9_an_error_at_any_call_on_the_stage_ends_the_run_with_it(updated, call, error):
    number = step = 1
    while True:
        root = FaultyRoot(call, number, error)
        begin_again(updated, root)
        caught = None
        try:
            caught = dict(updated.sync().failed).get("debian")
        except ZeroDivisionError as bug:
            caught = bug
        if not root.raised:
            assert caught is None
            assert updated.live("debian") == NEW
            break
        # a copy that failed is tried by reading and writing: the seed may have been what could not be read
        assert caught is error or (call in ("copy", "write") and updated.live("debian") == NEW)
        completes(updated)
        number += step
        step += number // 4


@pytest.mark.parametrize("where", ["frames", "ranges", "answers"])
def test_D1_an_error_at_any_range_ends_the_run_with_it(updated, where):
    class Failing(MemorySource):
        def fetch(self, ranges):
            def counted():
                for each in ranges:
                    if where == "frames" and each.path.startswith("packs/"):
                        self.hit()
                    yield each

            for answer in super().fetch(counted()):
                if where == "answers":
                    self.hit()
                yield answer
            if where == "ranges":
                self.hit()

        def hit(self):
            nonlocal left
            left -= 1
            if not left:
                raise LineBroken("store", "memory:", "injected")

    number = 0
    while True:
        number += 1
        left = number
        begin_again(updated, MemoryRoot())
        updated.source = Failing(updated.store.files)
        try:
            assert updated.sync().exit_code is ExitCode.OK
        except LineBroken:
            assert left <= 0
            completes(updated)
        else:
            assert left > 0
            break
    assert updated.live("debian") == NEW


@pytest.mark.parametrize("error", [Terminated(), StorageFailed("write", "ledger", 28, "injected"), KeyboardInterrupt()])
def test_an_error_of_whoever_watches_ends_the_run_with_it(updated, error):
    class Watching(MemorySource):
        closed = False

        def close(self):
            self.closed = True
            super().close()

    def observer(event):
        nonlocal left
        if isinstance(event, Progressed):
            left -= 1
            if not left:
                raise error

    number = 0
    while True:
        number += 1
        left = number
        begin_again(updated, MemoryRoot())
        updated.source = Watching(updated.store.files)
        try:
            failed = dict(updated.sync_observed(observer).failed)
        except type(error) as caught:
            assert caught is error
            assert updated.source.closed
        else:
            if left > 0:
                break
            assert failed == {"debian": error}
        completes(updated)
    assert number >= 3


def test_A10_no_more_threads_is_an_error_and_not_a_hang(updated, monkeypatch):
    """Python's own error when it can start no thread: whoever waits for the task must not wait for ever."""
    from concurrent.futures import ThreadPoolExecutor

    real = ThreadPoolExecutor.submit

    def submit(self, *arguments):
        nonlocal left
        left -= 1
        if not left:
            raise RuntimeError("can't start new thread")
        return real(self, *arguments)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", submit)
    for number in range(1, 6):
        left = number
        begin_again(updated, MemoryRoot())
        with pytest.raises(RuntimeError, match="new thread"):
            updated.sync()
        completes(updated)


def test_a_source_that_leaves_out_an_answer_is_never_believed(updated):
    class Forgetful(MemorySource):
        def fetch(self, ranges):
            for number, (wanted, data) in enumerate(super().fetch(ranges)):
                if number or not wanted.path.startswith("packs/"):
                    yield wanted, data

    begin_again(updated, MemoryRoot())
    updated.source = Forgetful(updated.store.files)
    (failure,) = updated.sync().failed
    assert isinstance(failure[1], NetclntError)
    assert updated.live("debian") == OLD
    completes(updated)


SMALL_FILES = {f"drivers/{number:03}.sys": noise(number, 1 + number * 97) for number in range(200)}


def staged_reads(monkeypatch):
    """The numbers of the staged files that are read."""
    reads = Counter()
    whole = MemoryStage.read_into

    def read_into(self, file, offset, buffer):
        reads[file] += 1
        return whole(self, file, offset, buffer)

    monkeypatch.setattr(MemoryStage, "read_into", read_into)
    return reads


def test_small_files_are_not_read_again_once_they_came_whole(world, monkeypatch):
    world.publish("tree", SMALL_FILES | {"large": noise(1, 600_000)})
    with monkeypatch.context() as patch:
        reads = staged_reads(patch)
        assert world.sync().exit_code is ExitCode.OK
    assert len(reads) < 25, "files of more than one frame, and those at its ends"
    for path, content in SMALL_FILES.items():
        assert world.live(f"tree/{path}") == content
    assert [verdict.damage for verdict in world.verify()] == [()]


@pytest.mark.parametrize("wrong", [0, 57, 199])
def test_D15_a_small_file_of_right_blocks_and_wrong_sha256_is_never_shown(world, monkeypatch, wrong):
    """After the tries it is in quarantine: the error says which file it was, and no further run fetches it."""
    victim = sorted(SMALL_FILES)[wrong]
    entry = ingest.Entry

    def lying(path, *rest, **more):
        made = entry(path, *rest, **more)
        return replace(made, sha256=bytes(32)) if path == victim else made

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "Entry", lying)
        world.publish("tree", SMALL_FILES)
    discard = world.root.discard

    def discard_looked_at(token):
        assert world.ledger.journal(token) == set(), "it would vouch for what the next staging area does not hold"
        discard(token)

    monkeypatch.setattr(world.root, "discard", discard_looked_at)
    found = hashlib.sha256(SMALL_FILES[victim]).hexdigest()
    problem = f"{victim} has SHA-256 {found}, not {'0' * 64}"
    received = []
    for _ in range(2):
        ((_, error),) = world.sync().failed
        received.append(world.source.bytes_received)
        assert isinstance(error, InQuarantine)
        assert error.exit_code is ExitCode.INTEGRITY
        assert (error.image, error.version, error.problem) == ("tree", 1, problem)
        assert not any(path.startswith("tree") for path in world.root.live)
        assert world.root.staged() == []
        assert [(entry.name, entry.problem) for entry in world.ledger.quarantined()] == [("tree", problem)]
    assert received[0] == received[1], "a version in quarantine was fetched once more"
