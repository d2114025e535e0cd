"""A root of its own to install packages into: a file system over this machine's, or over one that debootstrap makes.

What is done in it stays in memory, in a mount namespace of its own, and goes with it; network and processes are this machine's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SECONDS = 300
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
INSIDE = r"""
set -eu  # xino: files and directories show one device, as on any other file system
mount -t tmpfs -o mode=0755 none "$1"
mkdir -m 0755 "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "xino=on,lowerdir=$2,upperdir=$1/upper,workdir=$1/work" none "$1/root"
mount -t proc none "$1/root/proc"
mount --rbind /dev "$1/root/dev"
shift 2
"""


class Missing(Exception):
    """This machine cannot do it; the text says why."""


@dataclass(frozen=True)
class CleanRoot:
    """``top`` is the root as seen from outside, ``changed`` what differs from the root that it began as."""

    process: int
    place: Path

    @property
    def top(self) -> Path:
        return Path(f"/proc/{self.process}/root{self.place}/root")

    @property
    def changed(self) -> Path:
        return Path(f"/proc/{self.process}/root{self.place}/upper")

    def run(self, *words: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command inside to its end, with nothing of this process's environment."""
        inside = ["nsenter", f"--mount=/proc/{self.process}/ns/mnt", "chroot", str(self.place / "root")]
        variables = [f"{name}={value}" for name, value in (ENVIRONMENT | (env or {})).items()]
        return subprocess.run(
            [*inside, "/usr/bin/env", "-i", *variables, *map(str, words)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )

    def good(self, *words: str | Path, env: dict[str, str] | None = None) -> str:
        """What a command says that has to succeed."""
        done = self.run(*words, env=env)
        assert done.returncode == 0, f"{words}: exit {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def put(self, source: Path, path: str, *, mode: int) -> None:
        """A copy of a file of this machine."""
        target = self.top / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(mode)


@contextmanager
def clean_root(directory: Path, *, lower: Path = Path("/")) -> Iterator[CleanRoot]:
    """One over ``lower``, mounted in the empty ``directory``. Raises Missing."""
    for program in ("unshare", "nsenter", "chroot", "dpkg"):
        if shutil.which(program) is None:
            raise Missing(f"{program} is not installed")
    if os.geteuid():
        raise Missing("mounting needs root")
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", f"{INSIDE}echo ready\nread -r _", "sh"]
    holder = subprocess.Popen([*command, directory, lower], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != b"ready\n":
            raise Missing(f"no file system over {lower} here: {holder.communicate()[1].decode().strip()}")
        yield CleanRoot(holder.pid, directory)
    finally:
        holder.communicate()


def bootstrap(directory: Path, *packages: str) -> Path:
    """The release's minimal system and ``packages``, of the mirror that this machine's apt uses. Raises Missing."""
    if shutil.which("debootstrap") is None or os.geteuid():
        raise Missing("debootstrap is not installed, or nobody is root")
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(CREATED_BY) $(COMPONENT) $(REPO_URI) $(RELEASE)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    codename = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)[
        "VERSION_CODENAME"
    ]
    mirrors = [
        words[2] for words in map(str.split, listed.splitlines()) if words[:2] == ["Packages", "main"] and words[3] == codename
    ]
    if not mirrors:
        raise Missing("apt knows no mirror of this release (run: apt-get update)")
    root = directory / "bootstrapped"
    command = [
        "debootstrap",
        "--variant=minbase",
        *(f"--include={','.join(packages)}" for _ in packages[:1]),
        codename,
        root,
        mirrors[0],
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"debootstrap: {done.stdout[-500:]}{done.stderr[-500:]}")
    return root
