"""A real update, measured beside rsync: Debian before and after ``apt upgrade``, in an ext4 image of several GB.

``python -m tests.bench.update --cache DIR [--json]`` from the top of the checkout, as root (the images are made by
``examples/make-image.sh``, from the mirrors that this machine's apt uses). All ways take the same bytes through one private
OpenSSH server on loopback, one after the other, each from a fresh copy of the old image, and end with an fsync.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support import sshd
from tests.support.sshd import Sshd

TOP = Path(__file__).parents[2]
MIB = 1 << 20
IMAGE_MIB = 4096
PACKAGES = [
    "linux-image-amd64", "systemd-sysv", "zstd", "openssh-server", "build-essential", "python3-dev", "python3-pip", "git", "vim",
    "openjdk-17-jdk-headless", "firefox-esr", "postgresql", "mariadb-server", "apache2", "nodejs", "samba", "ghostscript",
]  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One run. ``received`` and ``reused`` in bytes (None: it does not say); ``peak`` in bytes, of its largest process."""

    name: str
    received: int | None
    reused: int | None
    seconds: float
    cpu_seconds: float
    peak: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="the images are kept here; making them takes minutes")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    options = parser.parse_args()
    old, new = images(options.cache)
    with tempfile.TemporaryDirectory(dir=options.cache, prefix="run.") as scratch, sshd.start() as server:
        rows = list(all_ways(old, new, Path(scratch), server))
    facts = {"image": new.stat().st_size, "data": new.stat().st_blocks * 512, "changed_4k": changed(old, new)}
    if options.json:
        sys.stdout.write(json.dumps(facts | {"runs": [asdict(row) for row in rows]}) + "\n")
    else:
        sys.stdout.write("\n".join(table(facts, rows)) + "\n")


def images(cache: Path) -> tuple[Path, Path]:
    """The image before and after the upgrade; made only if the cache lacks them."""
    cache.mkdir(parents=True, exist_ok=True)
    old, new, work = cache / "before.ext4", cache / "after.ext4", cache / "work.ext4"
    if not old.exists():
        make_image(cache, "new", str(work), str(IMAGE_MIB), *PACKAGES)
        work.rename(old)
        new.unlink(missing_ok=True)
    if not new.exists():
        copy(old, work)
        make_image(cache, "upgrade", str(work))
        work.rename(new)
    return old, new


def make_image(cache: Path, *arguments: str) -> None:
    environment = os.environ | {"DOWNLOADS": str(cache / "downloads")}
    subprocess.run([str(TOP / "examples/make-image.sh"), *arguments], check=True, env=environment)


def all_ways(old: Path, new: Path, scratch: Path, server: Sshd) -> Iterator[Measured]:
    """Every run in turn: what the master pays, then what a slave pays, cold and for the update, then rsync."""
    published = scratch / "published.ext4"
    copy(old, published)
    master = scratch / "master.toml"
    places = ["--store", str(scratch / "store"), "--state", str(scratch / "master"), "--catalog", f"sqlite:{scratch / 'catalog'}"]
    netclnt(master, "init", "master", *places)
    publish = ["publish", str(published), "--name", "golden.ext4"]
    yield netclnt(master, *publish, label="publish, first")
    transports = ("paramiko", "openssh")
    slaves = {transport: init_slave(scratch, transport, server) for transport in transports}
    for transport in transports:
        yield netclnt(slaves[transport], "sync", label=f"netclnt sync, {transport}, from nothing")
    copy(new, published)
    yield netclnt(master, *publish, label="publish, upgraded")
    for transport in transports:
        yield netclnt(slaves[transport], "sync", label=f"netclnt sync, {transport}")
        check_equal(new, scratch / transport / "golden.ext4")
    for label, flags in {"rsync": [], "rsync -z --zc=zstd": ["-z", "--zc=zstd"]}.items():
        copy(old, scratch / "rsync.ext4")
        yield rsync(label, flags, new, scratch / "rsync.ext4", server)
        check_equal(new, scratch / "rsync.ext4")


def init_slave(scratch: Path, transport: str, server: Sshd) -> Path:
    config = scratch / f"{transport}.toml"
    root = scratch / transport
    root.mkdir()
    netclnt(
        config, "init", "slave", "--name", transport, "--root", str(root), "--state", str(scratch / f"{transport}.state"),
        "--catalog", f"odbc:Driver={{SQLite3}};Database={scratch / 'catalog'};BigInt=1",
        "--parent", server.url(scratch / "store"),
        "--identity", str(server.identity), "--known-hosts", str(server.known_hosts), "--transport", transport,
    )  # fmt: skip
    return config


def netclnt(config: Path, *arguments: str, label: str = "") -> Measured:
    """One command of the netclnt beside this Python; bytes are those of its own summary."""
    program = str(Path(sys.executable).with_name("netclnt"))
    output, seconds, cpu, peak = measure([program, "--config", str(config), "--json", *arguments])
    summary = next((event for event in map(json.loads, output.splitlines()) if event["type"] == "summary"), {})
    return Measured(label, summary.get("bytes_fetched"), summary.get("bytes_reused"), seconds, cpu, peak)


def rsync(label: str, flags: Sequence[str], source: Path, target: Path, server: Sshd) -> Measured:
    ssh = f"ssh -F none -p {server.port} -i {server.identity} -o UserKnownHostsFile={server.known_hosts} -o BatchMode=yes"
    command = ["rsync", "--times", "--sparse", "--fsync", "--stats", "--no-human-readable", *flags, "-e", ssh]
    output, seconds, cpu, peak = measure([*command, f"{server.user}@{sshd.HOST}:{source}", str(target)])
    said = {key: int(value) for key, value in re.findall(r"^(Total bytes \w+|Matched data): ([0-9]+)", output, re.MULTILINE)}
    return Measured(label, said["Total bytes received"] + said["Total bytes sent"], said["Matched data"], seconds, cpu, peak)


def measure(command: Sequence[str]) -> tuple[str, float, float, int]:
    """Run to the end: (standard output, seconds, seconds of CPU, bytes of the largest process); its own processes included.

    The kernel counts this program's own size, about 20 MiB, as the least that a child has used."""
    with tempfile.TemporaryFile("w+") as output:
        started = time.monotonic()
        pid = os.posix_spawnp(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, output.fileno(), 1)])
        _, status, usage = os.wait4(pid, 0)
        seconds = time.monotonic() - started
        output.seek(0)
        said = output.read()
    if status:
        raise SystemExit(f"exit code {os.waitstatus_to_exitcode(status)} of {' '.join(command)}\n{said}")
    return said, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def copy(source: Path, target: Path) -> None:
    """A sparse copy, on disk and out of the way of what is measured next."""
    subprocess.run(["cp", "--sparse=always", "--reflink=never", str(source), str(target)], check=True)
    os.sync()


def check_equal(expected: Path, found: Path) -> None:
    digests = []
    for path in (expected, found):
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    if digests[0] != digests[1]:
        raise SystemExit(f"{found} is not equal to {expected}")


def changed(old: Path, new: Path) -> int:
    """Bytes of the new image's 4 KiB pages that differ from the old one's at the same place."""
    count = 0
    with old.open("rb") as one, new.open("rb") as other:
        while part := other.read(MIB):
            before = one.read(MIB)
            if part != before:
                count += sum(part[at : at + 4096] != before[at : at + 4096] for at in range(0, len(part), 4096))
    return count * 4096


def table(facts: dict[str, int], rows: Sequence[Measured]) -> Iterator[str]:
    yield "image {:,.0f} MB, of it data {:,.0f} MB, changed in place (4 KiB pages) {:,.0f} MB".format(
        *(fact / 1e6 for fact in facts.values())
    )
    yield ""
    yield f"{'':40} {'wire MB':>9} {'of image':>9} {'reused MB':>10} {'seconds':>8} {'CPU s':>7} {'peak MiB':>9}"
    for row in rows:
        wire = "" if row.received is None else f"{row.received / 1e6:,.1f}"
        share = "" if row.received is None else f"{100 * row.received / facts['image']:.1f} %"
        reused = "" if row.reused is None else f"{row.reused / 1e6:,.1f}"
        costs = f"{row.seconds:8.1f} {row.cpu_seconds:7.1f} {row.peak / MIB:9.0f}"
        yield f"{row.name:40} {wire:>9} {share:>9} {reused:>10} {costs}"


if __name__ == "__main__":
    main()
