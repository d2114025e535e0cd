"""The pipelined reader against servers that lie, stall and cut: bounded, with one truthful error (D10, D12)."""

from __future__ import annotations

import contextlib
import itertools
import random
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from netclnt.errors import Damaged, DeadlinePassed, ForbiddenValue, Incompatible, LineBroken, SourceMissing
from netclnt.model import Range
from netclnt.pacing import Pace
from netclnt.sftp.address import Parent
from netclnt.sftp.flow import IN_FLIGHT_EACH, READ_MIN, Flow
from netclnt.sftp.reader import HANDLES, SftpSource
from netclnt.sftp.wire import READ_MAX
from tests.support import hostile
from tests.support.hostile import CLOSE, CUT, EXTENDED, OPEN, READ, Request, Server

CONTENT = random.Random(3).randbytes(1_500_000)


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[Server, SftpSource]]]:
    """Starts a server and a source on it; both are stopped at the end."""
    started: list[tuple[Server, SftpSource]] = []

    def start(answer: hostile.Answer = lambda request: None, *, timeout: float = 20, **options) -> tuple[Server, SftpSource]:
        greeting = options.pop("greeting", hostile.VERSION)
        server = Server(options.pop("content", CONTENT), answer, greeting)
        source = SftpSource(server.connect, Parent("host", "/store"), timeout=timeout, **options)
        started.append((server, source))
        return server, source

    yield start
    for server, source in started:
        source.close()
        server.stop()


def ranges(length: int, size: int = len(CONTENT)) -> list[Range]:
    return [Range("packs/a", offset, min(length, size - offset)) for offset in range(0, size, length)]


def assert_whole(source: SftpSource, wanted: list[Range]) -> None:
    got = list(source.fetch(wanted))
    assert sorted(r.offset for r, _ in got) == [r.offset for r in wanted]
    assert all(data == CONTENT[r.offset : r.offset + r.length] for r, data in got)


def reads(server: Server) -> list[Request]:
    return [request for request in server.requests if request.kind == READ]


def most_open(server: Server) -> int:
    changes = (1 if r.kind == OPEN else -1 for r in server.requests if r.kind in (OPEN, CLOSE))
    return max(itertools.accumulate(changes))


def test_a_file_is_opened_once_and_read_with_the_longest_requests(serve):
    server, source = serve()
    assert_whole(source, ranges(700_000))
    assert_whole(source, ranges(700_000))
    assert [r.path for r in server.requests if r.kind == OPEN] == ["/store/packs/a"]
    assert max(r.length for r in reads(server)) == READ_MAX
    assert sum(r.length for r in reads(server)) == 2 * len(CONTENT) == source.bytes_received


def test_never_more_in_flight_than_allowed(serve):
    bound = 5 * 100_000
    outstanding = []
    held: list[bytes] = []

    def hoard(request: Request) -> bytes | None:
        """Answers nothing until the client has fallen silent, which is when it has asked for as much as it may."""
        if request.kind != READ:
            return None
        held.append(server.honest(request))
        outstanding.append(request.length)
        if sum(outstanding) + 100_000 <= bound:
            return b""
        outstanding.clear()
        answers = b"".join(held)
        held.clear()
        return answers

    server, source = serve(hoard, flow=Flow(bound))
    assert_whole(source, ranges(100_000))


def test_answers_may_come_in_any_order(serve):
    held: list[bytes] = []

    def backwards(request: Request) -> bytes | None:
        if request.kind != READ:
            return None
        held.insert(0, server.honest(request))
        if len(held) < 4 and request.offset + request.length < len(CONTENT):
            return b""
        answers = b"".join(held)
        held.clear()
        return answers

    server, source = serve(backwards)
    assert_whole(source, ranges(700_000))


def test_short_answers_are_asked_for_again_and_learnt_from(serve):
    server, source = serve(lambda r: hostile.data(r.id, CONTENT[r.offset :][: min(r.length, 50_000)]) if r.kind == READ else None)
    assert_whole(source, ranges(400_000))
    assert_whole(source, ranges(400_000))
    assert [r.length for r in reads(server)].count(READ_MAX) <= IN_FLIGHT_EACH // READ_MAX
    assert max(r.length for r in reads(server)[-10:]) <= 50_000


def test_tiny_answers_do_not_make_requests_tiny(serve):
    tiny = itertools.count()

    def first_is_tiny(request: Request) -> bytes | None:
        if request.kind == READ and next(tiny) == 0:
            return hostile.data(request.id, CONTENT[request.offset :][:1])
        return None

    server, source = serve(first_is_tiny)
    assert_whole(source, ranges(400_000))
    assert min(r.length for r in reads(server)[-3:-1]) >= min(READ_MIN, len(CONTENT) % READ_MIN)


def test_limits_of_the_server_are_asked_for_and_kept(serve):
    extension = hostile.text(b"limits@openssh.com") + hostile.text(b"1")

    def limits(request: Request) -> bytes | None:
        if request.kind != EXTENDED:
            return None
        return hostile.packet(201, struct.pack(">IQQQQ", request.id, 70_000, 65_536, 65_536, 6))

    server, source = serve(limits, greeting=hostile.packet(2, struct.pack(">I", 3) + extension))
    assert_whole(source, ranges(200_000))
    asked = len(reads(server))  # some of them with the question for the limits, which nothing waits for
    assert_whole(source, ranges(200_000))
    assert max(r.length for r in reads(server)[asked:]) == 65_536
    list(source.fetch(Range(f"packs/{n}", 0, 1) for n in range(10)))
    assert most_open(server) == 3


def test_open_files_are_bounded(serve):
    server, source = serve()
    assert len(list(source.fetch(Range(f"packs/{n}", 0, 10) for n in range(150)))) == 150
    for n in range(20):
        source.read_file(f"HEAD{n}", limit=len(CONTENT))
    assert sum(r.kind == OPEN for r in server.requests) == 170
    assert HANDLES <= most_open(server) <= HANDLES + 2


def test_open_files_that_may_be_old_are_opened_anew_once_one_is_missing(serve):
    server, source = serve(lambda r: hostile.status(r.id, 2, b"gone") if r.path.endswith("gone") else None)
    list(source.fetch([Range("locations/1", 0, 10)]))
    with pytest.raises(SourceMissing) as caught:
        list(source.fetch([Range("packs/gone", 0, 10)]))
    assert caught.value.cause == "gone"
    list(source.fetch([Range("locations/1", 0, 10)]))
    assert [r.path for r in server.requests if r.kind == OPEN].count("/store/locations/1") == 2


def test_answers_to_a_fetch_that_was_given_up_disturb_nobody(serve):
    _, source = serve()
    fetch = source.fetch(ranges(100_000))
    next(fetch)
    fetch.close()
    assert_whole(source, ranges(300_000))


def test_nothing_waits_for_the_greeting(serve):
    """INIT, the question for the limits and the first OPENs go out in one flight."""
    server, source = serve(lambda request: b"", greeting=b"")
    fetch = source.fetch([Range("packs/a", 0, 10), Range("packs/b", 0, 10)])
    asker = threading.Thread(target=_drain, args=(fetch,))
    asker.start()
    deadline = time.monotonic() + 20
    while [r.kind for r in server.requests] != [EXTENDED, OPEN, OPEN] and time.monotonic() < deadline:
        time.sleep(0.01)
    source.close()
    asker.join()
    assert [r.kind for r in server.requests] == [EXTENDED, OPEN, OPEN]


def _drain(fetch: Iterator[object]) -> None:
    with contextlib.suppress(LineBroken):
        list(fetch)


def test_under_a_cap_requests_are_small_and_few_in_flight(serve):
    pace, flow = Pace(200_000), Flow()
    server, source = serve(flow=flow, pace=pace)
    list(source.fetch([Range("packs/a", 0, 100_000)]))
    assert max(r.length for r in reads(server)) <= 20_000
    pace.set_rate(None)
    asked = len(reads(server))
    assert_whole(source, ranges(700_000))
    assert max(r.length for r in reads(server)[asked:]) > 100_000


def test_closing_ends_the_wait_for_a_cap(serve):
    pace = Pace(1024)
    pace.charge(1 << 40)
    _, source = serve(pace=pace)
    asker = threading.Thread(target=_drain, args=(source.fetch([Range("packs/a", 0, 10)]),))
    asker.start()
    source.close()
    asker.join(20)
    assert not asker.is_alive()


LIES: dict[str, hostile.Answer] = {
    "wrong id": lambda r: hostile.data(r.id + 1000, CONTENT[:10]),
    "zero-length data": lambda r: hostile.data(r.id, b""),
    "too much data": lambda r: hostile.data(r.id, CONTENT[: r.length + 1]),
    "status ok for data": lambda r: hostile.status(r.id, 0),
    "status unheard of": lambda r: hostile.status(r.id, 99),
    "handle for data": lambda r: hostile.handle(r.id),
    "a packet of 2 GiB": lambda r: struct.pack(">I", 1 << 31),
    "an answer twice": lambda r: hostile.data(r.id, CONTENT[r.offset :][: r.length]) * 2,
    "version again": lambda r: hostile.VERSION,
    "connection lost": lambda r: hostile.status(r.id, 7),
    "the end": lambda r: CUT,
}


@pytest.mark.parametrize("lie", LIES)
def test_D10_lies_in_answer_to_a_read_break_the_line(serve, lie):
    _, source = serve(lambda r: LIES[lie](r) if r.kind == READ and r.offset else None)
    with pytest.raises(LineBroken):
        list(source.fetch(ranges(100_000)))
    with pytest.raises(LineBroken):
        source.read_file("HEAD", limit=10)


@pytest.mark.parametrize("kind", [OPEN, READ])
@pytest.mark.parametrize("lie", ["wrong id", "status ok for data", "zero-length data", "version again", "the end"])
def test_D10_lies_while_a_small_file_is_read_break_the_line(serve, kind, lie):
    _, source = serve(lambda r: LIES[lie](r) if r.kind == kind else None)
    with pytest.raises(LineBroken):
        source.read_file("HEAD", limit=10_000_000)


@pytest.mark.parametrize(
    "greeting", [b"Welcome to host!\n", hostile.packet(2, struct.pack(">I", 6)), hostile.handle(1), struct.pack(">I", 1 << 31)]
)
def test_D9_a_server_that_does_not_speak_sftp_3_is_incompatible(serve, greeting):
    _, source = serve(greeting=greeting)
    with pytest.raises(Incompatible) as caught:
        source.read_file("HEAD", limit=10)
    assert ("Welc" in caught.value.found) == greeting.startswith(b"Welc")


@pytest.mark.parametrize("code", [2, 3, 4])
def test_a_file_that_cannot_be_read_is_missing_and_the_session_goes_on(serve, code):
    _, source = serve(lambda r: hostile.status(r.id, code) if r.kind == READ and r.handle == b"/store/bad" else None)
    with pytest.raises(SourceMissing):
        list(source.fetch([Range("good", 0, 10), Range("bad", 0, 10)]))
    assert_whole(source, ranges(300_000))
    with pytest.raises(SourceMissing):
        source.read_file("bad", limit=10_000_000)


def test_D10_early_eof_is_damage(serve):
    _, source = serve(lambda r: hostile.status(r.id, 1) if r.kind == READ and r.offset >= 200_000 else None)
    with pytest.raises(Damaged):
        list(source.fetch(ranges(100_000)))
    with pytest.raises(Damaged):
        source.read_file("HEAD", limit=10_000_000)


@pytest.mark.parametrize(("told", "error"), [(10, None), (1 << 60, ForbiddenValue), (len(CONTENT) + 1, Damaged)])
def test_D12_a_lying_size_never_takes_more_than_the_limit(serve, told, error):
    server, source = serve(lambda r: hostile.attributes(r.id, told) if r.kind == hostile.FSTAT else None)
    if error is None:
        assert source.read_file("HEAD", limit=2_000_000) == CONTENT
    else:
        with pytest.raises(error):
            source.read_file("HEAD", limit=2_000_000)
    assert sum(r.length for r in reads(server)) <= 2_000_001


# --- standing still


def stalls() -> dict[str, hostile.Answer]:
    return {
        "no answer": lambda r: b"" if r.kind == READ else None,
        "half a packet": lambda r: hostile.data(r.id, CONTENT[: r.length])[:1000] if r.kind == READ else None,
        "nothing opened": lambda r: b"" if r.kind == OPEN else None,
    }


@pytest.mark.parametrize("stall", stalls())
def test_D10_a_server_that_stands_still_passes_the_deadline(serve, stall):
    _, source = serve(stalls()[stall], timeout=0.3)
    with pytest.raises(DeadlinePassed) as caught:
        list(source.fetch(ranges(100_000)))
    assert caught.value.seconds == 0.3


def test_D10_a_server_that_never_greets_passes_the_deadline(serve):
    _, source = serve(lambda request: b"", greeting=b"", timeout=0.3)
    with pytest.raises(DeadlinePassed):
        source.read_file("HEAD", limit=10)


@pytest.mark.parametrize("as_answers", [True, False])
def test_D10_trickling_is_no_progress(serve, as_answers):
    """One byte at a time, as tiny answers or as a tiny part of a long one, is not worth waiting for."""
    sent = itertools.count()

    def trickle(request: Request) -> bytes | None:
        if request.kind != READ:
            return None
        time.sleep(0.02)
        if as_answers:
            return hostile.data(request.id, CONTENT[request.offset :][:1])
        return hostile.data(request.id, CONTENT[: request.length])[:10] if next(sent) == 0 else b"x"

    _, source = serve(trickle, timeout=0.4)
    with pytest.raises(DeadlinePassed):
        list(source.fetch([Range("packs/a", n * 300, 300) for n in range(1000)]))


def test_slow_but_steady_is_progress(serve):
    def slow(request: Request) -> bytes | None:
        if request.kind == READ:
            time.sleep(0.1)
        return None

    _, source = serve(slow, timeout=0.4)
    assert_whole(source, ranges(200_000))


def test_a_slow_consumer_is_not_the_servers_fault(serve):
    _, source = serve(timeout=0.2)
    for count, _ in enumerate(source.fetch(ranges(300_000))):
        if count == 1:
            time.sleep(0.5)


def test_a_slow_iterable_is_not_the_servers_fault(serve):
    def planned() -> Iterator[Range]:
        for wanted in ranges(500_000):
            time.sleep(0.3)
            yield wanted

    _, source = serve(timeout=0.2)
    assert len(list(source.fetch(planned()))) == 3
