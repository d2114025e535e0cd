"""A master and slaves with a line between them: sshd and PostgreSQL in the master's namespace, every slave in the other one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measure import Running, netclnt, run
from tests.support import sshd
from tests.support.databases import Database, PostgreSQL, running
from tests.support.namespaces import MASTER_ADDRESS, Line
from tests.support.sshd import Sshd

START_UPS = "MaxStartups 100:30:300"
"""As examples/sshd_config.netclnt says."""


class FarPostgreSQL(PostgreSQL):
    """One that slaves reach over the line."""

    def install(self) -> None:
        super().install()
        with (self.directory / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 0.0.0.0/0 scram-sha-256\n")

    def command(self) -> list[str]:
        return [*super().command(), "-c", "listen_addresses=*", "-c", "max_connections=100", "-c", "log_statement=none"]

    def connection_string(self, database: str, user: str) -> str:
        return super().connection_string(database, user).replace("127.0.0.1", MASTER_ADDRESS)


@dataclass(frozen=True)
class FarSite:
    """A master with a catalog in PostgreSQL, made in ``directory``."""

    line: Line
    server: Sshd
    database: Database
    directory: Path

    @property
    def master(self) -> Path:
        return self.directory / "master.toml"

    @property
    def source(self) -> Path:
        """Where the master's images are."""
        return self.directory / "source"

    @property
    def login(self) -> str:
        return f"{self.server.user}@{self.line.master.address}"

    def publish(self, name: str) -> None:
        run(netclnt(self.master, "publish", self.source / name))

    def init_slave(self, name: str, *flags: str) -> Path:
        """The config of a new slave that holds nothing; its root and state lie beside it."""
        home = self.directory / name
        (home / "root").mkdir(parents=True)
        words = [
            *("init", "slave", "--name", name, "--root", str(home / "root"), "--state", str(home / "state")),
            *("--catalog", self.database.conn, "--password-file", str(self._password())),
            *("--parent", f"sftp://{self.login}:{self.server.port}{self.directory / 'store'}"),
            *("--identity", str(self.server.identity), "--known-hosts", str(self.server.known_hosts), *flags),
        ]
        run(netclnt(home / "slave.toml", *words))
        return home / "slave.toml"

    def remove_slave(self, config: Path) -> None:
        shutil.rmtree(config.parent)

    def start(self, command: Sequence[str | Path]) -> Running:
        """Start a command at the slaves' end."""
        with self.line.slave.entered():
            return Running(command)

    def sync(self, config: Path) -> Running:
        return self.start(netclnt(config, "sync"))

    def ssh_options(self) -> list[str]:
        """For ``ssh`` and ``sftp``; the port is not in them."""
        server = self.server
        options = [f"IdentityFile={server.identity}", f"UserKnownHostsFile={server.known_hosts}", "BatchMode=yes"]
        return ["-F", "none", *(word for option in [*options, "Ciphers=^aes128-gcm@openssh.com"] for word in ("-o", option))]

    def sftp(self, source: Path, target: Path) -> list[str | Path]:
        return ["sftp", "-q", *self.ssh_options(), "-P", str(self.server.port), f"{self.login}:{source}", target]

    def rsync(self, source: Path, target: Path, *flags: str) -> list[str | Path]:
        shell = " ".join(["ssh", *self.ssh_options(), "-p", str(self.server.port)])
        return ["rsync", "--times", "--fsync", *flags, "-e", shell, f"{self.login}:{source}", target]

    def _password(self) -> Path:
        path = self.directory / "password"
        if not path.exists():
            path.touch(0o600)
            path.write_text(f"{self.database.password}\n")
        return path

    def init_master(self) -> None:
        places = ["--store", str(self.directory / "store"), "--state", str(self.directory / "master")]
        catalog = ["--catalog", self.database.conn, "--password-file", str(self._password())]
        run(netclnt(self.master, "init", "master", *places, *catalog))


@contextmanager
def far_site(line: Line, directory: Path) -> Iterator[FarSite]:
    """A master at one end of the line, gone at the end with all that is in ``directory``. Within, this thread is at the master's
    end. Raises the ``Missing`` of sshd or of databases."""
    listens = f"ListenAddress {line.master.address}"
    with line.master.entered(), sshd.start([listens, START_UPS]) as server, running(FarPostgreSQL) as database:
        with server.known_hosts.open("a") as known:
            known.write(f"[{line.master.address}]:{server.port} {server.host_public_key}\n")
        directory.mkdir()
        try:
            site = FarSite(line, server, database.create_database(), directory)
            site.source.mkdir()
            site.init_master()
            yield site
        finally:
            shutil.rmtree(directory)
