"""What is shown and told while things go wrong: no secret, no raw name, JSON that parses to its end, a plan that is kept."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from netclnt.cli.errors import explain
from netclnt.cli.main import COMMANDS
from netclnt.errors import ExitCode, ForbiddenName
from netclnt.events import Failed, ImageDone, Planned, Progressed, Warned
from tests.support.amount import amount
from tests.support.images import content
from tests.support.oracle import Oracle, oracle
from tests.support.proxy import Proxy
from tests.support.site import NETCLNT, Site, good

MakeSite = Callable[..., Site]

pytestmark = pytest.mark.slow  # dozens of whole runs


def publish(site: Site, turn: int, *names: str) -> None:
    for name in names or ("one", "two"):
        site.publish(site.put(name, content(f"L/{name}", 200_000) + content(f"L/{name}/{turn}", 60_000)))


# --- L1


def test_L1_no_secret_is_in_any_process_list(make_site: MakeSite, line: Proxy, tmp_path: Path) -> None:
    """While a sync stands still, nothing that it or its children were started with holds password or key."""
    secret = "geheim-4711"
    script = tmp_path / "password.sh"
    script.write_text(f"#!/bin/sh\necho {secret}\n")
    script.chmod(0o700)
    known = tmp_path / "known_hosts"
    for transport in ("paramiko", "openssh"):
        site = make_site(name=transport, transport=transport, port=line.port, known_hosts=known)
        known.write_text(f"[127.0.0.1]:{line.port} {site.sshd.host_public_key}\n")
        with site.config("slave").open("a") as config:
            config.write(f'\npassword_command = "{script}"\n')
        publish(site, 1)
        line.hold_after(50_000)
        watch = Oracle(site)
        started = watch.start("slave", "-vv", "--json", "sync")
        try:
            line.wait_until_held()
            seen = "".join(words for words, _ in processes_of(started.pid))
            environments = "".join(environment for _, environment in processes_of(started.pid))
            assert "sync" in seen
            assert secret not in seen + environments
            assert "PRIVATE KEY" not in seen + environments
        finally:
            line.release()
        run = started.wait()
        assert secret not in run.out + run.err
        watch.end()


def processes_of(group: int) -> Iterator[tuple[str, str]]:
    """Command line and environment of each process of a group."""
    for path in Path("/proc").glob("[1-9]*"):
        try:
            if os.getpgid(int(path.name)) == group:
                yield path.joinpath("cmdline").read_text(), path.joinpath("environ").read_text()
        except (OSError, ProcessLookupError):
            continue


# --- L2

HOSTILE = [
    "a\x1b[2Jb",
    "\x1b]0;evil\x07",
    "x\ny",
    "\u202egnp",
    "[/b][red]",
    "{0}%s$(id)",
    "tab\there",
    "\x9b31m",
    "\ud800",
    "\r\x08",
]


@pytest.mark.parametrize("form", [("--json",), ("--color", "always", "--progress", "always"), ("--color", "never", "-vv")])
def test_L2_hostile_names_in_events_tables_and_progress(form: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    from netclnt.cli import edges
    from netclnt.cli.commands.list import COLUMNS
    from netclnt.cli.output import standard
    from netclnt.cli.parser import Globals

    json_wanted = form == ("--json",)
    color = "auto" if json_wanted else form[1]
    options = Globals(json=json_wanted, color=color, progress="always", verbose=2)
    view = edges.open_view(options, standard(), run_id="0" * 16, environment={"TERM": "xterm"})
    for name in HOSTILE:
        view.observe(Planned(name, 1, 2, 3, 4, None))
        view.observe(Progressed("fetch", name, 1, 2, 3, 4))
        view.observe(Warned("odd", f"about {name}"))
        view.observe(ImageDone(name, 1, "updated", 1, 2, 0.5))
        view.observe(Failed(name, ForbiddenName(name=name, rule="none such")))
        view.failed(replace(explain(ForbiddenName(name=name, rule=name)), cause="ForbiddenName"), name)
        assert view.status().isprintable()
    view.table("image", COLUMNS, [{"image": name, "note": name, "state": "held"} for name in HOSTILE])
    view.ended(ExitCode.TRUST)
    shown = capfd.readouterr()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.out + shown.err) if color == "always" else shown.out + shown.err
    assert all(char.isprintable() or char in "\n\t" for char in plain), ascii(plain)
    if json_wanted:
        records = [json.loads(each) for each in shown.out.splitlines()]
        assert [each["image"] for each in records if each["type"] == "plan"] == HOSTILE


# --- L4


def test_L4_json_parses_to_its_last_line_whatever_happens(
    make_site: MakeSite, line: Proxy, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A sample of all other chapters' faults. That the last line is the exit with the process's code is checked of every run."""
    known = tmp_path / "known_hosts"
    site = make_site(port=line.port, known_hosts=known)
    known.write_text(f"[127.0.0.1]:{line.port} {site.sshd.host_public_key}\n")
    publish(site, 1)
    site.sync()
    with oracle(site) as watch:
        codes = {}
        for turn, fault in enumerate(drawn(request), start=2):
            publish(site, turn, "one", *(["two"] * (fault == "foreign file")))
            watch.begin()
            with FAULTS[fault](site, line) as words:
                run = watch.slave("--json", "sync", *words)
            watch.begin()
            assert run.out.endswith("\n"), fault
            assert run.events[-1] == run.one("exit"), fault
            assert run.events[0]["type"] == "start", fault
            assert len({event["run_id"] for event in run.events}) == 1
            assert bool(run.of("error")) == (run.code != 0), (fault, run.out)
            codes[fault] = ExitCode(run.code).name
        assert codes == {fault: EXPECTED[fault] for fault in codes}


def drawn(request: pytest.FixtureRequest) -> list[str]:
    """All faults, or one for each exit code: which of those that share one, the seed of the test run decides."""
    names = random.Random(int(request.config.option.hypothesis_seed)).sample(list(FAULTS), len(FAULTS))
    of_a_code = amount(request, 1, len(FAULTS))
    sharing = {code: [name for name in names if EXPECTED[name] == code][:of_a_code] for code in EXPECTED.values()}
    return [name for name in FAULTS if name in sharing[EXPECTED[name]]]


@contextmanager
def _cut(_: Site, line: Proxy) -> Iterator[list[str]]:
    line.reset_each(20_000)
    yield []
    line.reset_each(None)


@contextmanager
def _away(_: Site, line: Proxy) -> Iterator[list[str]]:
    line.go_away()
    yield []
    line.come_back()


@contextmanager
def _packs_wrong(site: Site, _: Proxy) -> Iterator[list[str]]:
    packs = {path: path.read_bytes() for path in (site.store / "packs").rglob("*.pack")}
    for path, whole in packs.items():
        path.write_bytes(whole[:16] + bytes(len(whole) - 16))
    yield []
    for path, whole in packs.items():
        path.write_bytes(whole)


@contextmanager
def _foreign(site: Site, _: Proxy) -> Iterator[list[str]]:
    (site.root / "one").unlink()
    os.mkfifo(site.root / "one")
    yield []
    (site.root / "one").unlink()


@contextmanager
def _hostile_row(site: Site, _: Proxy) -> Iterator[list[str]]:
    with closing(sqlite3.connect(site.place.master.removeprefix("sqlite:"))) as raw:
        raw.execute("UPDATE nc_image SET name = 't' || char(27) || '[2J' WHERE name = 'two'")
        raw.commit()
        yield []
        raw.execute("UPDATE nc_image SET name = 'two' WHERE name <> 'one'")
        raw.commit()


@contextmanager
def _no_catalog(site: Site, _: Proxy) -> Iterator[list[str]]:
    yield ["--catalog", f"sqlite:{site.directory / 'none.sqlite'}"]


@contextmanager
def _locked(site: Site, line: Proxy) -> Iterator[list[str]]:
    line.hold_after(1000)
    with site.start("slave", "sync", process_group=0) as holder:
        line.wait_until_held()
        yield []
        holder.kill()
        holder.communicate()
    line.cut()
    line.release()


@contextmanager
def _bad_flag(_: Site, __: Proxy) -> Iterator[list[str]]:
    yield ["--timeout", "never"]


@contextmanager
def _no_fault(_: Site, __: Proxy) -> Iterator[list[str]]:
    yield []


FAULTS = {
    "cut": _cut,
    "away": _away,
    "wrong packs": _packs_wrong,
    "foreign file": _foreign,
    "hostile row": _hostile_row,
    "no catalog": _no_catalog,
    "locked": _locked,
    "bad flag": _bad_flag,
    "none": _no_fault,
}
EXPECTED = {
    "cut": "TEMP",
    "away": "TEMP",
    "wrong packs": "INTEGRITY",
    "foreign file": "PARTIAL",
    "hostile row": "TRUST",
    "no catalog": "TEMP",
    "locked": "LOCKED",
    "bad flag": "USAGE",
    "none": "OK",
}


# --- L5


def test_L5_a_dry_run_tells_what_the_real_run_does_and_changes_nothing(
    make_site: MakeSite, request: pytest.FixtureRequest
) -> None:
    """Of images that are changed, unchanged, new, and in the place of a foreign file."""
    site = make_site()
    changed = ("one", "two")[: amount(request, 1, 2)]
    publish(site, 1, *changed, "three")
    site.sync()
    publish(site, 2, *changed, "four")
    (site.root / "foreign").write_bytes(b"x")
    site.publish(site.put("foreign", content("L5", 30_000)))
    caches = ("manifests", "toc", "toc-manifests", "scratch")
    before = {path: path.stat().st_mtime_ns for path in site.state.rglob("*") if not set(path.parts) & set(caches)}
    with site.nothing_changes():
        dry = site.slave("--json", "sync", "--dry-run", "--adopt")
    now = {path: path.stat().st_mtime_ns for path in site.state.rglob("*") if not set(path.parts) & set(caches)}
    assert now.keys() == before.keys()
    real = site.slave("--json", "sync", "--adopt")
    fields = ("bytes_fetch", "bytes_reuse", "bytes_write", "blocks_missing")
    plans = [{event["image"]: [event[name] for name in fields] for event in run.of("plan")} for run in (dry, real)]
    assert plans[0] == plans[1]
    assert set(plans[0]) == {*changed, "four", "foreign"}
    for event in real.of("image"):
        assert event["bytes_reused"] == plans[0][event["image"]][1]


# --- L8, L9


def test_L8_every_command_runs_in_crons_environment(make_site: MakeSite) -> None:
    """No HOME, no terminal, no locale, the root as working directory, standard input closed."""
    site = make_site()
    publish(site, 1)
    for words in ("sync", "diff --exit-zero", "list", "show one", "status", "verify", "sync --dry-run"):
        command = ["env", "-i", *NETCLNT, "--config", site.config("slave"), *words.split()]
        done = subprocess.run(["sh", "-c", f"{shlex.join(map(str, command))} <&-"], cwd="/", capture_output=True, check=False)
        assert done.returncode == 0, (words, done.stderr)
        assert b"Traceback" not in done.stderr
    for role in COMMANDS.children:
        assert role.isascii()


def test_L9_an_old_program_reads_what_a_new_one_added_and_a_new_one_what_an_old_one_left(make_site: MakeSite) -> None:
    """A newer release may add tables and columns to catalog and ledger; going back to this one must not stop a store."""
    site = make_site()
    publish(site, 1)
    site.sync()
    added = (
        "CREATE TABLE nc_later (id BIGINT NOT NULL, PRIMARY KEY (id))",
        "ALTER TABLE nc_version ADD COLUMN later BIGINT NOT NULL DEFAULT 7",
        "ALTER TABLE nc_image ADD COLUMN later VARCHAR(20) NOT NULL DEFAULT 'x'",
        "UPDATE nc_state SET schema_version = schema_version + 1",
    )
    with closing(sqlite3.connect(site.place.master.removeprefix("sqlite:"))) as raw:
        for statement in added:
            raw.execute(statement)
        raw.commit()
    with closing(sqlite3.connect(site.state / "ledger.sqlite")) as raw:
        raw.execute("CREATE TABLE later (id INTEGER PRIMARY KEY)")
        raw.execute("ALTER TABLE held ADD COLUMN later TEXT NOT NULL DEFAULT ''")
        raw.commit()
    publish(site, 2, "one")
    with oracle(site) as watch:
        assert watch.sync().code == 0
        for words in (["list"], ["status"], ["verify"], ["diff"]):
            assert watch.slave(*words).code == 0, words
    assert good(site.master("list")).rows


# --- L10


def test_L10_SIGUSR1_tells_one_line_as_often_as_asked_and_the_run_goes_on(
    make_site: MakeSite, line: Proxy, tmp_path: Path
) -> None:
    known = tmp_path / "known_hosts"
    site = make_site(port=line.port, known_hosts=known)
    known.write_text(f"[127.0.0.1]:{line.port} {site.sshd.host_public_key}\n")
    site.publish(site.put("big", random.Random(10).randbytes(12 << 20)))
    with oracle(site) as watch:
        line.hold_after(9 << 20)  # some pages are complete by then
        started = watch.start("slave", "--json", "sync")
        line.wait_until_held()
        for count in (1, 2, 3):
            started.signal(signal.SIGUSR1)
            deadline = time.monotonic() + 20
            while lines_of(started.err.fileno()) < count and time.monotonic() < deadline:
                time.sleep(0.02)
        line.release()
        run = started.wait()
        assert run.code == 0
        told = run.err.splitlines()
        assert len(told) == 3
        assert all(each.startswith("netclnt: ") for each in told)


def lines_of(descriptor: int) -> int:
    return os.pread(descriptor, 1 << 16, 0).count(b"\n")
