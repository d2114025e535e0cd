"""A sync that is killed, signalled, or meets another one while its line stands still: the next run goes on from there."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.images import content
from tests.support.proxy import Proxy
from tests.support.site import TRANSPORTS, Run, Site, checked, digest, good

pytestmark = pytest.mark.slow  # dozens of whole runs; the quick tier has the main job

MakeSite = Callable[..., Site]
END_SECONDS = 20
"""Only against hanging: well below the line's own time-out of 30 s."""

SIZE = 24 << 20
IN_FLIGHT = 16 * 261_120
"""Bytes asked for and not yet written that a death may cost."""


@contextmanager
def running(site: Site, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A sync in the background, ended at the latest with the block."""
    process = site.start("slave", "--json", "sync", *words)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> Run:
    out, err = process.communicate(timeout=END_SECONDS)
    return checked(Run(process.returncode, out, err), None)


def test_A2_P4_killed_again_and_again_it_repeats_no_more_than_was_in_flight(
    slow_site: MakeSite, line: Proxy, request: pytest.FixtureRequest
) -> None:
    source = random.Random(int(request.config.option.hypothesis_seed))
    site = slow_site()
    image = site.put("image", random.Random(1).randbytes(SIZE))
    site.publish(image)
    kills = 3
    for _ in range(kills):
        line.hold_after(source.randrange(SIZE // 8, SIZE // 4))
        with running(site) as process:
            line.wait_until_held()
            process.kill()
            assert process.wait() == -signal.SIGKILL
        line.cut()
        line.release()
        assert not (site.root / "image").exists()
    site.sync()
    assert digest(site.root / "image") == digest(image)
    assert line.passed < 1.05 * SIZE + kills * IN_FLIGHT


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_bytes_fetched_is_what_crosses_the_line(transport: str, slow_site: MakeSite, line: Proxy) -> None:
    site = slow_site(transport=transport)
    for data in (content("crosses", 6 << 20), content("crosses", 3 << 20) + content("crosses/2", 200_000)):
        site.publish(site.put("image", data))
        before = line.passed
        fetched = site.sync().one("summary")["bytes_fetched"]
        assert fetched < line.passed - before < fetched * 1.02 + 20_000  # the rest is encryption and the handshake


SIGNALS = [
    pytest.param("paramiko", signal.SIGTERM, 143, id="A4-paramiko"),
    pytest.param("openssh", signal.SIGTERM, 143, id="A4-openssh"),
    pytest.param("paramiko", signal.SIGINT, 130, id="A5"),
    pytest.param("paramiko", signal.SIGHUP, 129, id="A6"),
]


@pytest.mark.parametrize(("transport", "number", "code"), SIGNALS)
def test_a_signal_while_the_line_is_frozen_ends_the_run_and_frees_the_lock(
    transport: str, number: signal.Signals, code: int, slow_site: MakeSite, line: Proxy
) -> None:
    site = slow_site(transport=transport)
    image = site.put("image", random.Random(2).randbytes(SIZE))
    site.publish(image)
    line.hold_after(SIZE // 2)
    with running(site) as process:
        line.wait_until_held()
        process.send_signal(number)
        run = ended(process)
    assert run.code == code
    assert run.events[-1]["type"] == "exit"
    line.cut()
    line.release()
    again = site.sync()
    assert digest(site.root / "image") == digest(image)
    fetched = [each.one("summary")["bytes_fetched"] for each in (run, again)]
    assert fetched[0] > SIZE // 4
    assert sum(fetched) < 1.3 * SIZE


def test_H1_H3_a_second_sync_is_LOCKED_and_a_killed_holder_needs_no_unlock(slow_site: MakeSite, line: Proxy) -> None:
    site = slow_site()
    image = site.put("image", random.Random(4).randbytes(2 << 20))
    site.publish(image)
    line.hold_after(1_000_000)
    with running(site) as holder:
        line.wait_until_held()
        assert good(site.slave("status")).rows[0][7] == "running"
        second = site.slave("sync")
        assert second.code == 10
        assert f"pid {holder.pid}" in second.err
        assert (site.slave("-q", "sync").code, site.slave("-q", "sync").err) == (10, "")
        holder.kill()
        holder.wait()
    line.release()
    site.sync()
    assert digest(site.root / "image") == digest(image)
