"""What lies in the root against what the ledger says: nothing that changed is ever recorded as what it was."""

import random

import pytest

from netclnt.errors import ExitCode
from netclnt.ledger import Quarantine
from netclnt.look import facts_if_whole
from netclnt.memory.root import MemoryRoot
from netclnt.offer import Questions, look_at_offer
from tests.support.world import World


def noise(seed, size=100_000):
    return random.Random(seed).randbytes(size)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.publish("os", {"boot/vmlinuz": noise(1), "etc/empty": b""}, links={"vmlinuz": "boot/vmlinuz"})
    made.sync()
    yield made
    made.ledger.close()


def point_elsewhere(root):
    root.live["os/vmlinuz"].target = "boot/vmlinux"
    root.touch(root.live["os/vmlinuz"])


def put_a_file_more(root):
    root.put_file("os/boot/more", b"x")
    root.touch(root.live["os/boot"])


def make_executable(root):
    root.live["os/boot/vmlinuz"].mode = 0o777
    root.touch(root.live["os/boot/vmlinuz"])


def make_a_link_a_file(root):
    root.put_file("os/vmlinuz", b"")


def rename_a_directory(root):
    for path in [path for path in root.live if path.startswith("os/etc")]:
        root.live[path.replace("os/etc", "os/etc2")] = root.live.pop(path)
    root.touch(root.live["os"])


CHANGES = [point_elsewhere, put_a_file_more, make_executable, make_a_link_a_file, rename_a_directory]


@pytest.mark.parametrize("change", CHANGES)
def test_C20_a_sync_mends_what_was_changed_in_a_tree(world, change):
    before = {entry.path: entry for entry in world.root.tree("os")}
    change(world.root)
    assert world.sync().changed == [("os", 1)]
    assert {entry.path: entry for entry in world.root.tree("os")} == before


@pytest.mark.parametrize("change", CHANGES)
def test_C20_verify_never_records_what_was_changed_in_a_tree(world, change):
    before = {entry.path: entry for entry in world.root.tree("os")}
    change(world.root)
    (verdict,) = world.verify()
    assert verdict.damage
    assert world.ledger.get("os").damaged
    assert world.sync().exit_code is ExitCode.OK
    assert {entry.path: entry for entry in world.root.tree("os")} == before
    assert not world.verify()[0].damage


def test_C20_verify_records_what_was_only_touched(world):
    world.root.touch(world.root.live["os/boot/vmlinuz"])
    assert not world.verify()[0].damage
    assert not world.sync().differences


@pytest.mark.parametrize("change", [None, *CHANGES])
def test_K8_a_second_look_at_what_is_shown_ends_no_quarantine(world, change):
    """Only a version that is recorded anew does: or else each touch would fetch the whole of a wrong one again."""
    entry = Quarantine("os", "ab" * 32, 2, 7, "2026-11-23T01:02:03Z", "wrong SHA-256")
    world.ledger.quarantine(entry)
    world.root.touch(world.root.live["os/boot/vmlinuz"])
    if change is not None:
        change(world.root)
    assert not world.forecast().failed
    assert world.ledger.quarantined() == [entry]
    offer = look_at_offer(world.slave(), None, Questions(lambda: world.catalog), world.events.append, write=True)
    assert bool(offer.changes) is (change is not None)
    assert world.ledger.quarantined() == [entry]


def test_a_change_while_the_content_is_read_shows_the_next_time(world, monkeypatch):
    entries = list(world.root.tree("os"))
    real = MemoryRoot.tree

    def changed_meanwhile(root, name):
        yield from list(real(root, name))
        root.live["os/boot/vmlinuz"].data[0] ^= 1
        root.touch(root.live["os/boot/vmlinuz"])

    monkeypatch.setattr(MemoryRoot, "tree", changed_meanwhile)
    facts = facts_if_whole(world.root, "os", entries)
    assert facts["boot/vmlinuz"] != world.root.facts("os", ["boot/vmlinuz"])[0]


@pytest.mark.parametrize("change", CHANGES)
def test_C20_what_was_changed_in_a_tree_neither_survives_an_update_nor_is_kept(world, change):
    change(world.root)
    newer = {"boot/vmlinuz": noise(1), "boot/initrd": noise(2), "etc/empty": b""}
    world.publish("os", newer, links={"vmlinuz": "boot/vmlinuz"})
    assert world.sync().changed == [("os", 2)]
    assert [entry.path for entry in world.root.tree("os")] == [
        "",
        "boot",
        "boot/initrd",
        "boot/vmlinuz",
        "etc",
        "etc/empty",
        "vmlinuz",
    ]
    assert not world.verify()[0].damage
    assert (world.root.kept(), world.ledger.kept()) == ([], [])


def test_an_update_looks_once_at_what_it_replaces(world, monkeypatch):
    """Only its place is looked at beforehand; what is taken over is looked at on the way, and the rest before it is kept."""
    looked = []
    facts = world.root.facts
    monkeypatch.setattr(world.root, "facts", lambda name, paths: looked.append(list(paths)) or facts(name, paths))
    world.publish("os", {"boot/vmlinuz": noise(1), "etc/empty": b"no more"}, links={"vmlinuz": "boot/vmlinuz"})
    assert world.sync().changed == [("os", 2)]
    assert looked[0] == [""]
    assert all("boot/vmlinuz" not in paths for paths in looked)
    assert len(world.root.kept()) == 1
