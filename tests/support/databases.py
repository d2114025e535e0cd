"""Private database servers for tests: PostgreSQL and MariaDB on free loopback ports, in a temporary directory.

They run as the packages' own system users when we are root, forget durability for speed, log every statement (so that a
test can say what was sent), and are stopped by their process ids. Fixtures here are of session scope for servers and of
function scope for databases; a test skips with the reason where a server or an ODBC driver is not installed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

OWNER = "netclnt"
OWNER_PASSWORD = "owner-secret"
START_SECONDS = 60


class Missing(Exception):
    """A program or driver that a server needs is not installed; the text says which."""


@dataclass
class Database:
    """One fresh database of a server (or one file), with the CONN a user would type and the password beside it."""

    server: Server
    name: str

    @property
    def conn(self) -> str:
        return self.conn_as(OWNER)

    @property
    def password(self) -> str:
        return OWNER_PASSWORD

    def conn_as(self, user: str) -> str:
        return self.server.connection_string(self.name, user)

    def admin(self, sql: str) -> list[tuple[object, ...]]:
        """Run one statement as the server's administrator, inside this database."""
        return self.server.admin(sql, self.name)

    def account(self, user: str, password: str, grants: dict[str, str]) -> None:
        """Create an account; ``grants`` is table → privileges ("SELECT", "SELECT, INSERT")."""
        self.server.create_account(self.name, user, password, grants)


@dataclass
class Server(ABC):
    """A running server. ``stop`` and ``start`` may be called again and again; the port stays."""

    directory: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    counter: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    engine = ""
    driver_pattern = ""

    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def system_user(self) -> str: ...

    @abstractmethod
    def connection_string(self, database: str, user: str) -> str: ...

    @abstractmethod
    def admin(self, sql: str, database: str = "") -> list[tuple[object, ...]]: ...

    @abstractmethod
    def create_database(self) -> Database: ...

    @abstractmethod
    def create_account(self, database: str, user: str, password: str, grants: dict[str, str]) -> None: ...

    @abstractmethod
    def statements(self) -> list[str]:
        """All statements the server has been sent so far, as its log tells them."""

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    def start(self) -> None:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment},
                **as_user(self.system_user()),
            )
        self.processes.append(process)
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.engine} did not start:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)

    def answers(self) -> bool:
        raise NotImplementedError

    def backends(self, database: str) -> list[int]:
        """Process ids of what serves the sessions in ``database``; the server's own where they have none of their own."""
        return [process.pid for process in self.processes]

    @contextlib.contextmanager
    def frozen(self, database: str = "") -> Iterator[None]:
        """Within, the sessions in ``database`` stand still and their connections stay open; without one, the whole server."""
        pids = self.backends(database) if database else [process.pid for process in self.processes]
        assert pids, "nobody is connected"
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            await_stopped(pids)
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(self.stop_signal)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.processes.clear()

    stop_signal = signal.SIGTERM


class PostgreSQL(Server):
    engine = "postgresql"
    stop_signal = signal.SIGINT  # "fast": sessions are ended, not waited for

    @staticmethod
    def program(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            candidates = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
            if not candidates:
                raise Missing("PostgreSQL's server is not installed")
            found = str(candidates[-1])
        return found

    def system_user(self) -> str:
        return "postgres"

    def install(self) -> None:
        secret = self.directory / "password"
        secret.write_text(OWNER_PASSWORD)
        give(self.directory, self.system_user())
        subprocess.run(
            [self.program("initdb"), "-D", str(self.directory / "data"), "-U", "admin", "-E", "UTF8", "--locale=C.UTF-8", "-N",
             "-A", "scram-sha-256", f"--pwfile={secret}"],
            check=True, capture_output=True, **as_user(self.system_user()),
        )  # fmt: skip

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "16MB",
            "max_connections": "20",
            "log_statement": "all",
            "log_line_prefix": "%m|%u|",
            "autovacuum": "off",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [self.program("postgres"), "-D", str(self.directory / "data"), *options]

    def connection_string(self, database: str, user: str) -> str:
        driver = odbc_driver("PostgreSQL Unicode")
        return f"odbc:DRIVER={{{driver}}};SERVER=127.0.0.1;PORT={self.port};DATABASE={database};UID={user}"

    def admin(self, sql: str, database: str = "") -> list[tuple[object, ...]]:
        return run_sql(self.connection_string(database or "postgres", "admin"), OWNER_PASSWORD, sql)

    def backends(self, database: str) -> list[int]:
        found = self.admin(f"SELECT pid FROM pg_stat_activity WHERE datname = '{database}' AND backend_type = 'client backend'")
        return [int(str(pid)) for (pid,) in found]

    def answers(self) -> bool:
        ready = subprocess.run([self.program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False)
        return ready.returncode == 0

    def create_database(self) -> Database:
        if not self.admin(f"SELECT 1 FROM pg_roles WHERE rolname = '{OWNER}'"):
            self.admin(f"CREATE ROLE {OWNER} LOGIN PASSWORD '{OWNER_PASSWORD}'")
        name = f"catalog_{next(self.counter)}"
        self.admin(f"CREATE DATABASE {name} OWNER {OWNER}")
        return Database(self, name)

    def create_account(self, database: str, user: str, password: str, grants: dict[str, str]) -> None:
        self.admin(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
        for table, privileges in grants.items():
            self.admin(f"GRANT {privileges} ON {table} TO {user}", database)

    def statements(self) -> list[str]:
        marks = ("LOG:  statement: ", "LOG:  execute ")
        return [line for line in self.log.read_text(errors="replace").splitlines() if any(mark in line for mark in marks)]


class MariaDB(Server):
    engine = "mariadb"

    @staticmethod
    def program(name: str) -> str:
        found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if found is None:
            raise Missing("MariaDB's server is not installed")
        return found

    def system_user(self) -> str:
        return "mysql"

    def install(self) -> None:
        give(self.directory, self.system_user())
        subprocess.run(
            [self.program("mariadb-install-db"), "--no-defaults", f"--datadir={self.directory / 'data'}", "--skip-test-db",
             "--auth-root-authentication-method=normal", "--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=4M"],
            check=True, capture_output=True, **as_user(self.system_user()),
        )  # fmt: skip

    @property
    def socket(self) -> Path:
        return self.directory / "socket"

    def command(self) -> list[str]:
        return [
            self.program("mariadbd"), "--no-defaults", f"--datadir={self.directory / 'data'}", f"--port={self.port}",
            f"--socket={self.socket}", f"--pid-file={self.directory / 'pid'}", "--bind-address=127.0.0.1", "--skip-name-resolve",
            "--max-connections=20",
            # in a shared one, each server that starts removes the others' temporary tables
            f"--tmpdir={self.directory}",
            "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M",
            # an old default that a catalog in a shared database must live with
            "--character-set-server=latin1", "--collation-server=latin1_swedish_ci",
            "--general-log=1", f"--general-log-file={self.directory / 'general.log'}",
        ]  # fmt: skip

    def connection_string(self, database: str, user: str) -> str:
        driver = odbc_driver("MariaDB Unicode", "MariaDB")
        return f"odbc:DRIVER={{{driver}}};SERVER=127.0.0.1;PORT={self.port};DATABASE={database};UID={user}"

    def admin(self, sql: str, database: str = "") -> list[tuple[object, ...]]:
        client = [
            self.program("mariadb"),
            "--no-defaults",
            "-u",
            "root",
            f"--socket={self.socket}",
            "-N",
            "-B",
            database or "mysql",
        ]
        answer = subprocess.run(
            [*client, "--default-character-set=utf8mb4", "-e", sql], check=True, capture_output=True, text=True
        )
        return [tuple(line.split("\t")) for line in answer.stdout.splitlines()]

    def answers(self) -> bool:
        client = [self.program("mariadb"), "--no-defaults", "-u", "root", f"--socket={self.socket}", "-e", "SELECT 1"]
        return subprocess.run(client, check=False, capture_output=True).returncode == 0

    def create_database(self) -> Database:
        name = f"catalog_{next(self.counter)}"
        self.admin(
            f"CREATE DATABASE {name}; CREATE USER IF NOT EXISTS '{OWNER}'@'127.0.0.1' IDENTIFIED BY '{OWNER_PASSWORD}'; "
            f"GRANT ALL ON {name}.* TO '{OWNER}'@'127.0.0.1'"
        )
        return Database(self, name)

    def create_account(self, database: str, user: str, password: str, grants: dict[str, str]) -> None:
        self.admin(f"CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY '{password}'")
        for table, privileges in grants.items():
            self.admin(f"GRANT {privileges} ON {database}.{table} TO '{user}'@'127.0.0.1'")

    def statements(self) -> list[str]:
        marks = ("\tQuery\t", " Query\t", " Execute\t", "\tExecute\t")
        text = (self.directory / "general.log").read_text(errors="replace")
        return [line for line in text.splitlines() if any(mark in line for mark in marks)]


def odbc_driver(*names: str) -> str:
    """The first of the names that is registered with unixODBC."""
    try:
        listing = subprocess.run(["odbcinst", "-q", "-d"], check=False, capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise Missing("unixODBC is not installed") from None
    installed = [line.strip("[]") for line in listing.splitlines()]
    for name in names:
        if name in installed:
            return name
    raise Missing(f"no ODBC driver called {names[0]!r} is installed")


def await_stopped(pids: list[int]) -> None:
    """Until no thread of the processes runs any more. kill(2) only wakes one of them, which stops the others when it has its
    turn: until then, these go on answering."""
    deadline = time.monotonic() + START_SECONDS
    while any(state_of(task) not in "TtZX" for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()):
        assert time.monotonic() < deadline, f"they do not stand still: {pids}"
        time.sleep(0.001)


def state_of(task: Path) -> str:
    """The one letter of proc_pid_stat(5); a thread that ended meanwhile is dead."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def run_sql(conn: str, password: str, sql: str) -> list[tuple[object, ...]]:
    """One statement over a connection of its own."""
    import pyodbc

    connection = pyodbc.connect(f"{conn.removeprefix('odbc:')};PWD={{{password}}}", autocommit=True)
    try:
        cursor = connection.execute(sql)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
    finally:
        connection.close()


def as_user(name: str) -> dict[str, str]:
    """Popen's arguments that drop root's rights; nothing to drop for anybody else."""
    return {"user": name, "group": name} if os.geteuid() == 0 else {}


def give(path: Path, user: str) -> None:
    if os.geteuid() == 0:
        account = pwd.getpwnam(user)
        for each in (path, *path.rglob("*")):
            os.chown(each, account.pw_uid, account.pw_gid)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(kind: Callable[[Path, int], PostgreSQL | MariaDB], **environment: str) -> Iterator[PostgreSQL | MariaDB]:
    """A fresh server of ``kind``, gone with its directory at the end; ``environment`` is beside ours. Raises Missing."""
    directory = Path(tempfile.mkdtemp(prefix="netclnt-db-"))
    server = kind(directory, free_port())
    server.environment.update(environment)
    try:
        server.connection_string("", "")
        server.install()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL | MariaDB]:
    """A running PostgreSQL, shared by the whole session."""
    yield from _session(PostgreSQL)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[PostgreSQL | MariaDB]:
    """A running MariaDB, shared by the whole session."""
    yield from _session(MariaDB)


def _session(kind: type[PostgreSQL] | type[MariaDB]) -> Iterator[PostgreSQL | MariaDB]:
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(running(kind))
        except Missing as missing:
            pytest.skip(str(missing))
        yield server
