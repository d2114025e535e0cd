"""One master and its slaves, made and run as an admin does it, by the installed command."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measure import Bench, Cost, netclnt
from tests.support.sshd import HOST


@dataclass(frozen=True)
class Site:
    """One master with an empty catalog, and as many slaves as are asked for, all below ``directory``."""

    bench: Bench
    directory: Path
    image: str

    @property
    def store(self) -> Path:
        return self.directory / "store"

    @property
    def prepared(self) -> Path:
        """For peers' own stores."""
        return self.directory / "prepared"

    def found(self) -> None:
        """Make the master."""
        self.directory.mkdir()
        conn, password = self.bench.catalog()
        if password:
            secret = self.directory / "password"
            secret.touch(0o600)
            secret.write_text(password)
        (self.directory / "conn").write_text(conn)
        self._init(
            self._config("master"), "master", "--store", self.store, "--state", self.directory / "master", "--catalog", conn
        )

    def publish(self, source: Path, *flags: str) -> Cost:
        return self.bench.run(netclnt(self._config("master"), "publish", source, "--name", self.image, *flags))

    def slave(self, name: str, transport: str) -> Path:
        """Make a slave that holds nothing; returns its root."""
        server = self.bench.server
        self._init(
            self._config(name), "slave", "--name", name, "--root", self.directory / name, "--transport", transport,
            "--state", self.directory / f"{name}.state", "--catalog", (self.directory / "conn").read_text(),
            "--parent", f"sftp://{server.user}@{HOST}:{server.port}{self.store}",
            "--identity", server.identity, "--known-hosts", server.known_hosts,
        )  # fmt: skip
        return self.directory / name

    def sync(self, name: str) -> Cost:
        return self.bench.run(netclnt(self._config(name), "sync"), flush=[self.directory / name / self.image])

    def remove_slave(self, name: str, *, tree: bool) -> None:
        self.remove(self.directory / name, tree=tree)
        shutil.rmtree(self.directory / f"{name}.state")
        self._config(name).unlink()

    def remove(self, directory: Path, *, tree: bool) -> None:
        """A tree only goes out of the way until the section ends: ext4 looks at each inode that was removed in the last minutes
        before it makes a new one, and whoever came next would pay for it."""
        if tree:
            directory.rename(tempfile.mkdtemp(dir=self.directory, prefix="aside."))
        else:
            shutil.rmtree(directory)

    def _config(self, name: str) -> Path:
        return self.directory / f"{name}.toml"

    def _init(self, config: Path, role: str, *words: str | Path) -> None:
        secret = self.directory / "password"
        flags: list[str | Path] = ["--password-file", secret] if secret.exists() else []
        self.bench.run(netclnt(config, "init", role, *words, *flags))


def stored(store: Path) -> int:
    """Bytes of all files of a store."""
    return sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
