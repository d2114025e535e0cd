"""What a benchmark runs in, all its own: a line that nobody else uses, a named file system, an sshd, a PostgreSQL.

As root the process goes into a network namespace, where the bytes on its loopback interface are those of the benchmark and of
nobody else, at no cost for any way; and into a mount namespace, so that nothing stays mounted however it ends. Nothing outside
can be reached from then on.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.measure import Bench, Fact, interface_bytes
from tests.support import sshd
from tests.support.databases import PostgreSQL, running

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000  # unshare(2); os.unshare is there from Python 3.12
MAKERS = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f", "-m", "reflink=1"]}
LOOP_BYTES, QUICK_LOOP_BYTES = 26 << 30, 1 << 30
"""Of the loop file: sparse, and gone at the end."""


@contextlib.contextmanager
def surroundings(
    cache: Path,
    *,
    filesystem: str,
    backing: Path,
    catalog: str,
    rounds: int,
    quick: bool,
    ways: Sequence[str] = ("*",),
    lock: Path | None = None,
) -> Iterator[Bench]:
    """``filesystem`` is "here" (that of the cache), "ext4" or "xfs" with reflinks, in a file below
    ``backing``; ``catalog`` is "postgresql" or "sqlite".
    Raises the Missing of either server, or OSError and CalledProcessError where the system refuses."""
    notes: list[str] = []
    with ExitStack() as stack:
        if os.geteuid() == 0:
            private_namespaces()
        else:
            notes.append("not root: wire bytes are those of the whole machine's loopback")
        scratch = stack.enter_context(_scratch(backing, filesystem, QUICK_LOOP_BYTES if quick else LOOP_BYTES))
        places = stack.enter_context(_catalogs(catalog, scratch))
        server = stack.enter_context(sshd.start())
        yield Bench(cache, scratch, server, places, interface_bytes, rounds, quick, ways, lock, notes)


def private_namespaces() -> None:
    """For this process and all that it starts from now on, until its end."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


@contextlib.contextmanager
def _scratch(home: Path, filesystem: str, size: int) -> Iterator[Path]:
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix="run.") as name:
        top = Path(name)
        if filesystem == "here":
            yield top
            return
        with _loop(top / "file", size) as device:
            subprocess.run([*MAKERS[filesystem], device], check=True)
            place = top / "mount"
            place.mkdir()
            discard = ["-o", "discard"] if _in_memory(home) else []  # or what was removed stays in memory
            subprocess.run(["mount", *discard, device, place], check=True)
            try:
                yield place
            finally:
                subprocess.run(["umount", "--lazy", place], check=True)


def _in_memory(path: Path) -> bool:
    return _filesystem(path) == "tmpfs"


def _filesystem(path: Path) -> str:
    return _first(["findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(path)])


@contextlib.contextmanager
def _loop(file: Path, size: int) -> Iterator[str]:
    """A loop device without a page cache of its own, so that no byte is held twice."""
    with file.open("wb") as opened:
        opened.truncate(size)
    command: list[str | Path] = ["losetup", "--find", "--show", "--direct-io=on", file]
    device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@contextlib.contextmanager
def _catalogs(kind: str, scratch: Path) -> Iterator[Callable[[], tuple[str, str]]]:
    if kind == "sqlite":
        yield lambda: (f"sqlite:{tempfile.mkdtemp(dir=scratch, prefix='catalog.')}/catalog", "")
        return
    with running(PostgreSQL) as server:

        def fresh() -> tuple[str, str]:
            database = server.create_database()
            return database.conn, database.password

        yield fresh


def facts(bench: Bench, *, catalog: str, backing: Path) -> dict[str, Fact]:
    """What the figures depend on: machine, file system, versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _first(["sh", "-c", "sed -n 's/^model name.*: //p' /proc/cpuinfo"]),
        "cores": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "filesystem": _filesystem(bench.scratch),
        "disk": "memory" if _in_memory(backing) else "disk",
        "quick": bench.quick,
        "catalog": catalog,
        "rounds": bench.rounds,
        "netclnt": _first(["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]),
        "openssh": _first(["sh", "-c", "ssh -V 2>&1"]),
        **{name: _first([name, "--version"]) for name in ("rsync", "rclone", "lftp") if shutil.which(name)},
    }


def _first(command: Sequence[str]) -> str:
    """The first line that a program prints; empty if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return next(iter(done.stdout.splitlines()), "").strip()
