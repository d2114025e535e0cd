"""What every catalog does, on every engine and in memory."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from netclnt import rows
from netclnt.catalog import lock, open_catalog
from netclnt.errors import (
    BadArgument,
    ForbiddenName,
    ForbiddenValue,
    ForeignMaster,
    HistoriesDiffer,
    Incompatible,
    Locked,
    NoSuchImage,
    TrustError,
    Unreachable,
)
from netclnt.memory.catalog import MemoryCatalog
from netclnt.model import DEFAULT_CHANNEL, REQUIREMENTS_MAX, Kind, Refused, Report, Requirement
from netclnt.protocols import Catalog
from tests.support.catalogs import AT, CHUNKER, HASH_SEED, IDENTITY, Place, SqlPlace, new_version, offered

ODD_NAMES = [
    "o'brien", 'say "x"', "100% sure", "snake_case", "snakeXcase", "semi;colon", "{braces}", "ünïcödé/日本語/𝄞", "a b",
    "$(id)", "%s", "<b>", "x--", "Z", "a", "é",
]  # fmt: skip


def numbers(place: Place) -> list[tuple[str, int, int]]:
    catalog = place.open()
    return [(each.name, each.number, each.generation) for each in catalog.published(after=0, until=catalog.state().generation)]


def report(**changes: object) -> Report:
    values = {
        "server": "store-17", "machine_id": "c" * 32, "generation": 1, "result": "OK", "started": AT, "seconds": 1.25,
        "bytes_fetched": 1 << 40, "bytes_reused": 2, "error": "", "hint": "", "images": (("win", 1), ("lin", 3)),
    }  # fmt: skip
    return Report(**(values | changes))  # type: ignore[arg-type]


# --- creation and state


def test_a_new_catalog_tells_its_state(place: Place) -> None:
    place.create()
    state = place.open().state()
    assert (state.identity, state.hash_seed, state.chunker, state.generation) == (IDENTITY, HASH_SEED, CHUNKER, 0)
    assert (state.schema_version, state.min_reader) == (rows.SCHEMA_VERSION, rows.MIN_READER)
    assert offered(place.open()) == {}


def test_creating_twice_is_refused_and_changes_nothing(place: Place) -> None:
    place.create().publish(new_version("win"))
    with pytest.raises(BadArgument):
        place.create()
    assert offered(place.open()) == {"win": 1}


def test_a_creation_broken_off_is_taken_up_again(sql: SqlPlace) -> None:
    sql.create()
    sql.run("DELETE FROM nc_state")
    sql.run("DELETE FROM nc_lock")
    sql.run("DROP TABLE nc_event")
    sql.create().publish(new_version("win"))
    assert offered(sql.open()) == {"win": 1}


def test_state_is_one_query(place: Place) -> None:
    place.create()
    catalog = place.open()
    before = catalog.queries
    catalog.state()
    assert catalog.queries == before + 1


# --- publish, current, history


def test_numbers_and_generations_rise_by_one(place: Place) -> None:
    catalog = place.create()
    got = [catalog.publish(new_version(name)) for name in ("win", "lin", "win", "win")]
    assert [(each.number, each.generation) for each in got] == [(1, 1), (1, 2), (2, 3), (3, 4)]
    assert place.open().state().generation == 4
    assert list(place.open().published(after=0, until=4)) == got
    assert list(place.open().published(after=1, until=3)) == got[1:3]


def test_what_is_read_is_what_was_published(place: Place) -> None:
    new = new_version(
        "win/10", kind=Kind.SOFTWARE, tree=True, sha256="", size=(1 << 50), entries=12345, blocks=1 << 33,
        note="für „Filiale“ 𝄞 'x' \\ % ", requires=(Requirement("drivers", "2-5"), Requirement("a/b")),
    )  # fmt: skip
    version = place.create().publish(new)
    assert list(place.open().current(generation=1, channel=DEFAULT_CHANNEL)) == [version]
    assert version.requires == (Requirement("drivers", "2-5"), Requirement("a/b"))
    assert place.open().history("win/10", generation=1, channel=DEFAULT_CHANNEL)[0].version == version


def test_E13_odd_names_are_found_again_in_the_order_of_their_bytes(place: Place) -> None:
    catalog = place.create()
    for name in ODD_NAMES:
        catalog.publish(new_version(name))
    for name in ODD_NAMES:
        assert catalog.publish(new_version(name)).number == 2
    assert list(offered(place.open()).items()) == [(name, 2) for name in sorted(ODD_NAMES, key=str.encode)]
    for name in ODD_NAMES:
        assert [each.version.number for each in catalog.history(name, generation=99, channel=DEFAULT_CHANNEL)] == [2, 1]


def test_a_reader_at_a_generation_sees_nothing_later(place: Place) -> None:
    catalog = place.create()
    catalog.publish(new_version("win"))
    catalog.publish(new_version("win"))
    catalog.publish(new_version("lin"))
    catalog.retire("win", 1, at=AT)
    catalog.retire("win", None, at=AT)
    catalog.promote("win", 1, channel=DEFAULT_CHANNEL, at=AT)
    views = [offered(place.open(), generation) for generation in range(7)]
    assert views == [{}, {"win": 1}, {"win": 2}, {"lin": 1, "win": 2}, {"lin": 1, "win": 2}, {"lin": 1}, {"lin": 1, "win": 1}]
    old = place.open().history("win", generation=1, channel=DEFAULT_CHANNEL)
    assert [(each.version.number, each.current, each.retired) for each in old] == [(1, True, False)]


def test_unknown_image_has_no_history(place: Place) -> None:
    place.create()
    assert list(place.open().history("nothing", generation=9, channel=DEFAULT_CHANNEL)) == []


def test_current_asks_a_bounded_number_of_queries(place: Place) -> None:
    catalog = place.create()
    for index in range(40):
        catalog.publish(new_version(f"image-{index % 20}", requires=(Requirement("base"),)))
    reader = place.open()
    before = reader.queries
    assert len(list(reader.current(generation=40, channel=DEFAULT_CHANNEL))) == 20
    assert reader.queries - before <= 2


def test_sparse_generations_are_all_found(sql: SqlPlace) -> None:
    catalog = sql.create()
    catalog.publish(new_version("a"))
    sql.run("UPDATE nc_state SET generation = ?", (1 << 61) - 1)
    catalog.publish(new_version("b"))
    catalog.publish(new_version("c"))
    high = 1 << 61
    assert [each.generation for each in sql.open().published(after=0, until=(1 << 62) - 1)] == [1, high, high + 1]


# --- what publish refuses


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        ("win", "win", Kind.SOFTWARE),
        ("win", "WIN", Kind.IMAGE),
        ("straße", "STRASSE", Kind.IMAGE),
        ("win", "win/drivers", Kind.IMAGE),
        ("win/10/drivers", "win", Kind.IMAGE),
    ],
)
def test_an_impossible_neighbour_is_refused_and_changes_nothing(place: Place, first: str, second: str, kind: Kind) -> None:
    catalog = place.create()
    catalog.publish(new_version(first))
    with pytest.raises(BadArgument):
        catalog.publish(new_version(second, kind=kind))
    assert place.open().state().generation == 1
    assert catalog.publish(new_version(first)).generation == 2


@pytest.mark.parametrize("name", ["win/10", "win/11", "win-x", "wi", "win.d"])
def test_neighbours_that_only_look_alike_are_fine(place: Place, name: str) -> None:
    catalog = place.create()
    for each in ("win/7", name, "winter"):
        catalog.publish(new_version(each))
    assert len(offered(place.open())) == 3


def test_values_out_of_range_are_refused_before_anything_is_written(place: Place) -> None:
    catalog = place.create()
    for bad in ({"size": -1}, {"manifest": "A" * 64}, {"note": "x" * 1001}, {"sha256": ""}, {"blocks": 1 << 60}):
        with pytest.raises(ForbiddenValue):
            catalog.publish(new_version("win", **bad))
    for name in ("../etc", "-rf", "a//b", "x\ny"):
        with pytest.raises(ForbiddenName):
            catalog.publish(new_version(name))
    with pytest.raises(ForbiddenName):
        catalog.publish(new_version("win", channel="Stable; DROP"))
    assert place.open().state().generation == 0


def test_text_that_is_no_unicode_is_refused(sql: SqlPlace) -> None:
    with pytest.raises(ForbiddenValue):
        sql.create().publish(new_version("win", note="\udc80"))
    assert sql.open().state().generation == 0


# --- channels, promote, retire


def test_channels_are_apart(place: Place) -> None:
    catalog = place.create()
    catalog.publish(new_version("win", channel="test"))
    catalog.publish(new_version("win"))
    catalog.publish(new_version("win", channel="test"))
    assert (offered(catalog), offered(catalog, channel="test"), offered(catalog, channel="none")) == ({"win": 2}, {"win": 3}, {})
    assert catalog.promote("win", 3, channel=DEFAULT_CHANNEL, at=AT) == 4
    assert offered(place.open()) == {"win": 3}
    catalog.promote("win", 1, channel="canary", at=AT)
    assert offered(place.open(), channel="canary") == {"win": 1}


def test_retiring_the_current_version_brings_back_the_one_before(place: Place) -> None:
    catalog = place.create()
    for _ in range(3):
        catalog.publish(new_version("win"))
    assert catalog.retire("win", 3, at=AT) == 4
    assert offered(place.open()) == {"win": 2}
    catalog.retire("win", 1, at=AT)
    catalog.retire("win", 2, at=AT)
    assert offered(place.open()) == {}
    catalog.promote("win", 1, channel=DEFAULT_CHANNEL, at=AT)
    assert offered(place.open()) == {"win": 1}
    held = place.open().history("win", generation=99, channel=DEFAULT_CHANNEL)
    assert [(h.version.number, h.current, h.retired) for h in held] == [(3, False, True), (2, False, True), (1, True, False)]


def test_retiring_one_that_is_not_current_changes_nothing_in_the_offer(place: Place) -> None:
    catalog = place.create()
    for _ in range(2):
        catalog.publish(new_version("win"))
    catalog.retire("win", 1, at=AT)
    assert offered(place.open()) == {"win": 2}


def test_retiring_an_image_calls_back_all_versions_in_all_channels(place: Place) -> None:
    catalog = place.create()
    catalog.publish(new_version("win", channel="test"))
    catalog.publish(new_version("win"))
    catalog.publish(new_version("lin"))
    catalog.retire("win", None, at=AT)
    assert (offered(catalog), offered(catalog, channel="test")) == ({"lin": 1}, {})
    assert catalog.publish(new_version("win")).number == 3
    assert offered(place.open()) == {"lin": 1, "win": 3}


def test_what_was_never_published_can_be_neither_retired_nor_promoted(place: Place) -> None:
    catalog = place.create()
    catalog.publish(new_version("win"))
    for call in (
        lambda: catalog.retire("lin", None, at=AT),
        lambda: catalog.retire("win", 2, at=AT),
        lambda: catalog.promote("win", 2, channel=DEFAULT_CHANNEL, at=AT),
        lambda: catalog.promote("lin", 1, channel=DEFAULT_CHANNEL, at=AT),
    ):
        with pytest.raises(NoSuchImage):
            call()
    assert place.open().state().generation == 1


# --- drop


def test_what_is_dropped_is_called_back_for_ever(place: Place) -> None:
    catalog = place.create()
    for _ in range(3):
        catalog.publish(new_version("win"))
    catalog.publish(new_version("lin"))
    assert catalog.drop([("win", 1), ("win", 3), ("lin", 1)], at=AT) == 5
    assert offered(place.open()) == {"win": 2}
    held = place.open().history("win", generation=99, channel=DEFAULT_CHANNEL)
    assert [(h.version.number, h.retired, h.dropped) for h in held] == [(3, True, True), (2, False, False), (1, True, True)]
    assert numbers(place) == [("win", 2, 2)]
    for number in (1, 3):
        with pytest.raises(NoSuchImage):
            catalog.promote("win", number, channel="canary", at=AT)
    with pytest.raises(NoSuchImage):
        catalog.drop([("win", 2), ("win", 9)], at=AT)
    assert (place.open().state().generation, offered(place.open())) == (5, {"win": 2})
    assert catalog.publish(new_version("win")).number == 4
    assert offered(place.open(), 4) == {"win": 3, "lin": 1}


# --- recovery


def make_history(catalog: Catalog) -> None:
    for name in ("win", "lin", "win"):
        catalog.publish(new_version(name, requires=(Requirement("base", "2-"), Requirement("a"))))
    catalog.promote("win", 1, channel="canary", at=AT)
    catalog.retire("lin", 1, at=AT)
    catalog.drop([("win", 1)], at=AT)


def other_catalog(directory: Path) -> SqlPlace:
    """Where the TOC of the same origin is read from: it is a catalog, too, as far as the offer goes."""
    return SqlPlace(f"sqlite:{directory / 'other.db'}")


@pytest.mark.parametrize("backup", [None, 0, 2, 5, 6])
def test_E20_a_lost_catalog_is_made_anew_and_an_old_one_is_mended(place: Place, tmp_path: Path, backup: int | None) -> None:
    source = other_catalog(tmp_path)
    make_history(source.create())
    whole = source.open()
    head = whole.state()
    if backup is not None:
        restored = place.create()
        calls = [
            *(lambda name=name: restored.publish(new_version(name, requires=(Requirement("base", "2-"), Requirement("a"))))
              for name in ("win", "lin", "win")),
            lambda: restored.promote("win", 1, channel="canary", at=AT),
            lambda: restored.retire("lin", 1, at=AT),
            lambda: restored.drop([("win", 1)], at=AT),
        ]  # fmt: skip
        for call in calls[:backup]:
            call()
    state = place.open().recover(head, whole, at=AT)
    assert state.generation >= head.generation + rows.GENERATIONS_LIFTED
    assert replace(state, generation=head.generation) == head
    mended = place.open()
    assert mended.state() == state
    for table in rows.OFFER:
        assert list(mended.offer_rows(table, after=0, until=6)) == list(whole.offer_rows(table, after=0, until=6))
    assert offered(mended) == offered(whole)
    assert list(mended.history("win", generation=state.generation, channel="canary")) == list(
        whole.history("win", generation=6, channel="canary")
    )
    again = [mended.publish(new_version(name)) for name in ("win", "lin", "new")]
    assert [(each.number, each.generation - state.generation) for each in again] == [(4, 1), (3, 2), (1, 3)]
    with place.open().writer_lock("publish"):
        pass
    whole.close()
    source.close()


def test_E20_a_catalog_that_is_right_is_only_lifted(place: Place) -> None:
    make_history(place.create())
    before = offered(place.open())
    state = place.open().recover(None, None, at=AT)
    assert (state.generation > 6 + 100, offered(place.open())) == (True, before)


def test_E20_another_catalog_or_another_history_is_refused_and_left_as_it_is(place: Place, tmp_path: Path) -> None:
    source = other_catalog(tmp_path)
    make_history(source.create())
    whole = source.open()
    catalog = place.create()
    with pytest.raises(ForeignMaster):
        catalog.recover(replace(whole.state(), identity="e" * 32), whole, at=AT)
    catalog.publish(new_version("other"))
    with pytest.raises(HistoriesDiffer):
        catalog.recover(whole.state(), whole, at=AT)
    assert (offered(place.open()), place.open().state().generation) == ({"other": 1}, 1)
    source.close()


def test_E20_there_must_be_something_to_begin_with(place: Place) -> None:
    with pytest.raises(BadArgument):
        place.open().recover(None, None, at=AT)


def test_E20_numbers_and_generations_that_slaves_reported_are_not_given_again(sql: SqlPlace) -> None:
    catalog = sql.create()
    catalog.publish(new_version("win"))
    catalog.report(report(generation=7_000, images=(("win", 9), ("gone", 3))))
    catalog.report(report(generation=1 << 61, images=(("win", 2_000_000_000),)))
    state = catalog.recover(catalog.state(), None, at=AT)
    assert state.generation == 7_000 + rows.GENERATIONS_LIFTED
    assert catalog.publish(new_version("win")).number == 11


# --- several writers


def test_E19_two_publishers_at_once_miss_no_generation_and_repeat_no_number(sql: SqlPlace) -> None:
    sql.create()
    publishers, each_publishes = 4, 6

    def publish(_: int) -> None:
        with closing(sql.open()) as catalog:
            for _ in range(each_publishes):
                catalog.publish(new_version("win"))

    with ThreadPoolExecutor(publishers) as pool:
        list(pool.map(publish, range(publishers)))
    total = publishers * each_publishes
    assert numbers(sql) == [("win", number, number) for number in range(1, total + 1)]
    assert sql.open().state().generation == total


def test_E19_a_reader_never_sees_a_generation_with_a_part_missing(sql: SqlPlace) -> None:
    sql.create()
    done = []

    def publish() -> None:
        with closing(sql.open()) as catalog:
            for _ in range(12):
                catalog.publish(new_version("win", requires=(Requirement("base"),)))
        done.append(True)

    with ThreadPoolExecutor(1) as pool, closing(sql.open()) as reader:
        publishing = pool.submit(publish)
        while not done and not publishing.done():
            generation = reader.state().generation
            found = list(reader.current(generation=generation, channel=DEFAULT_CHANNEL))
            assert [(each.number, len(each.requires)) for each in found] == ([(generation, 1)] if generation else [])
        publishing.result()


def test_the_writer_lock_is_held_by_one_and_names_its_holder(place: Place) -> None:
    place.create()
    with place.open().writer_lock("publish on origin"):
        with pytest.raises(Locked) as refused, place.open().writer_lock("gc elsewhere"):
            raise AssertionError
        assert refused.value.holder == "publish on origin"
    with place.open().writer_lock("gc elsewhere"):
        pass


def test_the_holder_of_the_lock_can_write_and_an_error_frees_it(place: Place) -> None:
    place.create()
    catalog = place.open()
    with pytest.raises(ZeroDivisionError), catalog.writer_lock("publish"):
        catalog.publish(new_version("win"))
        raise ZeroDivisionError
    with place.open().writer_lock("again"):
        pass
    assert offered(place.open()) == {"win": 1}


@pytest.mark.parametrize(
    "death",
    ["process = 4194303", "boot = 'an earlier one'", "host = 'elsewhere', alive = alive - 3601"],
    ids=["process", "boot", "silence"],
)
def test_a_dead_holders_lock_is_taken_over_and_the_dead_one_cannot_write(sql: SqlPlace, death: str) -> None:
    sql.create()
    robbed = sql.open()
    with robbed.writer_lock("first"):
        sql.run(f"UPDATE nc_lock SET {death}")
        with sql.open().writer_lock("second"):
            with pytest.raises(Locked) as refused:
                robbed.publish(new_version("win"))
            assert refused.value.holder == "second"
    with sql.open().writer_lock("third"):
        assert sql.open().state().generation == 0


def test_a_holder_at_work_gives_signs_of_life(sql: SqlPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.01)
    sql.create()
    with sql.open().writer_lock("first"):
        sql.run("UPDATE nc_lock SET alive = 5")
        deadline = time.monotonic() + 20
        while sql.rows("SELECT alive FROM nc_lock") == [(5,)]:
            assert time.monotonic() < deadline


def test_a_silent_holder_elsewhere_keeps_the_lock_for_an_hour(sql: SqlPlace) -> None:
    sql.create()
    with sql.open().writer_lock("first"):
        sql.run("UPDATE nc_lock SET host = 'elsewhere', alive = alive - 3000")
        with pytest.raises(Locked), sql.open().writer_lock("second"):
            raise AssertionError


# --- what slaves tell


def test_a_report_is_kept_and_leaves_the_generation_alone(sql: SqlPlace) -> None:
    catalog = sql.create()
    catalog.publish(new_version("win"))
    before = catalog.queries
    catalog.report(report(images=tuple((f"image-{index}", index + 1) for index in range(99))))
    assert catalog.queries - before <= 5
    catalog.report(report(result="PARTIAL", started="2026-11-24T00:00:00Z", error="x" * 5000))
    catalog.seen("store-17", generation=1, at="2026-11-25T00:00:00Z")
    catalog.seen("unknown", generation=1, at=AT)
    assert sql.open().state().generation == 1
    assert sql.rows("SELECT server, seen, result FROM nc_server") == [("store-17", "2026-11-25T00:00:00Z", "PARTIAL")]
    kept = sql.rows("SELECT result, milliseconds, bytes_fetched FROM nc_report ORDER BY started")
    assert kept == [("OK", 1250, 1 << 40), ("PARTIAL", 1250, 1 << 40)]
    assert sql.rows("SELECT COUNT(*), MAX(number) FROM nc_report_image") == [(101, 99)]


def test_many_servers_report_at_once(sql: SqlPlace) -> None:
    sql.create()

    def tell(index: int) -> None:
        with closing(sql.open()) as catalog:
            catalog.report(report(server=f"store-{index % 3}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(tell, range(12)))
    assert sql.rows("SELECT COUNT(*) FROM nc_server") == [(3,)]
    assert sql.rows("SELECT COUNT(*) FROM nc_report") == [(12,)]


def test_memory_takes_reports_too() -> None:
    catalog = MemoryCatalog()
    catalog.create(identity=IDENTITY, hash_seed=1, chunker=CHUNKER)
    catalog.report(report())
    catalog.seen("store-17", generation=2, at=AT)
    catalog.seen("unknown", generation=2, at=AT)
    assert (catalog.reports, catalog.servers) == ([report()], {"store-17": (2, AT)})


# --- schemas of other ages


def test_E6_a_newer_schema_is_read_until_it_says_that_it_cannot_be(sql: SqlPlace) -> None:
    sql.create().publish(new_version("win"))
    sql.run("ALTER TABLE nc_version ADD COLUMN colour VARCHAR(20)")
    sql.run("ALTER TABLE nc_state ADD COLUMN mood BIGINT")
    sql.run("CREATE TABLE nc_more (x BIGINT)")
    sql.run("UPDATE nc_state SET schema_version = 7")
    assert offered(sql.open()) == {"win": 1}
    sql.run("UPDATE nc_state SET min_reader = 7")
    with pytest.raises(Incompatible) as refused:
        sql.open().state()
    assert refused.value.found == "7"


@pytest.mark.parametrize("damage", ["DROP TABLE nc_state", "DELETE FROM nc_state"])
def test_E6_no_catalog_in_the_database(sql: SqlPlace, damage: str) -> None:
    sql.create()
    sql.run(damage)
    with pytest.raises(Incompatible):
        sql.open().state()


def test_E6_a_table_or_a_column_is_gone(sql: SqlPlace) -> None:
    sql.create().publish(new_version("win"))
    sql.run("DROP TABLE nc_requirement")
    reader = sql.open()
    assert reader.state().generation == 1
    with pytest.raises(Incompatible):
        list(reader.current(generation=1, channel=DEFAULT_CHANNEL))


REFUSED = {
    "nc_image SET name = '../win'": ("../win", "image", ForbiddenName),
    "nc_image SET kind = 'virus'": ("win", "virus", ForbiddenValue),
    "nc_version SET bytes = -1": ("win", "image", ForbiddenValue),
    "nc_version SET entries = 0": ("win", "image", ForbiddenValue),
}


@pytest.mark.parametrize("statement", REFUSED)
def test_F_a_version_that_breaks_a_rule_is_refused_and_the_others_go_on(sql: SqlPlace, statement: str) -> None:
    catalog = sql.create()
    for name in ("win", "lin", "mac"):
        catalog.publish(new_version(name, requires=(Requirement("a"), Requirement("b"))))
    name, kind, error = REFUSED[statement]
    sql.run(f"UPDATE {statement} WHERE image = 1")
    _refuses_one_of_three(sql.open(), name, kind, error)


def test_F_the_twin_refuses_alike() -> None:
    catalog = MemoryCatalog()
    catalog.create(identity=IDENTITY, hash_seed=HASH_SEED, chunker=CHUNKER)
    for name in ("win", "lin", "mac"):
        catalog.publish(new_version(name))
    catalog.refused["win"] = ForbiddenValue(what="size", value="-1", rule="more")
    _refuses_one_of_three(catalog, "win", "image", ForbiddenValue)


def _refuses_one_of_three(catalog: Catalog, name: str, kind: str, error: type[TrustError]) -> None:
    at = {"generation": 3, "channel": DEFAULT_CHANNEL}
    with pytest.raises(error):
        list(catalog.current(**at))
    refused: list[Refused] = []
    assert sorted(each.name for each in catalog.current(**at, refuse=refused.append)) == ["lin", "mac"]
    assert [(each.name, each.kind, type(each.error)) for each in refused] == [(name, kind, error)]


def test_F_a_version_with_requirements_without_end_is_refused(sql: SqlPlace) -> None:
    many = tuple(Requirement(f"r{number}") for number in range(REQUIREMENTS_MAX + 1))
    catalog = sql.create()
    catalog.publish(new_version("win", requires=many[1:]))
    assert len(next(catalog.current(generation=1, channel=DEFAULT_CHANNEL)).requires) == REQUIREMENTS_MAX
    columns = ", ".join(rows.REQUIREMENT.column_names)
    sql.run(f"INSERT INTO nc_requirement ({columns}) VALUES (1, 1, 1000000, 'one-more', '', 1)")
    refused: list[Refused] = []
    assert list(catalog.current(generation=1, channel=DEFAULT_CHANNEL, refuse=refused.append)) == []
    assert [each.name for each in refused] == ["win"]


def test_a_database_without_a_catalog_is_incompatible(served: SqlPlace) -> None:
    with pytest.raises(Incompatible):
        served.open().state()


def test_memory_without_a_catalog_is_incompatible() -> None:
    with pytest.raises(Incompatible):
        MemoryCatalog().state()


def test_a_file_that_is_not_there_is_unreachable_and_is_not_made(tmp_path: Path) -> None:
    for conn in (f"sqlite:{tmp_path / 'none.db'}", f"odbc:DRIVER={{SQLite3}};Database={tmp_path / 'none.db'}"):
        with closing(open_catalog(conn)) as catalog, pytest.raises(Unreachable):
            catalog.state()
    assert list(tmp_path.iterdir()) == []


def test_events_of_a_kind_not_known_yet_change_nothing(sql: SqlPlace) -> None:
    catalog = sql.create()
    catalog.publish(new_version("win"))
    columns = ", ".join(rows.EVENT.column_names)
    sql.run(f"INSERT INTO nc_event ({columns}) VALUES (2, 'praise', 1, 1, 'stable', 'x', 1)")
    assert offered(sql.open()) == {"win": 1}
    [held] = sql.open().history("win", generation=1, channel=DEFAULT_CHANNEL)
    assert (held.current, held.retired) == (True, False)


# --- raw rows


def test_offer_rows_are_alike_on_every_engine(place: Place) -> None:
    catalog = place.create()
    catalog.publish(new_version("win", requires=(Requirement("lin", "1-"),)))
    catalog.publish(new_version("lin", channel="test"))
    catalog.retire("lin", None, at=AT)
    found = {table: list(place.open().offer_rows(table, after=0, until=3)) for table in rows.OFFER}
    assert found[rows.IMAGE.name] == [rows.image_row(1, "win", Kind.IMAGE, 1), rows.image_row(2, "lin", Kind.IMAGE, 2)]
    assert found[rows.REQUIREMENT.name] == [(1, 1, 0, "lin", "1-", 1)]
    assert found[rows.CHANNEL.name] == [("stable", AT, 1), ("test", AT, 2)]
    assert found[rows.EVENT.name] == [
        (1, "promote", 1, 1, "stable", AT, 1),
        (2, "promote", 2, 1, "test", AT, 2),
        (3, "retire", 2, 0, "", AT, 3),
    ]
    versions = list(place.open().published(after=0, until=3))
    assert found[rows.VERSION.name] == [rows.version_row(image, each) for image, each in zip((1, 2), versions, strict=True)]
    assert [row[0] for row in place.open().offer_rows(rows.EVENT.name, after=1, until=2)] == [2]
