"""What ``service install`` writes, run by the real systemd: the sandbox lets netclnt do all it has to, and nothing else.

A manager of its own runs in a mount namespace, with a ``/run`` of its own: the machine's, if it has one, is left alone. It is a
user's manager, but root's, and so can do all that the units ask for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.images import content
from tests.support.site import Site, digest, good

MANAGER = Path("/lib/systemd/systemd")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("unshare") or not MANAGER.exists(),
        reason="a mount namespace needs root, and this test systemd",
    ),
]

INSIDE = r"""
set -eu
mount --make-rshared /  # a credential is mounted elsewhere, and has to arrive here
mount -t tmpfs none "$1"
mkdir -p "$1/systemd/system" "$1/user/0/systemd" "$1/systemd/inaccessible/dir"
(cd "$1/systemd/inaccessible"; : > reg; : > sock; mkfifo fifo; mknod chr c 0 0; mknod blk b 0 0; chmod 000 *)
cp -r "$2" "$1/user/0/systemd/user"
mount --bind "$1" /run
export XDG_RUNTIME_DIR=/run/user/0
"$3" --user >"$1/manager.log" 2>&1 &
manager=$!
trap 'kill -s KILL $manager 2>/dev/null' EXIT
until systemctl --user is-system-running --wait >/dev/null 2>&1; do sleep 0.05; done
show() { systemctl --user show -p ActiveState,Result,ExecMainStatus,StatusText "$1" | paste -s -d '|'; }

systemctl --user start netclnt-sync.service || true
show netclnt-sync.service
systemctl --user start netclnt-sync.timer
systemctl --user show -p ActiveState,NextElapseUSecRealtime netclnt-sync.timer | paste -s -d '|'
systemctl --user start netclnt.service
show netclnt.service
systemctl --user reload netclnt.service
show netclnt.service
systemctl --user stop netclnt.service
show netclnt.service
grep -i netclnt "$1/manager.log" | grep -iE 'unknown|ignor|fail' >&2 || true
"""

DROP_IN = """[Service]
Restart=no
{environment}
ExecStartPre=/bin/sh -c 'test -s "$NETCLNT_PASSWORD_FILE" && touch "{root}/credential"'
ExecStartPre=-/bin/touch "{outside}/escaped"
ExecStartPre=/bin/sh -c 'unshare --user true && touch "{root}/unshared" || true'
ExecStartPre=/bin/sh -c 'chmod u+s "{root}/credential" && touch "{root}/suid" || true'
"""


@pytest.mark.parametrize(("catalog", "transport"), [("store", "paramiko"), ("postgresql", "openssh")])
def test_the_real_systemd_runs_what_install_writes(
    catalog: str, transport: str, make_site: Callable[..., Site], tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("nobody asks for it\n")
    flags = ("--password-file", str(password)) if catalog == "store" else ()  # the database has one that counts
    site = make_site(catalog, transport=transport, flags=(*flags, "--owner", "1234", "--group", "1234", "--mode", "0640"))
    tree = site.source / "tree"
    tree.mkdir()
    (tree / "kernel").write_bytes(content("kernel", 200_000))
    (tree / "link").symlink_to("kernel")
    image = site.put("image", content("first", 300_000))
    site.publish(image)
    site.publish(tree)
    site.sync("tree")  # the first time outside: what a unit replaces must be changed with its owner
    (tree / "kernel").write_bytes(content("kernel 2", 200_000))
    site.publish(tree)
    outside = tmp_path / "outside"
    outside.mkdir()

    units = install(site, tmp_path / "units", outside)
    (tmp_path / "run").mkdir()
    (tmp_path / "inside").write_text(INSIDE)
    command = ["unshare", "--mount", "--propagation", "private", "sh", tmp_path / "inside", tmp_path / "run", units, MANAGER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    synced, timer, started, reloaded, stopped = [
        dict(pair.split("=", 1) for pair in line.split("|")) for line in done.stdout.splitlines()
    ]
    assert (synced["Result"], synced["ExecMainStatus"]) == ("success", "0"), done.stdout + done.stderr
    assert (site.root / "image").stat().st_uid == 1234
    assert digest(site.root / "image") == digest(image)
    assert digest(site.root / "tree" / "kernel") == digest(tree / "kernel")
    assert (site.root / "credential").exists()
    assert not list(outside.iterdir())
    assert not [name for name in ("unshared", "suid") if (site.root / name).exists()]
    assert timer["ActiveState"] == "active"
    assert timer["NextElapseUSecRealtime"]
    assert started["ActiveState"] == reloaded["ActiveState"] == "active"
    assert started["StatusText"].startswith("next sync at ")
    assert (stopped["ActiveState"], stopped["Result"]) == ("inactive", "success")


def install(site: Site, units: Path, outside: Path) -> Path:
    """The units as they are written, and what this test adds, as drop-ins."""
    environment = "".join(f'Environment="{name}={value}"\n' for name, value in site.environment.items())
    for form in ("--timer", "--service"):
        where = ["--directory", str(units), "--random-delay", "0"]
        good(site.slave("--config", str(site.config("slave")), "service", "install", form, *where))
    for name in ("netclnt-sync.service", "netclnt.service"):
        drop_in = units / f"{name}.d" / "test.conf"
        drop_in.parent.mkdir()
        text = DROP_IN.format(environment=environment, root=site.root, outside=outside)
        drop_in.write_text(text if name == "netclnt-sync.service" else text.split("ExecStartPre")[0])
    return units
