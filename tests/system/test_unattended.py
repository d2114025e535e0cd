"""Runs that nobody watches: when they begin, and who is told of them."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from netclnt.ledger import Ledger
from tests.support import pages
from tests.support.databases import free_port
from tests.support.images import content
from tests.support.pages import SECRET, Page
from tests.support.proxy import Proxy
from tests.support.site import NETCLNT, Site, catalog_place, good
from tests.support.sshd import Sshd

pytestmark = pytest.mark.slow

MakeSite = Callable[..., Site]


@pytest.fixture(scope="module")
def standing(request: pytest.FixtureRequest, sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Path]:
    """A site with one image published, and a copy of its slave from before any sync."""
    directory, saved = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("saved")
    site = Site(directory, sshd, catalog_place("sqlite", request, directory))
    site.init()
    site.publish(site.put("image", content("unattended", 100_000)))
    site.save(saved)
    shutil.copy(site.config("slave"), saved)
    return site, saved


@pytest.fixture
def site(standing: tuple[Site, Path]) -> Site:
    """Its slave has nothing yet."""
    site, saved = standing
    site.restore(saved)
    shutil.copy(saved / site.config("slave").name, site.config("slave"))
    for path in (*site.directory.glob("log*"), *site.directory.glob("*.prom")):
        path.unlink()
    return site


@pytest.fixture
def page() -> Iterator[Page]:
    with pages.page() as opened:
        yield opened


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(60)
        yield listening


def told_until(supervisor: socket.socket, start: str) -> list[str]:
    """What a supervisor is told, up to a message that starts so."""
    told: list[str] = []
    while not told or not told[-1].startswith(start):
        told.append(supervisor.recv(4096).decode())
    return told


def key(site: Site, name: str, value: str) -> None:
    with site.config("slave").open("a") as config:
        config.write(f"{name} = {json.dumps(value)}\n")


def metrics(path: Path) -> dict[str, float]:
    """Values by name; of each image, by ``image_version/IMAGE``."""
    found = {}
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            name, _, rest = line.removeprefix("netclnt_").partition("{")
            labels, _, value = rest.partition("} ")
            image = labels.partition('image="')[2].partition('"')[0]
            found[f"{name}/{image}" if image else name] = float(value)
    return found


def started_waiting(site: Site, *words: str) -> subprocess.Popen[str]:
    """A sync with an hour to spread starts over, in its wait."""
    process = site.start("slave", "--json", "sync", "--random-delay", "1h", *words)
    assert process.stdout
    for line in process.stdout:
        if json.loads(line)["type"] == "wait":
            return process
    raise AssertionError(f"no wait; exit code {process.wait()}")


# --- the machine's own slot


def test_a_start_waits_its_slot_before_it_touches_anything(site: Site) -> None:
    before = sorted(site.state.iterdir()), site.sessions()
    with site.nothing_changes():
        process = started_waiting(site)
        try:
            process.send_signal(signal.SIGUSR1)
            assert process.stderr
            asked = process.stderr.readline()
            assert "waits " in asked
            assert "slot" in asked
            assert (sorted(site.state.iterdir()), site.sessions()) == before
        finally:
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert json.loads(out.splitlines()[-1])["code"] == 143


def test_who_waits_holds_up_nobody_and_is_no_run(site: Site) -> None:
    process = started_waiting(site)
    try:
        site.sync()
        assert good(site.slave("--json", "status")).one("status")["result"] == "OK"
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert good(site.slave("--json", "status")).one("status")["result"] == "OK"


def test_started_from_a_terminal_it_begins_at_once_and_says_so(site: Site) -> None:
    ours, theirs = pty.openpty()
    command = [*NETCLNT, "sync", "--random-delay", "1h"]
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen(command, env=site.environment_of("slave"), stdin=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        shown = b""
        try:
            while part := terminal.read(4096):
                shown += part
        except OSError:  # what a terminal's reader gets when the last writer is gone
            pass
        assert process.wait(timeout=60) == 0
    assert b"begins at once" in shown
    assert (site.root / "image").exists()


def test_the_wait_does_not_count_as_time_of_the_run(site: Site) -> None:
    run = site.sync("--random-delay", "3s")
    wait = run.one("wait")
    assert wait["what"] == "slot"
    assert 0 <= wait["seconds"] < 3
    assert run.events.index(wait) < run.events.index(run.one("catalog"))
    with Ledger(site.state / "ledger.sqlite", readonly=True) as ledger:
        (recorded,) = ledger.runs()
    waited = datetime.fromisoformat(recorded.started) - datetime.fromisoformat(run.events[0]["time"])
    assert waited.total_seconds() >= wait["seconds"] - 0.1


def test_H2_patience_with_a_lock_names_its_holder_and_ends_at_a_signal(slow_site: MakeSite, line: Proxy) -> None:
    site = slow_site()
    site.publish(site.put("image", content("patience", 3_000_000)))
    line.hold_after(500_000)
    holder = site.start("slave", "-q", "sync")
    line.wait_until_held()
    waiting = site.start("slave", "--json", "sync", "--lock-timeout", "1h")
    assert waiting.stdout
    wait = next(event for event in map(json.loads, waiting.stdout) if event["type"] == "wait")
    assert wait["what"] == "lock"
    assert f"pid {holder.pid}, netclnt sync" in wait["reason"]
    waiting.send_signal(signal.SIGUSR1)
    assert waiting.stderr
    assert "is in use by pid" in waiting.stderr.readline()
    waiting.send_signal(signal.SIGTERM)
    waiting.communicate(timeout=60)
    assert waiting.returncode == 143
    line.release()
    holder.communicate(timeout=60)
    assert holder.returncode == 0


# --- a supervisor


def test_a_supervisor_hears_of_a_run(site: Site, supervisor: socket.socket) -> None:
    environment = {**site.environment_of("slave"), "NOTIFY_SOCKET": supervisor.getsockname(), "WATCHDOG_USEC": "2000000"}
    good(site.slave("-q", "sync", env=environment))
    told = told_until(supervisor, "STATUS=OK")
    assert told[0] == "READY=1"
    assert "WATCHDOG=1" in told
    assert told[-2] == "STOPPING=1"
    assert "1 image changed" in told[-1]


def test_a_supervisor_sees_the_wait_and_the_end_by_a_signal(site: Site, supervisor: socket.socket) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(site.environment, "NOTIFY_SOCKET", supervisor.getsockname())
        process = started_waiting(site)
    told = told_until(supervisor, "STATUS=waits ")
    assert told[0] == "READY=1"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert told_until(supervisor, "STATUS=")[-1].startswith("STATUS=TERMINATED")


# --- the journal


def test_the_journal_gets_the_level_of_each_line(site: Site, tmp_path: Path) -> None:
    def run(stream: str, *words: str) -> list[str]:
        with (tmp_path / "journal").open("w") as journal:
            status = os.fstat(journal.fileno())
            told = {"JOURNAL_STREAM": stream or f"{status.st_dev}:{status.st_ino}"}
            subprocess.run([*NETCLNT, *words], env={**site.environment_of("slave"), **told}, stderr=journal, check=False)
        return (tmp_path / "journal").read_text().splitlines()

    assert {line[:3] for line in run("", "sync")} == {"<6>"}
    failed = run("", "sync", "--parent", f"sftp://nobody@127.0.0.1:{free_port()}/store", "no-such-image")
    assert [line for line in failed if line.startswith("<3>netclnt: ")]
    assert {line[:3] for line in failed} <= {"<3>", "<4>", "<6>"}
    assert not any(line.startswith("<") for line in run("1:1", "sync", "--log-file", "/nonexistent/log"))


# --- logs


@pytest.mark.parametrize("words", [["-q"], ["-vv"], ["--json"]], ids=" ".join)
def test_a_log_hears_the_same_however_much_the_streams_say(site: Site, words: list[str]) -> None:
    log = site.directory / "log"
    good(site.slave(*words, "sync", "--log-file", str(log)))
    told = [line.split(" ", 3)[1:] for line in log.read_text().splitlines()]
    assert [level for level, _, _ in told] == ["info"] * 4
    assert [text.split()[:2] for _, _, text in told] == [
        ["netclnt", "sync"], ["image@1", "updated:"], ["1", "image"], ["netclnt", "sync"],
    ]  # fmt: skip
    assert "ends with exit code 0 OK" in told[-1][2]


def test_a_json_log_tells_a_failure_and_its_exit_code(site: Site) -> None:
    log = site.directory / "log"
    key(site, "log_file", str(log))
    key(site, "log_format", "json")
    site.state.joinpath("known_hosts").touch()
    run = site.slave("-q", "sync", "--parent", f"sftp://nobody@127.0.0.1:{free_port()}/store")
    assert run.code == 5
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert [each["type"] for each in told if each["type"] in ("start", "error", "exit")] == ["start", "error", "exit"]
    assert told[-1]["code"] == 5
    assert {each["run_id"] for each in told} == {told[0]["run_id"]}


@pytest.mark.parametrize("place", ["/dev/full", "/nonexistent/netclnt.log"])
def test_C4_a_log_that_takes_nothing_stops_no_sync(site: Site, place: str) -> None:
    run = site.sync("--log-file", place)
    assert [each["code"] for each in run.of("warning")] == ["log-failed"]
    assert (site.root / "image").exists()
    quiet = site.slave("-q", "sync", "--log-file", place)
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_the_systems_log(site: Site, tmp_path: Path) -> None:
    if os.geteuid() or Path("/dev/log").exists():
        pytest.skip("this machine has a log of its own, or its place is not ours")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind("/dev/log")
        try:
            daemon.settimeout(60)
            good(site.slave("-q", "sync", "--syslog", "local0"))
            lines = [daemon.recv(9000).decode() for _ in range(4)]
        finally:
            Path("/dev/log").unlink()
    assert {line[:5] for line in lines} == {"<134>"}
    assert all(" netclnt[" in line for line in lines)
    assert "ends with exit code 0 OK" in lines[-1]


# --- figures and a dead man's switch


def test_figures_and_pings_of_good_and_bad_runs(site: Site, page: Page) -> None:
    figures = site.directory / "netclnt.prom"
    key(site, "metrics", str(figures))
    key(site, "ping_url", page.url)
    good(site.slave("-q", "sync"))
    first = metrics(figures)
    assert figures.stat().st_mode & 0o777 == 0o644
    assert first["last_run_exit_code"] == 0
    assert first["images_held"] == first["last_run_images_changed"] == first["image_version/image"] == 1
    assert first["images_damaged"] == first["last_run_images_failed"] == 0
    assert first["last_run_fetched_bytes"] > 0
    assert first["last_success_timestamp_seconds"] <= first["last_run_timestamp_seconds"]
    assert page.paths == ["/start", ""]
    assert page.heard[-1][1].startswith("OK: 1 image changed")
    assert site.slave("-q", "sync", "--catalog", "sqlite:/nonexistent/catalog").code == 5
    second = metrics(figures)
    assert second["last_run_exit_code"] == 5
    assert second["last_success_timestamp_seconds"] == first["last_success_timestamp_seconds"]
    assert second["images_held"] == 1
    assert page.paths == ["/start", "", "/start", "/5"]
    assert page.heard[-1][1].startswith("TEMP: ")
    assert not [path for path in site.directory.iterdir() if path.name.startswith(".netclnt.prom")]


def test_H1_a_locked_start_tells_nobody_anything(slow_site: MakeSite, line: Proxy, page: Page) -> None:
    site = slow_site()
    site.publish(site.put("image", content("locked", 3_000_000)))
    figures = site.directory / "netclnt.prom"
    key(site, "metrics", str(figures))
    key(site, "ping_url", page.url)
    line.hold_after(500_000)
    holder = site.start("slave", "-q", "sync")
    line.wait_until_held()
    locked = site.slave("-q", "sync")
    assert (locked.code, locked.out, locked.err) == (10, "", "")
    assert not figures.exists()
    assert set(page.paths) <= {"/start"}
    line.release()
    holder.communicate(timeout=60)
    assert holder.returncode == 0
    assert page.paths == ["/start", ""]
    assert metrics(figures)["last_run_exit_code"] == 0


def test_what_cannot_be_told_is_a_warning_and_changes_no_exit_code(site: Site) -> None:
    key(site, "ping_url", f"http://127.0.0.1:{free_port()}/{SECRET}")
    run = site.sync("--metrics", "/nonexistent/netclnt.prom")
    assert sorted(each["code"] for each in run.of("warning")) == ["metrics-failed", "ping-failed"]
    assert SECRET not in run.out + run.err
    quiet = site.slave("-q", "sync", "--metrics", "/nonexistent/netclnt.prom")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_a_dry_run_waits_for_nothing_and_tells_nobody(site: Site, page: Page) -> None:
    key(site, "ping_url", page.url)
    key(site, "random_delay", "1h")
    key(site, "log_file", str(site.directory / "log"))
    good(site.slave("sync", "--dry-run"))
    assert page.heard == []
    assert not (site.directory / "log").exists()


# --- cron


def test_L8_cron_hears_nothing_of_what_is_normal_though_all_is_told(site: Site, page: Page) -> None:
    key(site, "metrics", str(site.directory / "netclnt.prom"))
    key(site, "log_file", str(site.directory / "log"))
    key(site, "random_delay", "1s")
    key(site, "ping_url", page.url)
    command = ["env", "-i", "PATH=/usr/bin:/bin", *NETCLNT, "-q", "--config", str(site.config("slave")), "sync"]
    for _ in range(2):
        done = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert page.paths == ["/start", ""] * 2


def test_L8_cron_hears_nothing_of_a_pause_and_the_dead_mans_switch_is_content(make_site: MakeSite, page: Page) -> None:
    site = make_site()
    site.publish(site.put("big", content("pause", 12_000_000)))
    key(site, "ping_url", page.url)
    key(site, "log_file", str(site.directory / "log"))
    command = ["env", "-i", "PATH=/usr/bin:/bin", *NETCLNT, "-q", "--config", str(site.config("slave")), "sync"]
    done = subprocess.run([*command, "--max-transfer", "2M"], cwd="/", stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (14, b"", b"")
    assert page.paths == ["/start", ""]
    assert page.heard[-1][1].startswith("PAUSED: ")
    told = (site.directory / "log").read_text()
    assert "ends with exit code 14 PAUSED" in told
    assert " error " not in told
