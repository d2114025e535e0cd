"""The contract of Source, on the in-memory twin and on both transports against a real sshd."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from netclnt.errors import Damaged, ForbiddenName, ForbiddenValue, LineBroken, SourceMissing
from netclnt.memory.source import MemorySource
from netclnt.model import Range
from netclnt.protocols import Source
from netclnt.sftp import open_source, parse_parent
from netclnt.sftp.flow import IN_FLIGHT
from tests.support.sshd import Sshd

KINDS = ("memory", "paramiko", "openssh", "paramiko-2", "openssh-2", "paramiko-0")
BIG = 3_000_017


@dataclass(frozen=True, slots=True)
class Marked(Range):
    """A consumer's own kind of range."""

    mark: int


@dataclass
class Place:
    """A store to read, as a dictionary or a directory, and a source on it."""

    source: Source
    put: Callable[[str, bytes], None]
    remove: Callable[[str], None]


def directory_place(kind: str, sshd: Sshd, directory: Path) -> Place:
    transport, _, connections = kind.partition("-")
    store = directory / "a store"
    store.mkdir()

    def put(path: str, data: bytes) -> None:
        target = store / path
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name("fresh")
        fresh.write_bytes(data)
        fresh.rename(target)

    source = open_source(
        parse_parent(sshd.url(store).replace(" ", "%20")),
        transport="openssh" if transport == "openssh" else "paramiko",
        identity=sshd.identity,
        known_hosts=sshd.known_hosts,
        timeout=20,
        retry_budget=0,
        connections=int(connections or 1),  # 0: as many as the line is worth
    )
    return Place(source, put, lambda path: (store / path).unlink())


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "memory":
        files: dict[str, bytes] = {}
        chosen = Place(MemorySource(files), files.__setitem__, files.__delitem__)
    else:
        chosen = directory_place(request.param, request.getfixturevalue("sshd"), tmp_path)
    yield chosen
    chosen.source.close()


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def test_a_small_file_is_read_whole(place):
    place.put("HEAD", b"all of it\n")
    assert place.source.read_file("HEAD", limit=10) == b"all of it\n"


def test_an_empty_file_is_read(place):
    place.put("empty", b"")
    assert place.source.read_file("empty", limit=0) == b""
    assert place.source.bytes_received == 0


def test_a_file_of_several_requests_is_read_whole(place):
    data = content(700_001)
    place.put("manifests/m1", data)
    assert place.source.read_file("manifests/m1", limit=1 << 20) == data
    assert place.source.bytes_received == len(data)


def test_a_file_longer_than_the_limit_is_refused(place):
    place.put("HEAD", b"12345")
    with pytest.raises(ForbiddenValue):
        place.source.read_file("HEAD", limit=4)
    assert place.source.read_file("HEAD", limit=5) == b"12345"


def test_a_file_that_is_replaced_is_read_anew(place):
    place.put("HEAD", b"one")
    list(place.source.fetch([Range("HEAD", 0, 3)]))
    place.put("HEAD", b"second")
    assert place.source.read_file("HEAD", limit=100) == b"second"


def test_a_missing_file_is_told_and_the_source_goes_on(place):
    place.put("there", b"x" * 10)
    with pytest.raises(SourceMissing) as caught:
        place.source.read_file("gone", limit=10)
    assert caught.value.path == "gone"
    with pytest.raises(SourceMissing) as caught:
        list(place.source.fetch([Range("there", 0, 4), Range("packs/gone", 0, 4), Range("there", 4, 4)]))
    assert caught.value.path == "packs/gone"
    assert list(place.source.fetch([Range("there", 2, 3)])) == [(Range("there", 2, 3), b"xxx")]


@pytest.mark.parametrize("path", ["../up", "/etc/hostname", "a//b", "a/./b", "nul\0", ""])
def test_F1_a_path_out_of_the_store_is_refused(place, path):
    with pytest.raises(ForbiddenName):
        place.source.read_file(path, limit=1 << 20)
    with pytest.raises(ForbiddenName):
        list(place.source.fetch([Range(path, 0, 1)]))


def test_ranges_of_many_sizes_and_files_arrive_whole(place):
    files = {f"packs/{n}": content(BIG if n == 0 else 40_000, n) for n in range(12)}
    for path, data in files.items():
        place.put(path, data)
    chance = random.Random(7)
    wanted = []
    for mark in range(300):
        path = f"packs/{chance.randrange(12)}"
        size = len(files[path])
        offset = chance.randrange(size)
        longest = min(size - offset, chance.choice([0, 1, 500, 32_768, 261_120, 261_121, 1_000_000]))
        wanted.append(Marked(path, offset, longest, mark))
    got = dict(place.source.fetch(wanted))
    assert got.keys() == set(wanted)
    assert all(data == files[r.path][r.offset : r.offset + r.length] for r, data in got.items())
    assert all(type(data) is bytes for data in got.values())
    assert place.source.bytes_received == sum(r.length for r in wanted)


def test_the_same_range_twice_is_answered_twice(place):
    place.put("p", content(1000))
    twice = Range("p", 10, 20)
    assert list(place.source.fetch([twice, twice])) == [(twice, content(1000)[10:30])] * 2


def test_D12_a_file_that_ends_before_the_range_is_damaged(place):
    place.put("p", b"x" * 100_000)
    with pytest.raises(Damaged) as caught:
        list(place.source.fetch([Range("p", 99_999, 2)]))
    assert caught.value.where == "p"
    assert next(iter(place.source.fetch([Range("p", 99_999, 1)])))[1] == b"x"


def test_an_endless_iterable_is_taken_only_as_bytes_in_flight_allow(place):
    place.put("p", content(100_000))
    taken = itertools.count()
    fetch = place.source.fetch(Range("p", n % 50_000, 50_000) for n in taken)
    for _ in range(10):
        next(fetch)
    fetch.close()
    assert next(taken) <= 10 + 5 * IN_FLIGHT // 50_000
    assert place.source.read_file("p", limit=100_000) == content(100_000)


def test_nothing_asked_contacts_nobody(place):
    assert list(place.source.fetch([])) == []
    assert place.source.connections == 0
    assert place.source.bytes_received == 0


def test_an_error_of_the_iterable_passes_through(place):
    place.put("p", b"data")

    def broken() -> Iterator[Range]:
        yield Range("p", 0, 4)
        raise LineBroken(what="catalog", address="elsewhere", cause="test")

    with pytest.raises(LineBroken) as caught:
        list(place.source.fetch(broken()))
    assert caught.value.what == "catalog"
    assert place.source.read_file("p", limit=4) == b"data"


def test_a_file_is_read_between_the_results_of_a_fetch(place):
    place.put("p", content(BIG))
    place.put("HEAD", b"now")
    ranges = [Range("p", offset, 100_000) for offset in range(0, BIG - 100_000, 100_000)]
    seen = []
    for wanted, data in place.source.fetch(ranges):
        seen.append(wanted)
        assert data == content(BIG)[wanted.offset : wanted.offset + 100_000]
        if len(seen) % 10 == 1:
            assert place.source.read_file("HEAD", limit=3) == b"now"
    assert sorted(seen, key=lambda r: r.offset) == ranges


def test_a_fetch_may_feed_on_another_fetch(place):
    place.put("index", content(50_000))
    place.put("p", content(BIG))

    def planned() -> Iterator[Range]:
        for wanted, data in place.source.fetch(Range("index", offset, 1000) for offset in range(0, 50_000, 1000)):
            yield Range("p", wanted.offset, len(data) * 50)

    assert all(data == content(BIG)[r.offset : r.offset + 50_000] for r, data in place.source.fetch(planned()))


def test_close_from_another_thread_ends_a_fetch(place):
    place.put("p", content(100_000))
    fetch = place.source.fetch(Range("p", n % 50_000, 50_000) for n in itertools.count())
    next(fetch)
    closer = threading.Thread(target=place.source.close)
    closer.start()
    with pytest.raises(LineBroken):
        for _ in fetch:
            pass
    closer.join()
    place.source.close()
    with pytest.raises(LineBroken):
        place.source.read_file("p", limit=100_000)


def test_the_address_tells_no_more_than_the_place(place):
    assert place.source.address.startswith(("sftp://", "memory:"))
