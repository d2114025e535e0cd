"""What is read ahead and digested behind is the file, in order, whatever the reads give at once."""

import hashlib
import threading
from contextlib import contextmanager
from io import BytesIO

import pytest

from netclnt import intake as taking
from netclnt.errors import SourceChanged
from netclnt.intake import Intake

PART = 4096


@pytest.fixture(autouse=True)
def small_buffers(monkeypatch):
    monkeypatch.setattr(taking, "READ_SIZE", PART)
    monkeypatch.setattr(taking, "_INLINE_DIGEST_MAX", PART // 4)


@contextmanager
def intake():
    told = []
    with Intake(told.append) as made:
        made.told = told
        yield made


def content(size, number=0):
    return hashlib.shake_128(bytes([number])).digest(size)


def take(passing):
    parts = []
    while not parts or len(parts[-1]) == PART:
        parts.append(bytes(passing.read(PART)))
    return parts


class Trickle(BytesIO):
    """Gives less than asked for, as a pipe does."""

    def readinto(self, buffer):
        return super().readinto(memoryview(buffer)[:1000])


@pytest.mark.parametrize("size", [0, 1, PART // 4, PART - 1, PART, PART + 1, 9 * PART, 23 * PART + 5])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("kind", [BytesIO, Trickle])
def test_a_file_comes_whole_and_digested(size, known, kind):
    data = content(size)
    with intake() as made, made.file(kind(data), size=size if known else None) as passing:
        parts = take(passing)
        assert b"".join(parts) == data
        assert all(len(part) == PART for part in parts[:-1])
        assert (passing.size, passing.digest()) == (size, hashlib.sha256(data).digest())
        assert sum(made.told) == size


def test_files_follow_each_other_in_the_same_buffers():
    with intake() as made:
        for number in range(30):
            data = content(number * 1500, number)
            with made.file(BytesIO(data), size=len(data)) as passing:
                assert b"".join(take(passing)) == data
                assert passing.digest() == hashlib.sha256(data).digest()


def test_a_buffer_is_not_filled_again_while_it_is_digested(monkeypatch):
    """The digest is held up until the reading has gone as far ahead as it can."""
    may_digest = threading.Event()

    class Slow:
        def __init__(self):
            self.inner = hashlib.new("sha256")

        def update(self, data):
            may_digest.wait(10)
            self.inner.update(data)

        def digest(self):
            return self.inner.digest()

    monkeypatch.setattr(taking.hashlib, "sha256", Slow)
    data = content(20 * PART)
    with intake() as made, made.file(BytesIO(data), size=len(data)) as passing:
        for _ in range(taking._BUFFERS - 1):
            passing.read(PART)
        threading.Timer(0.2, may_digest.set).start()
        take(passing)
        assert passing.digest() == hashlib.new("sha256", data).digest()


def test_what_comes_over_a_pipe_is_never_read_ahead():
    calls = []

    class Counted(BytesIO):
        def readinto(self, buffer):
            calls.append(threading.current_thread().name)
            return super().readinto(buffer)

    with intake() as made, made.file(Counted(content(4 * PART)), size=None) as passing:
        passing.read(PART)
        assert calls == [threading.current_thread().name]


def test_an_error_of_the_reading_thread_is_raised_where_the_part_is_asked_for():
    class Broken(BytesIO):
        def readinto(self, buffer):
            if self.tell() >= 2 * PART:
                raise SourceChanged(path="it")
            return super().readinto(buffer)

    with intake() as made, made.file(Broken(content(5 * PART)), size=5 * PART) as passing:
        passing.read(PART)
        passing.read(PART)
        with pytest.raises(SourceChanged):
            passing.read(PART)


def test_nothing_reads_a_file_that_was_left_early():
    reading = threading.Event()
    finished = []

    class Slow(BytesIO):
        def readinto(self, buffer):
            if self.tell():
                reading.set()
                threading.Event().wait(0.2)
            got = super().readinto(buffer)
            finished.append(got)
            return got

    with intake() as made:
        with made.file(Slow(content(9 * PART)), size=9 * PART) as passing:
            passing.read(PART)
            reading.wait(10)
        assert len(finished) == 2
        with made.file(BytesIO(b"next"), size=4) as passing:
            assert take(passing) == [b"next"]
