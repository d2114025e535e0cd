from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from netclnt.catalog import open_catalog, writer_of
from netclnt.errors import Incompatible
from tests.support.catalogs import CHUNKER, HASH_SEED, IDENTITY


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "catalog.sqlite"
    with closing(open_catalog(f"sqlite:{path}")) as made:
        made.create(identity=IDENTITY, hash_seed=HASH_SEED, chunker=CHUNKER)
    return path


def change(catalog: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(catalog)) as raw, raw:
        raw.execute(statement, values)


def test_who_holds_the_lock_is_told_and_a_catalog_without_its_row_is_none_that_nobody_holds(catalog: Path) -> None:
    conn = f"sqlite:{catalog}"
    assert writer_of(conn) is None
    with closing(open_catalog(conn)) as held, held.writer_lock("somebody"):
        assert writer_of(conn) == ("somebody", False)
    assert writer_of(conn) is None
    change(catalog, "DELETE FROM nc_lock")
    with pytest.raises(Incompatible):
        writer_of(conn)


def test_F7_a_holder_of_an_impossible_process_number_is_dead(catalog: Path) -> None:
    conn = f"sqlite:{catalog}"
    with closing(open_catalog(conn)) as held, held.writer_lock("somebody"):
        change(catalog, "UPDATE nc_lock SET process = ?, alive = ?", 1 << 40, int(time.time()))
        assert writer_of(conn) == ("somebody", True)
