"""A2, C8: an update large enough for a second process (netclnt.files.digesting), killed, stopped and failed, under the oracle."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.amount import amount
from tests.support.images import content
from tests.support.oracle import Oracle, Started, oracle
from tests.support.processes import children
from tests.support.site import Run, Site
from tests.support.trace import WRITES, points, read_trace, sample_of_each, tracing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="with one processor there is no second process"),
    pytest.mark.timeout(3600),
]

MakeSite = Callable[..., Site]
LARGE = 257 << 20
"""Bytes; nearly all of them are holes."""

DATA = 6 << 20
PROGRAM = "netclnt.files.digesting"


@pytest.fixture(params=["paramiko", "openssh"])
def update(request: pytest.FixtureRequest, make_site: MakeSite, tmp_path: Path) -> tuple[Site, Path]:
    """A site with a large image to be updated, and where its slave is saved."""
    site = make_site(transport=request.param)
    saved = tmp_path / "saved"
    for turn in (1, 2):
        image = site.put("image", content("large", DATA) + content(f"large/{turn}", DATA // 2))
        os.truncate(image, LARGE)
        site.publish(image)
        if turn == 1:
            site.sync()
            saved.mkdir()
            site.save(saved)
    return site, saved


def digesters(of: int) -> list[int]:
    """The second processes of a run."""
    return [pid for pid, command in children(of).items() if PROGRAM in command]


def digester_of(run: Started) -> int | None:
    """The second process, once it is there; None if the run ended before anybody saw one."""
    while Path(f"/proc/{run.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        if found := digesters(run.pid):
            return found[0]
    return None


def test_A2_P1_P3_P4_P9_killed_at_a_random_moment(update: tuple[Site, Path], request: pytest.FixtureRequest) -> None:
    """The run alone, its second process alone, and both."""
    site, saved = update
    source = random.Random(f"{request.config.option.hypothesis_seed}/{site.transport}")
    with oracle(site, request) as watch:
        began = time.monotonic()
        assert watch.sync().code == 0
        usual = time.monotonic() - began
        for turn in range(amount(request, 3, 60)):
            site.restore(saved)
            run = watch.start("slave", "--json", "sync")
            if turn % 3 == 0:
                time.sleep(source.uniform(0, usual))
                run.signal(signal.SIGKILL)
            elif (second := digester_of(run)) is not None:
                time.sleep(source.uniform(0, usual / 4))
                with suppress(ProcessLookupError):
                    os.kill(second, signal.SIGKILL)
                if turn % 3 == 1:
                    run.signal(signal.SIGKILL)
            assert run.wait().code in (0, -signal.SIGKILL), f"turn {turn}: {run.ended}"
            assert is_alone(site), f"turn {turn}"
            watch.settle()


@pytest.fixture
def minute(request: pytest.FixtureRequest) -> None:
    """Asked for before what takes its time, too."""
    if not request.config.getoption("--thorough"):
        pytest.skip("takes the minute; tests/unit/test_files_digester.py has the same in less")


@pytest.mark.usefixtures("minute")
def test_A2_P9_a_second_process_that_stands_still_holds_up_nothing_for_good(
    update: tuple[Site, Path], request: pytest.FixtureRequest
) -> None:
    """It is waited for, for a minute, and then done without."""
    site, saved = update
    with oracle(site, request, deadline=150) as watch:
        site.restore(saved)
        run = watch.start("slave", "--json", "sync")
        second = digester_of(run)
        assert second is not None
        with suppress(ProcessLookupError):
            os.kill(second, signal.SIGSTOP)
        assert run.wait().code == 0
        assert is_alone(site)


def test_C8_P1_P3_P9_what_it_reads_and_writes_fails(
    update: tuple[Site, Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """EIO at the n-th call of each thread and process: of files and of the pipes between the two."""
    site, saved = update
    log, calls = tmp_path / "trace", (*WRITES, "pread64", "preadv", "read")
    with oracle(site, request) as watch:
        assert run_with(watch, saved, log, calls, "").code == 0
        places = points(read_trace(log), [site.root, site.state, Path("pipe:")], only=True)
        for name, number in sample_of_each(places, amount(request, 3, 80), request):
            run = run_with(watch, saved, log, calls, f"{name}:error=EIO:when={number}")
            assert run.code in (0, 2, 3, 5, 7, 9, 11), f"{name} {number}: {run}"
            assert is_alone(site), f"{name} {number}"
            watch.settle()


def run_with(watch: Oracle, saved: Path, log: Path, calls: tuple[str, ...], inject: str) -> Run:
    watch.site.restore(saved)
    return watch.sync(before=tracing(log, calls, inject=inject))


def is_alone(site: Site) -> bool:
    """Whether no second process of this site is left, soon: one ends with its standard input, wherever it is."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if not any(is_digester(process, site) for process in Path("/proc").glob("[1-9]*")):
            return True
        time.sleep(0.05)
    return False


def is_digester(process: Path, site: Site) -> bool:
    with suppress(OSError):
        command, environment = (process.joinpath(name).read_bytes() for name in ("cmdline", "environ"))
        return PROGRAM.encode() in command and os.fsencode(site.directory / "home") in environment
    return False
