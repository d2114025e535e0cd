from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netclnt.catalog import connstr
from netclnt.catalog.odbc import OdbcConnector
from netclnt.errors import BadArgument

PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)


@given(PRINTABLE)
def test_E12_any_password_comes_back_from_its_braces(password: str) -> None:
    string = connstr.with_password("DSN=x;UID=me", password)
    assert connstr.parse(string) == [("DSN", "x"), ("UID", "me"), ("PWD", password)]


@pytest.mark.parametrize(
    ("string", "pairs"),
    [
        ("DSN=x", [("DSN", "x")]),
        ("DSN = x ; ;UID=a=b;", [("DSN", "x"), ("UID", "a=b")]),
        ("DRIVER={a;b}}c} ;PWD={};A=", [("DRIVER", "a;b}c"), ("PWD", ""), ("A", "")]),
        ("", []),
    ],
)
def test_pairs_of_a_string(string: str, pairs: list[tuple[str, str]]) -> None:
    assert connstr.parse(string) == pairs


@pytest.mark.parametrize("keyword", ["PWD", "pwd", "Password"])
@pytest.mark.parametrize("value", ["hush-hush", "{hush;hush}}hush}"])
def test_L1_a_password_is_never_shown(keyword: str, value: str) -> None:
    string = f"DSN=x;{keyword}={value};UID=me"
    connector = OdbcConnector(string)
    assert connector.address == "odbc:DSN=x;UID=me"
    assert connstr.has_password(string)
    for secret in ("hush", "}"):
        assert secret not in repr(connector) + str(connector.__dict__["address"])


@pytest.mark.parametrize("bad", ["hush", "PWD={hush", "PWD={hush}more", "A;hush=3"])
def test_L1_a_string_that_cannot_be_read_is_not_repeated(bad: str) -> None:
    with pytest.raises(BadArgument) as refused:
        OdbcConnector(bad)
    assert "hush" not in str(refused.value)


def test_a_password_inside_and_one_beside_are_refused() -> None:
    with pytest.raises(BadArgument):
        connstr.with_password("DSN=x;PWD=a", "b")


def test_what_is_shown_can_be_typed_again() -> None:
    assert connstr.public("DRIVER={My Driver};Server=a b") == "DRIVER={My Driver};Server={a b}"


@pytest.mark.parametrize(
    ("string", "words"),
    [
        ("DRIVER={PostgreSQL Unicode};SERVER=db.example;DATABASE=x", "SSLMODE=verify-full"),
        ("DRIVER={PostgreSQL Unicode};SERVERNAME=db.example;SSLMODE=prefer", "SSLMODE=verify-full"),
        ("DRIVER=/usr/lib/psqlodbcw.so;SERVER=10.0.0.1", "SSLMODE=verify-full"),
        ("DRIVER={PostgreSQL Unicode};SERVER=db.example;SSLmode=Verify-CA", ""),
        ("DRIVER={PostgreSQL Unicode};SERVER=db.example;SSLMODE=require", ""),
        ("DRIVER={PostgreSQL Unicode};SERVER=/run/postgresql", ""),
        ("DRIVER={MariaDB Unicode};SERVER=db.example", "FORCETLS=1;SSLVERIFY=1"),
        ("DRIVER={MariaDB Unicode};SERVER=db.example;FORCETLS=0", "FORCETLS=1;SSLVERIFY=1"),
        ("DRIVER={MariaDB Unicode};SERVER=db.example;FORCETLS=1", ""),
        ("DRIVER={MariaDB Unicode};SERVER=db.example;SSLCA=/etc/ca.pem", ""),
        ("DRIVER={MySQL ODBC 8.0};SERVER=db.example", "SSLMODE=VERIFY_IDENTITY"),
        ("DRIVER={PostgreSQL Unicode};SERVER=127.0.0.1", ""),
        ("DRIVER={MariaDB Unicode};SERVER=LocalHost", ""),
        ("DRIVER={Some Other};SERVER=db.example", ""),
        ("DSN=netclnt", ""),
    ],
)
def test_what_would_make_the_driver_insist_on_tls(string: str, words: str) -> None:
    assert connstr.missing_tls(string) == words
