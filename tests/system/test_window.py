"""The line's end, to the request: windows, caps and budgets of real runs over a real sshd."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from netclnt.allowance import Allowance
from netclnt.errors import LinePaused
from netclnt.ledger import Ledger
from netclnt.model import Range
from netclnt.pacing import Pace
from netclnt.schedule import Terms, Window
from netclnt.sftp import TRANSPORTS, open_source, parse_parent
from netclnt.sftp.session import Session
from tests.support.site import DEADLINE, Site, digest, good
from tests.support.sshd import Sshd

MakeSite = Callable[..., Site]
SIZE = 5_000_000
M = 1 << 20
NIGHT = ["--window", "22:00-05:00"]

faked = pytest.mark.skipif(shutil.which("faketime") is None, reason="faketime is not installed")


def noise(size: int) -> bytes:
    """What cannot be compressed."""
    return random.Random(size).randbytes(size)


def at(text: str) -> list[str]:
    return ["faketime", "--exclude-monotonic", text]  # waits of threads never end where that is faked, too


# --- requests


class Clock:
    """A wall clock that shows the window's end as soon as ``source`` has so many bytes; each look at the other clock finds it a
    second on."""

    def __init__(self, received: int) -> None:
        self.source: object = None
        self._received = received
        self._ticks = count()

    def wall(self) -> float:
        return datetime(2026, 11, 23, 5 if self.closed else 4, tzinfo=UTC).timestamp()

    @property
    def closed(self) -> bool:
        return getattr(self.source, "bytes_received", 0) >= self._received

    def passed(self) -> float:
        return float(next(self._ticks))


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize("cap", [None, pytest.param(4 * M, marks=pytest.mark.slow)])
def test_after_the_end_no_request_is_sent_and_what_is_in_flight_arrives(
    sshd: Sshd, tmp_path: Path, transport, connections, cap, monkeypatch
) -> None:
    data = os.urandom(SIZE)
    (tmp_path / "pack").write_bytes(data)
    clock = Clock(SIZE // 3)
    line = Allowance(
        Terms(windows=(Window(0, 300),)),
        local=lambda instant: datetime.fromtimestamp(instant, UTC),
        wall=clock.wall,
        clock=clock.passed,
    )
    sent: list[tuple[bool, int]] = []

    def flush(session: Session) -> None:
        if session._outbox:
            sent.append((clock.closed, len(session._outbox)))
        real(session)

    real = Session.flush
    monkeypatch.setattr(Session, "flush", flush)
    monkeypatch.setattr("netclnt.sftp.IN_FLIGHT_EACH", 400_000)
    source = open_source(
        parse_parent(sshd.url(tmp_path)),
        transport=transport,
        identity=sshd.identity,
        known_hosts=sshd.known_hosts,
        connections=connections,
        pace=Pace(cap),
        allowance=line,
    )
    clock.source = source
    line.begin(0)
    got: dict[int, bytes] = {}
    try:
        with pytest.raises(LinePaused):
            for wanted, piece in source.fetch(Range("pack", offset, 50_000) for offset in range(0, SIZE, 50_000)):
                got[wanted.offset] = piece
        late = sum(requests for closed, requests in sent if closed)
        if connections == 1:
            assert late == 0
        else:  # a thread may have found it open the moment before, and sends what it has queued until then
            assert late <= 8 * connections
        received = source.bytes_received
        assert received < SIZE
        assert source.connections == connections
        assert received - sum(map(len, got.values())) < connections * 50_000  # ranges that were begun
        assert all(piece == data[offset : offset + 50_000] for offset, piece in got.items())
        with pytest.raises(LinePaused):
            source.read_file("pack", limit=SIZE)
        with pytest.raises(LinePaused):
            next(iter(source.fetch([Range("pack", 0, 10)])))
        assert source.bytes_received == received
    finally:
        source.close()


# --- runs


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    made = make_site()
    made.publish(made.put("image", noise(SIZE)))
    return made


@faked
@pytest.mark.slow
def test_a_night_that_ends_and_the_next_one_that_goes_on(site: Site) -> None:
    first = site.slave("--json", "sync", *NIGHT, "--bwlimit", "300K", before=at("2026-11-24 04:59:50"))
    assert (first.code, first.one("exit")["name"]) == (14, "PAUSED")
    assert first.one("error")["code"] == "PAUSED"
    assert "2026-11-24 22:00" in first.one("error")["message"]
    fetched = first.one("summary")["bytes_fetched"]
    assert 0 < fetched < SIZE
    assert not (site.root / "image").exists()
    day = site.slave("-q", "sync", *NIGHT, before=at("2026-11-24 12:00:00"))
    assert (day.code, day.out, day.err) == (14, "", "")
    second = good(site.slave("--json", "sync", *NIGHT, before=at("2026-11-24 22:00:00")))
    assert digest(site.root / "image") == digest(site.source / "image")
    assert fetched + second.one("summary")["bytes_fetched"] < SIZE * 1.01 + 2 * M  # what was in flight at the end
    nothing = good(site.slave("--json", "sync", *NIGHT, before=at("2026-11-25 12:00:00")))
    assert nothing.one("summary")["sftp_connections"] == 0


@pytest.mark.slow
def test_a_budget_of_one_run_and_priorities(site: Site) -> None:
    site.publish(site.put("zz", noise(900_000)))
    run = site.slave("--json", "sync", "--max-transfer", "2M", "--priority", "zz")
    assert run.code == 14
    assert [event["image"] for event in run.of("image")] == ["zz"]
    assert run.one("summary")["bytes_fetched"] <= 2 * M
    assert "max_transfer" in run.one("error")["message"]
    total = run.one("summary")["bytes_fetched"]
    for _ in range(5):
        run = site.slave("--json", "sync", "--max-transfer", "2M")
        total += run.one("summary")["bytes_fetched"]
        if not run.code:
            break
    assert run.code == 0
    assert total < (SIZE + 900_000) * 1.02
    assert digest(site.root / "image") == digest(site.source / "image")


@pytest.mark.slow
def test_a_dry_run_tells_nights_disk_and_quota(site: Site) -> None:
    flags = ["--bwlimit", "100K", *NIGHT, "--monthly-quota", "50M"]
    told = good(site.slave("--json", "sync", "--dry-run", *flags)).one("summary")
    assert told["bytes_planned"] == pytest.approx(SIZE, rel=0.01)
    assert told["seconds_planned"] == pytest.approx(told["bytes_planned"] / 102_400, rel=0.01)
    assert told["nights"] in (1, 2)  # what time it is now nobody knows
    assert told["bytes_write"] == SIZE
    assert told["bytes_free"] > SIZE
    assert 49 * M < told["quota_left"] <= 50 * M
    text = good(site.slave("sync", "--dry-run", *flags)).err
    assert " MB to fetch, 49 s on the line" in text
    assert "left of this month's quota" in text


def started(site: Site, event: str, *flags: str):
    """A sync that has told so much."""
    process = site.start("slave", "--json", "sync", *flags)
    told = []
    for line in process.stdout:
        told.append(line)
        if f'"type":"{event}"' in line:
            return process
    raise AssertionError((told, process.communicate()))


def test_SIGUSR2_takes_the_cap_away(site: Site) -> None:
    process = started(site, "change", "--bwlimit", "2K")  # 40 minutes
    process.send_signal(signal.SIGUSR2)
    _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, err
    assert "netclnt: the bandwidth cap is off" in err
    assert digest(site.root / "image") == digest(site.source / "image")


@pytest.mark.slow
def test_SIGUSR2_where_there_is_no_cap_ends_nothing(site: Site) -> None:
    process = started(site, "start")
    process.send_signal(signal.SIGUSR2)
    _, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, "no bandwidth cap" in err) == (0, True)


@faked
@pytest.mark.slow
def test_J3_at_the_hour_that_is_left_out_the_next_rate_counts(site: Site) -> None:
    site.environment["TZ"] = "Europe/Berlin"
    flags = ["--bwlimit", "00:00,2K 02:30,off"]
    run = site.slave("--json", "sync", *flags, before=at("2026-03-29 01:59:57"))
    assert run.code == 0, run.err
    assert digest(site.root / "image") == digest(site.source / "image")


@pytest.mark.slow
def test_a_killed_run_counts_for_the_monthly_quota(site: Site) -> None:
    site.publish(site.put("image", noise(30_000_000)))
    process = started(site, "plan", "--bwlimit", "1M")
    while not counted(site):
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    process.kill()
    process.communicate(timeout=DEADLINE)
    before = counted(site)
    quota = before + 1_500_000
    run = site.slave("--json", "sync", "--monthly-quota", str(quota))
    assert run.code == 14
    assert "This month's quota" in run.one("error")["message"]
    assert 0 < run.one("summary")["bytes_fetched"] <= 1_500_000
    assert counted(site) <= quota
    assert site.slave("--json", "sync", "--monthly-quota", str(quota)).code == 14
    good(site.slave("sync", "--monthly-quota", "off"))


def counted(site: Site) -> int:
    """Bytes, by the ledger."""
    with Ledger(site.state / "ledger.sqlite", readonly=True) as ledger:
        return ledger.fetched(since="2000-01-01T00:00:00Z", until="2099-01-01T00:00:00Z")
