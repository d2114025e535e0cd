"""A site: one master directory and one slave directory with a config each, and the installed command to run on them.

Everything goes through processes, as an admin's hands would do it. Nothing here measures by the clock: what is counted comes
from the events, from the servers' logs and from the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import Database, Missing, odbc_driver
from tests.support.jsonlines import check_lines
from tests.support.sshd import HOST, Sshd

NETCLNT = [sys.executable, "-m", "netclnt"]
DEADLINE = 120
"""Seconds after which a command counts as hanging."""

CATALOGS = ("postgresql", "mariadb", "sqlite-odbc", "sqlite", "store")
TRANSPORTS = ("paramiko", "openssh")


def quick(values: Sequence[str], *chosen: str) -> list[Any]:
    """Parameters of which all but the chosen ones are for the slow run."""
    return [pytest.param(value, marks=[] if value in chosen else [pytest.mark.slow]) for value in values]


@dataclass(frozen=True)
class Run:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of ``--json``."""
        return [json.loads(line) for line in self.out.splitlines()]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    def one(self, kind: str) -> dict[str, Any]:
        (event,) = self.of(kind)
        return event

    @property
    def rows(self) -> list[list[str]]:
        """Piped output as lines of fields."""
        return [line.split("\t") for line in self.out.splitlines()]


@dataclass(frozen=True)
class Place:
    """Where a catalog lies: the CONN of the master and that of the slaves, the password for both."""

    master: str
    slave: str
    password: str | None = None
    database: Database | None = None


def catalog_place(engine: str, request: pytest.FixtureRequest, directory: Path) -> Place:
    """A fresh place on one of :data:`CATALOGS`; skips the test where that is not installed."""
    file = directory / "catalog.sqlite"
    match engine:
        case "sqlite":
            return Place(f"sqlite:{file}", f"sqlite:{file}")
        case "store":
            return Place(f"sqlite:{file}", "store")
        case "sqlite-odbc":
            try:
                driver = odbc_driver("SQLite3", "SQLite")
            except Missing as missing:
                pytest.skip(str(missing))
            conn = f"odbc:DRIVER={{{driver}}};Database={file};BigInt=1"
            return Place(conn, conn)
    database = request.getfixturevalue(engine).create_database()
    return Place(database.conn, database.conn, database.password, database)


Shape = dict[str, tuple[object, ...]]
"""What an image consists of, as far as its versions decide it."""


@dataclass(eq=False)
class Site:
    """``directory`` is the test's own; ``source`` in it is where the admin makes images. ``known_hosts``, ``port``, ``root`` and
    ``state_directory`` may be changed before :meth:`init_slave`; no ``known_hosts`` leaves it to the defaults."""

    directory: Path
    sshd: Sshd
    place: Place
    transport: str = "paramiko"
    name: str = "store-0042"
    environment: dict[str, str] = field(default_factory=dict)
    program: Sequence[str] = tuple(NETCLNT)

    def __post_init__(self) -> None:
        for path in (self.source, self.directory / "home"):
            path.mkdir(parents=True, exist_ok=True)
        if self.place.password:
            (self.directory / "password").touch(0o600)
            (self.directory / "password").write_text(self.place.password + "\n")
        self.published: dict[str, dict[int, Shape]] = {}
        self.known_hosts: Path | None = self.sshd.known_hosts
        self.port = self.sshd.port
        self.root = self.directory / "root"
        self.state_directory: Path | None = None
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory / "home"),
            "LC_ALL": "C.UTF-8",
            "PYTHONWARNINGS": "error",
        } | self.environment

    # --- where things are

    @property
    def source(self) -> Path:
        return self.directory / "source"

    @property
    def store(self) -> Path:
        return self.directory / "store"

    @property
    def parent(self) -> str:
        return f"sftp://{self.sshd.user}@{HOST}:{self.port}{self.store}"

    @property
    def state(self) -> Path:
        return self.state_directory or self.directory / "slave-state"

    def password_flags(self) -> list[str]:
        return ["--password-file", str(self.directory / "password")] if self.place.password else []

    def config(self, role: str) -> Path:
        return self.directory / f"{role}.toml"

    # --- commands

    def run(self, role: str, *words: str | Path, **options: Any) -> Run:
        """Run a command as ``role``; ``options`` are those of :func:`subprocess.run`, ``before`` words that go before it."""
        before: Sequence[str] = options.pop("before", ())
        environment = options.pop("env", self.environment_of(role))
        done = subprocess.run(
            [*before, *self.program, *map(str, words)],
            env=environment,
            stdin=options.pop("stdin", None if "input" in options else subprocess.DEVNULL),
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE,
            text=True,
            timeout=options.pop("timeout", DEADLINE),
            check=False,
            **options,
        )
        return checked(Run(done.returncode, done.stdout or "", done.stderr), self.place.password)

    def master(self, *words: str | Path, **options: Any) -> Run:
        return self.run("master", *words, **options)

    def slave(self, *words: str | Path, **options: Any) -> Run:
        return self.run("slave", *words, **options)

    def start(self, role: str, *words: str | Path, before: Sequence[str] = (), **options: Any) -> subprocess.Popen[str]:
        """Start a command; the caller ends it and waits for it."""
        return subprocess.Popen(
            [*before, *self.program, *map(str, words)],
            env=self.environment_of(role),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def environment_of(self, role: str) -> Mapping[str, str]:
        return self.environment | {"NETCLNT_CONFIG": str(self.config(role))}

    # --- the usual steps; each fails the test when it fails

    def init(self, *flags: str) -> None:
        """Both, at the same time: neither knows of the other. ``flags`` are those of the slave."""
        with ThreadPoolExecutor(1) as other:
            master = other.submit(self.init_master)
            self.init_slave(*flags)
            master.result()

    def init_master(self) -> Run:
        where = ["--store", str(self.store), "--state", str(self.directory / "master-state"), "--catalog", self.place.master]
        return good(self.master("init", "master", *where, *self.password_flags()))

    def init_slave(self, *flags: str) -> Run:
        return good(
            self.slave(
                *("init", "slave", "--name", self.name, "--catalog", self.place.slave, "--parent", self.parent),
                *("--root", self.root, "--state", self.state, "--transport", self.transport),
                *("--identity", self.sshd.identity),
                *(("--known-hosts", self.known_hosts) if self.known_hosts else ()),
                *("--retry-budget", "0"),
                *(self.password_flags() if self.place.slave != "store" else ()),
                *flags,
            )
        )

    def publish(self, path: Path, *flags: str) -> dict[str, Any]:
        """The event of the version that was published, which is remembered in ``published``."""
        event = good(self.master("--json", "publish", path, *flags)).one("image")
        if path.exists():
            self.published.setdefault(event["image"], {})[event["version"]] = shape(path)
        return event

    def sync(self, *words: str, **options: Any) -> Run:
        return good(self.slave("--json", "sync", *words, **options))

    # --- facts

    def sessions(self) -> int:
        """Logins that the SSH server has let in so far."""
        return self.sshd.log.count("Accepted publickey")

    def put(self, name: str, data: bytes) -> Path:
        """A file to publish."""
        path = self.source / name
        path.write_bytes(data)
        return path

    @contextmanager
    def nothing_changes(self, *, but: Sequence[str] = ()) -> Iterator[None]:
        """Within, nothing in the root changes, nor anything beside root and state, but below the names ``but``."""
        beside = [path for path in self.directory.iterdir() if path not in (self.state, *(self.directory / name for name in but))]
        before = {path: snapshot(path) for path in beside}
        yield
        assert {path: snapshot(path) for path in beside} == before

    def save(self, to: Path) -> None:
        """Keep the slave as it is now; :meth:`restore` brings it back."""
        for path in (self.root, self.state):
            subprocess.run(["cp", "-a", path, to / path.name], check=True)

    def restore(self, saved: Path) -> None:
        for path in (self.root, self.state):
            shutil.rmtree(path)
            subprocess.run(["cp", "-a", saved / path.name, path], check=True)


def good(run: Run) -> Run:
    assert run.code == 0, f"exit code {run.code}: {run.out}{run.err}"
    return run


def checked(run: Run, password: str | None) -> Run:
    """What holds for every run: no traceback, no bug, no secret; with ``--json`` the last line is the exit with its code."""
    text = run.out + run.err
    assert "Traceback" not in text, text
    assert run.code != 1, text
    assert not password or password not in text, "a password was shown"
    if run.out.startswith('{"type":"start"') and run.code >= 0:
        assert run.events[-1]["type"] == "exit", run.out
        assert run.events[-1]["code"] == run.code, run.out
        check_lines(run.events)
    return run


def digest(path: Path) -> str:
    """What ``sha256sum`` prints."""
    return subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0].lstrip("\\")


def entries(top: Path) -> dict[str, tuple[object, ...]]:
    """What a tree consists of: type, permissions and content of each part; times, owners and the set-id bits do not belong to a
    version."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (top, *top.rglob("*")):
        status = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else hash_file(path) if path.is_file() else ""
        found[str(path.relative_to(top))] = (stat.S_IFMT(status.st_mode), status.st_mode & 0o777, content)
    return found


def shape(top: Path) -> Shape:
    """:func:`entries` without the mode of the image itself, which is the slave's admin's affair."""
    found = entries(top)
    kind, _, content = found["."]
    return found | {".": (kind, content)}


def snapshot(top: Path) -> dict[str, tuple[object, ...]]:
    """All that an admin could see change: type, mode, owner, size, mtime and content, of a file or of all below a directory.

    A root's work area is left out.
    """
    found: dict[str, tuple[object, ...]] = {}
    paths = [top, *top.rglob("*")] if top.is_dir() and not top.is_symlink() else [top]
    for path in paths:
        relative = path.relative_to(top)
        if ".netclnt" in relative.parts:
            continue
        status = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else hash_file(path) if path.is_file() else ""
        mtime = status.st_mtime_ns if relative.parts else 0  # of the root itself: staging makes no promise
        found[str(relative)] = (status.st_mode, status.st_uid, status.st_gid, mtime, content)
    return found


def hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
