"""What happens on the line while a sync is on its way: cuts, news from the master, and other commands at the same time."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.images import content
from tests.support.proxy import Proxy
from tests.support.site import CATALOGS, TRANSPORTS, Run, Site, checked, digest, good, quick
from tests.support.sshd import Sshd

pytestmark = pytest.mark.slow  # dozens of whole runs; the quick tier has the main job

MakeSite = Callable[..., Site]
SIZE = 8 << 20


@contextmanager
def held_sync(site: Site, line: Proxy, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A sync whose line is held half way through the image; released at the end, if it was not before."""
    line.hold_after(SIZE // 2)
    process = site.start("slave", "--json", "sync", *words)
    try:
        line.wait_until_held()
        yield process
    finally:
        process.kill()
        process.communicate()
        line.release()


def end(process: subprocess.Popen[str]) -> Run:
    out, err = process.communicate(timeout=60)
    return checked(Run(process.returncode, out, err), None)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_D1_a_cut_line_is_connected_anew_and_goes_on(transport: str, slow_site: MakeSite, line: Proxy) -> None:
    site = slow_site(transport=transport)
    image = site.put("image", random.Random(10).randbytes(SIZE))
    site.publish(image)
    with held_sync(site, line, "--retry-budget", "60") as process:
        line.cut()
        line.release()
        run = end(process)
    assert run.code == 0, run.out
    assert run.of("retry")
    assert run.one("summary")["sftp_connections"] == 2
    assert run.one("summary")["bytes_fetched"] < 1.6 * SIZE
    assert digest(site.root / "image") == digest(image)


def test_D3_a_server_that_is_gone_is_TEMP_after_the_budget(slow_site: MakeSite, line: Proxy) -> None:
    site = slow_site()
    site.publish(site.put("image", random.Random(11).randbytes(SIZE)))
    with held_sync(site, line, "--retry-budget", "1") as process:
        line.close()
        run = end(process)
    assert run.code == 5
    assert not (site.root / "image").exists()


@pytest.mark.parametrize("catalog", quick(CATALOGS, "postgresql", "store"))
def test_N3_a_newer_version_that_appears_meanwhile_is_the_one_that_is_shown(
    catalog: str, slow_site: MakeSite, line: Proxy
) -> None:
    site = slow_site(catalog)
    data = random.Random(12).randbytes(SIZE)
    site.publish(site.put("image", data))
    with held_sync(site, line) as process:
        newer = site.put("image", data[: SIZE // 2] + content("N3", 100_000) + data[SIZE // 2 :])
        site.publish(newer)
        line.release()
        run = end(process)
    assert run.code == 0, run.out
    assert [(event["version"], event["result"]) for event in run.of("image")] == [(2, "updated")]
    assert digest(site.root / "image") == digest(newer)
    assert run.one("summary")["bytes_fetched"] < 1.3 * SIZE
    assert site.sync().one("summary")["images_changed"] == 0


def test_H7_other_commands_go_on_beside_a_sync(slow_site: MakeSite, line: Proxy) -> None:
    site = slow_site()
    site.publish(site.put("small", content("H7", 100_000)))
    site.sync()
    site.publish(site.put("big", random.Random(13).randbytes(SIZE)))
    with held_sync(site, line) as process:
        assert [row[0] for row in good(site.slave("list")).rows] == ["small"]
        assert good(site.slave("show", "small")).rows[0][:2] == ["1", "held"]
        assert good(site.slave("status")).rows[0][3] == "1"
        assert good(site.slave("verify")).out == ""
        assert site.slave("diff").rows == [["new", "image", "big", "", "1", str(SIZE), ""]]
        line.release()
        assert end(process).code == 0
    assert [row[0] for row in good(site.slave("list")).rows] == ["big", "small"]


def test_H5_many_starts_at_once_are_one_sync(make_site: MakeSite) -> None:
    site = make_site()
    image = site.put("image", random.Random(14).randbytes(SIZE))
    site.publish(image)
    runs = [end(process) for process in [site.start("slave", "--json", "sync") for _ in range(6)]]
    assert {run.code for run in runs} <= {0, 10}
    assert sum(bool(run.of("image")) for run in runs) == 1
    assert digest(site.root / "image") == digest(image)


def test_D4_a_frozen_session_ends_by_the_time_out(make_site: MakeSite, make_sshd: Callable[..., Sshd]) -> None:
    sshd = make_sshd()
    site = make_site(sshd=sshd, port=sshd.port, known_hosts=sshd.known_hosts)
    site.publish(site.put("image", random.Random(15).randbytes(SIZE)))
    sshd.process.send_signal(signal.SIGSTOP)  # it takes connections, and says nothing
    try:
        assert site.slave("sync", "--timeout", "1").code == 5
    finally:
        sshd.process.send_signal(signal.SIGCONT)
    site.sync()
