"""What is fetched before content: manifests in few round trips, damage once, and hostile manifests refused by name."""

import hashlib
import random
from dataclasses import replace

import pytest

from netclnt.chunking import CHUNKER
from netclnt.errors import Damaged, ExitCode, NetclntError
from netclnt.manifest import (
    block_pages_of,
    decode_blocks,
    decode_head,
    encode_blocks,
    encode_entries,
    encode_head,
    entry_pages,
    locations_path,
    manifest_path,
    page_offsets,
)
from netclnt.memory.source import Corruption, MemorySource
from netclnt.model import Entry, EntryType
from netclnt.publish import read_entries
from tests.support.world import World

MB = 1 << 20


def noise(seed, size=MB):
    return random.Random(seed).randbytes(size)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.ledger.close()


class Counting(MemorySource):
    """Notes what is asked for: in each fetch, the files in order."""

    def __init__(self, files):
        super().__init__(files)
        self.waits = []

    def fetch(self, ranges):
        asked = []

        def noted():
            for wanted in ranges:
                if not asked:
                    self.waits.append(asked)
                asked.append(wanted.path.rpartition(".")[2])
                yield wanted

        return super().fetch(noted())


@pytest.fixture
def counted(world):
    def waits(call):
        world.source = Counting(world.store.files)
        call()
        return world.source.waits

    return waits


def test_two_round_trips_before_the_content(world, counted):
    world.publish("debian", noise(1, 300_000))
    first, second, *content = counted(world.sync)
    assert first == ["manifest", "locations"]
    assert second == ["manifest", "locations"]
    assert {path for wait in content for path in wait} == {"pack"}


def test_two_round_trips_before_the_content_of_an_update(world, counted):
    data = noise(1, 30 * MB)
    world.publish("debian", data)
    world.sync()
    version = world.publish("debian", data[: 10 * MB] + noise(2, 100_000) + data[10 * MB :]).version
    first, second, *content = counted(world.sync)
    assert first == ["manifest", "locations"]
    assert sorted(set(second)) == ["locations", "manifest"]
    assert {path for wait in content for path in wait} == {"pack"}
    whole = sum(len(world.store.files[path(version.manifest)]) for path in (manifest_path, locations_path))
    assert world.source.bytes_received < whole / 2 + 200_000


def test_three_round_trips_before_the_content_of_a_tree_with_many_entries(world, counted):
    world.publish("os", {f"f{number:04}": noise(number, 100) for number in range(2000)})
    waits = counted(world.sync)
    assert waits[0] == ["manifest"]
    assert sorted(set(waits[1])) == ["locations", "manifest"]
    assert set(waits[2]) == {"locations"}
    assert {path for wait in waits[3:] for path in wait} == {"pack"}


@pytest.mark.parametrize("content", [b"", b"x"])
def test_a_tree_whose_head_is_as_long_as_that_of_a_file_with_more_pages(world, content):
    """Then more is read than the table, or than there is of the file."""
    names = [f"f{number:04}" for number in range(3000)]
    root = Entry("", EntryType.DIRECTORY, 0o755)
    files = [Entry(name, EntryType.FILE, 0o644, 0, bytes(32)) for name in names]
    count = next(count for count in range(3000) if len(list(entry_pages([root, *files[:count]]))) == 16)
    version = world.publish("os", dict.fromkeys(names[:count], content)).version
    head = decode_head(world.store.files[manifest_path(version.manifest)][: version.head_bytes], version.manifest)
    assert len(head.entry_pages) == 16
    assert block_pages_of(version.head_bytes, CHUNKER) == len(head.block_pages) + 11
    assert world.sync().exit_code is ExitCode.OK
    assert world.live(f"os/{names[count - 1]}") == content


def test_three_round_trips_before_the_content_of_a_tree_with_many_new_pages(world, counted):
    """They come as deltas, beside the locations, which wait for their table anyway."""
    files = {f"f{number:04}": noise(number, 100) for number in range(2000)}
    world.publish("os", files)
    world.sync()
    world.publish("os", {path: data + b"x" if int(path[1:]) % 20 == 0 else data for path, data in files.items()})
    waits = counted(world.sync)
    assert waits[0] == ["manifest"]
    assert sorted(set(waits[1])) == ["locations", "pages"]
    assert sorted(set(waits[2])) == ["locations", "pages"]
    assert [set(wait) for wait in waits[3:]] == [{"pack"}]


def test_content_that_is_gone_though_its_pages_are_at_hand_costs_one_round_trip_more(world, counted):
    world.publish("debian", noise(1, 300_000))
    world.sync()
    del world.root.live["debian"]
    assert [set(wait) for wait in counted(world.sync)] == [{"locations"}, {"locations"}, {"pack"}]


def test_locations_that_came_with_a_manifest_are_used_once(world, counted):
    """Packs may be put together while a slave is at work: what is asked for again is asked anew."""
    world.publish("debian", noise(1, 300_000))
    world.source = MemorySource(world.store.files)
    world.source.missing.update(path for path in world.store.files if path.endswith(".pack"))
    assert world.sync().failed
    waits = counted(world.sync)
    assert [set(wait) for wait in waits] == [{"locations"}, {"locations"}, {"pack"}]


@pytest.mark.parametrize("length", [0, 1, 11, 13, 40])
def test_a_file_of_locations_that_is_too_short_does_not_keep_the_manifest_back(world, length):
    version = world.publish("debian", noise(1, 300_000)).version
    path = locations_path(version.manifest)
    whole = world.store.files[path]
    world.store.files[path] = whole[:length]
    assert world.sync().failed
    assert version.manifest in world.manifests
    world.store.files[path] = whole
    assert world.sync().exit_code is ExitCode.OK


def test_N1_content_that_is_there_needs_no_locations(world):
    files = {f"f{number:04}": noise(number, 100) for number in range(500)}
    paths = [locations_path(world.publish("debian", noise(1)).version.manifest)]
    paths.append(locations_path(world.publish("os", files).version.manifest))
    world.source.missing.update(paths)
    world.root.put_file("debian", noise(1))
    for path, data in files.items():
        world.root.put_file(f"os/{path}", data)
    assert world.sync().exit_code is ExitCode.OK
    assert {done.result for done in world.done} == {"recorded"}


def test_pages_that_an_old_manifest_has_are_not_fetched(world):
    data = noise(1, 40 * MB)
    version = world.publish("debian", data).version
    world.sync()
    whole = len(world.store.files[manifest_path(version.manifest)])
    world.publish("debian", data + b"more")
    world.source = MemorySource(world.store.files)
    world.forecast()
    assert world.source.bytes_received < whole / 2


@pytest.mark.parametrize("where", ["head", "entries", "blocks"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_D14_a_manifest_that_came_damaged_is_fetched_once_more(world, where, times):
    version = world.publish("debian", noise(1, 300_000)).version
    path = manifest_path(version.manifest)
    offset = {"head": 40, "entries": version.head_bytes + 5, "blocks": len(world.store.files[path]) - 5}[where]
    world.source.corruptions.append(Corruption(path, offset, 1, times=times))
    result = world.sync()
    if times == 1:
        assert result.exit_code is ExitCode.OK
    else:
        assert isinstance(result.failed[0][1], Damaged)
        world.source.corruptions.clear()
        assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == noise(1, 300_000)


# --- hostile manifests


def forge(world, version, *, entries=None, head=None, pages=None):
    """Replace the version's manifest by one whose parts were changed; the catalog tells its digest, as a hostile master's."""
    path = manifest_path(version.manifest)
    whole = world.store.files[path]
    old = decode_head(whole[: version.head_bytes], version.manifest)
    offsets = page_offsets(old, version.head_bytes)[1]
    rows = [
        (row, decode_blocks(row, whole[offset : offset + row.stored], where=""))
        for row, offset in zip(old.block_pages, offsets, strict=True)
    ]
    encoded = [encode_blocks(blocks, row.check) for row, blocks in (pages(rows) if pages else rows)]
    entry_row, entry_stored = encode_entries(
        entries(read_entries(world.store, version)) if entries else read_entries(world.store, version)
    )
    made = replace(
        old,
        entries=entry_row.count,
        blocks=sum(row.count for row, _ in encoded),
        size=sum(row.plain for row, _ in encoded),
        entry_pages=(entry_row,),
        block_pages=tuple(row for row, _ in encoded),
    )
    made = head(made) if head else made
    data = encode_head(made)
    digest = hashlib.sha256(data).hexdigest()
    world.store.files[manifest_path(digest)] = data + entry_stored + b"".join(stored for _, stored in encoded)
    world.store.files[locations_path(digest)] = world.store.files[locations_path(version.manifest)]
    return replace(version, manifest=digest, head_bytes=len(data), size=made.size, entries=made.entries, blocks=made.blocks)


def offered(world, *versions):
    class Hostile:
        def __getattr__(self, name):
            return getattr(world.catalog, name)

        def current(self, **_):
            yield from versions

    return {"open_catalog": Hostile}


def resized(entry, by):
    return replace(entry, size=entry.size + by)


@pytest.mark.parametrize(
    "entries",
    [
        lambda e: [*e[:2], e[1], *e[2:]],  # twice the same path
        lambda e: [e[0], *reversed(e[1:])],  # in another order
        lambda e: e[1:],  # no root
        lambda e: [replace(e[0], type=EntryType.LINK, target="/etc"), *e[1:]],
        lambda e: [
            e[0],
            Entry("a", EntryType.LINK, 0o777, target="/"),
            Entry("a/b", EntryType.FILE, 0o644, e[2].size, bytes(32)),
            *e[3:],
        ],
        lambda e: [e[0], Entry("a", EntryType.FILE, 0o644, 0, bytes(32)), *e[2:]],  # a file for a parent
        lambda e: [*e[:-1], resized(e[-1], 1)],  # bytes that no block has
        lambda e: [*e[:-1], resized(e[-1], (1 << 50) - e[-1].size)],  # a petabyte of them
        lambda e: [*e[:-1], resized(e[-1], -1)],
    ],
)
def test_F7_entries_that_cannot_be_are_refused(world, entries):
    version = world.publish("os", {"a/b": noise(1, 100_000), "a/c": noise(2, 100_000), "d": noise(3, 1000)}).version
    forged = forge(world, version, entries=entries)
    innocent = world.publish("zzz", noise(4, 100_000)).version
    result = world.sync(**offered(world, forged, innocent))
    ((name, error),) = result.failed
    assert name == "os"
    assert error.exit_code in (ExitCode.TRUST, ExitCode.INTEGRITY)
    assert list(world.root.live) == ["zzz"]
    assert not world.root.staged()


def test_blocks_that_end_elsewhere_than_files_are_put_in_their_place(world):
    """Nothing says that a block ends where its file does: a master may cut otherwise one day."""
    parts = noise(1, 100_000), noise(2, 50_000)
    version = world.publish("os", {"a": parts[0] + parts[1]}).version
    digests = [hashlib.sha256(part).digest() for part in parts]
    forged = forge(
        world,
        version,
        entries=lambda e: [
            e[0],
            *(Entry(n, EntryType.FILE, 0o644, len(p), d) for n, p, d in zip("ab", parts, digests, strict=True)),
        ],
    )
    assert world.sync(**offered(world, forged)).exit_code is ExitCode.OK
    assert (world.live("os/a"), world.live("os/b")) == parts


@pytest.mark.parametrize(
    "head",
    [
        lambda h: replace(h, hash_seed=h.hash_seed ^ 1),
        lambda h: replace(h, chunker="magic"),
        lambda h: replace(h, tree=not h.tree),
        lambda h: replace(h, size=h.size + 1),
        lambda h: replace(h, size=1 << 49),
        lambda h: replace(h, blocks=h.blocks + 1),
        lambda h: replace(h, entries=2),
        lambda h: replace(h, block_pages=(replace(h.block_pages[0], count=513),)),
        lambda h: replace(h, block_pages=(replace(h.block_pages[0], plain=1 << 62),)),
        lambda h: replace(h, block_pages=h.block_pages * 3),
        lambda h: replace(h, entry_pages=(replace(h.entry_pages[0], plain=1 << 30),)),
        lambda h: replace(h, entry_pages=(replace(h.entry_pages[0], stored=1 << 31),)),
        lambda h: replace(h, entry_pages=(replace(h.entry_pages[0], plain=1),)),
    ],
)
def test_F8_heads_that_cannot_be_are_refused(world, head):
    forged = forge(world, world.publish("debian", noise(1, 100_000)).version, head=head)
    result = world.sync(**offered(world, forged))
    assert isinstance(result.failed[0][1], NetclntError)
    assert not world.root.live


def test_a_version_row_that_is_not_its_manifests_is_refused(world):
    version = world.publish("debian", noise(1, 100_000)).version
    changes = {"size": 1, "entries": 2, "blocks": 1, "sha256": "0" * 64, "manifest": "0" * 64}
    for field, value in changes.items():
        (failure,) = world.sync(**offered(world, replace(version, **{field: value}))).failed
        assert isinstance(failure[1], NetclntError), field
    (failure,) = world.sync(**offered(world, replace(version, tree=True, sha256=""))).failed
    assert isinstance(failure[1], NetclntError)
    assert not world.root.live


def test_all_ids_right_and_a_sha256_wrong_is_told_and_never_shown(world):
    version = world.publish("debian", noise(1, 100_000)).version
    forged = forge(world, version, entries=lambda e: [replace(e[0], sha256=bytes(32))])
    forged = replace(forged, sha256=bytes(32).hex())
    for _ in range(2):
        assert world.sync(**offered(world, forged)).exit_code is ExitCode.INTEGRITY
        assert not world.root.live


def test_a_page_whose_check_is_wrong_is_told_and_never_shown(world):
    version = world.publish("debian", noise(1, 100_000)).version
    forged = forge(world, version, pages=lambda rows: [(replace(rows[0][0], check=bytes(16)), rows[0][1])])
    assert world.sync(**offered(world, forged)).exit_code is ExitCode.INTEGRITY
    assert not world.root.live


def test_F8_an_image_with_block_lengths_that_cannot_be_fails_alone(world):
    version = world.publish("aaa", noise(1, 100_000)).version

    def swollen(rows):
        ((row, blocks),) = rows
        blocks.lengths[0] += blocks.lengths[1] + 60_000
        return [(row, blocks)]

    forged = forge(world, version, pages=swollen, entries=lambda e: [replace(e[0], size=e[0].size + 60_000 + 9_999_999)])
    forged = replace(forged, sha256=version.sha256)
    innocent = world.publish("zzz", noise(4, 100_000)).version
    for _ in range(2):
        assert [name for name, _ in world.sync(**offered(world, forged, innocent)).failed] == ["aaa"]
        assert list(world.root.live) == ["zzz"]
