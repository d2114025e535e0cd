"""Changes between offer and holdings, and the brakes."""

from dataclasses import dataclass

import pytest

from netclnt.diff import Action, clashes, diff
from netclnt.errors import BrakeApplied, ForbiddenName
from netclnt.model import Kind, Version
from netclnt.selection import Selection


@dataclass(frozen=True)
class Held:
    name: str
    number: int = 1
    kind: Kind = Kind.IMAGE
    manifest: str = "ab" * 32
    size: int = 10
    pinned: bool = False
    damaged: bool = False


def version(name, number=1, *, kind=Kind.IMAGE, manifest="ab" * 32):
    return Version(name, kind, number, manifest, 100, True, 20, 1, 1, "", "cdc", "2026-11-23T00:00:00Z", "", 5)


def changes(offered, held, *, selection=None, foreign=(), max_retire=50, refused=()):
    return diff(
        offered,
        held,
        selection=selection or Selection(),
        is_foreign=lambda name: name in foreign,
        max_retire=max_retire,
        refused=refused,
    )


def actions(*arguments, **options):
    return [(change.name, change.action.value) for change in changes(*arguments, **options)]


def test_nothing_differs():
    assert actions([version("a")], [Held("a")]) == []
    assert actions([], []) == []


def test_each_action():
    offered = [version("new"), version("update", 2), version("foreign"), version("pinned", 3), version("same")]
    held = [Held("update"), Held("pinned", pinned=True), Held("retired"), Held("same")]
    assert actions(offered, held, foreign=["foreign", "same"]) == [
        ("foreign", "replace-foreign"),
        ("new", "new"),
        ("pinned", "pinned"),
        ("retired", "retire"),
        ("update", "update"),
    ]
    to_do = {change.action for change in changes(offered, held, foreign=["foreign"]) if change.to_do}
    assert to_do == {Action.NEW, Action.UPDATE, Action.REPLACE_FOREIGN}


def test_an_older_or_other_version_is_an_update_too():
    (back,) = changes([version("a", 1)], [Held("a", 2)])
    assert (back.action, back.local, back.offered.number, back.note) == (Action.UPDATE, 2, 1, "called back")
    assert actions([version("a", manifest="cd" * 32)], [Held("a")]) == [("a", "update")]


def test_N4_what_is_pinned_stays():
    for number in (1, 3):
        (change,) = changes([version("a", number)], [Held("a", 2, pinned=True)])
        assert (change.action, change.to_do) == (Action.PINNED, False)


def test_C19_what_is_damaged_is_mended_also_when_it_is_pinned():
    for pinned in (False, True):
        (change,) = changes([version("a")], [Held("a", damaged=True, pinned=pinned)])
        assert (change.action, change.note) == (Action.UPDATE, "local copy is damaged")
    (change,) = changes([version("a", 2)], [Held("a", damaged=True, pinned=True)])
    assert change.action is Action.PINNED


def test_configurations_come_last_and_otherwise_names_by_their_bytes():
    offered = [version("b", kind=Kind.CONFIGURATION), version("ä"), version("z"), version("Y"), version("c", kind=Kind.SOFTWARE)]
    assert [name for name, _ in actions(offered, [])] == ["Y", "c", "z", "ä", "b"]


def test_only_what_is_selected_changes():
    offered, held = [version("a"), version("b", 2)], [Held("b"), Held("c")]
    assert actions(offered, held, selection=Selection(("b",))) == [("b", "update")]
    assert actions(offered, held, selection=Selection(("c",))) == [("c", "retire")]
    assert actions(offered, held, selection=Selection(names=[])) == []


# --- brakes


def test_E14_an_empty_catalog_is_a_mistake():
    with pytest.raises(BrakeApplied, match="max_retire"):
        changes([], [Held("a")])


@pytest.mark.parametrize(("gone", "of"), [(3, 5), (6, 10), (51, 100)])
def test_E15_an_offer_that_lacks_most_of_what_is_held_is_a_mistake(gone, of):
    held = [Held(f"i{number}") for number in range(of)]
    with pytest.raises(BrakeApplied, match="max_retire"):
        changes([version(each.name) for each in held[gone:]], held)


@pytest.mark.parametrize(("gone", "of"), [(0, 5), (2, 5), (5, 10), (1, 1), (3, 4)])
def test_E15_a_few_may_go(gone, of):
    held = [Held(f"i{number}") for number in range(of)]
    offered = [version(each.name) for each in held[gone:]] or [version("other")]
    assert len([action for _, action in actions(offered, held) if action == "retire"]) == gone


def test_E15_how_many_may_go_is_a_setting():
    held = [Held(f"i{number}") for number in range(10)]
    assert len(changes([], held, max_retire=100)) == 10
    with pytest.raises(BrakeApplied):
        changes([version(each.name) for each in held[1:]], held, max_retire=9)
    assert len(changes([version(each.name) for each in held[1:]], held, max_retire=10)) == 1


def test_a_narrower_selection_is_no_shrunken_catalog():
    """The offer is already that of the slave's own selection; what it no longer selects is not gone from the master."""
    held = [Held(f"i{number}") for number in range(10)]
    assert actions([version("i0", 2)], held, selection=Selection(("i0",))) == [("i0", "update")]
    assert actions([], held, selection=Selection(("none",))) == []
    with pytest.raises(BrakeApplied):
        changes([], held, selection=Selection(("i0",)))


# --- names together


@pytest.mark.parametrize(
    "names",
    [["a", "a"], ["Debian", "debian"], ["straße", "STRASSE"], ["x", "x/y"], ["X", "x/y/z"], ["x/y", "x"], ["Ä/a", "ä"]],
)
def test_F5_F15_names_that_cannot_lie_together_are_refused(names):
    found = dict(clashes([*names, "other"]))
    assert set(found) == set(names)
    assert all(isinstance(error, ForbiddenName) and error.name == name for name, error in found.items())


@pytest.mark.parametrize("names", [[], ["a", "b"], ["x", "xy"], ["x/y", "x/z"], ["x/y", "x-y"], ["a", "ä"]])
def test_F5_other_names_can(names):
    assert not list(clashes(names))


def test_what_is_refused_is_neither_changed_nor_gone():
    held = [Held(f"i{number}") for number in range(10)]
    assert changes([], held, refused=[each.name for each in held]) == []
    assert len(changes([version("i0")], held, refused=[each.name for each in held[2:]])) == 1
