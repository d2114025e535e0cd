"""What was there before, which images are meant, and what a slave refuses."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from netclnt.rows import OFFER
from tests.support.databases import free_port
from tests.support.images import content
from tests.support.site import TRANSPORTS, Run, Site, digest, good, snapshot

pytestmark = pytest.mark.slow  # dozens of whole runs; the quick tier has the main job

MakeSite = Callable[..., Site]


def failed(run: Run, code: int, *words: str) -> None:
    """The run ended with ``code``, and its error says ``words``."""
    assert run.code == code, run.out + run.err
    for word in words:
        assert word in run.err, run.err


def results(run: Run) -> dict[str, str]:
    return {event["image"]: event["result"] for event in run.of("image")}


# --- what lay there before


def test_N1_a_file_copied_by_hand_is_recorded_and_no_block_is_fetched(make_site: MakeSite) -> None:
    site = make_site()
    image = site.put("win.wim", content("N1", 2 << 20))
    site.publish(image)
    shutil.copy(image, site.root / "win.wim")
    before = snapshot(site.root), (site.root / "win.wim").stat().st_ino
    run = site.sync()
    assert results(run) == {"win.wim": "recorded"}
    assert run.one("summary")["bytes_fetched"] < 32 << 10  # its manifest
    assert (snapshot(site.root), (site.root / "win.wim").stat().st_ino) == before
    assert site.sync().one("summary")["sftp_connections"] == 0


def test_N2_an_older_file_is_a_seed_and_replaced_only_with_adopt(make_site: MakeSite) -> None:
    site = make_site()
    old = content("N2", 2 << 20)
    site.publish(site.put("win.wim", old[: 1 << 20] + content("N2/new", 50_000) + old[1 << 20 :]))
    (site.root / "win.wim").write_bytes(old)
    before = snapshot(site.root)
    assert site.slave("diff").rows == [
        ["replace-foreign", "image", "win.wim", "", "1", str((2 << 20) + 50_000), "a file that netclnt did not put there"]
    ]
    failed(site.slave("sync"), 9, "did not put there", "--adopt")
    assert snapshot(site.root) == before
    run = site.sync("--adopt")
    assert results(run) == {"win.wim": "updated"}
    assert run.one("summary")["bytes_fetched"] < 200_000
    assert run.one("summary")["bytes_reused"] > 1_800_000
    assert digest(site.root / "win.wim") == digest(site.source / "win.wim")


# --- which images are meant


def test_patterns_kinds_and_lists_choose_and_nothing_else_is_touched(make_site: MakeSite) -> None:
    site = make_site(flags=("--select", "*", "--select", "!secret/*"))
    for name in ("debian/11", "debian/12", "win/11", "secret/x"):
        site.publish(site.put("f", content(name, 30_000)), "--name", name)
    site.publish(site.put("f", content("agent", 30_000)), "--name", "agent", "--kind", "software")

    assert set(results(site.sync("debian/*", "!*12"))) == {"debian/11"}
    assert set(results(site.sync("kind:software"))) == {"agent"}
    assert results(site.sync("--from-file", "-", input="")) == {}
    assert set(results(site.sync("--from-file", "-", "-0", input="debian/12\0win/99\0"))) == {"debian/12"}
    names = site.put("names", b"win/11\n")
    failed(site.slave("sync", "linux/*"), 2, "linux/*")
    failed(site.slave("sync", "--from-file", "-", input="*\n"), 8, "*")
    assert [row[2] for row in site.slave("diff").rows] == ["win/11"]
    assert set(results(site.sync("--from-file", str(names)))) == {"win/11"}
    assert not (site.root / "secret").exists()
    assert site.slave("list", "debian/*").out.count("\n") == 2


# --- what is refused


def test_another_masters_identity_is_TRUST_until_its_own_is_back(make_site: MakeSite) -> None:
    ours, other = make_site(name="ours"), make_site(name="other")
    for site in (ours, other):
        site.publish(site.put("image", content(site.directory.name, 100_000)))
    ours.sync()
    with ours.nothing_changes():
        failed(ours.slave("sync", "--catalog", other.place.slave), 8, "another master")
        failed(ours.slave("diff", "--catalog", "store", "--parent", other.parent), 8, "another master")
    ours.sync()


def test_E14_an_emptied_catalog_is_LIMIT_and_nothing_goes(make_site: MakeSite) -> None:
    site = make_site()
    site.publish(site.put("image", content("E14", 100_000)))
    site.sync()
    file = Path(site.place.master.removeprefix("sqlite:"))
    database = sqlite3.connect(file)
    for table in OFFER:
        database.execute(f"DELETE FROM {table}")
    database.execute("UPDATE nc_state SET generation = generation + 1")
    database.commit()
    database.close()
    with site.nothing_changes():
        failed(site.slave("sync"), 13, "Stopped by the limit", "no longer offered")
        failed(site.slave("diff"), 13, "Stopped by the limit", "no longer offered")


@pytest.mark.parametrize("engine", ["postgresql", "mariadb"])
def test_E1_E4_a_wrong_password_is_AUTH_and_a_catalog_that_is_down_is_TEMP(engine: str, make_site: MakeSite) -> None:
    site = make_site(engine)
    wrong = site.put("wrong", b"geheim-5381\n")
    for words in (["sync"], ["diff"]):
        run = site.slave(*words, env=site.environment_of("slave") | {"NETCLNT_PASSWORD_FILE": str(wrong)})
        failed(run, 6, "refuses user netclnt")
        assert "geheim" not in run.out + run.err
    assert site.place.database
    port = site.place.database.server.port
    down = site.place.slave.replace(f"PORT={port}", f"PORT={free_port()}")
    run = site.slave("--json", "sync", env=site.environment_of("slave") | {"NETCLNT_CATALOG": down})
    assert (run.code, run.one("error")["code"]) == (5, "TEMP")


def test_E10_an_account_that_may_only_SELECT_is_enough(make_site: MakeSite) -> None:
    site = make_site("postgresql")
    site.publish(site.put("image", content("E10", 100_000)))
    database = site.place.database
    assert database
    tables = [str(row[0]) for row in database.admin("SELECT tablename FROM pg_tables WHERE tablename LIKE 'nc_%'")]
    reader = f"reader_of_{database.name}"
    database.account(reader, str(site.place.password), dict.fromkeys(tables, "SELECT"))
    environment = site.environment_of("slave") | {"NETCLNT_CATALOG": database.conn_as(reader)}
    assert results(site.sync("--no-report", env=environment)) == {"image": "updated"}
    sent = {line.partition(":  ")[2].split()[1] for line in database.server.statements() if f"|{reader}|" in line}
    assert sent <= {"SELECT", "select", "SET", "BEGIN", "COMMIT", "ROLLBACK"}
    site.publish(site.put("image", content("E10/2", 100_000)))
    told = site.sync(env=environment)
    assert [event["code"] for event in told.of("warning")] == ["not-reported"]
    assert results(told) == {"image": "updated"}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_D19_an_unknown_host_key_is_AUTH_and_the_hint_pins_it(transport: str, make_site: MakeSite) -> None:
    site = make_site(transport=transport, known_hosts=None)
    site.publish(site.put("image", content("D19", 100_000)))
    pin = f"netclnt trust-host {site.sshd.fingerprint}"
    with site.nothing_changes(but=["catalog.sqlite"]):
        failed(site.slave("sync"), 6, "host key", pin)
    good(site.slave(*pin.split()[1:]))
    assert results(site.sync()) == {"image": "updated"}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_D18_a_key_that_the_master_does_not_know_is_AUTH(transport: str, make_site: MakeSite) -> None:
    site = make_site(transport=transport)
    site.publish(site.put("image", content("D18", 100_000)))
    failed(site.slave("sync", "--identity", str(site.sshd.stranger)), 6, "refuses user")
    failed(site.slave("sync", "--identity", str(site.directory / "no-key")), 6, "no-key")


@pytest.mark.parametrize("catalog", ["sqlite", "store"])
def test_a_store_that_is_gone_is_TEMP_and_its_return_is_enough(catalog: str, make_site: MakeSite) -> None:
    site = make_site(catalog)
    site.publish(site.put("image", content("gone", 100_000)))
    away = site.store.rename(site.directory / "away")
    failed(site.slave("sync"), 5, "The store lacks")
    away.rename(site.store)
    site.sync()
    assert digest(site.root / "image") == digest(site.source / "image")


def test_C18_a_root_that_is_not_mounted_is_STORAGE_and_stays_empty(make_site: MakeSite) -> None:
    site = make_site()
    site.publish(site.put("image", content("C18", 100_000)))
    site.sync()
    away = site.root.rename(site.directory / "away")
    site.root.mkdir()
    for words in (["sync"], ["diff"], ["sync", "--dry-run"], ["verify"]):
        failed(site.slave(*words), 9, "not mounted")
    assert list(site.root.iterdir()) == []
    site.root.rmdir()
    failed(site.slave("sync"), 9, "not mounted")
    away.rename(site.root)
    assert site.sync().one("summary")["sftp_connections"] == 0
