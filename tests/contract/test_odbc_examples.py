"""The shipped odbc.ini snippets and accounts do what they say, on the engines we can run."""

from __future__ import annotations

import re
import secrets
from contextlib import closing
from pathlib import Path

import pytest

from netclnt.catalog import open_catalog
from netclnt.errors import LoginRefused
from tests.contract.conftest import SERVERS
from tests.contract.test_catalog import report
from tests.support.catalogs import AT, SqlPlace, new_version, offered
from tests.support.databases import Missing, odbc_driver

EXAMPLES = Path(__file__).parents[2] / "examples"
PASSWORD = "slave-password"


def data_source(engine: str, values: dict[str, str], directory: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """CONN for the snippet of ``engine`` with its values replaced, in an odbc.ini of this test's own."""
    text = (EXAMPLES / f"odbc.ini.{engine}").read_text()
    for key, value in values.items():
        text, count = re.subn(rf"(?mi)^({key} *=).*$", lambda found, value=value: f"{found[1]} {value}", text)
        assert count == 1, f"no {key} in the snippet for {engine}"
    # a name of its own: unixODBC remembers for a while what it read of a data source
    name = f"netclnt-{secrets.token_hex(4)}"
    path = directory / "odbc.ini"
    path.write_text(text.replace("[netclnt-master]", f"[{name}]"))
    monkeypatch.setenv("ODBCINI", str(path))
    return f"odbc:DSN={name}"


@pytest.mark.parametrize("engine", SERVERS)
def test_the_slaves_account_reads_and_reports_and_nothing_else(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = request.getfixturevalue(engine)
    database = server.create_database()
    place = SqlPlace(database.conn, database.password, database)
    place.create().publish(new_version("win"))
    database.admin(account(engine, f"slave_of_{database.name}"))
    host = {"Servername": "127.0.0.1", "SSLmode": "disable"} if engine == "postgresql" else {"SERVER": "127.0.0.1"}
    values = host | {"Port": str(server.port), "Database": database.name}
    conn = f"{data_source(engine, values, tmp_path, monkeypatch)};UID=slave_of_{database.name}"
    with closing(open_catalog(conn, password=PASSWORD)) as catalog:
        assert offered(catalog) == {"win": 1}
        catalog.report(report())
        catalog.report(report())
        catalog.seen("store-17", generation=1, at=AT)
        for call in (lambda: catalog.publish(new_version("win")), lambda: catalog.retire("win", None, at=AT)):
            with pytest.raises(LoginRefused):
                call()
    with closing(open_catalog(conn, password="wrong")) as catalog, pytest.raises(LoginRefused):
        catalog.state()
    place.close()


def account(engine: str, user: str) -> str:
    text = (EXAMPLES / "sql" / f"{engine}-slave.sql").read_text()
    return text.replace("netclnt_slave", user).replace(":'slave_password'", f"'{PASSWORD}'").replace("CHANGE-ME", PASSWORD)


def test_the_data_source_for_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        odbc_driver("SQLite3")
    except Missing as missing:
        pytest.skip(str(missing))
    place = SqlPlace(data_source("sqlite", {"Database": str(tmp_path / "catalog.db")}, tmp_path, monkeypatch))
    version = place.create().publish(new_version("win"))
    assert list(place.open().published(after=0, until=1)) == [version]
    place.close()


def test_every_table_that_slaves_need_is_granted_everywhere() -> None:
    files = sorted((EXAMPLES / "sql").glob("*-slave.sql"))
    granted = [set(re.findall(r"nc_\w+", file.read_text())) for file in files]
    assert len(files) == 4
    assert all(each == granted[0] for each in granted)
