"""What ``netclnt doctor`` finds beforehand: nothing on a healthy site, and each trouble with the command to type."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from netclnt.catalog import open_catalog
from tests.support.images import content
from tests.support.mounts import mounted
from tests.support.oracle import oracle
from tests.support.site import Run, Site, catalog_place, good, snapshot
from tests.support.sshd import HOST, Sshd

MakeSite = Callable[..., Site]

HEALTHY = [pytest.param("store", "openssh", marks=pytest.mark.slow), ("postgresql", "paramiko")]


def doctor(site: Site, *words: str, role: str = "slave", **options: Any) -> Run:
    """One that changes nothing in root and state, nor elsewhere, and tells each check once."""
    before = snapshot(site.state) if site.state.exists() else {}
    with site.nothing_changes():
        run = site.run(role, "--json", "doctor", *words, **options)
    assert (snapshot(site.state) if site.state.exists() else {}) == before
    checks = [(event["role"], event["check"]) for event in run.of("check")]
    assert len(checks) == len(set(checks))
    return run


def found(run: Run, check: str) -> dict[str, Any]:
    (event,) = [event for event in run.of("check") if event["check"] == check]
    return event


def amiss(run: Run) -> dict[str, str]:
    """The checks that are not ok, with their results."""
    return {event["check"]: event["result"] for event in run.of("check") if event["result"] != "ok"}


def only_error(run: Run, check: str, code: str, hint: str) -> dict[str, Any]:
    """That this is the one error, whose exit code is the run's, and that it names what to type."""
    errors = [event for event in run.of("check") if event["result"] == "error"]
    assert [(event["check"], event["code"]) for event in errors] == [(check, code)], run.out
    assert run.one("exit")["name"] == code
    assert hint in errors[0]["hint"]
    return errors[0]


def only_warning(run: Run, check: str, hint: str) -> dict[str, Any]:
    assert (run.code, amiss(run)) == (0, {check: "warning"}), run.out
    event = found(run, check)
    assert hint in event["hint"]
    return event


def in_use(site: Site) -> Site:
    site.publish(site.put("image", content("doctor", 300_000)))
    site.sync()
    return site


@pytest.fixture(scope="module")
def shared(request: pytest.FixtureRequest, sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Path]:
    """A site in use, and where all of it is saved."""
    directory = tmp_path_factory.mktemp("doctor") / "site"
    directory.mkdir()
    site = Site(directory, sshd, catalog_place("sqlite", request, directory))
    site.init()
    in_use(site)
    subprocess.run(["cp", "-a", directory, directory.with_name("saved")], check=True)
    return site, directory.with_name("saved")


@pytest.fixture
def site(shared: tuple[Site, Path]) -> Site:
    """A site in use, as it was made, whatever tests before did to it."""
    site, saved = shared
    shutil.rmtree(site.directory)
    subprocess.run(["cp", "-a", saved, site.directory], check=True)
    return site


# --- nothing is wrong


@pytest.mark.parametrize(("catalog", "transport"), HEALTHY)
def test_P8_P9_a_healthy_site_is_all_ok_and_nothing_changes(make_site: MakeSite, catalog: str, transport: str) -> None:
    site = make_site(catalog, transport=transport)
    site.publish(site.put("image", content("doctor", 300_000)))
    assert amiss(good(doctor(site))) == {}, "before the first sync"
    site.sync()
    run = good(doctor(site, "--probe", "0.2"))
    assert amiss(run) == {}
    assert found(run, "store.speed")["rate"] > 0
    assert "catalog.rights" not in {event["check"] for event in run.of("check")} or catalog != "store"
    assert amiss(good(doctor(site, role="master"))) == {}


@pytest.mark.slow
def test_P9_it_holds_no_lock_and_waits_for_none(make_site: MakeSite) -> None:
    site = in_use(make_site())
    site.publish(site.put("image", content("other", 300_000)))
    with oracle(site) as watch:
        sync = watch.start("slave", "--json", "sync", "--bwlimit", "100K")
        assert "LOCKED" not in site.slave("--json", "doctor").out
        assert sync.wait().code == 0


def test_piped_it_is_five_columns_a_check(site: Site) -> None:
    rows = good(site.slave("doctor")).rows
    assert {len(row) for row in rows} == {5}
    assert ["slave", "catalog.schema", "ok"] in [row[:3] for row in rows]
    site.store.chmod(0o777)
    run = good(site.master("doctor"))
    assert {len(row) for row in run.rows} == {5}
    assert run.err.startswith("netclnt: warning: master store.permissions: ")
    assert run.err.endswith(f"\n  hint: chmod go-w {site.store}\n")
    assert site.master("-q", "doctor").err == ""


def test_an_account_that_may_only_SELECT_is_enough_and_is_told_so_E10(make_site: MakeSite) -> None:
    site = make_site("postgresql")
    site.publish(site.put("image", b"x"))
    database = site.place.database
    assert database is not None
    user = f"only_{database.name}"
    tables = ("nc_state", "nc_image", "nc_version", "nc_requirement", "nc_channel", "nc_event")
    database.account(user, database.password, dict.fromkeys(tables, "SELECT"))
    conn = database.conn_as(user)
    good(site.slave("init", "slave", "--force", "--catalog", conn))
    before = len(database.server.statements())
    run = good(doctor(site))
    assert "may SELECT" in found(run, "catalog.rights")["found"]
    sent = [line for line in database.server.statements()[before:] if f"|{user}|" in line]
    assert sent
    assert not [line for line in sent if not re.search(r"SELECT|SET |SHOW", line, re.IGNORECASE)]
    database.admin(f"REVOKE SELECT ON nc_version FROM {user}")
    error = only_error(doctor(site), "catalog.rights", "AUTH", "UID")
    assert "nc_version" in error["found"]


# --- config and passwords


def test_L6_a_config_that_is_half_broken_is_used_as_far_as_it_goes(site: Site) -> None:
    text = site.config("slave").read_text()
    site.config("slave").write_text(text.replace('root = "/', 'root = "').replace("[slave]", "[slave]\nkep = 1\nkeep = 'x'"))
    run = doctor(site)
    error = only_error(run, "config", "USAGE", "mend these keys")
    assert all(words in error["found"] for words in ("slave.root must be", "slave.kep is an unknown key", "slave.keep must be"))
    assert amiss(run) == {"config": "error"} | dict.fromkeys(("root", "root.writable", "root.space", "root.reflink"), "skipped")
    assert found(run, "root")["found"] == "needs slave.root"


@pytest.mark.parametrize(("text", "words"), [("[slave", "TOML"), ("[slaves]\n", "did you mean slave"), ("", "no [slave]")])
def test_L6_a_config_of_which_nothing_can_be_used_leaves_the_hosts_checks(site: Site, text: str, words: str) -> None:
    site.config("slave").write_text(text)
    run = doctor(site)
    assert words in found(run, "config")["found"]
    assert run.code == 2
    assert {event["role"] for event in run.of("check")} == {"host"}
    assert amiss(run) == {"config": "error"}
    site.config("slave").unlink()
    assert doctor(site).code == 2


@pytest.mark.parametrize("value", ["must_not_be", "1d"])
def test_L6_what_is_no_time_to_measure_is_refused(site: Site, value: str) -> None:
    assert site.slave("doctor", "--probe", value).code == 2


def test_both_roles_of_a_relay_are_looked_at(site: Site) -> None:
    both = site.config("slave").read_text() + site.config("master").read_text()
    site.config("slave").write_text(both)
    assert {event["role"] for event in doctor(site).of("check")} == {"host", "slave", "master"}
    assert {event["role"] for event in doctor(site, "--role", "master").of("check")} == {"host", "master"}


@pytest.mark.slow
def test_E4_D18_passwords(make_site: MakeSite) -> None:
    """One that others can read, a wrong one, and none at all."""
    site = in_use(make_site("postgresql"))
    password = site.directory / "password"
    password.chmod(0o644)
    only_warning(doctor(site), "password", f"chmod go-rwx {password}")
    password.chmod(0o600)
    password.write_text("wrong\n")
    run = doctor(site)
    only_error(run, "catalog.login", "AUTH", "password_file")
    assert found(run, "catalog.rights")["found"] == "needs catalog.schema"
    assert found(run, "store.identity")["result"] == "ok", "the store is looked at all the same"
    password.unlink()
    run = doctor(site)
    assert "password_file" in only_error(run, "password", "USAGE", "mend these keys")["found"]
    assert found(run, "catalog.driver")["result"] == "skipped"


# --- the catalog


def test_E11_no_driver_and_no_data_source(site: Site) -> None:
    for conn in ("odbc:DRIVER={No such};SERVER=localhost", "odbc:DSN=no-such"):
        good(site.slave("init", "slave", "--force", "--catalog", conn))
        only_error(doctor(site), "catalog.driver", "USAGE", "apt install odbc-postgresql")
        text = site.config("master").read_text()
        site.config("master").write_text(re.sub(r"(?m)^catalog =.*$", f'catalog = "{conn}"', text))
        only_error(doctor(site, role="master"), "catalog.driver", "USAGE", "apt install odbc-postgresql")


def test_a_line_to_a_database_in_the_clear_is_told(site: Site) -> None:
    with socket.create_server((HOST, 0)) as silent:
        port = silent.getsockname()[1]
    conn = f"odbc:DRIVER={{PostgreSQL Unicode}};SERVER=localhost.localdomain;PORT={port};UID=x"
    good(site.slave("init", "slave", "--force", "--catalog", conn))
    run = doctor(site, "--timeout", "2")
    assert "SSLMODE=verify-full" in found(run, "catalog.tls")["hint"]
    assert found(run, "catalog.tls")["result"] == "warning"


def test_E6_no_schema(site: Site) -> None:
    with closing(sqlite3.connect(site.directory / "catalog.sqlite")) as raw:
        raw.execute("ALTER TABLE nc_state RENAME TO gone")
    only_error(doctor(site), "catalog.schema", "INCOMPAT", "netclnt --version")
    run = doctor(site, role="master")
    assert "init master --recover" in found(run, "store.generation")["hint"], "the store knows what was lost"


def test_P11_the_identity_of_another_master(site: Site, make_site: MakeSite) -> None:
    other = make_site(name="other")
    good(site.slave("init", "slave", "--force", "--catalog", other.place.slave))
    other.publish(other.put("image", b"other"))
    run = doctor(site)
    errors = [(event["check"], event["code"]) for event in run.of("check") if event["result"] == "error"]
    assert errors == [("catalog.identity", "TRUST"), ("store.identity", "TRUST")]
    assert run.code == 8
    assert "check the config" in found(run, "catalog.identity")["hint"]


# --- the store


def test_D19_an_unknown_host_key(site: Site, sshd: Sshd) -> None:
    text = re.sub(r"(?m)^known_hosts =.*$", "", site.config("slave").read_text())
    for transport in ("paramiko", "openssh"):
        site.config("slave").write_text(text.replace('"paramiko"', f'"{transport}"'))
        run = doctor(site)
        only_error(run, "store.host-key", "AUTH", f"netclnt trust-host {sshd.fingerprint}")
        assert found(run, "store.line")["result"] == "ok"
        assert found(run, "store.login")["result"] == "skipped"


def test_D9_no_sftp_subsystem(site: Site, make_sshd: Callable[..., Sshd]) -> None:
    bare = make_sshd(sftp=False)
    text = site.config("slave").read_text().replace(f":{site.port}/", f":{bare.port}/")
    for key in ("known_hosts", "identity"):
        text = re.sub(rf"(?m)^{key} =.*$", f'{key} = "{getattr(bare, key)}"', text)
    for transport in ("paramiko", "openssh"):
        site.config("slave").write_text(text.replace('"paramiko"', f'"{transport}"'))
        run = doctor(site)
        error = only_error(run, "store.sftp", "INCOMPAT", "SFTP")
        assert "no sftp subsystem" in error["found"]
        assert found(run, "store.login")["result"] == "ok"


def test_D18_a_key_that_others_can_read_and_one_that_the_master_does_not_know(site: Site, sshd: Sshd) -> None:
    key = site.directory / "key"
    key.write_bytes(sshd.stranger.read_bytes())
    good(site.slave("init", "slave", "--force", "--identity", key))
    key.chmod(0o644)
    error = only_error(doctor(site), "store.key", "AUTH", f"ssh-keygen -yf {key}")
    assert "0600" in error["found"]
    key.chmod(0o600)
    only_error(doctor(site), "store.login", "AUTH", "authorized_keys")


@pytest.mark.slow
def test_D3_P9_a_master_that_is_away_costs_one_time_out_for_each_end(make_site: MakeSite) -> None:
    site = in_use(make_site("postgresql"))
    with socket.create_server((HOST, 0)) as silent:
        port = silent.getsockname()[1]
        text = site.config("slave").read_text().replace(f":{site.port}/", f":{port}/")
        site.config("slave").write_text(re.sub(r"PORT=\d+", f"PORT={port}", text))
        run = doctor(site, "--timeout", "2")
        silent.settimeout(0)
        tried = 0
        while True:
            try:
                silent.accept()[0].close()
            except BlockingIOError:
                break
            tried += 1
    assert tried <= 3, "asked again and again"  # PostgreSQL's driver itself asks once more without TLS
    assert run.code == 5
    errors = {event["check"] for event in run.of("check") if event["result"] == "error"}
    assert errors == {"catalog.line", "store.line"}
    assert "try again later" in found(run, "store.line")["hint"] or "--timeout" in found(run, "store.line")["hint"]


def test_a_store_without_HEAD_or_with_a_damaged_one(site: Site) -> None:
    head = site.store / "HEAD"
    whole = head.read_bytes()
    head.unlink()
    only_error(doctor(site), "store.head", "TEMP", "netclnt init master")
    only_error(doctor(site, role="master"), "store.head", "TEMP", "netclnt init master")
    head.write_bytes(whole[:-20] + b"0" * 19 + b"\n")
    only_error(doctor(site), "store.head", "INTEGRITY", "netclnt init master --recover")
    only_error(doctor(site, role="master"), "store.head", "INTEGRITY", "netclnt init master --recover")
    good(site.master("init", "master", "--recover"))
    assert amiss(doctor(site)) == amiss(doctor(site, role="master")) == {}


# --- the root and the state directory


def test_C18_a_root_that_is_not_mounted(site: Site) -> None:
    site.root.rename(site.directory / "away")
    for make in (lambda: None, site.root.mkdir):
        make()
        run = doctor(site)
        only_error(run, "root", "STORAGE", f"mount {site.root}")
        assert found(run, "root.space")["result"] == "skipped"


@pytest.mark.slow
def test_C1_C12_C5_no_space_no_inodes_read_only(make_site: MakeSite, tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path, megabytes=8, options="nr_inodes=2000") as root:
        site = in_use(make_site(root=root))
        assert amiss(doctor(site)) == {}
        filler = root / "filler"
        filler.write_bytes(bytes(15 << 19))
        error = only_error(doctor(site), "root.space", "STORAGE", f"df -h {root}")
        assert "are needed" in error["found"]
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,nr_inodes=500", root], check=True)
        only_warning(doctor(site), "root.space", "netclnt prune")
        subprocess.run(["mount", "-o", "remount,ro,nr_inodes=2000", root], check=True)
        run = doctor(site)
        only_error(run, "root.writable", "STORAGE", "mount -o remount,rw")
        assert found(run, "root.reflink")["result"] == "skipped"


def test_C24_a_file_system_that_shares_blocks(make_site: MakeSite, tmp_path: Path) -> None:
    with mounted("xfs", tmp_path) as root:
        site = make_site(root=root)
        assert "FICLONE" in found(doctor(site), "root.reflink")["found"]


def test_C13_a_state_directory_that_this_user_cannot_write(site: Site) -> None:
    subprocess.run(["chattr", "+i", site.state], check=True)
    try:
        only_error(doctor(site), "state.writable", "STORAGE", f"ls -ld {site.state}")
    finally:
        subprocess.run(["chattr", "-i", site.state], check=True)


def test_C13_another_account_is_told_what_it_may_not_see(site: Site) -> None:
    """In a directory that others can enter, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        subprocess.run(["cp", "-a", site.root, site.state, name], check=True)
        text = site.config("slave").read_text()
        for path in (site.root, site.state):
            text = text.replace(f'"{path}"', f'"{name}/{path.name}"')
        config = Path(name) / "slave.toml"
        config.write_text(text)
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        run = doctor(site, "--config", str(config), before=nobody)
        assert "may not read" in found(run, "root")["found"]
        assert {found(run, check)["code"] for check in ("state.writable", "root.writable")} == {"STORAGE"}
        assert found(run, "ledger")["result"] == "ok"
        assert found(run, "store.key")["code"] == "AUTH"
        config.chmod(0o600)
        run = doctor(site, "--config", str(config), before=nobody)
        assert (run.code, found(run, "config")["code"]) == (9, "STORAGE")


def test_I1_a_damaged_ledger(site: Site) -> None:
    ledger = site.state / "ledger.sqlite"
    ledger.write_bytes(ledger.read_bytes()[:4096] + b"\xff" * 4096)
    run = doctor(site)
    only_error(run, "ledger", "STATE", "netclnt sync")
    assert found(run, "root")["result"] == "warning", "it is there, and nobody knows whether it is the right one"
    site.sync()
    assert amiss(doctor(site)) == {}


def test_A11_a_ledger_whose_writer_died_in_a_transaction_is_sound(site: Site) -> None:
    program = """
import os, signal, sqlite3, sys
ledger = sqlite3.connect(sys.argv[1], isolation_level=None)
ledger.execute("PRAGMA cache_size = 5")
ledger.execute("BEGIN IMMEDIATE")
ledger.executemany("INSERT INTO journal VALUES (?, ?)", (("m" * 64, page) for page in range(5000)))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program, site.state / "ledger.sqlite"], check=False)
    assert (site.state / "ledger.sqlite-journal").exists()
    assert amiss(doctor(site)) == {}
    good(site.slave("status"))
    good(site.slave("list"))


def test_C19_a_damaged_image_and_a_sync_that_failed_are_told(site: Site) -> None:
    (site.root / "image").write_bytes(b"not this")
    assert site.slave("verify").code == 7
    only_warning(doctor(site), "ledger.images", "netclnt verify --repair")
    assert site.slave("sync", "--parent", f"sftp://x@{HOST}:1/x").code == 5
    run = doctor(site)
    assert amiss(run) == {"ledger.images": "warning", "ledger.last-run": "warning"}
    assert "cannot be reached" in found(run, "ledger.last-run")["found"]


def test_J1_a_clock_that_is_behind(site: Site) -> None:
    run = doctor(site, before=["faketime", "-f", "-400d"])
    only_warning(run, "clock", "timedatectl")
    assert "one clock is wrong" in found(run, "clock")["found"]


def test_a_seed_that_is_not_plugged_in_and_an_account_that_is_not_there(site: Site) -> None:
    with site.config("slave").open("a") as config:
        config.write('seed = ["/nonexistent"]\nowner = "nobody-of-that-name"\n')
    run = doctor(site)
    only_error(run, "root.owner", "USAGE", "mend these keys")
    assert found(run, "seeds")["result"] == "warning"
    assert "ls -ld /nonexistent" in found(run, "seeds")["hint"]


def test_C15_few_open_files(site: Site) -> None:
    only_warning(doctor(site, before=["prlimit", "--nofile=200"]), "open-files", "ulimit -n 1024")


# --- a master


def test_a_store_that_others_can_write(site: Site) -> None:
    site.store.chmod(0o777)
    only_warning(doctor(site, role="master"), "store.permissions", f"chmod go-w {site.store}")


@pytest.mark.slow
def test_E20_a_catalog_behind_its_store_and_one_ahead(make_site: MakeSite) -> None:
    site = in_use(make_site())
    catalog, head = site.directory / "catalog.sqlite", site.store / "HEAD"
    old, old_head = catalog.read_bytes(), head.read_bytes()
    site.publish(site.put("image", b"second"))
    new, new_head = catalog.read_bytes(), head.read_bytes()
    catalog.write_bytes(old)
    only_error(doctor(site, role="master"), "store.generation", "INCOMPAT", "netclnt init master --recover")
    only_warning(doctor(site), "store.identity", "netclnt init master --recover")
    catalog.write_bytes(new)
    head.write_bytes(old_head)
    only_warning(doctor(site, role="master"), "store.generation", "netclnt publish")
    only_warning(doctor(site), "store.identity", "netclnt doctor --role master")
    head.write_bytes(new_head)
    assert amiss(doctor(site, role="master")) == {}


def test_a_damaged_catalog(make_site: MakeSite) -> None:
    site = in_use(make_site())
    catalog = site.directory / "catalog.sqlite"
    with closing(sqlite3.connect(catalog)) as raw:
        ((page,),) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'nc_report'").fetchall()
    data = bytearray(catalog.read_bytes())
    data[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    catalog.write_bytes(data)
    only_error(doctor(site, role="master"), "catalog.file", "INTEGRITY", "run it again")


def test_H3_a_lock_whose_holder_died_is_told_and_needs_nothing(site: Site) -> None:
    program = (
        "import os, sys; from netclnt.catalog import open_catalog; lock = open_catalog(sys.argv[1]).writer_lock('pid 1, test');"
        "lock.__enter__(); print('held', flush=True); sys.stdin.read(); os._exit(0)"
    )
    command = [sys.executable, "-c", program, site.place.master]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        run = doctor(site, role="master")
        assert (amiss(run), found(run, "catalog.lock")["found"]) == ({}, "held by pid 1, test")
        os.kill(holder.pid, signal.SIGKILL)
    only_warning(doctor(site, role="master"), "catalog.lock", "netclnt publish")
    with closing(open_catalog(site.place.master)) as catalog, catalog.writer_lock("another"):
        pass
    assert amiss(doctor(site, role="master")) == {}
