"""Retry and parallel connections, over the in-memory source and hostile servers."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from netclnt.errors import Damaged, DeadlinePassed, HostKeyUnknown, LineBroken, SourceMissing, Unreachable
from netclnt.events import Retried
from netclnt.memory.source import MemorySource
from netclnt.model import Range
from netclnt.protocols import Source
from netclnt.sftp.parallel import Parallel
from netclnt.sftp.retry import Retrying

FILES = {"p": bytes(range(256)) * 400, "HEAD": b"head"}
RANGES = [Range("p", offset, 1000) for offset in range(0, 100_000, 1000)]
BROKEN = LineBroken(what="store", address="memory:", cause="test")


class Refusing(MemorySource):
    """Cannot be connected to."""

    def __init__(self, error: Exception) -> None:
        super().__init__({})
        self.error = error

    def read_file(self, path: str, *, limit: int) -> bytes:
        raise self.error

    def fetch(self, ranges):
        for _ in ranges:
            raise self.error
        yield from ()


class Making:
    """Makes the sources given, one after the other, the last one again and again; keeps what it made."""

    def __init__(self, *makers: Callable[[], Source]) -> None:
        self.makers = [*makers[:-1]]
        self.last = makers[-1]
        self.made: list[Source] = []

    def __call__(self) -> Source:
        self.made.append(self.makers.pop(0)() if self.makers else self.last())
        return self.made[-1]


def cut_after(count: int) -> Callable[[], Source]:
    def make() -> Source:
        source = MemorySource(FILES)
        source.cut_after = count
        return source

    return make


def whole() -> Source:
    return MemorySource(FILES)


def refused(error: Exception) -> Callable[[], Source]:
    return lambda: Refusing(error)


@pytest.fixture
def events() -> list[Retried]:
    return []


@pytest.fixture
def retrying(events) -> Iterator[Callable[..., Retrying]]:
    made: list[Retrying] = []

    def make(make_source: Callable[[], Source], budget: float = 10) -> Retrying:
        made.append(Retrying(make_source, budget=budget, observer=events.append, first_delay=0.001))
        return made[-1]

    yield make
    for source in made:
        source.close()


def test_D1_a_fetch_goes_on_where_it_was_cut(retrying, events):
    making = Making(cut_after(10_500), cut_after(0), cut_after(50_000), whole)
    source = retrying(making)
    got = list(source.fetch(iter(RANGES)))
    assert Counter(r for r, _ in got) == Counter(RANGES)
    assert all(data == FILES["p"][r.offset : r.offset + r.length] for r, data in got)
    assert [event.attempt for event in events] == [1, 2, 1]
    assert {event.what for event in events} == {"store"}
    assert source.connections == 4
    assert source.bytes_received == 100_000


def test_a_small_file_is_read_again(retrying, events):
    source = retrying(Making(cut_after(0), refused(DeadlinePassed(what="store", address="", seconds=3)), whole))
    assert source.read_file("HEAD", limit=4) == b"head"
    assert [event.reason for event in events] == ["the connection was closed", "no progress for 3 s"]


def test_D6_progress_sets_the_budget_back(retrying, events):
    source = retrying(cut_after(3000), budget=0.05)
    assert len(list(source.fetch(RANGES))) == 100
    assert len(events) > 20


def test_D3_away_for_good_ends_with_the_last_error_after_bounded_attempts(retrying, events):
    source = retrying(refused(Unreachable(what="store", address="", cause="refused")), budget=0.2)
    with pytest.raises(Unreachable):
        list(source.fetch(RANGES))
    assert 3 <= len(events) <= 10
    assert sum(event.delay for event in events) <= 0.2
    with pytest.raises(Unreachable):
        source.read_file("HEAD", limit=4)


@pytest.mark.parametrize(
    "error",
    [
        HostKeyUnknown(address="", fingerprint="", known_hosts=""),
        Damaged(what="file", where="p", problem=""),
        SourceMissing(path="p", cause=""),
    ],
)
def test_what_is_as_true_at_the_second_try_is_not_retried(retrying, events, error):
    making = Making(refused(error))
    source = retrying(making)
    with pytest.raises(type(error)):
        source.read_file("HEAD", limit=4)
    with pytest.raises(type(error)):
        list(source.fetch(RANGES))
    assert events == []
    assert len(making.made) == 1


def test_the_consumers_own_errors_are_not_retried(retrying, events):
    def planned() -> Iterator[Range]:
        yield from RANGES[:10]
        raise BROKEN

    with pytest.raises(LineBroken):
        list(retrying(whole).fetch(planned()))
    assert events == []


def test_a_fetch_that_feeds_on_another_is_retried_once_for_both(retrying):
    source = retrying(Making(cut_after(20_000), whole))

    def planned() -> Iterator[Range]:
        for wanted, _ in source.fetch(RANGES[:50]):
            yield Range("p", wanted.offset + 1, 999)

    assert Counter(r.offset for r, _ in source.fetch(planned())) == Counter(r.offset + 1 for r in RANGES[:50])
    assert source.connections == 2


def test_close_ends_the_pause(events):
    waiting = threading.Event()

    def observe(event) -> None:
        events.append(event)
        waiting.set()

    source = Retrying(refused(BROKEN), budget=1000, observer=observe, first_delay=500)
    closer = threading.Thread(target=lambda: (waiting.wait(), source.close()))
    closer.start()
    with pytest.raises(LineBroken):
        source.read_file("HEAD", limit=4)
    closer.join()
    assert len(events) == 1


# --- parallel


@pytest.fixture
def parallel() -> Iterator[Callable[..., Parallel]]:
    made: list[Parallel] = []

    def make(first: Callable[[], Source], spare: Callable[[], Source], connections: int = 3) -> Parallel:
        made.append(Parallel(first(), spare, worth=lambda: connections, in_flight=5000))
        return made[-1]

    yield make
    for source in made:
        source.close()


def assert_all(source: Source, ranges: list[Range] = RANGES) -> None:
    got = list(source.fetch(iter(ranges)))
    assert Counter(r for r, _ in got) == Counter(ranges)
    assert all(data == FILES["p"][r.offset : r.offset + r.length] for r, data in got)


def test_all_ranges_arrive_once_over_all_connections(parallel):
    making = Making(whole)
    source = parallel(whole, making)
    for _ in range(20):
        assert_all(source)
    assert len(making.made) == 2
    assert source.bytes_received == 20 * 100_000


def test_a_small_fetch_needs_no_second_connection(parallel):
    making = Making(whole)
    source = parallel(whole, making)
    assert_all(source, RANGES[:5])
    assert making.made == []
    assert source.connections == 1


@pytest.mark.parametrize("error", [BROKEN, Unreachable(what="store", address="", cause="Exceeded MaxStartups")])
def test_D8_a_refused_spare_connection_means_fewer(parallel, error):
    making = Making(refused(error))
    source = parallel(whole, making)
    assert_all(source)
    assert_all(source)
    assert len(making.made) <= 2


def test_D8_a_spare_connection_that_breaks_gives_its_ranges_back(parallel):
    for size in (0, 500, 5000, 20_000):
        assert_all(parallel(whole, cut_after(size)))


@pytest.mark.parametrize("error", [SourceMissing(path="p", cause=""), HostKeyUnknown(address="", fingerprint="", known_hosts="")])
def test_the_first_error_stops_all(parallel, error):
    endless = (Range("p", n % 1000, 1000) for n in itertools.count())
    with pytest.raises(type(error)):
        for _ in parallel(whole, refused(error)).fetch(endless):
            pass


def test_the_first_connections_trouble_is_the_fetchs(parallel):
    endless = (Range("p", n % 1000, 1000) for n in itertools.count())
    source = parallel(cut_after(50_000), whole)
    with pytest.raises(LineBroken):
        for _ in source.fetch(endless):
            pass


def test_the_iterable_is_read_in_the_consumers_thread_and_not_far_ahead(parallel):
    threads = set()
    taken = itertools.count()

    def planned() -> Iterator[Range]:
        for n in taken:
            threads.add(threading.current_thread())
            yield Range("p", n % 1000, 1000)

    fetch = parallel(whole, whole).fetch(planned())
    for _ in range(50):
        next(fetch)
    fetch.close()
    assert threads == {threading.current_thread()}
    assert next(taken) <= 50 + 2 * 3 * 5 + 2


def test_C8_closing_ends_the_workers_of_a_fetch_that_somebody_still_holds():
    """As the error of a consumer does, which is told later on: a worker that waits for good would outlive the run."""
    lines = Parallel(whole(), whole, worth=lambda: 1, in_flight=4000)
    held = lines.fetch(iter(RANGES))
    next(held)
    before = {thread for thread in threading.enumerate() if thread.name.startswith("sftp")}
    assert before
    lines.close()
    for thread in before:
        thread.join(10)
        assert not thread.is_alive()
    held.close()


def test_closing_from_another_thread_ends_a_fetch_whose_workers_stop_quietly():
    closing = threading.Event()

    class Late(MemorySource):
        def fetch(self, ranges):
            for answer in super().fetch(ranges):
                closing.wait(10)  # what is in flight still comes, and then no worker meets an error
                yield answer

        def close(self) -> None:
            closing.set()

    lines = Parallel(Late(FILES), whole, worth=lambda: 1, in_flight=4000)
    closer = threading.Timer(0.1, lines.close)
    closer.start()
    with pytest.raises(LineBroken, match="closed"):
        for _ in lines.fetch(Range("p", n % 1000, 1000) for n in itertools.count()):
            pass
    closer.join()


def test_closing_from_another_thread_ends_a_fetch_that_puts_one_more_line_to_work():
    lines = Parallel(whole(), lambda: (closer(), whole())[1], worth=lambda: 2, in_flight=4000)

    def closer() -> None:
        closing = threading.Thread(target=lines.close)
        closing.start()
        closing.join()

    endless = (Range("p", n % 1000, 1000) for n in itertools.count())
    with pytest.raises(LineBroken, match="closed"):
        for _ in lines.fetch(endless):
            pass
