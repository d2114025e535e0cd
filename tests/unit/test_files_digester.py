"""The process that digests a large staged file: what it answers, and how it dies."""

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xxhash

from netclnt.errors import StorageFailed
from netclnt.files import digesting
from netclnt.files.digester import ProcessDigester
from netclnt.files.digesting import Digesting
from netclnt.protocols import DigesterLost
from tests.support.processes import children

SEED = 0xFEDCBA9876543210
MB = 1 << 20


def check(data):
    return xxhash.xxh3_128(data, seed=SEED).digest()


def sha256(data):
    return hashlib.sha256(data).digest()


@pytest.fixture
def content(tmp_path):
    """A page of noise, then one with a hole between two parts of data."""
    data = random.Random(1).randbytes(3 * MB + 5) + b"a" * 4096 + bytes(5 * MB) + b"b" * 4096
    with (tmp_path / "file").open("wb") as file:
        file.write(data[: 3 * MB + 4101])
        file.seek(5 * MB, os.SEEK_CUR)
        file.write(b"b" * 4096)
    return data


@pytest.fixture
def digester(content, tmp_path):
    made = start(tmp_path)
    yield made
    made.close()


def start(tmp_path, flags=os.O_RDONLY):
    return ProcessDigester(os.open(tmp_path / "file", flags), path=str(tmp_path / "file"), hash_seed=SEED)


FIRST = 3 * MB + 5
SECOND = [(False, 4096), (True, 5 * MB), (False, 4096)]


def test_pages_follow_each_other_and_holes_count(digester, content):
    assert digester.page(0, [(False, FIRST)], check(content[:FIRST])) == sha256(content[:FIRST])
    assert digester.page(FIRST, SECOND, check(b"a" * 4096 + b"b" * 4096)) == sha256(content)


def test_a_corrupt_page_leaves_the_digest_where_it_was(digester, content, tmp_path):
    assert digester.page(0, [(False, FIRST)], check(content[:FIRST])) is not None
    with (tmp_path / "file").open("r+b") as file:
        file.seek(FIRST + 4095)
        file.write(b"x")
    assert digester.page(FIRST, SECOND, check(b"a" * 4096 + b"b" * 4096)) is None
    with (tmp_path / "file").open("r+b") as file:
        file.seek(FIRST + 4095)
        file.write(b"a")
    assert digester.page(FIRST, SECOND, check(b"a" * 4096 + b"b" * 4096)) == sha256(content)


def test_what_lies_where_zeros_should_be_shows_in_the_digest(digester, content, tmp_path):
    with (tmp_path / "file").open("r+b") as file:
        file.seek(FIRST + 4096 + MB)
        file.write(b"x")
    content = (tmp_path / "file").read_bytes()
    assert digester.page(0, [(False, FIRST)], check(content[:FIRST])) is not None
    assert digester.page(FIRST, SECOND, check(b"a" * 4096 + b"b" * 4096)) == sha256(content)


def test_C20_a_file_that_ends_too_early_has_another_check(digester, content, tmp_path):
    os.truncate(tmp_path / "file", FIRST - 1)
    assert digester.page(0, [(False, FIRST)], check(content[:FIRST])) is None


def test_C8_an_error_of_the_disk_is_told_as_such(content, tmp_path):
    digester = start(tmp_path, os.O_WRONLY)
    try:
        with pytest.raises(StorageFailed) as caught:
            digester.page(0, [(False, FIRST)], check(content[:FIRST]))
        assert (caught.value.action, caught.value.errno) == ("read", errno.EBADF)
    finally:
        digester.close()


@pytest.mark.parametrize("asked_before", [False, True])
def test_A2_killed_it_is_lost(digester, content, asked_before):
    if asked_before:
        digester.page(0, [(False, FIRST)], check(content[:FIRST]))
    (pid,) = [pid for pid, command in children(os.getpid()).items() if "netclnt.files.digesting" in command]
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(DigesterLost):
        digester.page(0, [(False, FIRST)], check(content[:FIRST]))
    digester.close()


def test_P9_stopped_it_is_lost(content, tmp_path):
    stopped = ProcessDigester(os.open(tmp_path / "file", os.O_RDONLY), path="file", hash_seed=SEED, patience=0.2)
    (pid,) = [pid for pid, command in children(os.getpid()).items() if "netclnt.files.digesting" in command]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(DigesterLost):
            stopped.page(0, [(False, FIRST)], check(content[:FIRST]))
    finally:
        stopped.close()


def test_a_program_that_does_not_start_is_lost_too(content, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    digester = start(tmp_path)
    try:
        with pytest.raises(DigesterLost):
            for _ in range(1000):  # a pipe takes what nobody reads
                digester.page(0, [(False, FIRST)], check(content[:FIRST]))
    finally:
        digester.close()


def test_it_has_a_session_of_its_own_and_ends_with_whoever_started_it(content, tmp_path):
    code = (
        "import os, sys, time\n"
        "from netclnt.files.digester import ProcessDigester\n"
        f"digester = ProcessDigester(os.open({str(tmp_path / 'file')!r}, os.O_RDONLY), path='file', hash_seed=0)\n"
        "print(digester._child.pid, os.getsid(digester._child.pid) != os.getsid(0), flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, own_session = parent.stdout.readline().split()
        assert own_session == "True"
        parent.kill()
    deadline = time.monotonic() + 20
    while alive(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(int(pid))


def alive(pid):
    """A zombie that nobody has waited for yet has ended, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_disk_gets_what_was_digested_and_memory_forgets_what_lies_far_behind(content, tmp_path, monkeypatch):
    monkeypatch.setattr(digesting, "_IN_MEMORY", 4 * MB)
    told = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _descriptor, offset, length, advice: told.append((offset, length, advice)))
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        follow = Digesting(descriptor, SEED)
        for offset in range(0, 3 * MB, MB):
            assert follow.page(offset, [(False, MB)], check(content[offset : offset + MB]).hex()) is not None
        assert told == [(offset, MB, os.POSIX_FADV_DONTNEED) for offset in range(0, 3 * MB, MB)]
        follow.page(3 * MB, [(False, 5), *SECOND], check(content[3 * MB : FIRST] + b"a" * 4096 + b"b" * 4096).hex())
        assert [offset for offset, _, _ in told[3:]] == [3 * MB, 0, MB, 2 * MB, 3 * MB]
    finally:
        os.close(descriptor)
