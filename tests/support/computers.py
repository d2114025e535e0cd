"""Two whole computers for guides to be followed on, as far as namespaces make one: a master and a slave, each with its own
``/etc``, ``/var``, ``/srv``, processes and network, joined by a line, so that commands may be typed as they stand in a guide, as
root.

What changes in one is kept in memory, apart from this machine, and is gone with the ``with`` block. ``netclnt`` in there is the
tests' own, the working directory a read-only clone. What a minimal server would have is played: ``systemctl`` starts the few
servers that guides need (no systemd is there), and ``apt install`` does what the packages' scripts do, and fails where a package
is not installed on this machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.namespaces import MASTER_ADDRESS, Missing, Namespace, narrow_line
from tests.support.sshd import descendants

TOP = Path(__file__).parents[2]
LINE_KILOBITS = 1_000_000
DEADLINE = 120
PLAYED = Path(__file__).parent / "played"
"""Programs that the computers have in place of those of a whole Debian."""

SET_UP = r"""
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
scratch=$1 saved=$2 name=$3 master=$4 top=$5 played=$6 python=$7
mount --make-rprivate /
mount -t tmpfs -o mode=0755 none "$scratch"
cp -a "$saved/." "$scratch/" 2>/dev/null || true
mkdir -p "$scratch"/{srv,mnt,run,clone,packages,lib/dpkg,lib/postgresql} "$scratch"/{etc,var,root,local}/{upper,work}
mount --bind -o ro "$top" "$scratch/clone"
mount --bind -o ro /var/lib/dpkg "$scratch/packages"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$scratch/etc/upper,workdir=$scratch/etc/work" /etc
mount -t overlay overlay -o "lowerdir=/var,upperdir=$scratch/var/upper,workdir=$scratch/var/work" /var
mount -t overlay overlay -o "lowerdir=/root,upperdir=$scratch/root/upper,workdir=$scratch/root/work" /root
mount -t overlay overlay -o "lowerdir=/usr/local,upperdir=$scratch/local/upper,workdir=$scratch/local/work" /usr/local
for part in srv mnt run; do mount --bind "$scratch/$part" "/$part"; done
mount --bind "$scratch/lib" /var/lib  # not of the overlay, in which files are on other devices than their directories
mount --bind "$scratch/packages" /var/lib/dpkg
mkdir -p /mnt/netclnt /run/lock /run/systemd/system
mount --bind "$scratch/clone" /mnt/netclnt
hostname "$name"
if [ ! -e /etc/computer ]; then
  rm -rf /root/.ssh /root/.config /root/.local /etc/netclnt /etc/postgresql /etc/odbc.ini
  rm -f /etc/systemd/system/netclnt* /etc/cron.d/netclnt
  mkdir -p /etc/postgresql /etc/systemd/system /etc/cron.d
  ! id -u postgres >/dev/null 2>&1 || chown postgres: /var/lib/postgresql
  sed -i 's/^CommLog.*/CommLog=0/' /etc/odbcinst.ini 2>/dev/null || true
  printf '127.0.0.1 localhost %s\n%s master.example.com\n' "$name" "$master" >/etc/hosts
  tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id.new && cat /etc/machine-id.new >/etc/machine-id
  rm -f /etc/ssh/ssh_host_* && ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
  printf '#!/bin/sh\nexec %s -m netclnt "$@"\n' "$python" >/usr/local/bin/netclnt
  chmod +x /usr/local/bin/netclnt
  install -t /usr/local/bin "$played"/*
  touch /etc/computer
fi
[ "$name" != master ] || systemctl start ssh
echo ready
while read -r line; do :; done
"""


@dataclass(frozen=True)
class Typed:
    """What came of lines typed into a shell; ``out`` is what a terminal would show, both streams in their order."""

    code: int
    out: str


@dataclass(frozen=True)
class Computer:
    name: str
    holder: int
    scratch: Path

    def type(self, script: str) -> Typed:
        """Run a script as root, in a clone of the repository; it ends at its first error."""
        inside = ["nsenter", f"--target={self.holder}", "--mount", "--uts", "--net", "--pid"]
        environment = {
            "HOME": "/root",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
        }
        done = subprocess.run(
            [*inside, "bash", "-euo", "pipefail", "-c", f"cd /mnt/netclnt\n{script}"],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip
        return Typed(done.returncode, done.stdout)

    def save(self, to: Path) -> None:
        """Keep what changed here, for :func:`computers` to begin with."""
        to.mkdir(parents=True)
        kept = [f"{self.scratch}/{part}" for part in ("srv", "mnt", "etc", "var", "root", "lib", "local")]
        done = self.type(f"cp -a {' '.join(kept)} {to}/")
        assert done.code == 0, done.out


@contextmanager
def computers(directory: Path, *, saved: Path | None = None) -> Iterator[dict[str, Computer]]:
    """A ``master``, which the other knows as master.example.com, and a ``slave``; they begin as those that were saved.
    Raises Missing where this machine cannot make them."""
    for program in ("unshare", "nsenter", "mount"):
        if shutil.which(program) is None:
            raise Missing(f"{program} is not installed")
    with ExitStack() as stack:
        line = stack.enter_context(narrow_line(LINE_KILOBITS))
        ends = {"master": line.master, "slave": line.slave}
        yield {name: stack.enter_context(_computer(directory, saved, name, end)) for name, end in ends.items()}


@contextmanager
def _computer(directory: Path, saved: Path | None, name: str, end: Namespace) -> Iterator[Computer]:
    scratch = directory / name
    scratch.mkdir(parents=True)
    values = [
        scratch,
        (saved or directory) / name if saved else "/nonexistent",
        name,
        MASTER_ADDRESS,
        TOP,
        PLAYED,
        sys.executable,
    ]
    apart = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with end.entered():
        process = subprocess.Popen(
            [*apart, "bash", "-c", SET_UP, "set up", *map(str, values)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
        )  # fmt: skip
    assert process.stdin and process.stdout and process.stderr
    try:
        if process.stdout.readline() != "ready\n":
            process.stdin.close()
            raise Missing(f"a computer of namespaces: {process.stderr.read().strip()}")
        yield Computer(name, descendants(process.pid)[0], scratch)
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
        process.stderr.close()
