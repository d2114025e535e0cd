"""M3, a soak: publish and sync in a circle with a fault every few seconds; memory, descriptors, threads and files stay flat.

    python -m tests.faults.soak --seconds N [--seed S]

Syncs run in this very process, as in a service, so that what one of them leaves behind adds up; those that are to be killed
run in processes of their own. After each fault the oracle looks; every few rounds, and at the end, it settles. Prints a line
each time, and a summary; the exit code is 0 if all held.
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from netclnt.cli.main import main
from tests.support.mounts import mounted
from tests.support.oracle import Oracle
from tests.support.proxy import HOST, Proxy, proxy
from tests.support.site import Place, Run, Site, checked
from tests.support.sshd import Sshd, start

IMAGE = 3 << 20
ROOM_MEGABYTES = 64
SYNC_SECONDS = 0.4
"""About what a sync takes here: a fault that comes later than that hits nothing."""

WARM = 4
"""Rounds of settling before anything is compared: until then caches and modules are loaded."""

MEMORY_MORE = 24 << 20
"""Bytes that resident memory may grow by afterwards; what adds up with each round passes it soon."""


@dataclass
class Usage:
    """What this process, and the slave on disk, take. Sockets of the proxy are closed by then."""

    memory: int
    descriptors: int
    threads: int
    files: int

    @classmethod
    def now(cls, site: Site) -> Usage:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        files = sum(1 for top in (site.root, site.state) for _ in top.rglob("*"))
        own = sum(1 for each in threading.enumerate() if each.name != "proxy")
        return cls(pages * resource.getpagesize(), _open_files(), own, files)


def _open_files() -> int:
    """Descriptors but for sockets: those of the test's own line come and go in its threads."""
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += not str(each.readlink()).startswith("socket:")
    return found


@dataclass
class Soak:
    """One soak. ``faults`` counts what was done, ``codes`` how runs ended, ``usages`` what was in use after each settling, of
    which there is one each so many rounds."""

    site: Site
    watch: Oracle
    line: Proxy
    sshd: Sshd
    source: random.Random
    full: bool
    settle_each: int = 5
    faults: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    usages: list[Usage] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        rounds = 0
        turns: list[Callable[[], None]] = []
        while time.monotonic() < until or len(self.usages) <= WARM:
            rounds += 1
            self.publish(rounds)
            turns = turns or self.source.sample(self.kinds(), len(self.kinds()))  # each, before any comes again
            fault = turns.pop()
            self.faults[fault.__name__] += 1
            fault()
            self.watch.look()
            if rounds % self.settle_each == 0:
                self.settle()
        self.settle()

    def kinds(self) -> list[Callable[[], None]]:
        return [
            self.none,
            self.cut,
            self.flip,
            self.reset,
            self.killed_server,
            self.killed,
            self.corrupt,
            *([self.fill] * self.full),
        ]

    def settle(self) -> None:
        self.watch.settle()
        self.usages.append(Usage.now(self.site))
        print(f"{sum(self.faults.values()):5} faults  {self.usages[-1]}", flush=True)

    def publish(self, number: int) -> None:
        """An image or a tree, a little different from the last time."""
        data = random.Random(number // 7).randbytes(IMAGE)
        at = self.source.randrange(IMAGE)
        data = data[:at] + random.Random(number).randbytes(self.source.randrange(1, 300_000)) + data[at:]
        if number % 2:
            self.site.publish(self.site.put("image", data))
        else:
            tree = self.site.source / "tree"
            (tree / "etc").mkdir(parents=True, exist_ok=True)
            (tree / "etc/hostname").write_text(f"host {number}\n")
            (tree / "data").write_bytes(data[: IMAGE // 3])
            self.site.publish(tree)
        self.watch.begin()

    def sync(self) -> int:
        """In this process, by the very words of an admin; returns how it ended."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(["--config", str(self.site.config("slave")), "--json", "sync"])
        checked(Run(code, out.getvalue(), err.getvalue()), None)
        self.codes[code] += 1
        return code

    # --- faults, each with a sync in it

    def none(self) -> None:
        assert self.sync() == 0, "without a fault"

    def cut(self) -> None:
        with self.later(self.line.cut):
            self.sync()

    def flip(self) -> None:
        self.line.flip_after(self.source.randrange(400_000))
        self.sync()
        self.line.flip_after(1 << 60)

    def reset(self) -> None:
        self.line.reset_each(self.source.randrange(10_000, 200_000))
        self.sync()
        self.line.reset_each(None)

    def killed_server(self) -> None:
        with self.later(lambda: self.sshd.signal_sessions(signal.SIGKILL)):
            self.sync()

    def killed(self) -> None:
        started = self.watch.start("slave", "sync")
        time.sleep(self.source.uniform(0.1, 1.5))
        started.kill()
        self.watch.end()
        self.codes[-signal.SIGKILL] += 1

    def corrupt(self) -> None:
        """A wrong byte in the pack of what was just published, which is right again afterwards."""
        pack = max((self.site.store / "packs").rglob("*.pack"), key=lambda each: each.stat().st_mtime_ns)
        whole = pack.read_bytes()
        at = self.source.randrange(16, len(whole))
        pack.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        self.sync()
        pack.write_bytes(whole)
        self.watch.begin()

    def fill(self) -> None:
        """A disk with no more room than half a version takes."""
        ballast = self.site.root.parent / "ballast"
        free = os.statvfs(self.site.root).f_bavail * os.statvfs(self.site.root).f_frsize
        with ballast.open("wb") as file, suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, max(1, free - self.source.randrange(IMAGE // 2)))
        self.sync()
        ballast.unlink()

    @contextmanager
    def later(self, action: Callable[[], None]) -> Iterator[None]:
        timer = threading.Timer(self.source.uniform(0.05, SYNC_SECONDS), action)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    # --- what must be flat

    def growth(self) -> list[str]:
        """What grew, in words; nothing if all stayed flat."""
        warm, rest = self.usages[:WARM], self.usages[WARM:]
        last = rest[-1]
        grown = []
        if last.memory > max(each.memory for each in warm) + MEMORY_MORE:
            grown.append(f"memory: {warm[-1].memory >> 20} to {last.memory >> 20} MiB")
        for name in ("descriptors", "threads", "files"):
            before = max(getattr(each, name) for each in warm)
            if min(getattr(each, name) for each in rest[-3:]) > before:
                grown.append(f"{name}: {before} to {getattr(last, name)}")
        return grown


@contextmanager
def prepared(directory: Path, seed: int) -> Iterator[Soak]:
    """A site in an empty directory, its slave on a small file system where that can be mounted."""
    with ExitStack() as stack:
        sshd = stack.enter_context(start())
        line = stack.enter_context(proxy(sshd.port))
        catalog = f"sqlite:{directory / 'site' / 'catalog.sqlite'}"
        (directory / "site").mkdir()
        site = Site(directory / "site", sshd, Place(catalog, catalog))
        known = directory / "known_hosts"
        known.write_text(f"[{HOST}]:{line.port} {sshd.host_public_key}\n")
        site.known_hosts, site.port = known, line.port
        full = False
        with suppress(pytest.skip.Exception):
            disk = stack.enter_context(mounted("tmpfs", directory, megabytes=ROOM_MEGABYTES))
            site.root = disk / "root"
            site.root.mkdir()
            full = True
        site.init("--retry-budget", "5", "--timeout", "5", "--no-report")
        watch = Oracle(site, kept=True)
        stack.callback(watch.end)
        yield Soak(site, watch, line, sshd, random.Random(seed), full)


def soak(directory: Path, *, seconds: float, seed: int) -> Soak:
    with prepared(directory, seed) as found:
        found.run(seconds)
        print(f"{sum(found.faults.values())} faults: {dict(found.faults)}; exit codes: {dict(found.codes)}; seed {seed}")
        return found


def command(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="a soak with a fault every few seconds")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args(arguments)
    for name in list(os.environ):
        if name.startswith(("NETCLNT_", "XDG_", "SSH_")):
            del os.environ[name]
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="netclnt-soak-") as directory:
        grown = soak(Path(directory), seconds=options.seconds, seed=options.seed).growth()
    print("flat" if not grown else "; ".join(grown))
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
