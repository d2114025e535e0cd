"""A store that is damaged is found out, and publishing the same content heals it; a lost catalog is made anew from the store."""

import random

import pytest

from netclnt.catalog.toc import open_toc
from netclnt.checkstore import check_store
from netclnt.errors import BadArgument, CatalogBehindStore, Damaged, ExitCode, ForeignMaster, NetclntError, StorageFailed
from netclnt.head import HEAD_PATH, decode_store_head
from netclnt.manifest import locations_path, manifest_path
from netclnt.master import refresh_head
from netclnt.memory.catalog import MemoryCatalog
from netclnt.model import DEFAULT_CHANNEL
from netclnt.pack import PREFIX, ZSTD, pack_path
from netclnt.pagedeltas import page_deltas_path
from netclnt.recover import recover
from netclnt.storedmanifest import StoredManifest
from netclnt.subset import Subset, parse_subset
from tests.faults.test_master_gc import AT, Alive, check, clean, sparse
from tests.support.storereader import content_of
from tests.support.world import IDENTITY

SIZE = 1 << 20


def noise(seed, size=SIZE):
    return random.Random(seed).randbytes(size)


def looked(world, subset="1/1"):
    """(name, version) of each damaged version, with the paths concerned."""
    verdicts = check_store(world.master(), subset=parse_subset(subset), observer=world.events.append)
    return {(each.name, each.version): {one.path for one in each.damage} for each in verdicts if each.damage}


def largest_pack(world):
    return max((path for path in world.store.files if path.startswith("packs/")), key=lambda path: len(world.store.files[path]))


def pack_of(world, version):
    """The pack in which a version begins."""
    _, _, locations = next(StoredManifest(world.store, version.manifest, version.head_bytes).located())
    return pack_path(locations.frames[0].pack)


def flip(world, path, at):
    data = bytearray(world.store.files[path])
    data[at] ^= 0x40
    world.store.files[path] = bytes(data)


# --- verify --store


def test_a_sound_store_is_found_sound(world):
    world.publish("debian", noise(1) + bytes(SIZE) + noise(1))
    world.publish("tree", {"a": noise(1), "b": b"", "c/d": noise(2)}, links={"l": "a"})
    sparse(world)
    clean(world, 35)
    assert looked(world) == {}
    assert not (world.directory / "master" / "damaged.json").exists()


@pytest.mark.parametrize("damage", ["byte", "pack gone", "pack cut"])
def test_a_damaged_pack_is_named_and_healed_by_publishing_again(world, damage):
    data = noise(1) + bytes(100_000)
    text = b"".join(f"{number} lines of text that compress\n".encode() for number in range(30_000))
    first = world.publish("debian", data + text).version
    world.publish("debian", noise(3) + data)
    other = world.publish("other", {"part": data[:500_000], "own": noise(2)}).version
    path = pack_of(world, first)
    match damage:
        case "byte":
            flip(world, path, 200_000)
        case "pack gone":
            del world.store.files[path]
        case "pack cut":
            world.store.files[path] = world.store.files[path][:150_000]
    found = looked(world)
    assert set(found) == {("debian", 1), ("debian", 2), ("other", 1)}
    assert all(paths == {path} for paths in found.values())

    again = world.publish("debian", noise(3) + data)
    assert (again.new, again.bytes_new > 0) == (False, True)
    assert ("debian", 2) not in looked(world)
    healed = world.publish("debian", data + text)
    assert (healed.version.number, healed.version.manifest) == (3, first.manifest)
    if damage == "byte":  # one frame, all of which was in what was published again
        assert looked(world) == {}
    again = world.publish("other", {"part": data[:500_000], "own": noise(2)})
    assert (again.new, again.version.manifest) == (False, other.manifest)
    assert looked(world) == {}
    check(world)
    assert not (world.directory / "master" / "damaged.json").exists()
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == data + text


def test_a_large_version_is_healed_without_all_its_locations_in_memory(world, monkeypatch):
    monkeypatch.setattr("netclnt.manifest.BLOCKS_MAX", 16)
    data = noise(1, 4 << 20)
    version = world.publish("debian", data).version
    flip(world, pack_of(world, version), 200_000)
    assert set(looked(world)) == {("debian", 1)}
    alive = Alive(monkeypatch)
    assert not world.publish("debian", data).new
    assert len(StoredManifest(world.store, version.manifest, version.head_bytes).pages) > 5
    assert 0 < alive.most <= 3
    assert looked(world) == {}
    check(world)


def test_a_damaged_page_that_later_ones_lead_back_to_is_named_and_healed(world):
    data = noise(1, 6 << 20) * 2
    version = world.publish("debian", data).version
    path = manifest_path(version.manifest)
    stored = sum(page.stored for page in StoredManifest(world.store, version.manifest, version.head_bytes).head.block_pages)
    flip(world, path, len(world.store.files[path]) - stored + 3)
    assert looked(world) == {("debian", 1): {path}}
    assert not world.publish("debian", data).new
    assert looked(world) == {}
    check(world)


@pytest.mark.parametrize("codec", [ZSTD, PREFIX], ids=["plain", "delta"])
def test_C8_what_the_disk_cannot_read_is_damage_also_in_a_delta_frame(world, monkeypatch, codec):
    text = [f"{number} lines of text that compress\n" * 9 for number in range(5000)]
    world.publish("debian", "".join(text).encode())
    version = world.publish("debian", "".join(text).replace("99", "00").encode()).version
    stored = StoredManifest(world.store, version.manifest, version.head_bytes)
    wanted = {frame.pack for _, _, locations in stored.located() for frame in locations.frames if frame.codec == codec}
    path = pack_path(wanted.pop())
    real = world.store.read

    def read(asked, *place):
        if asked == path:
            raise StorageFailed(action="read", path=path, errno=5, cause="Input/output error")
        return real(asked, *place)

    monkeypatch.setattr(world.store, "read", read)
    assert {path} in looked(world).values()


def deltas_of(world, version):
    """The delta frames of a version."""
    stored = StoredManifest(world.store, version.manifest, version.head_bytes)
    return [frame for _, _, locations in stored.located() for frame in locations.frames if frame.codec == PREFIX]


@pytest.mark.parametrize("damage", ["first byte", "middle", "last byte", "another's", "pack gone"])
def test_a_damaged_delta_frame_is_named_and_healed_by_publishing_again(world, damage):
    text = [f"{number} lines of text that compress {random.Random(number).random()}\n" * 2 for number in range(9000)]
    world.publish("debian", "".join(text).encode())
    second = "".join(line.replace("7", "seven") if number % 9 == 0 else line for number, line in enumerate(text)).encode()
    version = world.publish("debian", second).version
    frame, other = deltas_of(world, version)[:2]
    path = pack_path(frame.pack)
    match damage:
        case "first byte":
            flip(world, path, frame.offset)
        case "middle":
            flip(world, path, frame.offset + frame.stored // 2)
        case "last byte":
            flip(world, path, frame.offset + frame.stored - 1)
        case "another's":
            data = bytearray(world.store.files[path])
            taken = world.store.files[pack_path(other.pack)][other.offset : other.offset + other.stored]
            data[frame.offset : frame.offset + frame.stored] = taken.ljust(frame.stored, b"\0")[: frame.stored]
            world.store.files[path] = bytes(data)
        case "pack gone":
            del world.store.files[path]
    assert looked(world)[("debian", 2)] == {path}
    assert not world.publish("debian", second).new
    assert looked(world) == {}
    check(world)
    assert not (world.directory / "master" / "damaged.json").exists()
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == second


@pytest.mark.parametrize("damage", ["mark", "lengths", "group", "cut"])
def test_damaged_page_deltas_are_named_and_healed_by_publishing_again(world, damage):
    files = {f"{number // 100:02}/{number:04}": b"%d" % number for number in range(3000)}
    edited = {path: data + b"x" if number % 20 == 0 else data for number, (path, data) in enumerate(files.items())}
    world.publish("os", files)
    version = world.publish("os", edited).version
    path = page_deltas_path(version.manifest)
    data = world.store.files[path]
    match damage:
        case "mark":
            flip(world, path, 3)
        case "lengths":
            flip(world, path, 46)
        case "group":
            flip(world, path, len(data) // 2)
        case "cut":
            world.store.files[path] = data[:-5]
    assert looked(world) == {("os", 2): {path}}
    assert not world.publish("os", edited).new
    assert looked(world) == {}
    check(world)
    assert world.sync().exit_code is ExitCode.OK


@pytest.mark.parametrize("part", ["head", "entries", "blocks", "locations", "manifest gone", "locations gone", "table"])
def test_a_damaged_manifest_is_healed_by_publishing_again(world, part):
    files = {str(number): noise(number, 5000) for number in range(40)} | {"big": noise(99)}
    version = world.publish("tree", files).version
    manifest, locations = manifest_path(version.manifest), locations_path(version.manifest)
    match part:
        case "head":
            flip(world, manifest, 20)
        case "entries":
            flip(world, manifest, version.head_bytes + 10)
        case "blocks":
            flip(world, manifest, len(world.store.files[manifest]) - 100)
        case "locations":
            flip(world, locations, len(world.store.files[locations]) - 30)
        case "table":
            flip(world, locations, 14)
        case "manifest gone":
            del world.store.files[manifest]
        case "locations gone":
            del world.store.files[locations]
    found = looked(world)
    assert set(found) == {("tree", 1)}
    again = world.publish("tree", files)
    assert (again.new, again.bytes_new) == (False, 0)
    assert looked(world) == {}
    check(world)
    assert world.sync().exit_code is ExitCode.OK


def test_a_damaged_toc_is_healed_by_the_next_writer(world):
    world.publish("debian", noise(1))
    head = decode_store_head(world.store.files[HEAD_PATH])
    flip(world, locations_path(head.toc), 20)
    assert set(looked(world)) == {("TOC", 0)}
    assert not world.publish("debian", noise(1)).new
    assert looked(world) == {}
    check(world)


def test_what_is_damaged_is_not_used_after_the_index_was_lost(world):
    data = noise(1)
    world.publish("debian", data)
    flip(world, largest_pack(world), 100_000)
    assert looked(world)
    for path in (world.directory / "master" / "index").iterdir():
        path.unlink()
    done = world.publish("other", data)
    assert done.bytes_new > 200_000
    assert content_of(world.store.files, done.version) == {"": data}
    assert looked(world) == {}  # and debian, of which nothing was published again, is healed by it


def test_damage_that_was_never_looked_for_does_not_stop_publishing_something_else(world):
    version = world.publish("debian", noise(1)).version
    flip(world, manifest_path(version.manifest), version.head_bytes + 5)
    assert world.publish("debian", noise(2)).version.number == 2
    assert world.publish("other", noise(3)).new


def test_subsets_together_find_what_the_whole_finds(world):
    world.publish("debian", noise(1, 6 << 20))
    flip(world, largest_pack(world), 3_000_000)
    parts = [looked(world, f"{part}/3") for part in (1, 2, 3)]
    assert sum(map(len, parts)) in (1, 2)
    assert looked(world, "100%") == {("debian", 1): {largest_pack(world)}}
    assert looked(world, "0.001%") == {}
    assert (world.directory / "master" / "damaged.json").exists()  # what was found before is not forgotten for it


@pytest.mark.parametrize("text", ["", "0/7", "8/7", "1/0", "0%", "101%", "1/7%", "5", "-1/7", "1e3%", "١/٧"])
def test_a_subset_that_is_none_is_refused(text):
    with pytest.raises(BadArgument):
        parse_subset(text)


def test_equal_parts_take_each_thing_once():
    keys = [random.Random(number).randbytes(16) for number in range(1000)]
    chosen = [[Subset(part, 7).chooses(key) for part in range(1, 8)] for key in keys]
    assert all(sum(each) == 1 for each in chosen)
    assert 300 < sum(Subset(share=0.4).chooses(key) for key in keys) < 500


# --- recovery


def recovered(world):
    return recover(world.master(), open_toc=open_toc, at=AT)


def filled(world):
    world.publish("debian", noise(1, 100_000))
    world.publish("debian", noise(2, 100_000))
    world.publish("tree", {"a": noise(3, 50_000)})
    assert world.sync().exit_code is ExitCode.OK


def test_E20_a_lost_catalog_comes_back_from_the_store_and_slaves_go_on(world):
    filled(world)
    before = world.catalog.state()
    versions = list(world.catalog.published(after=0, until=99))
    world.catalog = MemoryCatalog()
    state = recovered(world)
    assert (state.identity, state.generation > before.generation + 100) == (IDENTITY, True)
    assert list(world.catalog.published(after=0, until=99)) == versions
    check(world)
    assert world.sync().exit_code is ExitCode.OK
    assert not world.done
    done = world.publish("debian", noise(4, 100_000))
    assert done.version.number > 3
    assert world.publish("debian", noise(1, 100_000)).bytes_new == 0
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == noise(1, 100_000)


def test_E20_a_catalog_from_a_backup_is_refused_and_then_mended(world):
    filled(world)
    backup = MemoryCatalog()
    backup.create(identity=IDENTITY, hash_seed=world.catalog.state().hash_seed, chunker=world.catalog.state().chunker)
    whole, world.catalog = world.catalog, backup
    with pytest.raises(CatalogBehindStore):
        world.publish("debian", noise(5, 10_000))
    recovered(world)
    assert list(world.catalog.published(after=0, until=99)) == list(whole.published(after=0, until=99))
    assert world.publish("debian", noise(5, 10_000)).new
    assert world.sync().exit_code is ExitCode.OK
    check(world)


def test_E20_a_HEAD_that_cannot_be_read_is_made_anew_by_a_catalog(world):
    filled(world)
    flip(world, HEAD_PATH, 100)
    with pytest.raises(Damaged):
        refresh_head(world.master())
    recovered(world)
    check(world)
    assert world.sync().exit_code is ExitCode.OK


def test_E20_nothing_comes_of_nothing_and_a_foreign_catalog_is_refused(world):
    filled(world)
    whole = world.catalog
    world.catalog = MemoryCatalog()
    head = world.store.files.pop(HEAD_PATH)
    with pytest.raises(NetclntError):
        recovered(world)
    world.store.files[HEAD_PATH] = head
    world.catalog.create(identity="e" * 32, hash_seed=1, chunker="x")
    with pytest.raises(ForeignMaster):
        recovered(world)
    world.catalog = whole
    check(world)


def test_E20_a_damaged_toc_is_not_believed(world):
    filled(world)
    flip(world, locations_path(decode_store_head(world.store.files[HEAD_PATH]).toc), 20)
    world.catalog = MemoryCatalog()
    with pytest.raises(NetclntError):
        recovered(world)
    with pytest.raises(NetclntError):
        world.catalog.state()
    assert DEFAULT_CHANNEL
