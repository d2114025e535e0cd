"""The other tools, each at its best for the case, over the same private sshd and with the same cipher.

None of them is told to fsync: what they wrote is brought to disk inside the measured time by the benchmark, as one sync, which
costs them less than their own would.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.report import LOCAL
from tests.support.sshd import HOST, Sshd

CIPHER = "aes128-gcm@openssh.com"
"""The fastest on processors of today; netclnt asks for it first, too."""
STREAMS = 4
PACKAGES = {"cp": "coreutils", "rsync": "rsync", "sftp": "openssh-client", "rclone": "rclone", "lftp": "lftp", "casync": "casync"}


@dataclass(frozen=True)
class Errand:
    """``source`` on the server to ``target`` here, where a copy of the old state may lie. ``scratch`` is the way's own; in
    ``prepared`` on the server lies what it made of the source beforehand."""

    server: Sshd
    source: Path
    target: Path
    scratch: Path
    prepared: Path

    @property
    def ssh(self) -> list[str]:
        options = {"UserKnownHostsFile": self.server.known_hosts, "BatchMode": "yes", "Ciphers": CIPHER, "Compression": "no"}
        words = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        return ["-F", "none", "-i", str(self.server.identity), *words]

    @property
    def remote(self) -> str:
        return f"{self.server.user}@{HOST}"


Command = Callable[[Errand], list[str]]


def rsync(*flags: str) -> Command:
    """``--sparse`` keeps holes, as netclnt does; it excludes ``--inplace`` in older releases."""

    def command(errand: Errand) -> list[str]:
        shell = shlex.join(["ssh", "-p", str(errand.server.port), *errand.ssh])
        return ["rsync", "-e", shell, *flags, f"{errand.remote}:{errand.source}", str(errand.target)]

    return command


def rsync_file(*flags: str) -> Command:
    sparse = [] if "--inplace" in flags else ["--sparse"]
    return rsync("--times", "--ignore-times", *sparse, *flags)


def rsync_tree(*flags: str) -> Command:
    def command(errand: Errand) -> list[str]:
        *words, source, target = rsync("-a", "--delete", *flags)(errand)
        return [*words, f"{source}/", f"{target}/"]

    return command


_EXCHANGE = """
import ctypes, os, sys
old, new = map(os.fsencode, sys.argv[1:])
libc = ctypes.CDLL(None, use_errno=True)
if libc.renameat2(-100, old, -100, new, 2):  # AT_FDCWD, RENAME_EXCHANGE
    sys.exit(os.strerror(ctypes.get_errno()))
"""
"""coreutils can do it from 9.5 on (``mv --exchange``)."""


def rsync_swap(errand: Errand) -> list[str]:
    """The floor of what netclnt gives, a tree that changes as a whole: the new one is made beside the old one, with hard links to
    what did not change, and both are exchanged. The old one stays, as with netclnt."""
    new = errand.scratch / "new"
    *words, source, _ = rsync("-a", f"--link-dest={errand.target}")(errand)
    exchange = [sys.executable, "-I", "-S", "-c", _EXCHANGE, str(errand.target), str(new)]
    return ["sh", "-ec", f"{shlex.join([*words, f'{source}/', f'{new}/'])}; {shlex.join(exchange)}"]


def sftp(errand: Errand) -> list[str]:
    """One batch file; long requests and many of them, so that the line is never idle."""
    batch = errand.scratch / "batch"
    recursive = "-r " if errand.source.is_dir() else ""
    batch.write_text(f"get {recursive}-p {errand.source} {errand.target}\n")
    return ["sftp", "-q", *errand.ssh, "-P", str(errand.server.port), "-b", str(batch), "-B", "261120", "-R", "64", errand.remote]


def rclone(*flags: str) -> Command:
    """Its own SSH prefers the same cipher; older releases cannot be told."""

    def command(errand: Errand) -> list[str]:
        server = errand.server
        settings = {
            "--config": "/dev/null", "--sftp-host": HOST, "--sftp-port": server.port, "--sftp-user": server.user,
            "--sftp-key-file": server.identity, "--sftp-known-hosts-file": server.known_hosts,
            "--sftp-chunk-size": "255Ki", "--sftp-disable-hashcheck": "true",
        }  # fmt: skip
        return [
            "rclone",
            *flags,
            *(f"{key}={value}" for key, value in settings.items()),
            f":sftp:{errand.source}",
            str(errand.target),
        ]

    return command


def lftp(script: str) -> Command:
    """``script`` is what to do, with {source} and {target}."""

    def command(errand: Errand) -> list[str]:
        connect = shlex.join(["ssh", "-a", "-x", *errand.ssh])
        places = {"source": shlex.quote(str(errand.source)), "target": shlex.quote(str(errand.target))}
        settings = {
            "cmd:fail-exit": "yes", "xfer:clobber": "yes", "net:max-retries": "1", "sftp:max-packets-in-flight": "64",
            "sftp:size-read": "0x8000", "sftp:connect-program": f'"{connect}"', "mirror:parallel-directories": "yes",
        }  # fmt: skip
        words = [f"set {key} {value}" for key, value in settings.items()]
        login = f"open -u {errand.server.user},none sftp://{HOST}:{errand.server.port}"
        return ["lftp", "--norc", "-c", "; ".join([*words, login, script.format_map(places)])]

    return command


def casync(errand: Errand) -> list[str]:
    """What lies at the target is its seed, and goes aside first: it trips over one in its own way."""
    shell = errand.scratch / "ssh"
    shell.write_text(f'#!/bin/sh\nexec {shlex.join(["ssh", "-p", str(errand.server.port), *errand.ssh])} "$@"\n')
    shell.chmod(0o755)
    index = casync_index(errand.prepared, errand.source)
    seeds = []
    if errand.target.exists():
        seeds = [f"--seed={errand.target.rename(errand.scratch / 'seed')}"]
    return ["env", f"CASYNC_SSH_PATH={shell}", "casync", "extract", *seeds, f"{errand.remote}:{index}", str(errand.target)]


def casync_make(directory: Path, source: Path) -> list[str]:
    """Its publish: an index for this source, and new chunks in the store beside it."""
    store = directory / "default.castr"
    return ["casync", "make", "--compression=zstd", f"--store={store}", str(casync_index(directory, source)), str(source)]


def casync_index(directory: Path, source: Path) -> Path:
    return directory / f"{source.stem}.{'caidx' if source.is_dir() else 'caibx'}"


def copy(errand: Errand) -> list[str]:
    """No line at all: what the file system itself takes for the same content."""
    return ["cp", "-a", "--sparse=always", "--reflink=never", str(errand.source), str(errand.target)]


ZSTD = ("-z", "--zc=zstd")
RCLONE_FILE = rclone("copyto", "--ignore-times", f"--multi-thread-streams={STREAMS}", "--multi-thread-cutoff=8Mi")
RCLONE_TREE = rclone("sync", f"--transfers={2 * STREAMS}", f"--checkers={2 * STREAMS}")
LFTP_FILE = lftp(f"pget -n {STREAMS} {{source}} -o {{target}}")
LFTP_TREE = lftp(f"mirror --parallel={STREAMS} --delete {{source}} {{target}}")

COLD: Mapping[str, Command] = {
    LOCAL: copy,
    "rsync": rsync_file("-W"),
    "rsync, zstd": rsync_file("-W", *ZSTD),
    "sftp": sftp,
    f"rclone, {STREAMS} streams": RCLONE_FILE,
    f"lftp pget -n {STREAMS}": LFTP_FILE,
    "casync": casync,
}
UPDATE: Mapping[str, Command] = {
    "rsync": rsync_file(),
    "rsync, zstd": rsync_file(*ZSTD),
    "rsync --inplace": rsync_file("--inplace", "--no-whole-file"),
    "casync": casync,
}
COLD_TREE: Mapping[str, Command] = {
    LOCAL: copy,
    "rsync": rsync_tree("-W"),
    "rsync, zstd": rsync_tree("-W", *ZSTD),
    "sftp": sftp,
    "rclone": RCLONE_TREE,
    "lftp mirror": LFTP_TREE,
}
UPDATE_TREE: Mapping[str, Command] = {
    "rsync": rsync_tree(),
    "rsync, zstd": rsync_tree(*ZSTD),
    "rsync --link-dest, swap": rsync_swap,
    "rclone": RCLONE_TREE,
    "lftp mirror": LFTP_TREE,
}
QUICK = (LOCAL, "rsync", "rsync, zstd", "rsync --link-dest, swap", "sftp")
"""Those that every machine for tests has."""


def installed(way: str) -> bool:
    return shutil.which(program(way)) is not None


def program(way: str) -> str:
    return way.split()[0].rstrip(",")


def missing(ways: Mapping[str, Command]) -> list[str]:
    """Debian packages of the ways that this machine cannot go."""
    return sorted({PACKAGES[program(way)] for way in ways if not installed(way)})
