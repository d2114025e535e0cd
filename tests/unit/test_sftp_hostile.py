"""Any sequence of answers that a server may give ends in time: with the content, or with one of the foreseen errors (D10, M2)."""

from __future__ import annotations

import contextlib
import random
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netclnt.errors import ExitCode, NetclntError
from netclnt.model import Range
from netclnt.sftp.address import Parent
from netclnt.sftp.reader import SftpSource
from netclnt.sftp.retry import Retrying
from netclnt.sftp.wire import READ_MAX
from tests.support import hostile
from tests.support.hostile import CLOSE, CUT, EXTENDED, FSTAT, OPEN, READ, Request, Server

CONTENT = random.Random(8).randbytes(700_000)
FILES = 3
LIMIT = 1_000_000
FORESEEN = {ExitCode.TEMP, ExitCode.INTEGRITY, ExitCode.TRUST, ExitCode.INCOMPAT}
STALL_SECONDS = 0.25
HANGS_SECONDS = 20

Lie = Callable[[Request, bytes], bytes]
"""What is sent instead of the honest answer."""


LIES: dict[str, Lie] = {
    "nothing": lambda r, honest: b"",
    "half": lambda r, honest: honest[: len(honest) // 2],
    "end": lambda r, honest: CUT,
    "twice": lambda r, honest: honest * 2,
    "another id": lambda r, honest: honest[:5] + struct.pack(">I", r.id ^ 1) + honest[9:],
    "a foreign id": lambda r, honest: honest[:5] + struct.pack(">I", r.id + 1_000_000) + honest[9:],
    "no data": lambda r, honest: hostile.data(r.id, b""),
    "one byte": lambda r, honest: hostile.data(r.id, CONTENT[r.offset :][:1]),
    "less data": lambda r, honest: hostile.data(r.id, CONTENT[r.offset :][: max(1, r.length // 3)]),
    "more data": lambda r, honest: hostile.data(r.id, bytes(r.length + 1)),
    "as much as fits": lambda r, honest: hostile.data(r.id, bytes(READ_MAX)),
    "a length beyond its packet": lambda r, honest: hostile.packet(103, struct.pack(">II", r.id, 0xFFFF_FFFF) + b"x"),
    "a packet without end": lambda r, honest: struct.pack(">IB", 0xFFFF_FFFF, 103),
    "an empty packet": lambda r, honest: struct.pack(">I", 0),
    "text": lambda r, honest: b"Broadcast message from root: the system is going down\r\n",
    "version": lambda r, honest: hostile.VERSION,
    "a request": lambda r, honest: hostile.packet(READ, struct.pack(">I", r.id) + hostile.text(b"h")),
    "handle": lambda r, honest: hostile.handle(r.id, b"other"),
    "no handle": lambda r, honest: hostile.handle(r.id, b""),
    "a long handle": lambda r, honest: hostile.handle(r.id, bytes(300)),
    "attributes": lambda r, honest: hostile.attributes(r.id, 1 << 63),
    "a small size": lambda r, honest: hostile.attributes(r.id, 1),
    "attributes of no kind": lambda r, honest: hostile.packet(105, struct.pack(">II", r.id, 0x7FFF_FFFF)),
    "limits of 0": lambda r, honest: hostile.packet(201, struct.pack(">IQQQQ", r.id, 0, 0, 0, 0)),
    "limits of 1": lambda r, honest: hostile.packet(201, struct.pack(">IQQQQ", r.id, 1, 1, 1, 1)),
    "limits of all": lambda r, honest: hostile.packet(201, struct.pack(">I", r.id) + b"\xff" * 32),
    "short limits": lambda r, honest: hostile.packet(201, struct.pack(">IQ", r.id, 1)),
    **{f"status {code}": lambda r, honest, code=code: hostile.status(r.id, code, b"\x1b[2J\xff" * 9) for code in (*range(9), 99)},
    "a bare status": lambda r, honest: hostile.packet(101, struct.pack(">II", r.id, 2)),
}


@dataclass
class Script:
    """Answers honestly but for the lies, told to the n-th request of a kind."""

    lies: dict[tuple[int, int], str]
    seen: dict[int, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    server: Server | None = None

    def __call__(self, request: Request) -> bytes | None:
        number = self.seen[request.kind] = self.seen.get(request.kind, 0) + 1
        name = self.lies.get((request.kind, number - 1))
        if name is None:
            return None
        self.told.append(name)
        assert self.server is not None
        return LIES[name](request, self.server.honest(request))


@contextlib.contextmanager
def lying(script: Script, *, budget: float) -> Iterator[Retrying]:
    """A source on a server that follows the script; both are gone at the end."""
    server = script.server = Server(CONTENT, script)
    parent = Parent("host", "/store")
    source = Retrying(lambda: SftpSource(server.connect, parent, timeout=STALL_SECONDS), budget=budget, first_delay=0.001)
    try:
        with closing(source):
            yield source
    finally:
        server.stop()


MOMENTS = st.tuples(st.sampled_from([OPEN, READ, FSTAT, EXTENDED, CLOSE]), st.integers(0, 6))
SCRIPTS = st.dictionaries(MOMENTS, st.sampled_from(sorted(LIES)), max_size=5)


def fetch_all(source: Retrying) -> None:
    """Read a small file, which is never longer than its limit, and all of three large ones, in answers as long as asked for."""
    wanted = [
        Range(f"packs/{n % FILES}", at, min(90_000, len(CONTENT) - at)) for n, at in enumerate(range(0, len(CONTENT), 90_000))
    ]
    assert len(source.read_file("HEAD", limit=LIMIT)) <= LIMIT
    got = dict(source.fetch(wanted))
    assert got.keys() == set(wanted)
    assert all(len(data) == each.length for each, data in got.items())


@given(SCRIPTS)
def test_M2_D10_any_lies_end_in_time_with_content_or_a_foreseen_error(lies: dict[tuple[int, int], str]) -> None:
    script = Script(lies)
    started = time.monotonic()
    with lying(script, budget=0) as source:
        try:
            fetch_all(source)
        except NetclntError as error:
            assert error.exit_code in FORESEEN, error
            assert "\x1b" not in str(error)
            assert script.told, "an honest server was blamed"
    assert time.monotonic() - started < HANGS_SECONDS


@pytest.mark.timeout(900)
@given(
    st.dictionaries(MOMENTS, st.sampled_from(["end", "nothing", "half", "a foreign id", "text", "no data", "twice"]), max_size=4)
)
def test_D1_D10_what_breaks_the_line_is_tried_again_until_all_is_there(lies: dict[tuple[int, int], str]) -> None:
    """The lies of a script are told once each, so that some attempt meets an honest server."""
    with lying(Script(lies), budget=30) as source:
        fetch_all(source)


@given(st.binary(max_size=400), st.integers(0, 3))
def test_M2_any_bytes_for_a_greeting_and_answers(noise: bytes, after: int) -> None:
    """Bytes of no meaning, before or after some honest answers, and then the end of the stream."""
    answers = iter(range(after))

    def answer(request: Request) -> bytes | None:
        return None if next(answers, None) is not None else noise + END

    server = Server(CONTENT, answer, greeting=hostile.VERSION if after else noise)
    source = SftpSource(server.connect, Parent("host", "/store"), timeout=STALL_SECONDS)
    try:
        with pytest.raises(NetclntError) as caught:
            source.read_file("HEAD", limit=LIMIT)
        assert caught.value.exit_code in FORESEEN
    finally:
        source.close()
        server.stop()


END = hostile.packet(250, bytes(4))
"""A packet of a type that nobody knows."""
