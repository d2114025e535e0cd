"""The doctor's rules: what becomes of errors, which checks depend on which, and what is measured; over in-memory ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from netclnt import errors as e
from netclnt.doctor import Check, Found, Host, Result, examine, host_checks
from netclnt.doctor.checks import Asked, staged, warn
from netclnt.doctor.ends import CATALOG_STAGES, STORE_STAGES, read_head, read_offer
from netclnt.doctor.host import look_at_clock
from netclnt.doctor.places import look_at_space
from netclnt.doctor.speed import measure
from netclnt.machine import Looks, Space
from netclnt.memory.source import MemorySource
from netclnt.model import DEFAULT_CHANNEL
from tests.support.world import World

TEMP = e.Unreachable("store", "x", "y")


def failing(error: BaseException):
    def look():
        raise error

    return look


def found(checks, **options) -> dict[str, str]:
    return {finding.check: str(finding.result) for finding in examine(checks, **options)}


def test_P9_an_error_becomes_a_finding_and_what_needs_it_is_left_out():
    checks = [
        Check("a", failing(TEMP)),
        Check("b", lambda: Found("fine"), ("a",)),
        Check("c", lambda: Found("fine"), ("b",)),
        Check("d", lambda: warn("odd", "type this")),
        Check("e", lambda: Found("fine"), ("d", "slave.root")),
        Check("f", lambda: Found("fine"), ("d", "slave.state")),
    ]
    findings = list(examine(checks, broken=["slave.root"]))
    assert [str(finding.result) for finding in findings] == ["error", "skipped", "skipped", "warning", "skipped", "ok"]
    assert findings[0].error is TEMP
    assert [finding.misses for finding in findings] == ["", "a", "b", "", "slave.root", ""]


@pytest.mark.parametrize("error", [e.Terminated(), KeyError("a bug")])
def test_A4_signals_and_bugs_are_no_findings(error):
    with pytest.raises(type(error)):
        list(examine([Check("a", failing(error))]))


def test_what_several_checks_ask_is_asked_once():
    asked = []
    good, bad = Asked(lambda: asked.append("good") or 1), Asked(lambda: asked.append("bad") or failing(TEMP)())
    assert good.answer is None
    assert (good(), good(), good.answer) == (1, 1, 1)
    for _ in range(2):
        with pytest.raises(e.Unreachable):
            bad()
    assert (asked, bad.answer) == (["good", "bad"], None)


@pytest.mark.parametrize(
    ("error", "stage"),
    [
        (e.IdentityFileUnusable("k", "c"), "store.key"),
        (e.BadArgument("ssh", "no such program"), "store.key"),
        (e.DeadlinePassed("store", "x", 1.0), "store.line"),
        (e.Incompatible("SSH server", "weak", "strong"), "store.line"),
        (e.HostKeyUnknown("x", "SHA256:y", "z"), "store.host-key"),
        (e.HostKeyChanged("x", "SHA256:y", "z"), "store.host-key"),
        (e.LoginRefused("store", "x", "u", "c"), "store.login"),
        (e.Incompatible("SFTP server", "none", "3"), "store.sftp"),
        (e.SourceMissing("HEAD", "no such file"), "store.head"),
        (e.ForbiddenValue("size of HEAD", "9999", "at most 4096"), "store.head"),
    ],
)
def test_an_error_of_the_store_is_told_where_it_belongs(error, stage):
    names = [one.name for one in STORE_STAGES]
    at = names.index(stage)
    results = found(staged(Asked(failing(error)), STORE_STAGES))
    assert list(results.values()) == ["ok"] * at + ["error"] + ["skipped"] * (len(names) - at - 1)


@pytest.mark.parametrize(
    ("error", "stage"),
    [
        (e.DriverMissing("PostgreSQL", "no"), "catalog.driver"),
        (e.LineBroken("catalog", "x", "c"), "catalog.line"),
        (e.LoginRefused("catalog", "x", "u", "c"), "catalog.login"),
        (e.Incompatible("catalog schema", "9", "1"), "catalog.schema"),
        (e.Damaged("catalog", "x", "malformed"), "catalog.schema"),
    ],
)
def test_an_error_of_the_catalog_is_told_where_it_belongs(error, stage):
    results = found(staged(Asked(failing(error)), CATALOG_STAGES))
    assert [name for name, result in results.items() if result == Result.ERROR] == [stage]


def test_A4_a_signal_while_a_stage_is_looked_at_ends_it():
    with pytest.raises(e.Interrupted):
        list(examine(staged(Asked(failing(e.Interrupted())), STORE_STAGES)))


class FullDisk:
    """A Disk of fixed size."""

    def __init__(self, free: int, files: int | None) -> None:
        self.answer = Space(free, files)

    def looks(self, path: Path) -> Looks:
        return Looks(0o755, 1)

    def space(self, directory: Path) -> Space:
        return self.answer

    def try_writing(self, directory: Path) -> None:
        return

    def shares(self, directory: Path) -> bool:
        return False


@pytest.mark.parametrize(
    ("free", "files", "warning"),
    [(1 << 30, None, False), (1 << 30, 999, True), (1 << 30, 1000, False), ((1 << 29) - 1, None, True)],
)
def test_C1_C5_room_is_judged_by_the_largest_image_and_by_inodes(free, files, warning):
    looked = look_at_space(FullDisk(free, files), Path("/root"), give_back="netclnt prune", largest=1 << 29)
    assert (looked.warning, "netclnt prune" in looked.hint) == (warning, warning)


def test_C1_a_full_disk_is_an_error():
    with pytest.raises(e.NoSpace) as caught:
        look_at_space(FullDisk(100, None), Path("/root"), give_back="netclnt gc")
    assert (caught.value.free, caught.value.path) == (100, "/root")


def host(**changes) -> dict[str, str]:
    values = {"missing_calls": lambda: (), "open_files": lambda: 1024, "sqlite": (3, 40, 1)} | changes
    return found(host_checks(Host(**values)))


def test_C24_the_host_is_judged_by_what_it_lacks():
    assert set(host().values()) == {"ok"}
    assert host(missing_calls=lambda: ("openat2", "copy_file_range"))["kernel"] == "ok"
    assert host(missing_calls=lambda: ("renameat2",))["kernel"] == "warning"
    assert host(open_files=lambda: 255)["open-files"] == "warning"
    assert host(open_files=lambda: None)["open-files"] == "ok"
    assert host(sqlite=(3, 30, 1))["sqlite"] == "warning"


@pytest.mark.parametrize(
    ("known", "warning"),
    [
        ([], False),
        ([("a run", "2026-11-23T00:04:00Z")], False),
        ([("a run", "2026-11-23T00:06:00Z")], True),
        ([("a run", "2026-11-23T01:00:00+02:00")], False),
        ([("a run", "2027-01-01T00:00:00")], True),
        ([("a run", ""), ("an update", "not a time")], False),
    ],
)
def test_J1_a_clock_behind_what_happened_is_told(known, warning):
    assert look_at_clock("2026-11-23T00:00:00.000Z", known).warning == warning


# --- a store and a catalog in memory


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.publish("small", b"x" * 1000)
    world.publish("large", bytes(range(256)) * 4000)
    yield world
    world.ledger.close()


def test_head_and_offer_are_read(world):
    head = read_head(world.source)
    assert head.state == world.catalog.state()
    offered = read_offer(world.catalog, generation=head.state.generation, channel=DEFAULT_CHANNEL)
    assert (offered.images, offered.refused, offered.largest, offered.newest) == (2, 0, 1_024_000, "2026-11-23T00:00:00Z")
    world.catalog.refused = {"small": e.ForbiddenName("small", "a rule")}
    offered = read_offer(world.catalog, generation=head.state.generation, channel=DEFAULT_CHANNEL)
    assert (offered.images, offered.refused) == (1, 1)


def test_the_line_is_measured_with_frames_of_a_version(world):
    head = read_head(world.source)
    offered = read_offer(world.catalog, generation=head.state.generation, channel=DEFAULT_CHANNEL)
    assert offered.manifest is not None
    for digest, head_bytes in (offered.manifest, (head.toc, head.toc_head_bytes)):
        before = world.source.bytes_received
        speed = measure(world.source, digest, head_bytes, seconds=0.01)
        assert 0 < speed.bytes < world.source.bytes_received - before
        assert speed.rate > 0
    assert measure(world.source, head.toc, head.toc_head_bytes, seconds=0).bytes == 0


def test_D14_the_line_is_not_measured_with_damage(world):
    head = read_head(world.source)
    files = {path: data[:10] if path.endswith(".locations") else data for path, data in world.store.files.items()}
    with pytest.raises(e.NetclntError):
        measure(MemorySource(files), head.toc, head.toc_head_bytes, seconds=1)
