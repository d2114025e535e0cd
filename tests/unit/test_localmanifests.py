"""Local manifests are a cache: lost or corrupt, they cost time, never correctness, and heal."""

import random
from contextlib import closing
from itertools import accumulate

import pytest

from netclnt.errors import ExitCode, LineBroken
from netclnt.manifest import manifest_path
from netclnt.memory.source import MemorySource
from tests.support.world import World


def noise(seed, size=3 << 20):
    return random.Random(seed).randbytes(size)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.ledger.close()


def damage(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def cached(world, suffix):
    (path,) = (world.directory / "manifests").glob(f"*{suffix}")
    return path


@pytest.mark.parametrize("where", [0, 20, 150, 300, 400, 2000, -1, -9, -30])
def test_I1_a_manifest_with_any_byte_wrong_heals(world, where):
    data = noise(1)
    world.publish("debian", data)
    world.sync()
    damage(cached(world, ".manifest"), where)
    world.publish("debian", data[:1_000_000] + noise(2, 10_000) + data[1_000_000:])
    world.source = MemorySource(world.store.files)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == data[:1_000_000] + noise(2, 10_000) + data[1_000_000:]
    assert world.sync().exit_code is ExitCode.OK
    assert not world.verify()[0].damage


@pytest.mark.parametrize("where", [0, 20, 150, 400, 2000, -1, -30])
def test_I1_a_manifest_that_went_bad_in_place_is_fetched_again(world, where):
    world.publish("debian", noise(1))
    world.sync()
    damage(cached(world, ".manifest"), where)
    assert world.verify()[0].damage
    assert world.sync().exit_code is ExitCode.OK
    assert not world.verify()[0].damage
    assert world.live("debian") == noise(1)


@pytest.mark.parametrize("where", [0, 20, 150, 300, 2000, 20_000, -1, -9])
def test_I1_what_came_before_a_fetch_broke_off_is_believed_only_by_its_digest(world, where):
    files = {f"f{number:04}": b"%d" % number for number in range(2000)}
    digest = world.publish("os", files).version.manifest
    content = bytes(world.store.files[manifest_path(digest)])

    def breaking_off():
        yield 0, content[: len(content) // 2]
        raise LineBroken(what="store", address="memory:", cause="the test's")

    with pytest.raises(LineBroken):
        world.manifests.write(digest, stored(world, digest)[0], breaking_off())
    damage(cached(world, ".begun"), where)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("os/f1999") == b"1999"
    assert {path.suffix for path in (world.directory / "manifests").iterdir()} == {".manifest"}


def test_a_manifest_tells_of_its_blocks_without_an_index(world):
    data = noise(1)
    digest = world.publish("debian", data + bytes(100_000) + data).version.manifest
    world.sync()
    with closing(world.manifests.open(digest)) as manifest:
        blocks = [
            (id_, start)
            for page in range(len(manifest.starts))
            for (id_, _), start in zip(
                manifest.blocks(page), accumulate(manifest.blocks(page).lengths, initial=manifest.starts[page]), strict=False
            )
        ]
        wanted = {id_ for id_, _ in blocks[::7]} | {b"?" * 16}
        assert sorted(manifest.find(wanted)) == sorted(place for place in blocks if place[0] in wanted)
        assert list(manifest.find(set())) == []
    assert {path.suffix for path in (world.directory / "manifests").iterdir()} == {".manifest"}


def test_only_what_is_held_or_kept_stays_in_the_cache(world):
    for seed in range(4):
        world.publish("debian", noise(seed, 100_000))
        world.sync()
    names = {path.name.partition(".")[0] for path in (world.directory / "manifests").iterdir()}
    assert names == {world.ledger.get("debian").manifest, world.ledger.kept("debian")[0].manifest}


def test_what_two_versions_have_alike_is_decoded_once(world):
    files = {f"d/{number:03}": b"%d" % number for number in range(300)}
    digests = [world.publish("tree", {**files, "d/007": text}).version.manifest for text in (b"old", b"new")]
    plain = []
    for digest in digests:
        world.manifests.write(digest, *stored(world, digest)).close()
        with closing(world.manifests.open(digest)) as manifest:
            plain.append(manifest.entries)
    with closing(world.manifests.open(digests[0])) as old, closing(world.manifests.open(digests[1])) as new:
        new.share_entries(old)
        assert [new.entries, old.entries] == [plain[1], plain[0]]
        other = [entry.path for entry, before in zip(new.entries, old.entries, strict=True) if entry is not before]
    assert other == ["d/007"]


def stored(world, digest):
    """The length of a manifest's head, and the manifest in parts, as the store has it."""
    head_bytes = next(version.head_bytes for version in world.catalog.published(after=0, until=99) if version.manifest == digest)
    return head_bytes, [(0, bytes(world.store.files[manifest_path(digest)]))]
