"""A master and a slave of their own, made for one case about size, and the runs on them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measure import NETCLNT, Bench, Cost, Fact

TOP = Path(__file__).parents[2]


@dataclass(frozen=True)
class Pair:
    """``conn`` is both sides' catalog; an empty one is a SQLite file in ``directory``. ``miniature``: the master's blocks are
    1/64 as long (:mod:`tests.bench.miniature`)."""

    bench: Bench
    directory: Path
    conn: str = ""
    password: str = ""
    miniature: bool = False
    transport: str = "openssh"

    @property
    def store(self) -> Path:
        return self.directory / "store"

    @property
    def images(self) -> Path:
        """The slave's root."""
        return self.directory / "root"

    @property
    def catalog(self) -> Path:
        """The file of a SQLite catalog."""
        return self.directory / "catalog.sqlite"

    def state(self, role: str) -> Path:
        return self.directory / f"{role}.state"

    def words(self, role: str, *words: str | Path) -> list[str]:
        """The command line of one command of a role."""
        small = [sys.executable, "-m", "tests.bench.miniature"]
        program = small if self.miniature and role == "master" else [NETCLNT]
        return [*program, "--config", str(self.directory / f"{role}.toml"), "--json", *map(str, words)]

    def master(self, *words: str | Path, codes: Sequence[int] = (0,)) -> Cost:
        return self._run("master", *words, codes=codes)

    def slave(self, *words: str | Path, codes: Sequence[int] = (0,)) -> Cost:
        return self._run("slave", *words, codes=codes)

    def publish(self, path: Path, name: str = "image") -> Cost:
        return self.master("publish", path, "--name", name)

    def sync(self) -> Cost:
        return self.slave("sync")

    def _run(self, role: str, *words: str | Path, codes: Sequence[int]) -> Cost:
        with self.bench.alone():
            return self.bench.run(self.words(role, *words), cwd=TOP, codes=codes)

    def init(self) -> None:
        self.directory.mkdir(parents=True)
        secret: list[str | Path] = []
        if self.password:
            (self.directory / "password").write_text(self.password)
            secret = ["--password-file", self.directory / "password"]
        conn = self.conn or f"sqlite:{self.catalog}"
        self.master("init", "master", "--store", self.store, "--state", self.state("master"), "--catalog", conn, *secret)
        server = self.bench.server
        self.slave(
            *("init", "slave", "--name", "scale", "--catalog", conn, "--parent", server.url(self.store), *secret),
            *("--root", self.images, "--state", self.state("slave"), "--transport", self.transport),
            *("--identity", server.identity, "--known-hosts", server.known_hosts),
        )


@contextmanager
def fresh(pair: Pair) -> Iterator[Pair]:
    """The pair, made; nothing of it is left afterwards."""
    try:
        pair.init()
        yield pair
    finally:
        shutil.rmtree(pair.directory, ignore_errors=True)


def totals(cost: Cost) -> dict[str, Fact]:
    """What a sync says of itself in the end."""
    summary = cost.events("summary")[-1]
    return {
        "payload": summary["bytes_fetched"],
        "queries": summary["queries"],
        "connections": summary["sftp_connections"],
    }


def warm(path: Path) -> None:
    """Bring a file into the page cache."""
    with path.open("rb", buffering=0) as file:
        buffer = bytearray(1 << 20)
        while file.readinto(buffer):
            pass


def flip(path: Path) -> None:
    """Change one byte in the middle of what a file holds."""
    with path.open("r+b") as file:
        place = os.lseek(file.fileno(), path.stat().st_size // 2, os.SEEK_DATA)
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 0xFF]))
