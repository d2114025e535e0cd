"""The second process of a large image's sync: it is there, it goes with the first one, and it may go before."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import children
from tests.support.proxy import Proxy
from tests.support.site import Run, Site, checked, digest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="with one processor there is no second process"),
]

MakeSite = Callable[..., Site]
DATA = 12 << 20
LARGE = 257 << 20
END_SECONDS = 20


@pytest.fixture
def site(slow_site: MakeSite) -> Site:
    """With a large sparse image, published."""
    site = slow_site()
    image = site.put("image", random.Random(1).randbytes(DATA))
    os.truncate(image, LARGE)
    site.publish(image)
    return site


@contextmanager
def held(site: Site, line: Proxy) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A sync whose line stands still half-way, and the process id of its digester."""
    line.hold_after(DATA // 2)
    process = site.start("slave", "--json", "sync")
    try:
        line.wait_until_held()
        (digester,) = [pid for pid, command in children(process.pid).items() if "netclnt.files.digesting" in command]
        yield process, digester
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> Run:
    out, err = process.communicate(timeout=END_SECONDS)
    return checked(Run(process.returncode, out, err), None)


def test_A4_a_signal_ends_both(site: Site, line: Proxy) -> None:
    with held(site, line) as (process, digester):
        process.send_signal(signal.SIGTERM)
        assert ended(process).code == 143
        assert not Path(f"/proc/{digester}").exists()
    line.cut()
    line.release()
    site.sync()
    assert digest(site.root / "image") == digest(site.source / "image")


def test_A2_P5_without_its_digester_the_sync_digests_by_itself(site: Site, line: Proxy) -> None:
    with held(site, line) as (process, digester):
        os.kill(digester, signal.SIGKILL)
        line.release()
        assert ended(process).code == 0
    assert digest(site.root / "image") == digest(site.source / "image")
