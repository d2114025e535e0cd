"""Images in several roots: where they belong, where they lie, and how they move, over the in-memory twins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netclnt.errors import ExitCode, ForeignFile, Interrupted, NetclntError, RootNotMounted, StorageFailed
from netclnt.events import Failed, Warned
from netclnt.ledger import Ledger
from netclnt.ledger.places import MAIN
from netclnt.memory.root import MemoryRoot
from netclnt.model import Kind
from netclnt.places import Place, Places, Rule, overlapping
from netclnt.prune import prune
from netclnt.result import Result
from netclnt.selection import Selection
from netclnt.slave import Slave
from netclnt.sync import forecast, sync
from netclnt.verify import verify
from tests.support.images import content
from tests.support.world import World

SOFT, DRIVERS = "a" * 32, "b" * 32
GONE = RootNotMounted(path="/software")


class Roots:
    """A world with two more roots, and rules that may change."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.software, self.drivers = MemoryRoot(), MemoryRoot()
        self.missing: dict[str, NetclntError] = {}
        self.rules = [("kind:software", "/software"), ("drivers/*", "/drivers")]

    def slave(self, **changes: object) -> Slave:
        ledger = self.world.ledger
        roots = {"/": (MAIN, self.world.root), "/software": (SOFT, self.software), "/drivers": (DRIVERS, self.drivers)}
        places = {path: Place(mark, path, self.missing.get(path, root)) for path, (mark, root) in roots.items()}
        named = {path for _, path in self.rules} | {"/"}
        for path in named - {"/"}:
            ledger.places.remember_root(places[path].mark, path)
        several = Places(
            places["/"],
            {path: place for path, place in places.items() if path in named},
            [Rule(Selection((pattern,)), path) for pattern, path in self.rules],
            others=[places[path] for path in ledger.places.roots().values() if path not in named],
            lying=ledger.places.all(),
        )
        slave = self.world.slave(**changes)
        return replace(slave, root=several, places=several)

    def sync(self, **changes: object) -> Result:
        self.world.events.clear()
        return sync(self.slave(**changes), None, observer=self.world.events.append)

    def fetched(self) -> int:
        return sum(done.bytes_fetched for done in self.world.done)

    def warnings(self) -> list[str]:
        return [event.code for event in self.world.events if isinstance(event, Warned)]


@pytest.fixture
def roots(world: World) -> Roots:
    return Roots(world)


def data(root: MemoryRoot, name: str) -> bytes | None:
    node = root.live.get(name)
    return None if node is None else bytes(node.data)


def is_settled(roots: Roots) -> None:
    """The next run finds nothing to do, and there are no old places any more."""
    again = roots.sync()
    assert (again.differences, again.failed, again.generation) == (0, [], 0)
    assert roots.world.ledger.places.old() == []


# --- where images belong


def test_the_first_rule_that_matches_decides(roots: Roots) -> None:
    world = roots.world
    roots.rules = [("office/debug", "/"), *roots.rules]
    world.publish("office/suite", content("suite", 70_000), kind=Kind.SOFTWARE)
    world.publish("office/debug", content("debug", 70_000), kind=Kind.SOFTWARE)
    world.publish("drivers/net", {"a": content("net", 70_000), "b": b"b"})
    world.publish("debian", content("debian", 70_000))
    assert len(roots.sync().changed) == 4
    assert sorted(world.root.live) == ["debian", "office", "office/debug"]
    assert sorted(roots.software.live) == ["office", "office/suite"]
    assert data(roots.drivers, "drivers/net/a") == content("net", 70_000)
    assert world.ledger.places.all() == {"office/suite": SOFT, "drivers/net": DRIVERS}
    is_settled(roots)


def test_an_old_version_is_kept_in_the_root_of_its_image_and_goes_from_there(roots: Roots) -> None:
    world = roots.world
    for number in range(3):
        world.publish("drivers/net", content(f"net{number}", 70_000))
        roots.sync()
    assert len(roots.drivers.kept()) == 1
    assert (world.root.kept(), roots.software.kept()) == ([], [])
    done = list(prune(roots.slave(keep=0), observer=world.events.append, dry_run=False))
    assert [(each.what, each.image) for each in done if each.what == "kept"] == [("kept", "drivers/net")]
    assert roots.drivers.kept() == []


def test_blocks_come_from_images_in_other_roots(roots: Roots) -> None:
    world = roots.world
    world.publish("debian", content("same", 300_000))
    roots.sync()
    world.publish("drivers/same", content("same", 300_000) + b"end")
    roots.sync()
    assert roots.fetched() < 100_000
    assert data(roots.drivers, "drivers/same") == content("same", 300_000) + b"end"


def test_two_images_of_one_content_in_two_roots_are_each_their_own(roots: Roots) -> None:
    world = roots.world
    for number in range(2):
        for name in ("debian", "drivers/same"):
            world.publish(name, content(f"same{number}", 100_000))
        roots.sync()
    assert data(roots.drivers, "drivers/same") == data(world.root, "debian") == content("same1", 100_000)
    is_settled(roots)


# --- roots that cannot be used


def test_C18_images_of_a_root_that_is_not_mounted_fail_and_the_others_go_on(roots: Roots) -> None:
    world = roots.world
    world.publish("office", content("office", 70_000), kind=Kind.SOFTWARE)
    world.publish("debian", content("debian", 70_000))
    roots.sync()
    roots.missing["/software"] = GONE
    world.publish("debian", content("debian2", 70_000))
    result = roots.sync()
    assert [(name, type(error)) for name, error in result.failed] == [("office", RootNotMounted)]
    assert (result.changed, result.exit_code) == ([("debian", 2)], ExitCode.PARTIAL)
    assert roots.sync().exit_code == ExitCode.STORAGE
    held = world.ledger.get("office")
    assert held is not None and not held.damaged
    verdicts = {each.name: each for each in verify(roots.slave(), Selection(), observer=world.events.append)}
    assert (verdicts["office"].missing, verdicts["office"].damage, verdicts["debian"].missing) == (GONE, (), None)
    roots.missing.clear()
    assert roots.sync().failed == []
    is_settled(roots)
    assert [each.damage for each in verify(roots.slave(), Selection(), observer=world.events.append)] == [(), ()]


def test_P10_all_roots_are_held_and_given_back_when_one_is_in_use(roots: Roots) -> None:
    with roots.slave().root.lock("test"):
        for root in (roots.world.root, roots.software, roots.drivers):
            with pytest.raises(NetclntError, match="test"), root.lock("other"):
                pass
    with roots.drivers.lock("somebody"):
        with pytest.raises(NetclntError, match="somebody"), roots.slave().root.lock("test"):
            pass
        with roots.software.lock("now free"), roots.world.root.lock("too"):
            pass


def test_room_is_made_in_the_root_that_is_full_by_nothing_else(roots: Roots) -> None:
    world = roots.world
    for number in range(2):
        world.publish("debian", content(f"debian{number}", 100_000))
        world.publish("drivers/net", content(f"net{number}", 100_000))
        roots.sync()
    assert (len(world.root.kept()), len(roots.drivers.kept())) == (1, 1)
    roots.drivers.capacity = 250_000
    world.publish("drivers/other", content("other", 100_000))
    assert roots.sync().failed == []
    assert (len(world.root.kept()), len(roots.drivers.kept())) == (1, 0)
    assert [kept.name for kept in world.ledger.kept()] == ["debian"]


# --- moving


TREE = {"a": content("a", 90_000), "b/c": content("c", 5_000)}


@pytest.fixture(params=["file", "tree"])
def held(roots: Roots, request: pytest.FixtureRequest) -> Roots:
    """``office`` lies in its root, and belongs in the main one now."""
    roots.world.publish("office", TREE if request.param == "tree" else TREE["a"], kind=Kind.SOFTWARE)
    roots.sync()
    assert roots.software.type("office") != "absent"
    roots.rules = [("drivers/*", "/drivers")]
    return roots


def test_an_image_is_renamed_to_where_it_belongs(held: Roots) -> None:
    before = {path: node.inode for path, node in held.software.live.items()}
    result = held.sync()
    assert [done.result for done in held.world.done] == ["moved"]
    assert result.changed == result.moved == [("office", 1)]
    assert {path: held.world.root.live[path].inode for path in before} == before
    assert (held.software.live, held.fetched()) == ({}, 0)
    is_settled(held)
    assert held.world.ledger.places.all() == {}


def test_an_image_is_copied_from_another_file_system_and_nothing_is_fetched(held: Roots) -> None:
    held.software.device = 7
    assert held.sync().changed == [("office", 1)]
    assert held.fetched() < 2_000
    assert held.world.root.type("office") != "absent"
    assert held.software.live == {}
    assert held.software.kept() == held.world.root.kept() == held.world.root.staged() == []
    is_settled(held)
    assert list(held.world.ledger.places.roots().values()) == ["/drivers"]


def test_a_forecast_of_a_move_fetches_and_changes_nothing(held: Roots) -> None:
    held.software.device = 7
    held.world.events.clear()
    assert forecast(held.slave(), None, observer=held.world.events.append).failed == []
    assert [plan.bytes_fetch for plan in held.world.planned] == [0]
    assert held.world.root.live == {}


@pytest.mark.parametrize("device", [0, 7])
def test_what_an_admin_changed_in_the_old_place_stays(held: Roots, device: int) -> None:
    held.software.device = device
    path = "office/a" if "office/a" in held.software.live else "office"
    held.software.put_file(path, b"mine")
    held.sync()
    assert held.warnings() == ["old-place-stays"]
    assert data(held.software, path) == b"mine"
    assert data(held.world.root, path) == TREE["a"]
    is_settled(held)


@pytest.mark.parametrize("keep", [0, 1])
def test_a_new_version_is_made_in_the_new_place_and_the_old_one_kept_where_it_was(held: Roots, keep: int) -> None:
    tree = "office/a" in held.software.live
    new = {**TREE, "a": TREE["a"] + b"more"} if tree else TREE["a"] + b"more"
    held.world.publish("office", new, kind=Kind.SOFTWARE)
    assert held.sync(keep=keep).changed == [("office", 2)]
    assert data(held.world.root, "office/a" if tree else "office") == TREE["a"] + b"more"
    assert held.fetched() < 70_000
    assert held.software.live == {}
    assert len(held.software.kept()) == len(held.world.ledger.kept("office")) == keep
    held.world.publish("office", b"third", kind=Kind.SOFTWARE)
    held.sync(keep=keep)
    assert len(held.world.root.kept()) == len(held.world.ledger.kept("office")) == keep
    assert held.software.kept() == []


def test_G2_what_lies_in_the_new_place_is_replaced_only_when_adopted(held: Roots) -> None:
    held.world.root.put_file("office", b"somebody's")
    result = held.sync()
    assert [type(error) for _, error in result.failed] == [ForeignFile]
    assert data(held.world.root, "office") == b"somebody's"
    assert held.software.type("office") != "absent"
    assert held.sync(adopt=True).changed == [("office", 1)]
    assert held.fetched() < 2_000
    assert (held.software.live, held.world.root.kept()) == ({}, [])
    is_settled(held)


def test_an_image_of_a_root_that_is_gone_is_fetched_anew_and_its_old_place_cleared_when_it_is_back(held: Roots) -> None:
    held.missing["/software"] = GONE
    assert held.sync().changed == [("office", 1)]
    assert held.fetched() > 40_000
    assert [old.root for old in held.world.ledger.places.old()] == [SOFT]
    assert SOFT in held.world.ledger.places.roots()
    assert held.sync().differences == 0
    held.missing.clear()
    held.sync()
    assert held.software.live == {}
    is_settled(held)


def test_there_and_back_again_before_the_old_place_could_be_cleared(held: Roots) -> None:
    held.software.device = 7
    held.software.faults["put_away"] = StorageFailed("remove", "office", 5, "test")
    held.sync()
    assert held.warnings() == ["old-place-stays"]
    held.rules = [("kind:software", "/software")]
    assert held.sync().failed == []
    assert held.software.type("office") != "absent"
    assert held.world.root.live == {}
    is_settled(held)


STEPS = [
    *(("take", 0, False), ("secure", 0, False), ("seal", 7, False), ("show", 7, False), ("put_away", 7, False)),
    *(("stage", 7, True), ("show", 7, True), ("put_away", 7, True)),
]


@pytest.mark.parametrize(("step", "device", "update"), STEPS)
def test_A1_a_move_that_ends_at_any_step_is_finished_by_the_next_run(held: Roots, step: str, device: int, update: bool) -> None:
    held.software.device = device
    if update:
        held.world.publish("office", b"second", kind=Kind.SOFTWARE)
    for root in (held.software, held.world.root):
        root.faults[step] = Interrupted()
    for _ in range(2):
        try:
            held.sync()
        except Interrupted:
            assert held.world.root.type("office") != "absent" or held.software.type("office") != "absent"
    held.software.faults.clear()
    held.world.root.faults.clear()
    assert held.sync().failed == []
    assert held.software.live == {}
    assert held.world.root.type("office") != "absent"
    is_settled(held)


def test_nothing_is_kept_of_what_somebody_takes_away_from_the_old_place_right_then(
    held: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.world.publish("office", b"second", kind=Kind.SOFTWARE)
    put_away = held.software.put_away

    def taken_away(name: str, *, keep: str | None) -> None:
        held.software.live.clear()
        put_away(name, keep=keep)

    monkeypatch.setattr(held.software, "put_away", taken_away)
    assert held.sync().changed == [("office", 2)]
    assert held.world.ledger.kept() == []
    is_settled(held)


@pytest.mark.parametrize("device", [0, 7])
@pytest.mark.parametrize("call", ["record", "places.settle"])
def test_A11_the_ledger_does_not_hear_of_a_step(held: Roots, device: int, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held.software.device = device

    def die(*_: object, **__: object) -> None:
        raise Interrupted

    ledger = held.world.ledger
    target = ledger.places if call == "places.settle" else ledger
    with monkeypatch.context() as patched:
        patched.setattr(target, call.rpartition(".")[2], die)
        with pytest.raises(Interrupted):
            held.sync()
    assert held.sync().failed == []
    assert held.fetched() < 2_000
    assert held.software.live == {}
    is_settled(held)


def test_an_image_that_is_offered_no_longer_stays_where_it_is(held: Roots) -> None:
    held.world.publish("debian", b"d")
    held.sync(selection=Selection(("debian",)))
    assert held.software.type("office") != "absent"


def test_P11_after_the_ledger_was_lost_all_roots_are_recognized(roots: Roots) -> None:
    world = roots.world
    world.publish("office", content("office", 70_000), kind=Kind.SOFTWARE)
    world.publish("debian", content("debian", 70_000))
    roots.sync()
    world.ledger.close()
    world.ledger = Ledger(":memory:")
    world.ledger.set_rebuilding(True)
    roots.missing["/software"] = GONE
    assert [type(error) for _, error in roots.sync().failed] == [RootNotMounted]
    assert world.ledger.rebuilding()
    roots.missing.clear()
    assert roots.sync().failed == []
    assert roots.fetched() < 2_000
    assert world.ledger.places.all() == {"office": SOFT}
    assert not world.ledger.rebuilding()
    is_settled(roots)


def test_failures_are_told_of_each_image(roots: Roots) -> None:
    roots.missing["/drivers"] = GONE
    for name in ("drivers/a", "drivers/b"):
        roots.world.publish(name, name.encode())
    roots.sync()
    assert [event.image for event in roots.world.events if isinstance(event, Failed)] == ["drivers/a", "drivers/b"]


def test_roots_inside_others_are_found() -> None:
    assert list(overlapping(["/srv/a", "/srv/ab", "/srv/a/b"])) == [("/srv/a/b", "/srv/a")]
