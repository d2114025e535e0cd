"""Delta frames: whoever has the base fetches little, whoever has not fetches the plain form, and what comes out is checked."""

import random
from contextlib import closing

import pytest

from netclnt import bases
from netclnt.errors import ExitCode
from netclnt.events import Planned
from netclnt.ledger import Ledger
from netclnt.localmanifests import Manifests
from netclnt.manifest import manifest_path
from netclnt.master import open_index
from netclnt.memory.root import MemoryRoot
from netclnt.memory.source import Corruption, MemorySource
from netclnt.model import ZERO_ID
from netclnt.pack import PREFIX, pack_path
from netclnt.storedmanifest import StoredManifest
from tests.support.storereader import content_of
from tests.support.world import World

MB = 1 << 20


def noise(seed, size):
    return random.Random(seed).randbytes(size)


def edited(data, number=0):
    """With a few bytes changed in the middle."""
    middle = len(data) // 2
    return data[:middle] + b"edited %d" % number + data[middle + 5 :]


TREE = {f"drivers/{number:03}.sys": noise(number, 3_000 + number * 97) for number in range(100)}
EDITED_TREE = {path: edited(data) if number % 3 == 0 else data for number, (path, data) in enumerate(TREE.items())}
FILE = noise("file", 4 * MB)
EDITED_FILE = b"".join(edited(FILE[start : start + 200_000], start) for start in range(0, 4 * MB, 200_000))


def deltas(world, version):
    """The delta frames of a version, with their bases."""
    stored = StoredManifest(world.store, version.manifest, version.head_bytes)
    found = {}
    for _, _, locations in stored.located():
        found.update(locations.delta_frames())
    return found


def live(world, name):
    nodes = {path: node for path, node in world.root.live.items() if path == name or path.startswith(f"{name}/")}
    return {path.removeprefix(name).lstrip("/"): bytes(node.data) for path, node in nodes.items() if node.type.value == "file"}


def synced(world):
    """What a run fetched; it must go well."""
    assert world.sync().exit_code is ExitCode.OK
    return world.done[0].bytes_fetched


def anew(world):
    """A slave that holds nothing."""
    world.root = MemoryRoot()
    world.ledger.close()
    world.ledger = Ledger(":memory:")
    world.manifests = Manifests(world.directory / f"manifests of another {len(list(world.directory.iterdir()))}")
    world.source = MemorySource(world.store.files)


@pytest.mark.parametrize(("old", "new"), [(TREE, EDITED_TREE), ({"": FILE}, {"": EDITED_FILE})], ids=["tree", "file"])
def test_small_edits_cost_little_and_the_forecast_knows(world, old, new):
    world.publish("os", old)
    synced(world)
    done = world.publish("os", new)
    plain = sum(frame.plain for frame in deltas(world, done.version))
    assert plain > 250_000
    assert world.forecast().exit_code is ExitCode.OK
    (told,) = [event for event in world.events if isinstance(event, Planned)]
    assert synced(world) < plain / 10
    (planned,) = [event for event in world.events if isinstance(event, Planned)]
    assert told.bytes_fetch == planned.bytes_fetch < plain / 20
    assert live(world, "os") == new
    anew(world)
    assert synced(world) > sum(map(len, new.values()))
    assert live(world, "os") == new
    assert content_of(world.store.files, done.version) == new


def test_frames_that_would_save_little_are_not_stored(world):
    world.publish("os", TREE)
    packs = sum(path.startswith("packs/") for path in world.store.files)
    done = world.publish("os", {path: data if "9" in path else noise(path, 20_000) for path, data in TREE.items()})
    assert done.bytes_new > MB
    assert not deltas(world, done.version)
    # one of the version, and of the TOC one, and one of its delta frames
    assert sum(path.startswith("packs/") for path in world.store.files) <= packs + 3


def test_a_first_version_has_no_delta_frames(world):
    assert not deltas(world, world.publish("os", TREE).version)


def test_files_that_moved_are_still_a_base(world):
    world.publish("os", TREE)
    synced(world)
    moved = {f"elsewhere/{path}": edited(data) for path, data in TREE.items()}
    world.publish("os", moved)
    assert synced(world) < 100_000
    assert live(world, "os") == moved


def test_what_was_put_in_and_taken_out_moves_the_place_along(world):
    world.publish("os", FILE)
    synced(world)
    new = FILE[:50_000] + noise("in", 700_000) + FILE[300_000 : 2 * MB] + b"x" + FILE[2 * MB :]
    new = b"".join(edited(new[start : start + 300_000]) for start in range(0, len(new), 300_000))
    world.publish("os", new)
    assert synced(world) < 900_000
    assert live(world, "os") == {"": new}


def test_where_what_comes_before_leads_elsewhere_what_follows_tells_the_place(world):
    """Each part begins with something new, behind a part that was not before it: as a file that was moved and edited."""
    parts = [FILE[start : start + 256 * 1024] for start in range(0, 4 * MB, 256 * 1024)]
    world.publish("os", b"".join(parts))
    synced(world)
    random.Random("order").shuffle(parts)
    new = b"".join(part[:10_000] + b"changed" + part[10_005:] for part in parts)
    world.publish("os", new)
    assert synced(world) < 100_000
    assert live(world, "os") == {"": new}


def test_bases_are_named_once_and_are_within_bounds(world):
    world.publish("os", FILE)
    done = world.publish("os", EDITED_FILE)
    stored = StoredManifest(world.store, done.version.manifest, done.version.head_bytes)
    for _, _, locations in stored.located():
        ids = [id_ for id_, _ in locations.base_blocks]
        assert ZERO_ID not in ids
        assert len(ids) < 1.1 * len(set(ids))


# --- what a slave has


def test_a_slave_that_lacks_one_base_block_takes_that_frame_in_its_plain_form(world):
    world.publish("part", {path: data for path, data in TREE.items() if path != "drivers/000.sys"})
    synced(world)
    world.publish("os", TREE)
    done = world.publish("os", EDITED_TREE)
    first, second = deltas(world, done.version)
    assert world.forecast().exit_code is ExitCode.OK
    (told,) = [event for event in world.events if isinstance(event, Planned)]
    assert synced(world) > told.bytes_fetch > first.plain
    assert told.bytes_fetch < first.plain + 2 * second.stored
    assert second.plain > 2 * second.stored
    assert live(world, "os") == EDITED_TREE


def test_a_slave_that_skipped_a_version_still_profits(world):
    world.publish("os", TREE)
    synced(world)
    half = {path: edited(data) if path < "drivers/050" else data for path, data in TREE.items()}
    world.publish("os", half)
    both = {path: data if path < "drivers/050" else edited(data) for path, data in half.items()}
    done = world.publish("os", both)
    size = sum(map(len, both.values()))
    assert done.bytes_new > size / 3
    assert synced(world) < size * 2 / 3
    assert live(world, "os") == both


def test_delta_frames_of_pages_that_stay_are_told_of_by_later_versions_too(world):
    """Whoever skipped the version that they were made for has their bases, but not what came of them."""
    old = noise("long", 24 * MB)
    world.publish("os", old)
    synced(world)
    first = edited(old[: 8 * MB]) + old[8 * MB :]
    made = deltas(world, world.publish("os", first).version)
    second = first[: 16 * MB] + edited(first[16 * MB :])
    carried = deltas(world, world.publish("os", second).version)
    assert made
    assert made.items() < carried.items()
    assert synced(world) < 20_000
    assert live(world, "os") == {"": second}


def test_bases_are_looked_up_in_parts_and_no_more_of_them_than_there_is_memory_for(world, monkeypatch):
    world.publish("os", FILE)
    synced(world)
    done = world.publish("os", EDITED_FILE)
    plain = sum(frame.plain for frame in deltas(world, done.version))
    monkeypatch.setattr(bases, "_LOOKED_UP_AT_ONCE", 1)
    assert world.forecast().exit_code is ExitCode.OK
    (told,) = [event for event in world.events if isinstance(event, Planned)]
    assert told.bytes_fetch < plain / 20
    monkeypatch.setattr(bases, "_FRAMES_MAX", 1)
    assert plain / 4 < synced(world) < plain
    assert live(world, "os") == {"": EDITED_FILE}


def test_any_seed_may_have_the_base(world):
    world.publish("os", TREE)
    world.publish("copy", TREE)
    synced(world)
    world.publish("os", EDITED_TREE)
    for path in [path for path in world.root.live if path == "os" or path.startswith("os/")]:
        del world.root.live[path]
    assert synced(world) < 100_000
    assert live(world, "os") == EDITED_TREE


@pytest.mark.parametrize("many", [False, True])
def test_a_base_that_changed_since_it_was_indexed_is_noticed_and_mended_in_the_plain_form(world, many):
    world.publish("os", FILE)
    synced(world)
    node = world.root.live["os"]
    for offset in range(50_000, 4 * MB, 100_000 if many else 8 * MB):
        node.data[offset] ^= 1
    done = world.publish("os", EDITED_FILE)
    plain = sum(frame.plain for frame in deltas(world, done.version))
    fetched = synced(world)
    assert live(world, "os") == {"": EDITED_FILE}
    assert (fetched > plain) == many


def test_a_base_that_cannot_be_read_is_no_more_than_a_missing_one(world):
    world.publish("os", FILE)
    synced(world)
    world.publish("os", EDITED_FILE)
    del world.root.live["os"].data[MB:]
    assert synced(world) > MB
    assert live(world, "os") == {"": EDITED_FILE}


def test_D14_a_damaged_delta_frame_is_fetched_in_its_plain_form(world):
    world.publish("os", FILE)
    synced(world)
    done = world.publish("os", EDITED_FILE)
    frame = next(iter(deltas(world, done.version)))
    world.source.corruptions.append(Corruption(pack_path(frame.pack), frame.offset, frame.stored, times=1000))
    assert synced(world) > 100_000
    assert live(world, "os") == {"": EDITED_FILE}


# --- the master


def test_the_index_knows_nothing_of_delta_frames_also_when_it_is_made_anew(world):
    """Else a version to come would be told that its blocks lie there alone."""
    world.publish("os", FILE)
    done = world.publish("os", EDITED_FILE)
    for path in (world.directory / "master" / "index").iterdir():
        path.unlink()
    assert not world.publish("other", EDITED_FILE).bytes_new
    with closing(open_index(world.master(), world.catalog.state())) as index:
        stored = StoredManifest(world.store, done.version.manifest, done.version.head_bytes)
        for page in stored.pages:
            for id_, _ in stored.blocks(page):
                frame, _ = index.find(id_)
                assert frame.codec != PREFIX


def test_a_damaged_old_version_is_no_base_and_no_reason_to_fail(world):
    old = world.publish("os", FILE).version
    path = f"manifests/{old.manifest[:2]}/{old.manifest}.manifest"
    world.store.files[path] = b"damaged" + world.store.files[path][7:]
    done = world.publish("os", EDITED_FILE)
    assert not deltas(world, done.version)
    assert content_of(world.store.files, done.version) == {"": EDITED_FILE}


def test_an_old_version_that_turns_out_to_be_damaged_is_given_up(world, monkeypatch):
    long = noise("long", 12 * MB)
    old = world.publish("os", long).version
    path = manifest_path(old.manifest)
    world.store.files[path] = world.store.files[path][:-1] + b"?"
    read = []
    real = world.store.read
    monkeypatch.setattr(world.store, "read", lambda path, *place: read.append(path) or real(path, *place))
    new = b"".join(edited(long[start : start + 200_000]) for start in range(0, len(long), 200_000))
    done = world.publish("os", new)
    assert read.count(path) <= 3 * len(StoredManifest(world.store, old.manifest, old.head_bytes).head.block_pages)
    assert content_of(world.store.files, done.version) == {"": new}


def test_an_empty_old_version_is_no_base(world):
    world.publish("other", FILE)
    world.publish("os", b"")
    new = FILE[:300_000] + noise("new", 300_000) + FILE[:300_000]
    done = world.publish("os", new)
    assert not deltas(world, done.version)
    assert content_of(world.store.files, done.version) == {"": new}


def test_damaged_old_content_is_no_base_either(world):
    world.publish("os", FILE)
    for path in [path for path in world.store.files if path.startswith("packs/")]:
        content = world.store.files[path]
        world.store.files[path] = content[:100] + bytes(len(content) - 100)
    assert not deltas(world, world.publish("os", EDITED_FILE).version)


def test_a_file_that_became_part_of_a_tree_is_a_base_where_a_kept_block_leads_to_it(world):
    world.publish("os", FILE)
    assert deltas(world, world.publish("os", {"a": edited(FILE)[:100_000]}).version)
    assert not deltas(world, world.publish("os", {"b": noise("all new", 300_000)}).version)


def test_where_nothing_is_new_only_the_head_of_the_old_version_is_looked_at(world, monkeypatch):
    old = world.publish("os", TREE).version
    read = []
    real = world.store.read
    monkeypatch.setattr(world.store, "read", lambda path, *place: read.append((path, *place)) or real(path, *place))
    assert not world.publish("os", dict(list(TREE.items())[:50])).bytes_new
    assert {(path, *place) for path, *place in read if old.manifest in path} == {(manifest_path(old.manifest), 0, old.head_bytes)}


# --- the TOC of a store that is read without a database


def test_the_toc_costs_less_than_a_frame_after_a_small_change(tmp_path):
    world = World(tmp_path, store_catalog=True)
    for number in range(30):
        world.publish(f"images/{number}", b"content")
    synced_toc(world)
    received = synced_toc(world)
    world.publish("images/7", b"other content")
    cost = synced_toc(world) - received
    world.ledger.close()
    assert cost < 2500


def synced_toc(world):
    before = world.source.bytes_received
    assert world.sync().exit_code is ExitCode.OK
    return world.source.bytes_received - before
