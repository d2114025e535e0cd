"""A. Death: a run that is killed, told to end, or cannot go on, wherever that happens."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import netclnt
from netclnt.memory.root import MemoryStage
from tests.support.amount import amount
from tests.support.images import content
from tests.support.oracle import oracle
from tests.support.proxy import Proxy
from tests.support.site import Run, Site
from tests.support.trace import CHANGING, Call, points, read_trace, sample, tracing
from tests.support.update import make_update
from tests.support.world import World

pytestmark = pytest.mark.slow  # dozens of whole runs

MakeSite = Callable[..., Site]
Update = tuple[Site, Path]

STARTUP_SECONDS = 2.0
"""Within so much, a run of these sites has ended, or nearly so."""


def whole(calls: Sequence[Call], site: Site) -> list[tuple[str, int]]:
    return points(calls, [site.root, site.state])


def on_the_ledger(calls: Sequence[Call], site: Site) -> list[tuple[str, int]]:
    return points(calls, [site.state / "ledger.sqlite"], only=True)


def once_shown(calls: Sequence[Call], site: Site) -> list[tuple[str, int]]:
    """From the first image that was put at its place on."""
    shown = next(
        at for at, call in enumerate(calls) if call.name.startswith("rename") and re.search(r'"(image|tree)"', call.text)
    )
    before = set(points(calls[: shown + 1], [site.root, site.state]))
    return [point for point in whole(calls, site) if point not in before]


KILLS = [
    pytest.param(whole, 6, id="A1"),
    pytest.param(on_the_ledger, 3, id="A11"),
    pytest.param(once_shown, 3, id="A14"),
]


def test_what_is_injected_happens(tmp_path: Path) -> None:
    """Some strace injects errors, but no signals, under some of its options: then no kill test would kill."""
    for inject, codes in (("openat:signal=KILL:when=1", {-signal.SIGKILL}), ("openat:error=EACCES:when=1+", {1, 127})):
        command = [*tracing(tmp_path / "trace", ["openat"], inject=inject), "cat", "/dev/null"]
        assert subprocess.run(command, check=False, capture_output=True).returncode in codes, inject


@pytest.mark.parametrize(("chosen", "usual"), KILLS)
@pytest.mark.timeout(3600)
def test_P1_P3_P4_P8_killed_at_the_nth_call_that_changes_the_disk(
    chosen: Callable[[Sequence[Call], Site], list[tuple[str, int]]],
    usual: int,
    update: Update,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    site, saved = update
    log = tmp_path / "trace"
    with oracle(site, request) as watch:
        assert watch.sync(before=tracing(log, CHANGING)).code == 0
        places = chosen(read_trace(log), site)
        assert len(places) > 10
        killed = 0
        for name, number in sample(places, amount(request, usual, len(places)), request):
            site.restore(saved)
            run = watch.sync(before=tracing(log, CHANGING, inject=f"{name}:signal=KILL:when={number}"))
            assert run.code in (0, -signal.SIGKILL), f"{name} {number}: {run.err}"
            killed += run.code != 0
            watch.settle()
        assert killed, "none of them was killed"


ENDINGS = {signal.SIGKILL: (-9,), signal.SIGTERM: (143, -15), signal.SIGINT: (130, -2), signal.SIGHUP: (129, -1)}
"""How a run ends by a signal: with the code of the contract, or by the signal itself as long as it has only begun to start."""

PACKAGE = Path(netclnt.__file__).parent


def python_answered(done: Run) -> bool:
    """Whether a SIGINT came before the first lines of netclnt/__main__.py had told Python what to do then."""
    files = [Path(file) for file in re.findall(r'File "([^"]+)"', done.err)]
    ours = {file.name for file in files if file.is_relative_to(PACKAGE)}
    return ours <= {"__main__.py"} and done.err.rstrip(" :\n").endswith("KeyboardInterrupt")


SITES = [pytest.param(400_000, "paramiko", id="small-paramiko"), pytest.param(12 << 20, "openssh", id="large-openssh")]


@pytest.mark.parametrize(("size", "transport"), SITES)
@pytest.mark.timeout(3600)
def test_A2_A4_A5_A6_P1_P3_P9_P10_a_signal_at_a_random_moment(
    size: int, transport: str, make_site: MakeSite, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    source = random.Random(f"{request.config.option.hypothesis_seed}/{size}/{transport}")
    site = make_site(transport=transport)
    saved = make_update(site, tmp_path / "saved", size=size)
    with oracle(site, request) as watch:
        began = time.monotonic()
        assert watch.sync().code == 0
        usual = time.monotonic() - began
        for _ in range(amount(request, 2, 100)):
            site.restore(saved)
            number = source.choice(list(ENDINGS))
            moment = source.uniform(0, usual)
            run = watch.start("slave", "--json", "sync")
            time.sleep(moment)
            run.signal(number)
            sent = time.monotonic()
            done = run.wait()
            assert time.monotonic() - sent < 5, f"{number} after {moment} took {time.monotonic() - sent} s"
            if number != signal.SIGINT or not python_answered(done):
                assert done.code in (0, *ENDINGS[number]), f"{number} after {moment}: {done}"
                if done.code > 0:
                    assert done.events[-1]["code"] == done.code
                assert "Traceback" not in done.err
            watch.settle()


def test_A5_P9_a_second_SIGINT_ends_it_at_once(slow_site: MakeSite, line: Proxy, request: pytest.FixtureRequest) -> None:
    site = slow_site()
    site.publish(site.put("image", random.Random(3).randbytes(2 << 20)))
    with oracle(site, request, deadline=20) as watch:
        line.hold_after(1_000_000)
        run = watch.start("slave", "--json", "sync")
        line.wait_until_held()
        run.signal(signal.SIGINT)
        run.signal(signal.SIGINT)
        assert run.wait().code in (130, -signal.SIGINT)
        line.release()


def test_A7_P9_a_reader_that_goes_away_and_an_output_that_is_full(make_site: MakeSite, request: pytest.FixtureRequest) -> None:
    site = make_site()
    for number in range(30):
        site.put(f"image-{number}", content(f"A7/{number}", 10_000))
        if number < 2:
            site.publish(site.source / f"image-{number}")
    with oracle(site, request) as watch:
        assert watch.slave("sync").code == 0
        for words in (("list",), ("--json", "list"), ("status",), ("diff", "--exit-zero"), ("verify",), ("--help",)):
            read, write = os.pipe()
            os.close(read)  # head has taken its line, and gone
            try:
                gone = watch.slave(*words, stdout=write)
            finally:
                os.close(write)
            assert "pipe" not in gone.err
            assert gone.code in (0, -signal.SIGPIPE)
            with Path("/dev/full").open("wb") as full:
                told = watch.slave(*words, stdout=full)
            assert told.code in (0, 9)
            assert told.code == 0 or "No space left" in told.err


@pytest.mark.parametrize("method", ["write", "copy", "read_into", "zero"])
def test_A9_P9_an_exception_that_nobody_foresaw_in_one_worker_ends_the_run(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as it was; no thread hangs, the lock is free, and the next run goes on."""
    world = World(tmp_path)
    world.publish("a", random.Random(1).randbytes(3_000_000))
    world.sync()
    world.publish("a", random.Random(1).randbytes(1_500_000) + bytes(400_000) + random.Random(2).randbytes(3_000_000))
    calls = 0

    def fail(*_: object) -> object:
        nonlocal calls
        calls += 1
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryStage, method, fail)
        if method == "zero":  # what was never written reads as zeros: there may be nothing to do
            patch.setattr(MemoryStage, "clone", lambda *_: False)
        try:
            world.sync()
        except ZeroDivisionError:
            assert calls
        else:
            assert not calls
    assert world.live("a") is not None
    world.sync()
    assert len(world.live("a") or b"") == 4_900_000


MEGABYTE = 1 << 20


@pytest.mark.timeout(3600)
def test_A10_P1_P3_P9_too_little_memory(make_site: MakeSite, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Whatever the address space: it ends, and the next run with enough of it goes on."""
    source = random.Random(int(request.config.option.hypothesis_seed))
    site = make_site()
    saved = make_update(site, tmp_path / "saved", size=8 * MEGABYTE)
    ended = set()
    with oracle(site, request) as watch:
        for _ in range(amount(request, 3, 60)):
            site.restore(saved)
            limit = source.randrange(60, 700) * MEGABYTE
            run = watch.sync(before=["prlimit", f"--as={limit}"], starved=True)
            ended.add(run.code)
            watch.settle()
    assert ended


def test_A4_A6_P9_told_to_end_while_it_waits_for_the_lock(
    slow_site: MakeSite, line: Proxy, request: pytest.FixtureRequest
) -> None:
    site = slow_site()
    site.publish(site.put("image", random.Random(5).randbytes(2 << 20)))
    with oracle(site, request, deadline=20) as watch:
        line.hold_after(1_000_000)
        holder = watch.start("slave", "--json", "sync")
        line.wait_until_held()
        for number, code in ((signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            waiting = watch.start("slave", "--json", "sync", "--lock-timeout", "60")
            time.sleep(STARTUP_SECONDS)
            waiting.signal(number)
            assert waiting.wait().code == code
        line.release()
        assert holder.wait().code == 0
