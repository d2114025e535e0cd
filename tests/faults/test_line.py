"""The line and the SFTP server at their worst, over both transports and under the oracle (faults D)."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from netclnt.events import Event, Retried
from netclnt.model import Range
from netclnt.sftp import TRANSPORTS, open_source, parse_parent
from tests.support import sshd as servers
from tests.support.namespaces import Missing, long_line, narrow_line
from tests.support.oracle import Oracle, oracle
from tests.support.proxy import Proxy
from tests.support.site import Site
from tests.support.sshd import Sshd

pytestmark = pytest.mark.slow

MakeSite = Callable[..., Site]
SIZE = 3 << 20
BUDGET = ("--retry-budget", "60")


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def site(transport: str, slow_site: MakeSite) -> Site:
    """A slave that lacks one image and reaches the master through the line."""
    made = slow_site(transport=transport)
    made.publish(made.put("image", random.Random(4).randbytes(SIZE)))
    return made


@pytest.fixture
def watch(site: Site) -> Iterator[Oracle]:
    with oracle(site) as watching:
        yield watching


def test_D6_a_line_that_is_reset_again_and_again_brings_it_all(watch: Oracle, line: Proxy) -> None:
    line.reset_each(SIZE // 3)
    run = watch.sync(*BUDGET)
    assert run.code == 0, run.out
    resets = len(run.of("retry"))
    assert 2 <= resets <= 8
    assert run.one("summary")["sftp_connections"] == resets + 1
    assert run.one("summary")["bytes_fetched"] <= line.passed


def test_D2_a_server_that_is_away_and_comes_back_within_the_budget(watch: Oracle, line: Proxy) -> None:
    line.hold_after(SIZE // 2)
    sync = watch.start("slave", "--json", "sync", *BUDGET)
    line.wait_until_held()
    line.go_away()
    line.release()
    line.wait_until_refused(2)
    line.come_back()
    run = sync.wait()
    assert run.code == 0, run.out
    assert [event["attempt"] for event in run.of("retry")] == [*range(1, line.refused + 2)]
    assert line.connections == line.refused + 2
    assert line.passed < 1.7 * SIZE, "what had come was fetched again"


def test_D3_a_server_that_stays_away_is_TEMP_after_bounded_attempts(watch: Oracle, line: Proxy) -> None:
    line.go_away()
    run = watch.sync("--retry-budget", "4")
    assert run.code == 5
    assert 2 <= len(run.of("retry")) <= 4
    assert line.connections == line.refused == len(run.of("retry")) + 1
    assert sum(event["delay"] for event in run.of("retry")) <= 4
    line.come_back()


def test_D4_a_frozen_line_is_TEMP_by_the_time_out(watch: Oracle, line: Proxy) -> None:
    line.hold_after(SIZE // 2)
    run = watch.sync("--timeout", "1")
    assert (run.code, run.of("error")[-1]["cause"]) == (5, "DeadlinePassed")
    line.release()


def test_D10_a_line_that_trickles_is_TEMP_by_the_time_out(watch: Oracle, line: Proxy) -> None:
    line.hold_after(SIZE // 2)
    sync = watch.start("slave", "--json", "sync", "--timeout", "1")
    line.wait_until_held()
    line.trickle(20, 0.02)
    line.release()
    run = sync.wait()
    assert (run.code, run.of("error")[-1]["cause"]) == (5, "DeadlinePassed")
    line.trickle()


def test_D14_a_byte_changed_on_the_line_costs_a_connection_and_nothing_else(watch: Oracle, line: Proxy) -> None:
    line.flip_after(SIZE // 2)
    run = watch.sync(*BUDGET)
    assert run.code == 0, run.out
    assert len(run.of("retry")) == 1


def test_D14_a_line_that_changes_every_login_is_TEMP(watch: Oracle, line: Proxy) -> None:
    line.flip_each(1500)  # within the exchange of keys
    run = watch.sync("--retry-budget", "2")
    assert run.code == 5, run.out
    assert 1 <= len(run.of("retry")) <= 3
    line.flip_each(None)


# --- a mirror with bad data


def flip(pack: bytes) -> bytes:
    return bytes(byte ^ (0x10 if at % 50_000 == 20_000 else 0) for at, byte in enumerate(pack))


def swapped(pack: bytes) -> bytes:
    """Right lengths, other blocks' bytes."""
    middle, half = len(pack) // 2, 262_144
    return pack[: middle - half] + pack[middle : middle + half] + pack[middle - half : middle] + pack[middle + half :]


BAD: dict[str, Callable[[bytes], bytes]] = {
    "flipped": flip,
    "swapped": swapped,
    "zeros": lambda pack: bytes(len(pack)),
    "truncated": lambda pack: pack[: len(pack) // 2],
}


@pytest.mark.parametrize(
    ("how", "transport"), [*((how, "paramiko") for how in BAD), ("flipped", "openssh")], indirect=["transport"]
)
def test_D15_D16_D25_bad_data_is_INTEGRITY_after_two_tries(how: str, site: Site, line: Proxy, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    shutil.copytree(site.store, saved)
    with oracle(site, but=["store"]) as watch:
        for pack in site.store.glob("packs/*/*.pack"):
            pack.chmod(0o644)
            pack.write_bytes(BAD[how](pack.read_bytes()))
        run = watch.sync(*BUDGET)
        assert run.code == 7, run.out
        assert not (site.root / "image").exists()
        assert run.of("retry") == []
        assert line.passed < 2.3 * SIZE
        shutil.rmtree(site.store)
        shutil.copytree(saved, site.store)


# --- a server that lets few in


def test_D8_one_connection_at_a_time_is_enough(transport: str, make_site: MakeSite, make_sshd: Callable[..., Sshd]) -> None:
    server = make_sshd(["MaxStartups 1:100:1", "MaxSessions 1"])
    site = make_site(sshd=server, port=server.port, known_hosts=server.known_hosts, transport=transport)
    site.publish(site.put("image", random.Random(5).randbytes(SIZE)))
    with oracle(site) as watch:
        run = watch.sync(*BUDGET, "--connections", "4")
        assert run.code == 0, run.out


def test_D8_a_refused_banner_is_tried_again(transport: str, tmp_path: Path, make_sshd: Callable[..., Sshd]) -> None:
    server = make_sshd(["MaxStartups 1:100:1"])
    (tmp_path / "HEAD").write_bytes(b"head")
    told: list[Event] = []
    with server.occupied() as pending:

        def observe(event: Event) -> None:
            told.append(event)
            pending.close()

        assert read_head(server.url(tmp_path), server, transport, observe) == b"head"
    assert told
    assert all(isinstance(event, Retried) for event in told)


def read_head(url: str, server: Sshd, transport: str, observer: Callable[[Event], None]) -> bytes:
    source = open_source(
        parse_parent(url),
        transport="openssh" if transport == "openssh" else "paramiko",
        identity=server.identity,
        known_hosts=server.known_hosts,
        timeout=10,
        retry_budget=30,
        observer=observer,
    )
    try:
        return source.read_file("HEAD", limit=100)
    finally:
        source.close()


# --- thin and lossy lines


@pytest.mark.parametrize("kind", ["1 Mbit/s", "5 % loss"])
def test_D7_a_thin_or_lossy_line_is_slow_and_no_trouble(kind: str, transport: str, tmp_path: Path) -> None:
    """The first by the kernel's token bucket; in the second, a relay drops one of twenty packets, each way."""
    content = random.Random(6).randbytes(250_000)
    (tmp_path / "pack").write_bytes(content)
    told: list[Event] = []
    with ExitStack() as opened:
        try:
            thin = kind == "1 Mbit/s"
            line = opened.enter_context(narrow_line(1000) if thin else long_line(round_trip=0.03, megabits=20, loss=0.05))
            with line.master.entered():
                server = opened.enter_context(servers.start([f"ListenAddress {line.master.address}"]))
        except (Missing, servers.Missing) as missing:
            pytest.skip(str(missing))
        known = tmp_path / "known"
        known.write_text(f"[{line.master.address}]:{server.port} {server.host_public_key}\n")
        opened.enter_context(line.slave.entered())
        source = open_source(
            parse_parent(f"sftp://{server.user}@{line.master.address}:{server.port}{tmp_path}"),
            transport="openssh" if transport == "openssh" else "paramiko",
            identity=server.identity,
            known_hosts=known,
            timeout=20,
            retry_budget=0,
            observer=told.append,
        )
        opened.callback(source.close)
        started = time.monotonic()
        wanted = [Range("pack", at, 50_000) for at in range(0, len(content), 50_000)]
        assert sorted(source.fetch(wanted), key=lambda got: got[0].offset) == [
            (each, content[each.offset : each.offset + 50_000]) for each in wanted
        ]
        assert told == []
        assert not thin or time.monotonic() - started > 0.75 * len(content) * 8 / 1_000_000, "the line was not thin"
