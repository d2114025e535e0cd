"""Faults of database servers and drivers: each becomes one of netclnt's errors, and no password is ever in one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing

import pytest

from netclnt.catalog import open_catalog, open_connector
from netclnt.errors import (
    BadArgument,
    DriverMissing,
    ForbiddenName,
    ForbiddenValue,
    Incompatible,
    LineBroken,
    LoginRefused,
    NetclntError,
    TemporaryError,
    Unreachable,
)
from netclnt.model import DEFAULT_CHANNEL
from tests.contract.test_catalog import report
from tests.support.catalogs import CHUNKER, HASH_SEED, IDENTITY, SqlPlace, new_version, offered
from tests.support.databases import Database, MariaDB, Missing, PostgreSQL, odbc_driver, running

ODD_PASSWORD = "p;}= ü{x'\"%41+\\"
OFFER_TABLES = ("nc_state", "nc_image", "nc_version", "nc_requirement", "nc_channel", "nc_event")


def database_of(place: SqlPlace) -> Database:
    assert place.database is not None
    return place.database


def sql_text(password: str, database: Database) -> str:
    doubled = password.replace("'", "''")
    return doubled.replace("\\", "\\\\") if database.server.engine == "mariadb" else doubled


def everything_told(error: NetclntError) -> str:
    told = [str(error), repr(error)]
    while error.__context__ is not None:
        error = error.__context__  # type: ignore[assignment]
        told.append(repr(error))
    return "\n".join(told)


# --- accounts and passwords


def test_E12_an_odd_password_connects(served: SqlPlace) -> None:
    served.create().publish(new_version("win"))
    database = database_of(served)
    database.account("odd", sql_text(ODD_PASSWORD, database), dict.fromkeys(OFFER_TABLES, "SELECT"))
    with closing(open_catalog(database.conn_as("odd"), password=ODD_PASSWORD)) as catalog:
        assert offered(catalog) == {"win": 1}
    braced = "{" + ODD_PASSWORD.replace("}", "}}") + "}"
    with closing(open_catalog(f"{database.conn_as('odd')};PWD={braced}")) as catalog:
        assert offered(catalog) == {"win": 1}
        assert ODD_PASSWORD not in repr(catalog)


@pytest.mark.parametrize("separate", [True, False])
def test_E4_a_wrong_password_is_tried_once_and_never_shown(served: SqlPlace, separate: bool) -> None:
    database = database_of(served)
    wrong = "not-the-one"
    before = refusals(database)
    conn, password = (database.conn, wrong) if separate else (f"{database.conn};PWD={wrong}", None)
    with closing(open_catalog(conn, password=password)) as catalog, pytest.raises(LoginRefused) as refused:
        catalog.state()
    assert refused.value.user == "netclnt"
    assert wrong not in everything_told(refused.value)
    assert refusals(database) == before + 1


def refusals(database: Database) -> int:
    text = database.server.log.read_text(errors="replace")
    return len(re.findall(r"FATAL:  password authentication failed|Access denied for user", text))


def test_no_password_is_a_refused_login(served: SqlPlace) -> None:
    with closing(open_catalog(database_of(served).conn)) as catalog, pytest.raises(LoginRefused):
        catalog.state()


def test_two_passwords_are_one_too_many(served: SqlPlace) -> None:
    with pytest.raises(BadArgument) as refused:
        open_catalog(f"{served.conn};PWD=hidden", password="hidden")
    assert "hidden" not in everything_told(refused.value)


def test_E10_an_account_that_may_only_select_is_enough_to_read(served: SqlPlace) -> None:
    served.create().publish(new_version("win"))
    database = database_of(served)
    database.account("looker", "looker-secret", dict.fromkeys(OFFER_TABLES, "SELECT"))
    before = len(database.server.statements())
    with closing(open_catalog(database.conn_as("looker"), password="looker-secret")) as catalog:
        generation = catalog.state().generation
        assert offered(catalog, generation) == {"win": 1}
        assert len(catalog.history("win", generation=generation, channel=DEFAULT_CHANNEL)) == 1
    sent = [statement_in(line) for line in database.server.statements()[before:]]
    assert len(sent) >= 4
    assert {re.split(r"[\s]", each)[0].upper() for each in sent} <= {"SELECT", "SET"}


def test_each_question_is_one_statement_on_the_line(served: SqlPlace) -> None:
    """Neither the statement's time-out nor what the driver wants to know of our tables costs a round trip of its own."""
    served.create().publish(new_version("win"))
    database = database_of(served)
    before = len(database.server.statements())
    with closing(open_catalog(database.conn, password=database.password)) as catalog:
        assert offered(catalog, catalog.state().generation) == {"win": 1}
    sent = [statement_in(line) for line in database.server.statements()[before:]]
    first = next(at for at, statement in enumerate(sent) if "nc_state" in statement)
    assert ["i.name" in statement for statement in sent[first:]] == [False, True]
    assert [statement for statement in sent[:first] if "statement_timeout" in statement] == []


def test_the_longest_time_of_a_statement_outlives_a_transaction_undone(served: SqlPlace) -> None:
    """Also where the transaction is the first that the connection sees."""
    served.create()
    if not isinstance(database_of(served).server, PostgreSQL):
        pytest.skip("PostgreSQL's is set by a statement, which a rollback would undo")
    database = database_of(served)
    with closing(open_connector(database.conn, password=database.password)) as connector:
        with pytest.raises(Incompatible), connector.transaction():
            connector.change("UPDATE nc_nothing SET a = ?", (1,))
        assert list(connector.select("SHOW statement_timeout")) == [("10min",)]


def statement_in(line: str) -> str:
    return re.sub(r"^.*?(?:LOG:  statement: |LOG:  execute [^:]*: |(?:Query|Execute)\t)", "", line).strip()


def test_E10_an_account_that_may_not_write_is_told_so(served: SqlPlace) -> None:
    served.create()
    database = database_of(served)
    database.account("reader", "reader-secret", dict.fromkeys(OFFER_TABLES, "SELECT"))
    with closing(open_catalog(database.conn_as("reader"), password="reader-secret")) as catalog:
        for call in (lambda: catalog.report(report()), lambda: catalog.publish(new_version("win"))):
            with pytest.raises(LoginRefused):
                call()
        assert offered(catalog) == {}


# --- drivers and names


@pytest.mark.parametrize(
    ("conn", "driver"),
    [
        ("odbc:DSN=nowhere", "nowhere"),
        ("odbc:DRIVER={No Such};SERVER=x", "No Such"),
        ("odbc:DRIVER=/nonexistent.so", "/nonexistent.so"),
        ("odbc:SERVER=x", ""),
    ],
)
def test_E11_a_driver_or_data_source_that_is_not_there(conn: str, driver: str) -> None:
    with closing(open_catalog(conn, password="secret")) as catalog, pytest.raises(DriverMissing) as refused:
        catalog.state()
    assert refused.value.driver == driver
    assert "secret" not in everything_told(refused.value)


@pytest.mark.parametrize(
    "conn", ["", "odbc:", "sqlite:", "mysql://x", "odbc:no pairs", "odbc:A=b;c", "odbc:PWD={open", "odbc:PWD={a}b"]
)
def test_conn_of_another_form_is_refused(conn: str) -> None:
    with pytest.raises(BadArgument):
        open_catalog(conn)


def test_a_data_source_of_the_sqlite_driver_gets_whole_numbers(tmp_path, monkeypatch) -> None:
    try:
        driver = odbc_driver("SQLite3", "SQLite")
    except Missing as missing:
        pytest.skip(str(missing))
    (tmp_path / "odbc.ini").write_text(f"[netclnt-own]\nDriver = {driver}\nDatabase = {tmp_path / 'catalog.db'}\n")
    monkeypatch.setenv("ODBCINI", str(tmp_path / "odbc.ini"))
    place = SqlPlace("odbc:DSN=netclnt-own")
    version = place.create().publish(new_version("win"))
    assert version.size > 1 << 40
    assert list(place.open().published(after=0, until=1)) == [version]
    place.close()


def test_no_such_database(served: SqlPlace) -> None:
    database = database_of(served)
    conn = database.conn.replace(database.name, "nowhere")
    with closing(open_catalog(conn, password=database.password)) as catalog, pytest.raises(NetclntError) as refused:
        catalog.state()
    assert refused.value.exit_code in (6, 12)  # MariaDB does not say whether it exists


# --- servers that are down, full, or go away


@pytest.fixture(params=[PostgreSQL, MariaDB], ids=["postgresql", "mariadb"])
def own_server(request: pytest.FixtureRequest) -> Iterator[PostgreSQL | MariaDB]:
    """A server that a test may stop, beside the session's."""
    try:
        with running(request.param) as server:
            yield server
    except Missing as missing:
        pytest.skip(str(missing))


def test_E1_E2_a_server_that_goes_away_and_comes_back(own_server: PostgreSQL | MariaDB) -> None:
    database = own_server.create_database()
    catalog = open_catalog(database.conn, password=database.password)
    catalog.create(identity=IDENTITY, hash_seed=HASH_SEED, chunker=CHUNKER)
    catalog.publish(new_version("win"))
    own_server.stop()
    with pytest.raises(LineBroken):
        catalog.publish(new_version("win"))
    for _ in range(2):
        with pytest.raises(Unreachable) as refused:
            catalog.state()
        assert database.password not in everything_told(refused.value)
    own_server.start()
    assert catalog.state().generation == 1
    assert offered(catalog) == {"win": 1}
    catalog.close()


def test_a_full_server_is_unreachable_not_a_refused_login(own_server: PostgreSQL | MariaDB) -> None:
    database = own_server.create_database()
    opened = [open_catalog(database.conn, password=database.password) for _ in range(40)]
    refused = None
    try:
        opened[0].create(identity=IDENTITY, hash_seed=HASH_SEED, chunker=CHUNKER)
        for catalog in opened[1:]:
            catalog.state()
    except NetclntError as error:
        refused = error
    finally:
        for catalog in opened:
            catalog.close()
    assert isinstance(refused, TemporaryError), refused


def test_E17_a_broken_off_transaction_is_tried_again_once(served: SqlPlace) -> None:
    catalog = served.create()
    begin, failures = catalog._connector.commit, [1]

    def commit() -> None:
        if failures:
            failures.pop()
            server = database_of(served).server
            state = "ERRCODE = '40001'" if server.engine == "postgresql" else ""
            if state:
                catalog._connector.change(f"DO $$ BEGIN RAISE EXCEPTION 'test' USING {state}; END $$")
            else:
                catalog._connector.change("SIGNAL SQLSTATE '40001' SET MESSAGE_TEXT = 'test'")
        begin()

    catalog._connector.commit = commit  # type: ignore[method-assign]
    assert catalog.publish(new_version("win")).generation == 1
    failures.extend([1, 1])
    with pytest.raises(LineBroken):
        catalog.publish(new_version("win"))
    assert catalog.publish(new_version("win")).generation == 2


# --- odd rows


def altered(place: SqlPlace, table: str, column: str, kind: str) -> None:
    if database_of(place).server.engine == "postgresql":
        using = f" USING {column}::{kind}" if kind != "BYTEA" else f" USING convert_to({column}, 'UTF8')"
        place.run(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {kind}{using}")
    else:
        kind = {"BYTEA": "VARBINARY(300)", "TEXT": "TEXT CHARACTER SET utf8mb4", "NUMERIC(30)": "DECIMAL(30)"}.get(kind, kind)
        place.run(f"ALTER TABLE {table} MODIFY {column} {kind}")


@pytest.mark.parametrize(
    ("table", "column", "kind"),
    [
        ("nc_version", "bytes", "NUMERIC(30)"),
        ("nc_version", "bytes", "VARCHAR(30)"),
        ("nc_version", "manifest", "CHAR(80)"),
        ("nc_version", "manifest", "BYTEA"),
        ("nc_version", "note", "TEXT"),
        ("nc_image", "name", "CHAR(200)"),
        ("nc_image", "name", "BYTEA"),
        ("nc_image", "kind", "CHAR(20)"),
        ("nc_state", "hash_seed", "CHAR(40)"),
        ("nc_state", "identity_hex", "CHAR(40)"),
        ("nc_event", "channel", "CHAR(80)"),
    ],
)
def test_E7_what_a_column_of_another_type_gives_is_read_where_its_meaning_is_sure(
    served: SqlPlace, table: str, column: str, kind: str
) -> None:
    version = served.create().publish(new_version("win/ü", note="für"))
    altered(served, table, column, kind)
    reader = served.open()
    assert reader.state().hash_seed == HASH_SEED
    assert list(reader.current(generation=1, channel=DEFAULT_CHANNEL)) == [version]


@pytest.mark.parametrize(
    ("column", "value"),
    [("bytes", "NULL"), ("bytes", "'many'"), ("bytes", "'-1'"), ("manifest", "NULL"), ("note", "NULL"), ("sha256", "' '")],
)
def test_E7_what_means_nothing_is_refused(served: SqlPlace, column: str, value: str) -> None:
    served.create().publish(new_version("win"))
    if database_of(served).server.engine == "postgresql":
        served.run(f"ALTER TABLE nc_version ALTER COLUMN {column} DROP NOT NULL")
        served.run(f"ALTER TABLE nc_version ALTER COLUMN {column} TYPE VARCHAR(100)")
    else:
        served.run(f"ALTER TABLE nc_version MODIFY {column} VARCHAR(100) NULL")
    served.run(f"UPDATE nc_version SET {column} = {value}")
    with pytest.raises(ForbiddenValue):
        offered(served.open())


@pytest.mark.parametrize("name", ["../etc/passwd", "/abs", "a//b", "", "-rf", "x\x1b[2J", ".netclnt/x"])
def test_F1_a_name_outside_the_grammar_is_refused(sql: SqlPlace, name: str) -> None:
    sql.create().publish(new_version("win"))
    sql.run("UPDATE nc_image SET name = ?", name)
    with pytest.raises(ForbiddenName):
        offered(sql.open())
