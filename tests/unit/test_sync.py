"""The main job over in-memory twins: what crosses the line, what is shown, and what a second run does."""

import random
import threading
import time

import pytest

from netclnt.errors import Damaged, ExitCode, ForeignFile
from netclnt.memory.root import MemoryRoot
from netclnt.memory.source import Corruption
from netclnt.selection import Selection
from tests.support.world import World

BIG = 3 << 20


@pytest.fixture(params=["catalog", "store"])
def world(request, tmp_path):
    made = World(tmp_path, store_catalog=request.param == "store")
    yield made
    made.ledger.close()


def noise(seed, size=BIG):
    return random.Random(seed).randbytes(size)


def test_a_new_image_arrives_whole(world):
    data = noise(1)
    assert world.publish("debian", data).new
    result = world.sync()
    assert result.exit_code is ExitCode.OK
    assert world.live("debian") == data
    assert world.done[0].result == "updated"
    assert BIG < world.done[0].bytes_fetched < BIG * 1.02


def test_a_second_sync_asks_once_and_opens_no_connection(tmp_path):
    world = World(tmp_path)
    world.publish("debian", noise(1))
    world.sync()
    world.source = type(world.source)(world.store.files)
    before = world.catalog.queries
    world.sync()
    assert world.catalog.queries - before == 2  # one SELECT, and one UPDATE that says we were here
    assert world.summary.sftp_connections == 0
    assert world.summary.bytes_fetched == 0
    assert not world.done
    world.ledger.close()


def test_only_changed_blocks_cross_the_line(world):
    data = bytearray(noise(1))
    world.publish("debian", bytes(data))
    world.sync()
    data[BIG // 2 : BIG // 2 + 10] = b"0123456789"
    world.publish("debian", bytes(data))
    world.sync()
    assert world.live("debian") == data
    assert world.done[0].bytes_fetched < 120_000
    assert world.done[0].bytes_reused > BIG - 140_000


def test_content_that_moved_is_reused(world):
    data = noise(1)
    world.publish("debian", data)
    world.sync()
    world.publish("debian", noise(2, 100_000) + data[70_000:] + data[:70_000])
    world.sync()
    assert world.done[0].bytes_fetched < 300_000


def test_repeated_content_is_fetched_once(world):
    data = noise(1, 1 << 20)
    world.publish("debian", data * 4)
    world.sync()
    assert world.live("debian") == data * 4
    assert world.done[0].bytes_fetched < 1.2 * (1 << 20)


def test_zeros_cost_nothing(world):
    data = noise(1, 200_000) + bytes(8 << 20) + noise(2, 200_000) + bytes(100_001)
    world.publish("sparse", data)
    world.sync()
    assert world.live("sparse") == data
    assert world.done[0].bytes_fetched < 500_000


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 16384, 32768, 65536, 65537, 253952, 253953])
def test_C25_sizes_on_and_off_every_boundary(world, size):
    for data in (noise(size, size), bytes(size)):
        world.publish("odd", data)
        assert world.sync().exit_code is ExitCode.OK
        assert world.live("odd") == data


def test_a_tree_arrives_and_changes_as_one(world):
    files = {"boot/vmlinuz": noise(1, 300_000), "boot/initrd": noise(2, 500_000), "etc/empty": b"", "a": b"x" * 10}
    world.publish("os", files, links={"vmlinuz": "boot/vmlinuz"})
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("os/boot/initrd") == files["boot/initrd"]
    assert world.root.live["os/vmlinuz"].target == "boot/vmlinuz"
    del files["a"]
    files["boot/initrd"] += b"more"
    world.publish("os", files)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("os/boot/initrd") == files["boot/initrd"]
    assert "os/a" not in world.root.live
    assert "os/vmlinuz" not in world.root.live
    assert world.done[0].bytes_fetched < 150_000


def test_publishing_the_same_again_adds_no_version(world):
    assert world.publish("debian", noise(1)).new
    again = world.publish("debian", noise(1))
    assert not again.new
    assert again.version.number == 1
    assert again.bytes_stored == 0


def test_other_images_are_seeds(world):
    world.publish("debian", noise(1))
    world.sync()
    world.publish("debian-copy", noise(1) + b"tail")
    world.sync()
    assert world.done[0].bytes_fetched < 100_000


def test_N1_a_file_put_there_by_hand_is_recorded(world):
    world.publish("debian", noise(1))
    world.root.put_file("debian", noise(1))
    result = world.sync()
    assert result.recorded == [("debian", 1)]
    assert world.done[0].bytes_fetched < 10_000  # the manifest, and no block
    assert world.sync().recorded == []


def test_N2_an_older_file_is_replaced_only_when_adopted(world):
    world.publish("debian", noise(1) + b"new end")
    world.root.put_file("debian", noise(1))
    result = world.sync()
    assert isinstance(result.failed[0][1], ForeignFile)
    assert world.live("debian") == noise(1)
    assert world.sync(adopt=True).exit_code is ExitCode.OK
    assert world.live("debian") == noise(1) + b"new end"
    assert world.done[0].bytes_fetched < 300_000  # one frame, and the manifest


def test_C19_a_damaged_image_is_mended_by_the_block(world):
    world.publish("debian", noise(1))
    world.sync()
    node = world.root.live["debian"]
    node.data[BIG // 3] ^= 1
    world.root.touch(node)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == noise(1)
    assert world.done[0].bytes_fetched < 600_000


def test_C20_a_touched_image_costs_a_hash_and_nothing_else(world):
    world.publish("debian", noise(1))
    world.sync()
    world.root.touch(world.root.live["debian"])
    world.sync()
    assert not world.done


def test_D14_a_block_that_came_damaged_once_is_fetched_again(world):
    world.publish("debian", noise(1))
    pack = max(world.store.files, key=lambda path: len(world.store.files[path]))
    world.source.corruptions.append(Corruption(pack, 500_000, 10))
    world.source.corruptions.append(Corruption(pack, 1_500_000, 400_000))
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == noise(1)


def test_D15_a_block_that_always_comes_damaged_is_an_integrity_error(world):
    world.publish("debian", noise(1))
    pack = max(world.store.files, key=lambda path: len(world.store.files[path]))
    world.source.corruptions.append(Corruption(pack, 500_000, 10, times=99))
    result = world.sync()
    assert result.exit_code is ExitCode.INTEGRITY
    assert isinstance(result.failed[0][1], Damaged)
    assert world.live("debian") is None


def test_P4_interrupted_work_is_not_repeated(world):
    world.publish("debian", noise(1))
    world.source.cut_after = BIG // 2
    with pytest.raises(Exception, match="LineBroken"):
        world.sync()
    first = world.source.bytes_received
    world.source = type(world.source)(world.store.files)
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == noise(1)
    assert first + world.source.bytes_received < BIG * 1.4


def test_L5_a_dry_run_tells_the_plan_of_the_real_run(world):
    world.publish("debian", noise(1))
    world.sync()
    world.publish("debian", noise(1)[:-500_000] + noise(2, 600_000))
    before = bytes(world.root.live["debian"].data)
    world.forecast()
    forecast = world.planned
    assert world.live("debian") == before
    world.sync()
    assert world.planned[0].bytes_fetch == forecast[0].bytes_fetch > 500_000
    assert world.planned[0].bytes_reuse == forecast[0].bytes_reuse


def test_a_pattern_touches_nothing_else(world):
    world.publish("a", noise(1, 10_000))
    world.publish("b", noise(2, 10_000))
    world.sync(Selection(("b",)))
    assert world.live("a") is None
    assert world.live("b") is not None
    world.sync()
    assert world.live("a") is not None


def test_one_failing_image_lets_the_others_go_on(world):
    world.publish("a", noise(1, 300_000))
    world.publish("b", noise(2, 300_000))
    world.root.put_file("a", b"the admin's own")
    result = world.sync()
    assert result.exit_code is ExitCode.PARTIAL
    assert world.live("b") == noise(2, 300_000)
    assert world.live("a") == b"the admin's own"


def test_kept_versions_are_not_listed_for_each_image(world, monkeypatch):
    listed = []
    monkeypatch.setattr(world.root, "kept", lambda: listed.append(None) or MemoryRoot.kept(world.root))
    for seed in (1, 2, 3):
        for number in range(12):
            world.publish(f"image-{number}", noise(100 * seed + number, 1000))
        assert world.sync().exit_code is ExitCode.OK
    assert len(listed) <= 3 * 2
    assert len(world.root.kept()) == 12


def test_old_versions_are_kept_and_pruned(world):
    for seed in (1, 2, 3):
        world.publish("debian", noise(seed, 200_000))
        world.sync()
    assert len(world.root.kept()) == 1
    assert [kept.number for kept in world.ledger.kept("debian")] == [2]


def test_an_interrupted_older_version_is_a_seed(world):
    world.publish("debian", noise(1))
    world.source.cut_after = BIG * 2 // 3
    with pytest.raises(Exception, match="LineBroken"):
        world.sync()
    world.source = type(world.source)(world.store.files)
    world.publish("debian", noise(1) + b"tail")
    world.sync()
    assert world.live("debian") == noise(1) + b"tail"
    assert world.done[0].bytes_fetched < BIG * 0.8


def test_C19_verify_names_the_damaged_block_and_a_sync_mends_it(world):
    files = {"boot/vmlinuz": noise(1, 300_000), "boot/initrd": noise(2, 9_000_000) + bytes(1 << 20)}
    world.publish("os", files)
    world.publish("debian", noise(3))
    world.sync()
    assert [verdict.damage for verdict in world.verify()] == [(), ()]
    world.root.live["os/boot/initrd"].data[5_000_000] ^= 1
    world.root.live["os/boot/initrd"].data[9_500_000] ^= 1
    good, bad = world.verify()
    assert not good.damage
    first, second = bad.damage
    assert first.path == second.path == "boot/initrd"
    assert first.offset <= 5_000_000 < first.offset + first.length
    assert first.length <= 65536
    assert second.offset <= 9_500_000 < second.offset + second.length
    assert world.ledger.get("os").damaged
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("os/boot/initrd") == files["boot/initrd"]
    assert world.done[0].bytes_fetched < 300_000
    assert [verdict.damage for verdict in world.verify()] == [(), ()]


def test_C20_verify_sees_what_is_missing_or_too_short(world):
    world.publish("os", {"a": noise(1, 1000), "b": noise(2, 1000)})
    world.sync()
    del world.root.live["os/a"]
    del world.root.live["os/b"].data[500:]
    (verdict,) = world.verify()
    assert [damage.path for damage in verdict.damage] == ["a", "b"]
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("os/a") == noise(1, 1000)


def test_C20_an_image_that_somebody_removed_comes_back_from_the_kept_version(world):
    data = bytearray(noise(1))
    world.publish("debian", bytes(data))
    world.sync()
    data[BIG // 2 : BIG // 2 + 10] = b"0123456789"
    world.publish("debian", bytes(data))
    world.sync()
    del world.root.live["debian"]
    assert world.sync().exit_code is ExitCode.OK
    assert world.live("debian") == data
    assert world.done[0].bytes_fetched < 300_000


def test_a_seed_directory_saves_the_line(world):
    world.publish("debian", noise(1) + b"new end")
    stick = MemoryRoot()
    stick.put_file("backup/some-image.bin", b"shift" * 1000 + noise(1))
    stick.put_file("backup/-odd*name", b"passed over")
    assert world.sync(seed_roots={"/mnt/usb": stick}).exit_code is ExitCode.OK
    assert world.live("debian") == noise(1) + b"new end"
    assert world.done[0].bytes_fetched < 600_000  # a frame for each end


def test_H7_two_runs_that_fetch_the_same_table_of_contents_take_turns(tmp_path):
    world = World(tmp_path, store_catalog=True)
    world.publish("debian", noise(1, 1000))
    found = []

    def look():
        catalog = world.from_store()
        found.append([version.name for version in catalog.current(generation=catalog.state().generation, channel="stable")])
        catalog.close()

    with world.toc_root.lock("another run"):
        thread = threading.Thread(target=look)
        thread.start()
        time.sleep(0.3)
        assert not found
    thread.join(30)
    assert found == [["debian"]]
    world.ledger.close()


def test_G7_a_directory_put_in_an_images_place_is_replaced_only_when_adopted(world):
    world.publish("debian", noise(1, 300_000))
    world.sync()
    del world.root.live["debian"]
    world.root.put_file("debian/notes", b"the admin's own")
    for _ in range(2):
        result = world.sync()
        assert isinstance(result.failed[0][1], ForeignFile)
        assert world.live("debian/notes") == b"the admin's own"
    assert world.sync(adopt=True).exit_code is ExitCode.OK
    assert world.live("debian") == noise(1, 300_000)
    assert world.sync().differences == 0
