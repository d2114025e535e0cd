"""The knobs of the in-memory root; what it shares with the real one is in the contract suite."""

from __future__ import annotations

import pytest

from netclnt.errors import NoSpace, StorageFailed
from netclnt.memory.root import MemoryRoot
from netclnt.model import Entry, EntryType


def test_a_fault_is_raised_once() -> None:
    root = MemoryRoot()
    stage = root.stage("a1")
    stage.prepare([Entry("", EntryType.FILE, 0o644, 5, bytes(32))])
    for call, work in (("sync", stage.sync), ("write", lambda: stage.write(0, 0, [b"1"])), ("seal", lambda: stage.seal("x"))):
        root.faults[call] = StorageFailed(action=call, path="x", errno=5, cause="test")
        with pytest.raises(StorageFailed):
            work()
        work()
    assert stage.syncs == 1


def test_C1_capacity_counts_what_is_stored_but_not_holes() -> None:
    root = MemoryRoot(capacity=20_000)
    root.put_file("a", b"x" * 10_000)
    assert root.free() == 10_000
    stage = root.stage("a1")
    stage.prepare([Entry("", EntryType.FILE, 0o644, 1 << 20, bytes(32))])
    assert root.free() == 10_000
    stage.write(0, 0, [b"y" * 8192])
    with pytest.raises(NoSpace) as caught:
        stage.write(0, 8192, [b"y" * 8192])
    assert (caught.value.needed, caught.value.free) == (8192, 1808)
