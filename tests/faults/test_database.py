"""The master's database frozen, restarted, full and speaking other languages (faults E): one truthful error, in time."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from netclnt.catalog import Patience, odbc, open_catalog, open_connector
from netclnt.catalog.writer import SqlCatalog
from netclnt.errors import DeadlinePassed, Interrupted, LoginRefused, NetclntError, Unreachable
from netclnt.events import Event, Retried
from netclnt.rows import OFFER
from tests.support.catalogs import CHUNKER, HASH_SEED, IDENTITY, new_version, offered
from tests.support.databases import Database, Missing, PostgreSQL, running
from tests.support.proxy import Proxy, proxy
from tests.support.site import Run, Site, checked, good

SERVERS = ("postgresql", "mariadb")
MakeSite = Callable[..., Site]


@pytest.fixture(params=SERVERS)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=SERVERS)
def database(request: pytest.FixtureRequest) -> Database:
    return request.getfixturevalue(request.param).create_database()


@pytest.fixture
def catalog(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlCatalog]:
    """A catalog of one version, read with little patience."""
    monkeypatch.setattr(odbc, "_LATE", 0.5)
    with closing(open_catalog(database.conn, password=database.password)) as made:
        made.create(identity=IDENTITY, hash_seed=HASH_SEED, chunker=CHUNKER)
        made.publish(new_version("win"))
    with closing(open_catalog(database.conn, password=database.password, patience=Patience(timeout=0.4))) as opened:
        yield opened


def driver_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "netclnt-call"]


# --- frozen


def test_E2_P9_a_database_frozen_in_mid_work_passes_the_deadline(catalog: SqlCatalog, database: Database) -> None:
    assert catalog.state().generation == 1
    connector = catalog._connector
    connector._heard = False  # as with the first question, whose deadline is the short one
    with database.server.frozen(database.name):
        with pytest.raises(DeadlinePassed) as caught:
            catalog.state()
        assert caught.value.seconds == 0.4
        catalog.close()
    assert offered(catalog) == {"win": 1}


def test_P9_a_frozen_database_ends_no_transaction_and_holds_up_nobody(catalog: SqlCatalog, database: Database) -> None:
    connector = open_connector(database.conn, password=database.password, patience=Patience(timeout=0.05))
    with closing(connector), pytest.raises(DeadlinePassed), connector.transaction():
        connector.change("UPDATE nc_state SET generation = generation + 1")
        with database.server.frozen(database.name):
            connector.change("UPDATE nc_state SET generation = generation + 1")
    assert catalog.state().generation == 1


def test_P9_a_database_frozen_before_the_login_passes_the_deadline(catalog: SqlCatalog, database: Database) -> None:
    with database.server.frozen(), pytest.raises(NetclntError) as caught:
        catalog.state()
    assert caught.value.exit_code == 5
    assert catalog.state().generation == 1


def test_A5_a_signal_ends_the_wait_for_a_frozen_database(catalog: SqlCatalog, database: Database) -> None:
    """A driver's C code would sit through it."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    connector = open_connector(database.conn, password=database.password)
    assert list(connector.select("SELECT 1")) == [(1,)]
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with database.server.frozen(database.name), pytest.raises(Interrupted):
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with closing(connector), connector.transaction():
                connector.change("UPDATE nc_state SET generation = generation + 1")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert catalog.state().generation == 1


def test_a_connection_to_the_same_server_is_made_while_another_one_is_stuck(catalog: SqlCatalog, database: Database) -> None:
    """A driver manager may serialize its calls: then one frozen session would freeze all."""
    if database.server.engine != "postgresql":
        pytest.skip("its sessions are threads of one process, which cannot be frozen one by one")
    catalog.state()
    catalog._connector._heard = False
    with database.server.frozen(database.name):
        with pytest.raises(DeadlinePassed):
            catalog.state()
        with closing(open_catalog(database.conn, password=database.password)) as other:
            assert offered(other) == {"win": 1}
        catalog.close()
        assert len(driver_threads()) == 1  # still in its call


# --- tried again, or not


def test_a_full_server_is_tried_again_inside_the_budget(database: Database, catalog: SqlCatalog) -> None:
    told: list[Event] = []

    def observe(event: Event) -> None:
        told.append(event)
        limit_sessions(database, None)

    limit_sessions(database, 1)
    catalog.state()
    patience = Patience(timeout=5, budget=20, observer=observe)
    with closing(open_catalog(database.conn, password=database.password, patience=patience)) as waiting:
        assert offered(waiting) == {"win": 1}
    (event,) = told
    assert isinstance(event, Retried)
    assert (event.what, event.attempt) == ("catalog", 1)


def limit_sessions(database: Database, most: int | None) -> None:
    """How many sessions the owner's account may have at a time."""
    if database.server.engine == "postgresql":
        database.admin(f"ALTER ROLE netclnt CONNECTION LIMIT {-1 if most is None else most}")
    else:
        database.admin(f"ALTER USER netclnt@'127.0.0.1' WITH MAX_USER_CONNECTIONS {most or 0}")


def test_E4_a_refused_login_is_not_tried_again(database: Database) -> None:
    told: list[Event] = []
    patience = Patience(timeout=5, budget=20, observer=told.append)
    with closing(open_catalog(database.conn, password="wrong", patience=patience)) as refused, pytest.raises(LoginRefused):
        refused.state()
    assert told == []


# --- a server that speaks another language


@pytest.fixture(scope="module")
def foreign() -> Iterator[Database]:
    """PostgreSQL with Russian messages: it calls FATAL by another word, too."""
    try:
        with running(PostgreSQL, LANGUAGE="ru") as server:
            yield server.create_database()
    except Missing as missing:
        pytest.skip(str(missing))


REFUSALS: dict[str, Callable[[Database], tuple[str, str]]] = {
    "password": lambda database: (database.conn, "wrong"),
    "nobody": lambda database: (database.conn_as("nobody"), "x"),
    "no login": lambda database: (database.conn_as("nologin"), "x"),
}


@pytest.mark.parametrize("why", REFUSALS)
def test_E4_a_refused_login_is_one_in_any_language(foreign: Database, why: str) -> None:
    if why == "no login":
        foreign.account("nologin", "x", {})
        foreign.admin("ALTER ROLE nologin NOLOGIN")
    conn, password = REFUSALS[why](foreign)
    with closing(open_catalog(conn, password=password)) as catalog, pytest.raises(LoginRefused) as refused:
        catalog.state()
    assert not refused.value.cause.isascii(), "the server was meant to speak Russian"


def test_other_words_in_another_language_are_no_refused_login(foreign: Database) -> None:
    foreign.account("p", "x", {})  # a name that is part of many words, and of libpq's
    foreign.admin(f"ALTER DATABASE {foreign.name} CONNECTION LIMIT 0")
    try:
        with closing(open_catalog(foreign.conn_as("p"), password="x")) as catalog, pytest.raises(Unreachable):
            catalog.state()
    finally:
        foreign.admin(f"ALTER DATABASE {foreign.name} CONNECTION LIMIT -1")
    conn = foreign.conn_as("p").replace(f"PORT={foreign.server.port}", "PORT=1")
    with closing(open_catalog(conn, password="x")) as catalog, pytest.raises(Unreachable):
        catalog.state()


# --- whole commands


def behind(line: Proxy, site: Site) -> str:
    assert site.place.database is not None
    return site.place.slave.replace(f"PORT={site.place.database.server.port}", f"PORT={line.port}")


@contextmanager
def database_line(site: Site) -> Iterator[Proxy]:
    assert site.place.database is not None
    with proxy(site.place.database.server.port) as line:
        yield line


@pytest.mark.slow
def test_E2_an_answer_cut_half_way_is_never_half_a_diff(make_site: MakeSite, engine: str) -> None:
    site = make_site(engine)
    database = site.place.database
    assert database is not None
    with closing(open_catalog(database.conn, password=database.password)) as catalog:
        for number in range(300):
            catalog.publish(new_version(f"image-{number:03}"))
    with database_line(site) as line:
        flags = ("--catalog", behind(line, site))
        whole = site.slave("diff", *flags)
        assert (whole.code, len(whole.rows)) == (4, 300)
        size = line.passed
        for part in (0.4, 0.7, 0.99):
            line.hold_after(int(size * part))
            process = site.start("slave", "--json", "diff", *flags)
            line.wait_until_held()
            line.cut()
            line.release()
            run = ended(process)
            assert run.code == 5, run.out
            assert not run.of("change"), part
            assert not run.of("catalog"), part


@pytest.mark.slow
def test_P9_A4_a_frozen_database_is_TEMP_and_SIGTERM_is_heard(make_site: MakeSite, engine: str) -> None:
    site = make_site(engine)
    site.publish(site.put("image", b"content"))
    site.sync()
    with database_line(site) as line:
        flags = ("--catalog", behind(line, site))
        good(site.slave("diff", *flags))
        before_the_end = line.passed - 20
        line.hold_after(before_the_end)
        assert site.slave("diff", *flags, env={**site.environment_of("slave"), "NETCLNT_TIMEOUT": "1"}).code == 5
        line.cut()
        line.hold_after(before_the_end)
        process = site.start("slave", "--json", "sync", *flags)
        line.wait_until_held()
        process.send_signal(signal.SIGTERM)
        assert ended(process, seconds=5).code == 143
    assert site.place.database is not None
    with site.place.database.server.frozen():
        assert site.slave("diff", env={**site.environment_of("slave"), "NETCLNT_TIMEOUT": "1"}).code == 5
    site.sync()


def ended(process: subprocess.Popen[str], seconds: float = 60) -> Run:
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return checked(Run(process.returncode, out, err), None)


@pytest.mark.slow
def test_E12_L1_an_odd_password_connects_and_is_seen_nowhere(make_site: MakeSite, engine: str) -> None:
    site = make_site(engine)
    site.publish(site.put("image", b"content"))
    site.sync()
    database = site.place.database
    assert database is not None
    odd = "p;}= ü{x"
    database.account("odd_sync", odd, dict.fromkeys(("nc_state", *OFFER), "SELECT"))
    (site.directory / "odd").write_text(f"{odd}\n")
    site.environment["NETCLNT_PASSWORD_FILE"] = str(site.directory / "odd")
    with database_line(site) as line:
        flags = ("-v", "--json", "diff", "--catalog", behind(line, site).replace("UID=netclnt", "UID=odd_sync"))
        good(site.slave(*flags))
        line.hold_after(line.passed - 20)
        process = site.start("slave", *flags)
        line.wait_until_held()
        seen = [Path(f"/proc/{process.pid}/{name}").read_text() for name in ("cmdline", "environ")]
        line.cut()
        run = ended(process)
    assert run.code == 5
    files = [path.read_text(errors="replace") for path in site.state.rglob("*") if path.is_file()]
    assert not [text for text in (run.out, run.err, *seen, *files) if odd in text or odd.replace("}", "}}") in text]


@pytest.mark.slow
def test_a_locked_sqlite_catalog_is_TEMP_by_the_time_out(make_site: MakeSite) -> None:
    site = make_site("sqlite-odbc")
    with closing(sqlite3.connect(site.directory / "catalog.sqlite")) as other:
        other.execute("BEGIN EXCLUSIVE")
        run = site.slave("--json", "diff", env={**site.environment_of("slave"), "NETCLNT_TIMEOUT": "1"})
    assert (run.code, run.of("error")[0]["cause"]) == (5, "DeadlinePassed")
