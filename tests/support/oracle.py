"""The oracle of the fault tests: what must hold after any fault, and after one more run without one.

    with oracle(site) as watch:
        run = watch.slave("sync", before=tracing(…))     # the faulty one; it may fail, within its bounds
    # leaving the block runs `settle`: what is live, what the ledger claims, a fault-free sync, and all of it once more

A test with several faults calls `settle` after each. What the site published through `Site.publish` (or `Site.remember`) is what
may be live. Nothing here believes netclnt, but for the one check of its journal against staging.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest

from netclnt.checking import BUFFER_SIZE, page_matches
from netclnt.localmanifests import LocalManifest, Manifests
from tests.support.processes import children
from tests.support.site import NETCLNT, Run, Shape, Site, checked, hash_file, shape
from tests.support.trace import aimed, is_hit, is_library_hit, is_output_hit

DEADLINE = 60.0
"""Seconds within which a faulty run must have ended, unless the test says otherwise."""

MEMORY = 256 << 20
"""Bytes of resident memory that no run may exceed (issue 3)."""

_POLL_SECONDS = 0.01
_LOOKS_A_SCAN = 25
"""To find the children of a process, all processes are looked at."""
_CHILDREN_SECONDS = 5.0
_DEATHS = ("Traceback", "Exception ignored", "Exception in thread", "Fatal Python error")
_WORK = ".netclnt"


@dataclass(eq=False)
class Started:
    """A command under way, in a process group of its own. The oracle that started it ends it."""

    process: subprocess.Popen[bytes]
    out: IO[bytes]
    err: IO[bytes]
    files: ExitStack
    until: float
    memory: int
    look: Callable[[Run], None]
    ended: Run | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)  # not Popen's way, which would wait for one that has ended

    def wait(self) -> Run:
        """The run that ended; fails the test where it outlives its deadline or takes more memory than it may."""
        if self.ended is None:
            status, peak = self._wait4()
            self.process.returncode = os.waitstatus_to_exitcode(status)
            self.ended = Run(self.process.returncode, _text(self.out), _text(self.err))
            assert peak <= self.memory, f"{peak >> 20} MiB of memory"
            assert self._alone(), "it left a process behind"
            self.look(self.ended)
        return self.ended

    def kill(self) -> None:
        """End it, and whatever it started, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if self.process.returncode is None:
            _, status = os.waitpid(self.pid, 0)
            self.process.returncode = os.waitstatus_to_exitcode(status)
        self.files.close()

    def _alone(self) -> bool:
        """Whether all that it started has ended, too, or does so soon."""
        until = time.monotonic() + _CHILDREN_SECONDS
        while time.monotonic() < until:
            try:
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def _wait4(self) -> tuple[int, int]:
        """Status and peak of memory. Not rusage's, which begins with that of whoever forked."""
        peak = looks = 0
        while time.monotonic() < self.until:
            pids = [self.pid, *(children(self.pid) if looks % _LOOKS_A_SCAN == 0 else ())]
            peak, looks = max(peak, *map(_peak, pids)), looks + 1
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return status, peak
            time.sleep(_POLL_SECONDS)
        said = _text(self.out) + _text(self.err)
        self.kill()
        pytest.fail(f"it did not end before its deadline: {said[-2000:]}")


def _peak(pid: int) -> int:
    """The most bytes that a process ever had resident, since it became the program that it is; 0 once it has ended."""
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) << 10 if found else 0
    return 0


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@dataclass(eq=False)
class Oracle:
    """Watches one site. ``deadline`` and ``memory`` bound each run; ``runs`` counts the faulty ones, but not those of ``missed``,
    which ended before they came to the call that was to fail or kill, and of ``hit`` those that did; ``but`` are names beside the
    root that may change. Without ``kept``, old versions may be anything: whoever writes to a live file changes them, too; where
    the root's disk ``lies``, the ledger may claim old versions that are gone, as long as none of them is another."""

    site: Site
    deadline: float = DEADLINE
    memory: int = MEMORY
    but: Sequence[str] = ()
    kept: bool = True
    lies: bool = False
    runs: int = 0
    hit: int = 0
    missed: int = 0
    before: dict[str, tuple[object, ...]] = field(default_factory=dict)
    _started: list[Started] = field(default_factory=list)

    def begin(self) -> None:
        """Take what lies outside root and state now as what must stay; called again after the master published something."""
        self.before = self.outside()

    # --- runs that may fail

    def start(self, role: str, *words: str | Path, before: Sequence[str] = (), starved: bool = False, **options: Any) -> Started:
        """Start a command; ``before`` are words that go before it, ``options`` those of :class:`subprocess.Popen`. One that is
        ``starved`` may not even load: the interpreter itself may tell of it, in its own words."""
        files = ExitStack()
        out, err = (files.enter_context(os.fdopen(os.memfd_create(name), "w+b")) for name in ("out", "err"))
        environment = {**self.site.environment_of(role), "TMPDIR": str(self.site.directory / "home"), **options.pop("env", {})}
        options = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err, "process_group": 0} | options
        process = subprocess.Popen([*before, *NETCLNT, *map(str, words)], env=environment, **options)
        self.runs += 1
        told = "--json" in words and options["stdout"] is out
        look = partial(self._ended, log=aimed(before), told=told, starved=starved)
        started = Started(process, out, err, files, time.monotonic() + self.deadline, self.memory, look)
        self._started.append(started)
        return started

    def run(self, role: str, *words: str | Path, **options: Any) -> Run:
        started = self.start(role, *words, **options)
        try:
            return started.wait()
        finally:
            self._end(started)

    def slave(self, *words: str | Path, **options: Any) -> Run:
        return self.run("slave", *words, **options)

    def sync(self, *words: str | Path, **options: Any) -> Run:
        """A sync whose events are looked at."""
        return self.slave("--json", "sync", *words, **options)

    def end(self) -> None:
        """End what still runs."""
        for started in list(self._started):
            self._end(started)

    def _end(self, started: Started) -> None:
        started.kill()
        self._started.remove(started)

    def _ended(self, run: Run, *, log: Path | None, told: bool, starved: bool) -> None:
        if log is not None and is_hit(log):
            self.hit += 1
        elif log is not None:
            self.missed += 1
            self.runs -= 1
        if log is not None and is_output_hit(log):
            run, told = replace(run, out=""), False
        if not starved and not (log is not None and is_library_hit(log)):
            self._look(run, told=told)

    def _look(self, run: Run, *, told: bool) -> None:
        """No traceback, no secret, and where events are ``told``, one final exit event with the process's own code."""
        checked(run, self.site.place.password)
        text = run.out + run.err
        assert not any(word in text for word in _DEATHS), text
        assert not any(line in text for line in self._secrets()), "a private key was shown"
        if told and run.code >= 0:
            assert [event["code"] for event in run.of("exit")] == [run.code], run
            assert run.events[-1]["type"] == "exit", run

    def _secrets(self) -> list[str]:
        return [line for line in self.site.sshd.identity.read_text().splitlines() if not line.startswith("-----")]

    # --- what must hold

    def look(self) -> None:
        """After a fault: every live image is a published version, the ledger claims nothing that is not so, and what lies outside
        is as it was."""
        live = self.live()
        for name, found in live.items():
            assert found in self.site.published[name].values(), f"{name} is no published version"
        self._check_ledger(live)
        now = self.outside()
        changed = [path for path in self.before.keys() | now.keys() if self.before.get(path) != now.get(path)]
        assert not changed, f"changed outside root and state: {sorted(changed)[:10]}"

    def settle(self, *words: str, names: Sequence[str] | None = None) -> Run:
        """:meth:`look`, one fault-free sync, and then the slave equals the master: of all that was published, or of ``names``."""
        self.end()
        self.look()
        done = self.site.slave("--json", "sync", *words, timeout=2 * self.deadline)
        assert done.code == 0, f"the fault-free run ended with {done.code}: {done.out}{done.err}"
        self.look()
        live, believed = self.live(), self.believed()
        for name, versions in self.site.published.items():
            if names is None or name in names:
                assert live.get(name) == versions[max(versions)], f"{name} is not what the master offers"
                assert believed.get(name) == max(versions), f"the ledger does not vouch for {name}"
        assert list((self.site.root / _WORK / "staging").iterdir()) == []
        return done

    def live(self) -> dict[str, Shape]:
        """The images that were published and lie in the root."""
        return {name: shape(self.site.root / name) for name in self.site.published if os.path.lexists(self.site.root / name)}

    def outside(self) -> dict[str, tuple[object, ...]]:
        """All that no sync may change: beside root and state by its looks, which include the ctime; in the root the admin's own
        files with their content. The directories that images lie in are netclnt's, too."""
        site = self.site
        found: dict[str, tuple[object, ...]] = {}
        ours = (site.root, site.state, *(site.directory / name for name in self.but))
        for top in sorted(site.directory.iterdir()):
            if top not in ours and not top.name.startswith("catalog.sqlite"):
                found |= {str(path): _looks(path) for path in _below(top, ())}
        images = [site.root / name for name in site.published]
        shared = {site.root, *(parent for image in images for parent in image.parents)}
        for path in _below(site.root, (site.root / _WORK, *images)):
            if path not in shared:
                content = hash_file(path) if path.is_file() and not path.is_symlink() else ""
                found[str(path)] = (*_looks(path)[:5], content)
        return found

    # --- the ledger

    @contextmanager
    def ledger(self) -> Iterator[sqlite3.Connection]:
        """A copy of the ledger, with what an interrupted transaction left rolled back."""
        with tempfile.TemporaryDirectory() as directory:
            for path in self.site.state.glob("ledger.sqlite*"):
                shutil.copy(path, directory)
            with closing(sqlite3.connect(Path(directory) / "ledger.sqlite")) as connection:
                yield connection

    def believed(self) -> dict[str, int]:
        """Name and number of each image for which the next run would take the ledger's word: undamaged, and all looks as it was
        recorded."""
        with self.ledger() as ledger:
            held = ledger.execute("SELECT id, name, number FROM held WHERE NOT damaged").fetchall()
            facts = ledger.execute("SELECT held, path, size, mtime, inode FROM fact").fetchall()
        doubted = {id_ for id_, name, _ in held for fact in facts if fact[0] == id_ and not self._as_recorded(name, *fact[1:])}
        known = {fact[0] for fact in facts}
        return {name: number for id_, name, number in held if id_ in known and id_ not in doubted}

    def _as_recorded(self, name: str, path: str, size: int, mtime: int, inode: int) -> bool:
        try:
            found = (self.site.root / name / path if path else self.site.root / name).lstat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns, found.st_ino) == (size, mtime, inode % (1 << 64))

    def _check_ledger(self, live: dict[str, Shape]) -> None:
        if not (self.site.state / "ledger.sqlite").exists():
            return
        with self.ledger() as ledger:
            assert ledger.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            if not ledger.execute("SELECT name FROM sqlite_master WHERE name = 'held'").fetchone():
                return  # a run that died while it made the ledger
            kept = ledger.execute("SELECT name, number, token FROM kept").fetchall()
            journal = ledger.execute("SELECT manifest, page FROM journal").fetchall()
        for name, number in self.believed().items():
            assert live.get(name) == self.site.published[name][number], f"the ledger takes {name} for version {number}"
        for name, number, token in kept:
            place = self.site.root / _WORK / "kept" / token / "image"
            there = os.path.lexists(place)
            assert there or self.lies or not self.kept, f"{name}@{number} is kept, says the ledger, and is not there"
            if there and self.kept:
                assert shape(place) == self.site.published[name][number], f"kept as {name}@{number}, and is not"
        for digest in {manifest for manifest, _ in journal}:
            self._check_journal(digest, [page for manifest, page in journal if manifest == digest])

    def _check_journal(self, digest: str, pages: Sequence[int]) -> None:
        """The pages that the journal vouches for are in staging (unless staging is gone as a whole, which is noticed)."""
        staged = self.site.root / _WORK / "staging" / digest / "image"
        manifest = Manifests(self.site.state / "manifests").open(digest) if staged.exists() else None
        if manifest is None:
            return
        with closing(manifest):
            for page in pages:
                row = manifest.head.block_pages[page]
                args = {"start": manifest.starts[page], "check": row.check, "hash_seed": manifest.head.hash_seed}
                right = page_matches(_reads(staged, manifest), manifest.blocks(page), **args, buffer=bytearray(BUFFER_SIZE))
                assert right, f"the journal vouches for page {page}, which is not in staging"


def _reads(staged: Path, manifest: LocalManifest) -> Callable[[int, memoryview], int]:
    """Reads what is staged by plain offset; a file that is not there yet reads as zeros."""

    def read(offset: int, buffer: memoryview) -> int:
        done = 0
        for number, at, length in manifest.layout.parts(offset, len(buffer)):
            path = staged / manifest.entries[number].path if manifest.entries[number].path else staged
            data = b""
            if path.exists():
                with path.open("rb") as file:
                    file.seek(at)
                    data = file.read(length)
            buffer[done : done + length] = data.ljust(length, b"\0")
            done += length
        return done

    return read


def _below(top: Path, without: Sequence[Path]) -> Iterator[Path]:
    """``top`` and all that lies in it, links not followed."""
    if top in without:
        return
    yield top
    if top.is_dir() and not top.is_symlink():
        for path in sorted(top.iterdir()):
            yield from _below(path, without)


def _looks(path: Path) -> tuple[object, ...]:
    found = path.lstat()
    size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return found.st_mode, found.st_uid, found.st_gid, size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


@contextmanager
def oracle(site: Site, request: pytest.FixtureRequest | None = None, **bounds: Any) -> Iterator[Oracle]:
    """Watch a site while the block lasts, and settle at its end. ``bounds`` are fields of :class:`Oracle`; with ``request`` the
    number of runs goes into the table of faults."""
    watch = Oracle(site, **bounds)
    watch.begin()
    try:
        yield watch
        watch.settle()
        assert watch.hit or not watch.missed, "nothing of what was to be injected happened"
    finally:
        watch.end()
        if request is not None and watch.runs + watch.missed:
            request.node.user_properties.append(("runs", watch.runs))
