"""What a run costs, and the row that every section of the benchmark yields.

How a section plugs in: a module of this package with a function ``rows(bench: Bench) -> Iterator[Row]``, whose name is in
:data:`tests.bench.run.SECTIONS`; ``python -m tests.bench.run --only NAME,…`` runs it. It yields a row for each single run, round
after round with the ways in turn (the report takes the medians), as soon as it has it, and cleans up what it made, also when it
is closed early. It works in ``bench.scratch`` only. With ``bench.quick`` it takes a few seconds in all. What a machine lacks
(a program, a right) is no error: ``bench.note(TEXT)`` says what was left out and why. Two names of the module may say more:
``GOALS``, what its figures are held against (:class:`tests.bench.report.Goal`), and ``IMAGES``, the formats of
:mod:`tests.bench.images` that it reads from the cache, which are made before it starts (there is no way out of the benchmark's
own network). What keeps the machine busy, each single run with its preparation, goes into ``with bench.alone():``.

A run that is measured goes through :func:`run` (or :class:`Running`, for several at once), so that all costs are taken the same
way: wall seconds up to the end of the process and of what has to be on disk; CPU seconds (user and system) of the process and of
all of its own that it waited for; the peak of its largest process; on request what the server spent
and what went over the line meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fcntl import LOCK_EX, flock
from fnmatch import fnmatch
from pathlib import Path
from typing import IO

from tests.support.sshd import Sshd, descendants

NETCLNT = str(Path(sys.executable).with_name("netclnt"))
TICKS = os.sysconf("SC_CLK_TCK")
LIMIT_SECONDS = 1800.0
QUIET_SECONDS = 5.0
"""How long a server's sessions may take to end after their client has."""

Fact = int | float | str | bool


@dataclass(frozen=True)
class Row:
    """One run. ``section`` is the module's name, ``case`` what is done (with its unit of comparison: a format, a line), ``way``
    who does it. Bytes and seconds; None where it is not known. ``facts`` are further figures, by names of the section's own."""

    section: str
    case: str
    way: str
    seconds: float
    cpu: float = 0.0
    peak: int = 0
    wire: int | None = None
    reused: int | None = None
    server_cpu: float | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """What one run took. ``cpu`` in seconds, ``peak`` in bytes, of the largest process; ``wire`` counts bytes of the line with
    all headers, in both directions. ``output`` and ``errors`` are what it printed."""

    code: int
    output: str
    errors: str
    seconds: float
    cpu: float
    peak: int
    server_cpu: float | None = None
    wire: int | None = None

    def row(self, section: str, case: str, way: str, *, reused: int | None = None, **facts: Fact) -> Row:
        return Row(section, case, way, self.seconds, self.cpu, self.peak, self.wire, reused, self.server_cpu, facts)

    def events(self, kind: str) -> list[dict[str, Fact]]:
        """The events of this type that a ``netclnt --json`` printed."""
        return [event for event in map(json.loads, self.output.splitlines()) if event["type"] == kind]


@dataclass(frozen=True)
class Bench:
    """What all sections share. ``cache`` outlives the benchmark (images that take minutes to make); ``scratch`` is on the named
    file system and empty at the start; ``server`` is the private sshd; ``catalog()`` gives the CONN of a fresh, empty catalog and
    its password (empty: none); ``wire()`` counts the bytes that passed on the interface between client and server so far."""

    cache: Path
    scratch: Path
    server: Sshd
    catalog: Callable[[], tuple[str, str]]
    wire: Callable[[], int]
    rounds: int = 3
    quick: bool = False
    ways: Sequence[str] = ("*",)
    lock: Path | None = None
    notes: list[str] = field(default_factory=list)

    def wanted(self, way: str) -> bool:
        """Whether the patterns ``ways`` ask for this one."""
        return any(fnmatch(way, pattern) for pattern in self.ways)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """With ``lock``, a file, no one else who locks it runs meanwhile: for a machine that several people measure on."""
        if self.lock is None:
            yield
            return
        with self.lock.open("ab") as file:
            flock(file, LOCK_EX)
            yield

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def run(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        codes: Sequence[int] = (0,),
        flush: Sequence[Path] = (),
    ) -> Cost:
        """:func:`run`, with this benchmark's server and line."""
        return run(
            command, cwd=cwd, environment=environment, codes=codes, flush=flush, server=self.server.process.pid, wire=self.wire
        )


class Failed(Exception):
    """A measured command ended with a code that it should not have."""


@dataclass(eq=False)
class Running:
    """A command under way, without standard input; several may run at once. ``environment`` is added to this process's own. End
    it by ``wait`` or ``stop``, once. It is killed after ``limit`` seconds of waiting."""

    command: Sequence[str | Path]
    cwd: Path | None = None
    environment: Mapping[str, str] | None = None
    limit: float = LIMIT_SECONDS
    output: IO[bytes] = field(default_factory=tempfile.TemporaryFile)
    errors: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    def __post_init__(self) -> None:
        words = [str(word) for word in self.command]
        environment = {**os.environ, **(self.environment or {})}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody who has netclnt installed compiles it at each start
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.errors, cwd=self.cwd, env=environment
        )

    def wait(self, *, codes: Sequence[int] = (0,), flush: Sequence[Path] = ()) -> Cost:
        """Until the command has ended and all of ``flush`` is on disk. Raises Failed for an exit code other than ``codes``.

        The kernel takes this program's own size, about 30 MiB, for the least that a child has used."""
        watch = threading.Timer(self.limit, self.process.kill)
        watch.start()
        try:
            _, status, usage = os.wait4(self.process.pid, 0)
        finally:
            watch.cancel()
        code = self.process.returncode = os.waitstatus_to_exitcode(status)
        for path in flush if code in codes else ():
            to_disk(path)
        seconds = time.monotonic() - self.started
        output, errors = self._said()
        if code not in codes:
            words = " ".join(map(str, self.command))
            raise Failed(f"exit code {code} of {words}\n{output[-2000:]}\n{errors[-2000:]}")
        return Cost(code, output, errors, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)

    def stop(self) -> None:
        """Kill it: it is not wanted any more."""
        self.process.kill()
        self.process.wait()
        self._said()

    def _said(self) -> tuple[str, str]:
        with self.output as output, self.errors as errors:
            output.seek(0)
            errors.seek(0)
            return output.read().decode(errors="replace"), errors.read().decode(errors="replace")


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    limit: float = LIMIT_SECONDS,
    codes: Sequence[int] = (0,),
    flush: Sequence[Path] = (),
    server: int | None = None,
    wire: Callable[[], int] | None = None,
) -> Cost:
    """Start and wait. With ``server``, a process id, its CPU seconds are taken too, once its sessions have ended; with ``wire``,
    a counter, what it counted meanwhile."""
    spent = 0.0 if server is None else tree_cpu(server)
    passed = 0 if wire is None else wire()
    cost = Running(command, cwd, environment, limit).wait(codes=codes, flush=flush)
    if server is not None:
        wait_until_idle(server)
    return Cost(
        cost.code, cost.output, cost.errors, cost.seconds, cost.cpu, cost.peak,
        server_cpu=None if server is None else tree_cpu(server) - spent,
        wire=None if wire is None else wire() - passed,
    )  # fmt: skip


def netclnt(config: Path, *words: str | Path) -> list[str]:
    """The command line of the netclnt beside this Python, with JSON Lines on standard output."""
    return [NETCLNT, "--config", str(config), "--json", *map(str, words)]


def tree_cpu(pid: int) -> float:
    """CPU seconds, in ticks of 10 ms, of a process, of its descendants, and of all of those that it or they waited for."""
    ticks = 0
    for each in (pid, *descendants(pid)):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        ticks += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime: proc(5)
    return ticks / TICKS


def wait_until_idle(pid: int) -> None:
    """Until a server has no sessions, for its share of them is counted when it has waited for them."""
    deadline = time.monotonic() + QUIET_SECONDS
    while descendants(pid) and time.monotonic() < deadline:
        time.sleep(0.01)


def interface_bytes(name: str = "lo") -> int:
    """Bytes that this network namespace's interface has received: on loopback all that passed, in both directions."""
    for line in Path("/proc/self/net/dev").read_text().splitlines():
        if line.strip().startswith(f"{name}:"):
            return int(line.partition(":")[2].split()[0])
    raise LookupError(name)


def to_disk(path: Path) -> None:
    """A file, by its fsync; a directory, by one sync of its whole file system, which is what a tool without fsync needs."""
    if path.is_dir():
        subprocess.run(["sync", "--file-system", str(path)], check=True)
        return
    for each in (path, path.parent):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
