"""M1: random histories of a master and a slave, with the oracle after each step.

The oracle: what is live is byte for byte some published version; what the admin put there is untouched; the ledger claims nothing
that the root lacks; and one fault-free run more brings the slave to the master's offer, after which a further one does nothing.
The store has all that is offered, whatever gc took away.
"""

import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from netclnt.checkstore import check_store
from netclnt.errors import ExitCode, NetclntError, StorageFailed
from netclnt.events import Event, ImageDone, Progressed
from netclnt.gc import gc
from netclnt.ledger import Ledger
from netclnt.look import has_content
from netclnt.master import refresh_head
from netclnt.memory.source import Corruption, MemorySource
from netclnt.offering import retire
from netclnt.pack import HEADER
from netclnt.prune import prune
from netclnt.publish import read_entries
from netclnt.selection import Selection
from netclnt.subset import WHOLE
from netclnt.survey import Policy
from tests.support.world import World

pytestmark = pytest.mark.timeout(3600)

NAMES = st.sampled_from(["debian", "os/tree", "os/other"])
SEEDS = st.integers(0, 5)
SIZES = st.sampled_from([0, 1, 5_000, 70_000, 400_000, 1_500_000])
ADMINS_FILE = b"the admin's own"
AT = "2026-11-23T00:00:00Z"
DAY = 86400.0
PACK_HEADER = HEADER.size
MANIFESTS_BYTES = 100_000
"""More than any catalog and manifest here takes, and less than the content of an image that is worth the name."""


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def noise(seed, size):
    return random.Random(seed).randbytes(size)


class Machine(RuleBasedStateMachine):
    @initialize(store_catalog=st.booleans())
    def begin(self, store_catalog):
        self.directory = Path(tempfile.mkdtemp(prefix="netclnt-machine."))
        self.world = World(self.directory, store_catalog=store_catalog, max_retire=100)  # all of three may be called back
        self.world.root.put_file("admin/notes.txt", ADMINS_FILE)
        self.published = {}
        self.entries = {}
        self.clock = 0.0
        self.lost = set()
        self.offered = {}
        self.sources = {}
        self.damaged = set()

    def teardown(self):
        if hasattr(self, "world"):
            self.world.ledger.close()
            shutil.rmtree(self.directory)

    # --- the master

    @rule(name=NAMES, seed=SEEDS, size=SIZES, moved=st.booleans(), zeros=st.sampled_from([0, 40_000, 300_000]))
    def publish(self, name, seed, size, moved, zeros):
        data = noise(seed, size) + bytes(zeros)
        if moved:
            data = data[size // 3 :] + noise(99, 50_000) + data[: size // 3]
        files = {"a/data": data, "b": noise(seed + 1, 1000), "empty": b""} if name == "os/tree" else data
        self.put(name, files)

    def put(self, name, files):
        done = self.world.publish(name, files)
        self.published.setdefault(name, set()).add(done.version.manifest)
        self.entries[done.version.manifest] = read_entries(self.world.store, done.version)
        self.offered[name] = done.version
        self.sources[name] = files
        return done

    @rule(name=NAMES)
    def publish_again(self, name):
        """What is offered already adds no version, even with the index lost."""
        if name in self.offered:
            again = self.world.publish(name, self.sources[name])
            assert not again.new
            assert again.version.number == self.offered[name].number

    @rule(name=NAMES)
    def retire(self, name):
        """What is offered is called back: slaves keep what they hold, until something is published again."""
        if self.offered.pop(name, None) is not None:
            retire(self.world.master(), name, None, at=AT)

    @rule(name=st.sampled_from([("debian", "os/other"), ("os/other", "debian")]))
    def rename(self, name):
        """Called back under one name, and published under another: nothing is stored, and nothing fetched, a second time."""
        old, new = name
        if old not in self.offered:
            return
        version, files = self.offered[old], self.sources[old]
        self.retire(old)
        assert self.put(new, files).bytes_new == 0 or self.lost
        held = self.world.ledger.get(old)
        if held is None or held.damaged or old in self.damaged or held.manifest != version.manifest:
            self.sync()
            return
        self.new_line()  # a line counts what it carried from its beginning
        assert self.world.sync(Selection((new,)), adopt=True).exit_code is ExitCode.OK
        assert self.world.summary.bytes_fetched < MANIFESTS_BYTES
        assert self.world.live(new) == files

    @rule(days=st.sampled_from([0, 1, 40]), keep=st.integers(1, 3))
    def gc(self, days, keep):
        """It gives back what no version needs, and of what is offered nothing."""
        self.clock += days * DAY
        policy = Policy(keep=keep, grace=30 * DAY, now=self.clock, at=AT)
        gc(self.world.master(), policy, observer=self.world.events.append)
        standing = {each.manifest for each in self.world.catalog.published(after=0, until=1 << 60)}
        assert standing >= {version.manifest for version in self.offered.values()}

    @rule()
    def verify_the_store(self):
        assert self.damaged_versions() <= self.lost

    @rule(where=st.floats(0, 1), which=st.integers(0, 50))
    def damage_the_store(self, where, which):
        """A flipped bit in a pack: it is never shown, ``verify --store`` names whoever needs it, and publishing again heals."""
        packs = sorted(path for path in self.world.store.files if path.startswith("packs/"))
        if not packs:
            return
        path = packs[which % len(packs)]
        data = bytearray(self.world.store.files[path])
        data[PACK_HEADER + int(where * (len(data) - PACK_HEADER - 1))] ^= 0x10
        self.world.store.files[path] = bytes(data)
        self.new_line()
        self.faulty_sync()
        self.lost |= self.damaged_versions()
        refresh_head(self.world.master())  # as each writer does: the TOC heals where no image is offered, too
        for name in self.offered:
            assert not self.world.publish(name, self.sources[name]).new
        self.new_line()
        left = self.damaged_versions()
        assert not left & {(name, version.number) for name, version in self.offered.items()}
        assert left <= self.lost
        self.lost = left

    def damaged_versions(self):
        verdicts = check_store(self.world.master(), subset=WHOLE, observer=self.world.events.append)
        return {(each.name, each.version) for each in verdicts if each.damage}

    # --- faults

    @rule(name=NAMES, where=st.floats(0, 1))
    def corrupt(self, name, where):
        path = f"{name}/a/data" if name == "os/tree" else name
        node = self.world.root.live.get(path)
        if node is not None and node.data and self.world.ledger.get(name):
            node.data[int(where * (len(node.data) - 1))] ^= 0xFF
            self.world.root.touch(node)
            self.damaged.add(name)

    @rule(after=st.integers(0, 2_000_000))
    def sync_while_the_line_breaks(self, after):
        self.world.source.cut_after = after
        self.faulty_sync()
        self.new_line()

    @rule(call=st.sampled_from(["prepare", "write", "copy", "sync", "seal", "show", "facts", "stage"]))
    def sync_while_the_disk_fails(self, call):
        self.world.root.faults[call] = StorageFailed(action=call, path="memory", errno=5, cause="injected")
        self.faulty_sync()
        self.world.root.faults.clear()

    @rule(event=st.sampled_from([Progressed, ImageDone]), count=st.integers(1, 4))
    def sync_while_it_is_killed(self, event, count):
        left = [count]

        def kill(told: Event) -> None:
            if isinstance(told, event):
                left[0] -= 1
                if not left[0]:
                    raise Killed

        try:
            self.world.sync_observed(kill)
        except Killed:
            self.new_line()

    @rule(offset=st.integers(16, 400_000), length=st.integers(1, 300_000), times=st.integers(1, 3))
    def sync_while_bytes_arrive_wrong(self, offset, length, times):
        for path in self.world.store.files:
            if path.startswith("packs/"):
                self.world.source.corruptions.append(Corruption(path, offset, length, times=times))
        self.faulty_sync()
        self.world.source.corruptions.clear()

    @rule()
    def lose_the_ledger(self):
        self.world.ledger.close()
        self.world.ledger = Ledger(":memory:")

    @rule()
    def lose_the_masters_index(self):
        shutil.rmtree(self.directory / "master" / "index", ignore_errors=True)

    @rule()
    def lose_the_cache_of_manifests(self):
        for path in (self.directory / "manifests").iterdir():
            path.unlink()

    @rule()
    def prune(self):
        """What goes is not live, and no next run misses it."""
        list(prune(self.world.slave(keep=0), observer=self.world.events.append, dry_run=False))
        assert not self.world.root.kept()
        assert not self.world.ledger.kept()

    def faulty_sync(self):
        """A sync that may fail, but only in a way that is foreseen."""
        try:
            self.world.sync(adopt=True)
        except NetclntError:
            self.world.events.clear()

    def new_line(self):
        self.world.source = MemorySource(self.world.store.files)

    # --- the oracle

    @rule()
    def sync(self):
        """A fault-free run equals the master, and a further one does nothing."""
        assert self.world.sync(adopt=True).exit_code is ExitCode.OK
        self.damaged -= self.offered.keys()  # what was called back is not brought again
        for name, version in self.offered.items():
            assert has_content(self.world.root, name, read_entries(self.world.store, version))
            assert self.world.ledger.get(name).number == version.number
        assert not self.world.sync(adopt=True).changed
        assert all(not verdict.damage for verdict in self.world.verify() if verdict.name not in self.damaged)

    @invariant()
    def what_is_live_is_some_published_version(self):
        if not hasattr(self, "world"):
            return
        for name, manifests in self.published.items():
            if name in self.damaged or self.world.root.type(name) == "absent":
                continue
            assert any(has_content(self.world.root, name, self.entries[manifest]) for manifest in manifests)

    @invariant()
    def the_ledger_claims_nothing_that_is_not_there(self):
        if not hasattr(self, "world"):
            return
        for held in self.world.ledger.held():
            if held.name not in self.damaged and not held.damaged:
                assert has_content(self.world.root, held.name, self.entries[held.manifest])

    @invariant()
    def the_admins_files_are_untouched(self):
        if hasattr(self, "world"):
            assert self.world.root.live["admin/notes.txt"].data == ADMINS_FILE


TestMachine = Machine.TestCase
TestMachine.settings = settings(stateful_step_count=15, deadline=None, max_examples=max(20, settings.default.max_examples // 2))
