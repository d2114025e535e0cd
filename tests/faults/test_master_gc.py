"""gc: it gives back what no version needs, and nothing else, whatever interrupts it."""

import random
import shutil
from dataclasses import replace

import pytest

from netclnt import heal, moves
from netclnt.checkstore import check_store
from netclnt.errors import Damaged, ExitCode, Locked, NoSuchImage, SourceChanged, SourceMissing
from netclnt.events import Warned
from netclnt.gc import gc, look
from netclnt.head import HEAD_PATH, decode_store_head
from netclnt.locations import encode_record
from netclnt.manifest import manifest_path
from netclnt.master import refresh_head
from netclnt.memory.catalog import MemoryCatalog
from netclnt.memory.content import MemoryContent
from netclnt.model import DEFAULT_CHANNEL
from netclnt.publish import publish
from netclnt.storedmanifest import StoredManifest
from netclnt.subset import WHOLE
from netclnt.survey import Policy
from tests.support.amount import amount
from tests.support.storereader import content_of, read_version
from tests.support.world import CHUNKER, HASH_SEED, IDENTITY, World
from tests.unit.test_publish import REQUEST, Faulty, InjectedError, Plan, noise

AT = "2026-11-23T00:00:00Z"
DAY = 86400.0


def policy(day, *, keep=1, grace=35):
    return Policy(keep=keep, grace=grace * DAY, now=day * DAY, at=AT)


def clean(world, day, **more):
    return gc(world.master(), policy(day, **more), observer=world.events.append)


def history(world, name="debian"):
    return world.catalog.history(name, generation=1 << 60, channel=DEFAULT_CHANNEL)


def check(world):
    """Every version that is not dropped can be read to its last byte, and so can the TOC."""
    for version in world.catalog.published(after=0, until=1 << 60):
        content_of(world.store.files, version)
    head = decode_store_head(world.store.files[HEAD_PATH])
    assert head.state == world.catalog.state()
    read_version(world.store.files, head.toc, head.toc_head_bytes)


def stored(world):
    return sum(map(len, world.store.files.values()))


# --- what is kept


def test_E20_a_number_that_is_given_a_second_time_has_a_grace_time_of_its_own(world):
    """Of a lost history, trash.json alone is left."""
    for turn in range(2):
        world.publish("debian", noise(2 * turn))
        world.publish("debian", noise(2 * turn + 1))
        assert clean(world, 36 * turn).versions == ()
        world.catalog = MemoryCatalog()
        world.catalog.create(identity=IDENTITY, hash_seed=HASH_SEED, chunker=CHUNKER)
        world.store.files.clear()
        shutil.rmtree(world.directory / "master" / "index")
        refresh_head(world.master())


def test_nothing_is_done_where_all_is_needed(world):
    world.publish("debian", noise(1))
    before = dict(world.store.files)
    done = clean(world, 0)
    assert (done.versions, done.bytes_removed, done.packs_sparse) == ((), 0, 0)
    assert world.store.files == before
    assert clean(world, 1000).bytes_removed < 30_000  # the TOC of before
    check(world)


def test_what_is_superseded_goes_when_its_grace_time_is_over(world):
    for seed in range(5):
        world.publish("debian", noise(seed))
    full = stored(world)
    assert clean(world, 0, keep=2).versions == ()
    assert clean(world, 34, keep=2).versions == ()
    assert stored(world) == full
    done = clean(world, 35, keep=2)
    assert done.versions == ("debian@1", "debian@2", "debian@3")
    assert done.bytes_removed > 900_000
    assert stored(world) < full - 850_000
    assert [each.version.number for each in history(world) if each.dropped] == [3, 2, 1]
    check(world)
    assert world.sync().exit_code is ExitCode.OK
    assert clean(world, 36, keep=2).versions == ()


def test_what_is_current_in_any_channel_stays(world):
    first = world.publish("debian", noise(1)).version
    world.catalog.promote("debian", 1, channel="canary", at=AT)
    world.publish("debian", noise(2))
    clean(world, 0)
    assert clean(world, 100).versions == ()
    assert content_of(world.store.files, first) == {"": noise(1)}


def test_a_retired_version_goes_and_the_one_before_it_stays(world):
    for seed in range(3):
        world.publish("debian", noise(seed))
    world.catalog.retire("debian", 3, at=AT)
    clean(world, 0)
    assert clean(world, 100).versions == ("debian@1", "debian@3")
    assert [each.version.number for each in history(world) if each.current] == [2]
    check(world)


def test_what_is_dropped_cannot_come_back_but_by_publishing_it(world):
    for seed in range(2):
        world.publish("debian", noise(seed))
    clean(world, 0)
    clean(world, 100)
    with pytest.raises(NoSuchImage):
        world.catalog.promote("debian", 1, channel=DEFAULT_CHANNEL, at=AT)
    world.catalog.retire("debian", 2, at=AT)
    assert not list(world.catalog.current(generation=1 << 60, channel=DEFAULT_CHANNEL))
    again = world.publish("debian", noise(0))
    assert (again.version.number, again.bytes_new) == (3, 300_000)
    check(world)


def test_what_is_promoted_within_the_grace_time_is_needed_again(world):
    for seed in range(2):
        world.publish("debian", noise(seed))
    clean(world, 0)
    world.catalog.promote("debian", 1, channel=DEFAULT_CHANNEL, at=AT)
    assert clean(world, 20).versions == ()
    assert clean(world, 40).versions == ()
    assert clean(world, 55).versions == ()  # the newest is kept, whatever is current
    check(world)
    assert content_of(world.store.files, history(world)[-1].version) == {"": noise(0)}


def test_two_versions_of_one_content_are_needed_by_either(world):
    for seed in (1, 2, 1):
        world.publish("debian", noise(seed))
    clean(world, 0)
    assert clean(world, 100).versions == ("debian@1", "debian@2")
    check(world)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == noise(1)


def test_J1_a_clock_that_was_years_ahead_keeps_nothing_for_ever(world):
    for seed in range(2):
        world.publish("debian", noise(seed))
    clean(world, 30_000)
    assert clean(world, 0).versions == ()
    assert clean(world, 36).versions == ("debian@1",)


def test_a_lost_list_begins_the_grace_time_anew(world):
    for seed in range(2):
        world.publish("debian", noise(seed))
    clean(world, 0)
    (world.directory / "master" / "trash.json").write_text("{")
    assert clean(world, 35).versions == ()
    assert clean(world, 70).versions == ("debian@1",)


def test_files_that_are_not_netclnts_are_left_alone(world):
    others = {"packs/README": b"mine", "packs/aa/notes.pack": b"mine", "manifests/zz/x.manifest": b"mine"}
    leftover = f"manifests/ab/.{'ab' * 32}.manifest.new"
    world.store.files.update({**others, leftover: b"half"})
    world.publish("debian", noise(1))
    clean(world, 0)
    clean(world, 100)
    assert {path: world.store.files[path] for path in others} == others
    assert leftover not in world.store.files


# --- packs


def sparse(world):
    """A pack of which a third is needed, by a second image, as soon as the first one's old version is dropped."""
    parts = [noise(seed) for seed in range(5)]
    world.publish("debian", b"".join(parts))
    world.publish("other", parts[1])
    world.publish("debian", noise(9))
    clean(world, 0)
    return parts


def test_a_sparse_pack_is_put_together_and_stays_for_its_grace_time(world):
    parts = sparse(world)
    source = dict(world.store.files)
    done = clean(world, 35)
    assert (done.versions, done.packs_sparse) == (("debian@1",), 1)
    assert 400_000 < done.bytes_moved < 600_000
    old = [path for path, data in source.items() if path.startswith("packs/") and len(data) > 1_000_000]
    assert old[0] in world.store.files  # a slave that was told of it may be under way
    check(world)
    assert world.publish("third", parts[1]).bytes_new == 0
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("other") == parts[1]
    assert clean(world, 69).packs_removed == 0
    assert clean(world, 70).packs_removed >= 1
    assert old[0] not in world.store.files
    check(world)
    assert world.publish("fourth", parts[0]).bytes_new > 200_000  # the index does not tell of what is gone
    check(world)
    assert clean(world, 71).packs_sparse == 0


def test_a_damaged_frame_stays_and_is_not_told_as_moved(world):
    sparse(world)
    told = look(world.master(), policy(35), observer=lambda _: None)
    path, content = max(world.store.files.items(), key=lambda each: len(each[1]))
    world.store.files[path] = content[:400_000] + b"damaged" + content[400_007:]
    assert [each for each in check_store(world.master(), subset=WHOLE, observer=lambda _: None) if each.damage]
    assert 0 < clean(world, 35).bytes_moved < told.bytes_moved
    assert path in world.store.files
    assert clean(world, 36).bytes_moved == 0


def test_an_index_of_another_host_does_not_lead_to_what_is_gone(world, tmp_path):
    parts = sparse(world)
    shutil.copytree(world.directory / "master", tmp_path / "elsewhere")
    clean(world, 35)
    clean(world, 70)
    elsewhere = replace(world.master(), state=tmp_path / "elsewhere")
    done = publish(MemoryContent({"": b"".join(parts)}), replace(REQUEST, name="new"), master=elsewhere, observer=lambda _: None)
    assert content_of(world.store.files, done.version) == {"": b"".join(parts)}
    assert 900_000 < done.bytes_new < 1_300_000


def test_the_index_is_made_anew_without_what_was_dropped(world):
    parts = sparse(world)
    clean(world, 35)
    clean(world, 70)
    shutil.rmtree(world.directory / "master" / "index")
    assert world.publish("new", parts[1]).bytes_new == 0
    check(world)


def test_what_an_interrupted_publish_left_is_used_or_goes(world):
    world.publish("debian", noise(1))
    clean(world, 0)
    with pytest.raises(SourceChanged):
        publish(MemoryContent({"": noise(2)}, changed=True), REQUEST, master=world.master(), observer=lambda _: None)
    assert clean(world, 1).packs_waiting >= 1
    assert world.publish("debian", noise(2)).bytes_new == 0
    clean(world, 50)
    check(world)
    with pytest.raises(SourceChanged):
        publish(MemoryContent({"": noise(3)}, changed=True), REQUEST, master=world.master(), observer=lambda _: None)
    full = stored(world)
    clean(world, 51)
    assert clean(world, 90).bytes_removed > 300_000
    assert stored(world) < full - 290_000
    assert world.publish("debian", noise(3)).bytes_new == 300_000
    check(world)


def test_marks_that_do_not_fit_into_memory_are_the_same(tmp_path, monkeypatch):
    def run(directory):
        directory.mkdir()
        world = World(directory)
        sparse(world)
        done = [clean(world, 35), clean(world, 70)]
        check(world)
        world.ledger.close()
        return done

    expected = run(tmp_path / "usual")
    monkeypatch.setattr("netclnt.blockindex._RECORDS_IN_MEMORY", 3)
    assert run(tmp_path / "small") == expected


class Alive:
    """How many records of locations are in memory at a time, at ``most`` so far."""

    def __init__(self, monkeypatch):
        self.now = self.most = 0
        alive = self

        class Counted(bytes):
            def __init__(self, *_):
                alive.now += 1
                alive.most = max(alive.most, alive.now)

            def __del__(self):
                alive.now -= 1

        for place in (moves, heal):
            monkeypatch.setattr(place, "encode_record", lambda locations: Counted(encode_record(locations)))
        read = StoredManifest.record
        monkeypatch.setattr(StoredManifest, "record", lambda manifest, page: Counted(read(manifest, page)))


def test_where_the_blocks_of_a_large_version_lie_is_never_all_in_memory(world, monkeypatch):
    """An image of 100 GB has 24,000 pages."""
    monkeypatch.setattr("netclnt.manifest.BLOCKS_MAX", 16)
    large = noise(1, 4 << 20)
    world.publish("debian", large + noise(2, 5 << 20))
    version = world.publish("other", large).version
    world.publish("debian", noise(3))
    clean(world, 0)
    alive = Alive(monkeypatch)
    assert clean(world, 35).packs_sparse == 1
    assert len(StoredManifest(world.store, version.manifest, version.head_bytes).pages) > 5
    assert 0 < alive.most <= 3
    check(world)


# --- dry run, locks


def test_L5_a_dry_run_changes_nothing_and_tells_what_the_run_does(world):
    sparse(world)
    before = dict(world.store.files), world.catalog.state()
    files = {path: path.read_bytes() for path in (world.directory / "master").rglob("*") if path.is_file()}
    told = look(world.master(), policy(35), observer=lambda _: None)
    assert (dict(world.store.files), world.catalog.state()) == before
    assert {path: path.read_bytes() for path in (world.directory / "master").rglob("*") if path.is_file()} == files
    assert clean(world, 35) == told


@pytest.mark.parametrize("held", ["store", "catalog"])
def test_E19_gc_and_publish_exclude_each_other(world, held):
    lock = world.store.lock if held == "store" else world.catalog.writer_lock
    with lock("pid 4711 on otherhost"), pytest.raises(Locked, match="pid 4711 on otherhost"):
        clean(world, 0)


# --- damage


def test_what_a_live_version_needs_is_not_guessed(world):
    world.publish("debian", noise(0))
    version = world.publish("debian", noise(1)).version
    clean(world, 0)
    path = manifest_path(version.manifest)
    for bad, error in ((None, SourceMissing), (world.store.files[path][:-1], Damaged)):
        good = world.store.files.pop(path)
        if bad is not None:
            world.store.files[path] = bad
        before = dict(world.store.files)
        with pytest.raises(error):
            clean(world, 100)
        assert world.store.files == before
        world.store.files[path] = good
    assert clean(world, 100).versions == ("debian@1",)


def test_a_damaged_version_that_is_superseded_does_not_stop_it(world):
    version = world.publish("debian", noise(0)).version
    world.publish("debian", noise(1))
    del world.store.files[manifest_path(version.manifest)]
    clean(world, 0)
    assert [event.code for event in world.events if isinstance(event, Warned)] == ["damaged-version"]
    assert clean(world, 100).versions == ("debian@1",)
    check(world)


# --- interruptions


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_A13_A16_an_error_at_any_step_loses_nothing_and_the_next_run_goes_on(tmp_path, before, request):
    seen = set()
    chosen = random.Random(int(request.config.option.hypothesis_seed)).sample(range(1, 60), amount(request, 4, 59))
    for at in chosen:
        directory = tmp_path / str(at)
        directory.mkdir()
        world = World(directory)
        parts = sparse(world)
        plan = Plan(at, before=before)
        master = replace(world.master(), catalog=Faulty(world.catalog, plan), store=Faulty(world.store, plan))
        try:
            gc(master, policy(35), observer=lambda _: None)
        except InjectedError:
            pass
        else:
            assert plan.left >= 0
        for version in world.catalog.published(after=0, until=1 << 60):
            content_of(world.store.files, version)
        # A publish in between builds on whatever there is, and the slave finds all it is told of.
        assert world.publish("third", parts[0] + parts[1]).version.number == 1
        check(world)
        assert world.sync().exit_code is ExitCode.OK
        for day in (36, 72, 110):
            clean(world, day)
            check(world)
        assert [each.dropped for each in history(world)] == [False, True]
        assert (world.live("other"), world.live("third")) == (parts[1], parts[0] + parts[1])
        waste = stored(world) - sum(version.size for version in world.catalog.published(after=0, until=1 << 60))
        assert waste < 1_300_000, f"at {at} {plan.trace[-1]}"
        world.ledger.close()
        seen |= set(plan.trace)
    assert {"lock", "writer_lock"} <= seen
