"""The TOC: grows with a catalog of any engine, reads like it, and is not trusted."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from netclnt.catalog.sqlite import APPLICATION_ID
from netclnt.catalog.toc import open_toc, update_toc
from netclnt.errors import Damaged, ForbiddenValue, Incompatible, NetclntError, StorageFailed, Unreachable
from netclnt.memory.catalog import MemoryCatalog
from netclnt.model import DEFAULT_CHANNEL, Requirement, Version
from netclnt.protocols import Catalog
from netclnt.rows import OFFER
from tests.support.catalogs import AT, CHUNKER, HASH_SEED, IDENTITY, Place, new_version


def memory(identity: str = IDENTITY) -> MemoryCatalog:
    catalog = MemoryCatalog()
    catalog.create(identity=identity, hash_seed=HASH_SEED, chunker=CHUNKER)
    return catalog


def history_of(catalog: Catalog) -> None:
    """A few generations of everything an offer has."""
    catalog.publish(new_version("win", requires=(Requirement("drivers", "1-"), Requirement("ü"))))
    catalog.publish(new_version("drivers", channel="test"))
    catalog.publish(new_version("win", note="für 𝄞 'x' "))
    catalog.promote("drivers", 1, channel=DEFAULT_CHANNEL, at=AT)
    catalog.retire("win", 2, at=AT)


def offer(path: Path, generation: int) -> list[Version]:
    with closing(open_toc(path)) as toc:
        return list(toc.current(generation=generation, channel=DEFAULT_CHANNEL))


@contextmanager
def tampered(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as raw:
        yield raw
        raw.commit()


@pytest.fixture
def toc(tmp_path: Path) -> Path:
    """A TOC of five generations."""
    path = tmp_path / "toc"
    catalog = memory()
    history_of(catalog)
    update_toc(path, catalog, 5)
    return path


# --- growing


def test_a_toc_reads_as_its_catalog_does(place: Place, tmp_path: Path) -> None:
    catalog, path = place.create(), tmp_path / "toc"
    history_of(catalog)
    update_toc(path, catalog, 5)
    with closing(open_toc(path)) as toc:
        assert toc.state() == catalog.state()
        for generation in range(6):
            for channel in (DEFAULT_CHANNEL, "test"):
                at = {"generation": generation, "channel": channel}
                assert list(toc.current(**at)) == list(catalog.current(**at))
                assert toc.history("win", **at) == catalog.history("win", **at)


def test_growing_step_by_step_equals_building_at_once(place: Place, tmp_path: Path) -> None:
    catalog, grown, built = place.create(), tmp_path / "grown", tmp_path / "built"
    for step in (lambda: history_of(catalog), lambda: catalog.publish(new_version("lin")), lambda: history_of_more(catalog)):
        step()
        update_toc(grown, catalog, catalog.state().generation)
        inode = grown.stat().st_ino
    update_toc(grown, catalog, catalog.state().generation)
    assert grown.stat().st_ino == inode
    update_toc(built, catalog, catalog.state().generation)
    assert dump(grown) == dump(built)


def history_of_more(catalog: Catalog) -> None:
    for index in range(30):
        catalog.publish(new_version(f"more/{index}"))


def dump(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as raw:
        return {table: sorted(raw.execute(f"SELECT * FROM {table}")) for table in (*OFFER, "nc_state")}


def test_two_tocs_of_the_same_history_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        catalog = memory()
        history_of(catalog)
        update_toc(tmp_path / name, catalog, 3)
        update_toc(tmp_path / name, catalog, 5)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_toc_may_stop_before_the_catalogs_generation(tmp_path: Path) -> None:
    catalog = memory()
    history_of(catalog)
    update_toc(tmp_path / "toc", catalog, 3)
    assert [(each.name, each.number) for each in offer(tmp_path / "toc", 99)] == [("win", 2)]
    with pytest.raises(ForbiddenValue):
        update_toc(tmp_path / "toc", catalog, 6)


def test_an_up_to_date_toc_is_not_touched(toc: Path) -> None:
    catalog = memory()
    history_of(catalog)
    before = (toc.read_bytes(), toc.stat().st_mtime_ns)
    queries = catalog.queries
    update_toc(toc, catalog, 5)
    assert (toc.read_bytes(), toc.stat().st_mtime_ns) == before
    assert catalog.queries - queries == 1


def test_growing_leaves_most_pages_as_they_are(tmp_path: Path) -> None:
    catalog, path = memory(), tmp_path / "toc"
    for index in range(400):
        catalog.publish(new_version(f"image-{index % 40}"))
    update_toc(path, catalog, 400)
    before = path.read_bytes()
    catalog.publish(new_version("image-7"))
    update_toc(path, catalog, 401)
    after = path.read_bytes()
    pages = range(0, len(before), 4096)
    changed = [at for at in pages if before[at : at + 4096] != after[at : at + 4096]]
    assert len(changed) <= 12 < len(pages)


@pytest.mark.parametrize("harm", ["other origin", "ahead", "garbage", "cut short", "empty", "foreign database", "row gone"])
def test_what_cannot_be_added_to_is_built_anew(toc: Path, harm: str) -> None:
    catalog = memory("f" * 32 if harm == "other origin" else IDENTITY)
    history_of(catalog)
    catalog.publish(new_version("lin"))
    if harm == "ahead":
        with tampered(toc) as raw:
            raw.execute("UPDATE nc_state SET generation = 900")
    elif harm == "garbage":
        toc.write_bytes(random.Random(1).randbytes(9000))
    elif harm == "cut short":
        os.truncate(toc, 4096 * 3)
    elif harm == "empty":
        os.truncate(toc, 0)
    elif harm == "foreign database":
        toc.unlink()
        with tampered(toc) as raw:
            raw.execute("CREATE TABLE theirs (x)")
    elif harm == "row gone":
        with tampered(toc) as raw:
            raw.execute("DELETE FROM nc_state")
    toc.with_name("toc-journal").write_bytes(b"left behind")
    update_toc(toc, catalog, 6)
    assert offer(toc, 6) == list(catalog.current(generation=6, channel=DEFAULT_CHANNEL))
    assert sorted(path.name for path in toc.parent.iterdir()) == ["toc"]


def test_a_catalog_that_breaks_off_leaves_the_toc_as_it_was(toc: Path) -> None:
    catalog = memory()
    history_of(catalog)
    catalog.publish(new_version("lin"))
    before = offer(toc, 99)
    broken = Unreachable(what="catalog", address="memory", cause="test")
    answers = iter(range(4))
    ask = catalog._ask

    def fail() -> None:
        if next(answers, None) is None:
            raise broken
        ask()

    catalog._ask = fail  # type: ignore[method-assign]
    with pytest.raises(Unreachable):
        update_toc(toc, catalog, 6)
    assert offer(toc, 99) == before


def test_no_room_for_a_toc_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "toc.new").mkdir()
    with pytest.raises(StorageFailed):
        update_toc(tmp_path / "toc", memory(), 0)


# --- not trusting


HOSTILE = [
    "CREATE VIEW nc_bad AS SELECT 1",
    "CREATE TRIGGER nc_bad AFTER INSERT ON nc_image BEGIN SELECT 1; END",
    "CREATE INDEX nc_bad ON nc_image (kind)",
    "CREATE INDEX nc_bad ON nc_image (length(name))",
    "CREATE TABLE nc_bad (x BIGINT NOT NULL CHECK (x > 1), PRIMARY KEY (x))",
    "CREATE TABLE nc_bad (x BIGINT NOT NULL, y GENERATED ALWAYS AS (x + 1), PRIMARY KEY (x))",
    "CREATE TABLE nc_bad (x BIGINT DEFAULT (random()), PRIMARY KEY (x))",
    "CREATE VIRTUAL TABLE nc_bad USING fts5(x)",
    "CREATE TABLE other (x BIGINT NOT NULL, PRIMARY KEY (x))",
    "DROP TABLE nc_event; CREATE VIEW nc_event AS SELECT * FROM nc_version",
    "DROP TABLE nc_channel",
    "PRAGMA application_id = 1",
    "ANALYZE",
]


@pytest.mark.parametrize("statement", HOSTILE)
def test_F_a_toc_with_anything_else_in_it_is_refused(toc: Path, statement: str) -> None:
    with tampered(toc) as raw:
        raw.executescript(statement)
    with closing(open_toc(toc)) as reader, pytest.raises(Damaged):
        reader.state()


def test_a_later_releases_additions_are_read_past(toc: Path) -> None:
    with tampered(toc) as raw:
        raw.execute("CREATE TABLE nc_later (x BIGINT NOT NULL, y VARCHAR(20) NOT NULL, PRIMARY KEY (x), UNIQUE (y, x))")
        raw.execute("UPDATE nc_state SET schema_version = 9")
    assert len(offer(toc, 5)) == 2
    with tampered(toc) as raw:
        raw.execute("UPDATE nc_state SET min_reader = 9")
    with closing(open_toc(toc)) as reader, pytest.raises(Incompatible):
        reader.state()


def test_a_reader_leaves_no_trace_and_cannot_write(toc: Path) -> None:
    before = toc.read_bytes()
    toc.with_name("toc-journal").write_bytes(before[:512])
    with closing(open_toc(toc)) as reader:
        reader.state()
        assert sorted(path.name for path in toc.parent.iterdir()) == ["toc", "toc-journal"]
        with pytest.raises(NetclntError):
            reader._connector.change("DELETE FROM nc_image")
    assert toc.read_bytes() == before


ODD_VALUES = [
    "UPDATE nc_version SET bytes = -1",
    "UPDATE nc_version SET bytes = 1.5",
    "UPDATE nc_version SET bytes = 'many'",
    "UPDATE nc_version SET bytes = zeroblob(100000)",
    "UPDATE nc_version SET number = number + 3000000000",
    "DELETE FROM nc_version WHERE number = 1",
    "DELETE FROM nc_image",
    "UPDATE nc_version SET sha256 = ''",
    "UPDATE nc_version SET manifest = upper(manifest)",
    "UPDATE nc_version SET tree = 2",
    "UPDATE nc_version SET note = zeroblob(1) || x'ff'",
    "UPDATE nc_version SET generation = 1e300",
    "UPDATE nc_image SET name = '../etc/passwd' WHERE image = 1",
    "UPDATE nc_image SET name = char(27) || '[2J' WHERE image = 1",
    "UPDATE nc_image SET name = CAST(x'ff80' AS TEXT)",
    "UPDATE nc_image SET kind = 'virus'",
    "UPDATE nc_requirement SET name = '/abs'",
    "UPDATE nc_image SET name = printf('%.*c', 2000000, 'x')",
]


@pytest.mark.parametrize("statement", ODD_VALUES)
def test_F7_values_out_of_range_are_refused(toc: Path, statement: str) -> None:
    with tampered(toc) as raw:
        raw.execute(statement)
    with pytest.raises(NetclntError) as refused:
        offer(toc, 5)
    assert refused.value.exit_code == 8


def test_damage_anywhere_is_named_or_harmless(toc: Path) -> None:
    whole = toc.read_bytes()
    randomness = random.Random(7)
    for _ in range(150):
        position = randomness.randrange(len(whole))
        toc.write_bytes(whole[:position] + randomness.randbytes(1) + whole[position + 1 :])
        try:
            offer(toc, 5)
        except NetclntError:
            continue


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 4080])
def test_what_is_no_database_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "toc").write_bytes(content)
    with closing(open_toc(tmp_path / "toc")) as reader, pytest.raises(Damaged):
        reader.state()


def test_a_toc_carries_its_mark(toc: Path) -> None:
    with closing(sqlite3.connect(toc)) as raw:
        marks = [
            raw.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version", "page_size", "journal_mode")
        ]
    assert marks == [APPLICATION_ID, 1, 4096, "delete"]
