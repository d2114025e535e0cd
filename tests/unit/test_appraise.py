"""What versions would cost from here: the plan of a dry run, of each; and what those that lie here were made of."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from netclnt.appraise import Cost, appraise
from netclnt.errors import LedgerDamaged, LineBroken
from netclnt.ledger import Composition, Ledger, schema
from tests.support.images import content
from tests.support.world import World

ONE = content("appraise/1", 300_000)
TWO = ONE[:200_000] + content("appraise/2", 100_000)
THREE = TWO[:250_000] + content("appraise/3", 50_000) + bytes(500_000)


def costs(world: World, name: str = "debian") -> dict[int, Cost]:
    slave, state = world.slave(), world.catalog.state()
    versions = [one.version for one in world.catalog.history(name, generation=state.generation, channel="stable")]
    return {cost.version.number: cost for cost in appraise(slave, state, versions, world.events.append)}


def made_of(world: World, name: str = "debian") -> dict[str, Composition]:
    return {each.manifest: each for each in world.ledger.compositions.of(name)}


def test_each_versions_cost_is_what_a_dry_run_says_of_it(world: World) -> None:
    world.publish("debian", ONE)
    world.sync()
    world.publish("debian", TWO)
    world.forecast()
    second = world.planned[-1]
    world.publish("debian", THREE)
    world.forecast()
    third = world.planned[-1]
    found = costs(world)
    assert [found[number].plan for number in (2, 3)] == [second, third]
    plan = found[1].plan
    assert plan is not None
    assert (plan.bytes_fetch, plan.bytes_reuse, plan.bytes_write) == (0, 0, 0)
    assert world.ledger.get("debian").number == 1
    assert world.live("debian") == ONE


def test_of_an_image_that_is_not_here_all_is_fetched(world: World) -> None:
    world.publish("debian", ONE)
    plan = costs(world)[1].plan
    assert plan is not None
    assert (plan.bytes_reuse, plan.bytes_write) == (0, len(ONE))
    assert plan.bytes_fetch > 0
    assert world.ledger.get("debian") is None


def test_a_version_whose_manifest_is_gone_has_an_unknown_cost_and_the_others_are_told(world: World) -> None:
    world.publish("debian", ONE)
    lost = world.publish("debian", TWO).version
    for path in [path for path in world.store.files if lost.manifest[2:] in path]:
        del world.store.files[path]
    found = costs(world)
    assert found[1].plan is not None
    assert (found[2].plan, type(found[2].error).__name__) == (None, "SourceMissing")


def test_a_broken_line_ends_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.publish("debian", ONE)

    def broken(*_: object, **__: object) -> bytes:
        raise LineBroken("store", "memory", "cut")

    monkeypatch.setattr(world.source, "fetch", broken)
    monkeypatch.setattr(world.source, "read_file", broken)
    with pytest.raises(LineBroken):
        costs(world)


def test_what_a_version_is_made_of_is_known_and_goes_with_it(world: World) -> None:
    first = world.publish("debian", ONE).version
    world.sync()
    assert made_of(world) == {first.manifest: Composition("debian", first.manifest, 0, len(ONE), 0)}
    third = world.publish("debian", THREE).version
    world.sync()
    found = made_of(world)
    assert found.keys() == {first.manifest, third.manifest}  # the first is kept
    made = found[third.manifest]
    assert (made.size, made.zeros > 400_000, made.reused > 150_000) == (len(THREE), True, True)
    assert made.reused == world.done[-1].bytes_reused
    world.publish("debian", TWO)
    world.sync()
    assert first.manifest not in made_of(world)
    world.ledger.forget("debian")
    assert made_of(world) == {}


def test_what_several_runs_brought_is_counted_once(world: World) -> None:
    """Ended at its first page that is journaled, and gone on with."""
    world.publish("debian", content("several/1", 12_000_000))
    world.sync()
    version = world.publish("debian", content("several/1", 12_000_000)[:9_000_000] + content("several/2", 9_000_000)).version
    whole = costs(world)[2].plan
    assert whole is not None

    class Stop(Exception):
        pass

    seen = []

    def stop(event: object) -> None:
        if type(event).__name__ == "Progressed":
            seen.append(event)
            if len(seen) == 2:
                raise Stop

    with pytest.raises(Stop):
        world.sync_observed(stop)
    assert world.ledger.journal(version.manifest)
    assert made_of(world)[version.manifest].reused > 0
    world.sync()
    made = made_of(world)[version.manifest]
    assert world.done[-1].bytes_reused < whole.bytes_reuse
    assert (made.size, made.reused) == (18_000_000, whole.bytes_reuse)


def test_nobody_knows_what_a_version_is_made_of_that_was_found_in_its_place(world: World) -> None:
    world.publish("debian", ONE)
    world.root.put_file("debian", ONE)
    world.sync()
    assert world.done[-1].result == "recorded"
    assert made_of(world) == {}


def test_a_ledger_of_an_older_release_is_read_as_it_is_and_says_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger"
    with monkeypatch.context() as patch:
        patch.setattr("netclnt.ledger.database.MIGRATIONS", schema.MIGRATIONS[:5])
        Ledger(path).close()
    before = path.read_bytes()
    with Ledger(path, readonly=True) as ledger:
        assert ledger.compositions.of("debian") == []
    assert path.read_bytes() == before
    with Ledger(path) as ledger:
        assert ledger.compositions.all() == []
        ledger.check()


def test_a_flipped_bit_in_what_a_version_is_made_of_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with Ledger(path) as ledger:
        ledger.journal_add("a" * 64, [1], composition=Composition("debian", "a" * 64, 1, 2, 3))
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE composition SET reused = 9")
    raw.close()
    with Ledger(path) as ledger, pytest.raises(LedgerDamaged):
        ledger.check()


def test_a_tree_counts_what_was_linked(world: World) -> None:
    files = {f"f{number}": content(f"tree/{number}", 5000) for number in range(20)}
    world.publish("boot", files)
    world.sync()
    version = world.publish("boot", files | {"f0": content("tree/new", 7000)}).version
    world.sync()
    made = made_of(world, "boot")[version.manifest]
    assert (made.reused, made.fetched, made.zeros) == (19 * 5000, 7000, 0)
    assert replace(made, reused=0).size == 7000
