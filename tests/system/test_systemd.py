"""A sync under the real systemd and its journal: what the supervisor shows, and that it ends a run that stands still.

A manager of its own runs in a mount namespace, with a ``/run`` of its own: the machine's, if it has one, is left alone.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.images import content
from tests.support.site import NETCLNT, Site

MANAGER = Path("/lib/systemd/systemd")
JOURNAL = Path("/lib/systemd/systemd-journald")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("unshare") or not MANAGER.exists() or not JOURNAL.exists(),
        reason="a mount namespace needs root, and this test systemd",
    ),
]

INSIDE = r"""
set -eu
mount -t tmpfs none "$1"
mkdir -p "$1/systemd/system" "$1/user/0/systemd/user"
cp "$2"/*.service "$1/user/0/systemd/user"
mount --bind "$1" /run
export XDG_RUNTIME_DIR=/run/user/0
"$4" >/dev/null 2>&1 &
journal=$!
"$3" --user >/dev/null 2>&1 &
manager=$!
trap 'kill -s KILL $manager $journal 2>/dev/null' EXIT
until systemctl --user is-system-running --wait >/dev/null 2>&1; do sleep 0.05; done
show() { systemctl --user show -p Result,StatusText,ExecMainStatus "$1" | paste -s -d '|'; }

systemctl --user start sync.service
pid=$(systemctl --user show -p ExecMainPID --value sync.service)
while [ "$(systemctl --user is-active sync.service)" = active ]; do sleep 0.05; done
show sync.service
systemctl --user start waiting.service
until show waiting.service | grep -q 'StatusText=waits'; do sleep 0.05; done
show waiting.service
sleep 2.5
show waiting.service
kill -s STOP "$(systemctl --user show -p MainPID --value waiting.service)"
while [ "$(systemctl --user is-active waiting.service)" = active ]; do sleep 0.05; done
show waiting.service
journalctl --sync
journalctl --output json "_PID=$pid"
"""


def test_systemd_shows_a_run_and_ends_one_that_stands_still(make_site: Callable[..., Site], tmp_path: Path) -> None:
    site = make_site()
    site.publish(site.put("image", content("systemd", 100_000)))
    unit(tmp_path, "sync", site, "sync")
    unit(tmp_path, "waiting", site, "sync --random-delay 24h")
    (tmp_path / "run").mkdir()
    (tmp_path / "inside").write_text(INSIDE)
    command = ["unshare", "--mount", "--propagation", "private", "sh", str(tmp_path / "inside"), str(tmp_path / "run")]
    command += map(str, (tmp_path, MANAGER, JOURNAL))
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    shown = [dict(pair.split("=", 1) for pair in line.split("|")) for line in done.stdout.splitlines()[:4]]
    ended, waiting, later, frozen = shown
    assert (ended["Result"], ended["ExecMainStatus"]) == ("success", "0")
    assert ended["StatusText"].startswith("OK: 1 image changed")
    assert "own slot" in waiting["StatusText"]
    assert later["Result"] == "success"  # it lives on: twice as long as the watchdog waits
    assert frozen["Result"] == "watchdog"
    lines = [json.loads(line) for line in done.stdout.splitlines()[4:]]
    levels = {line["PRIORITY"] for line in lines if line["_TRANSPORT"] == "stdout"}
    assert levels == {"6"}
    assert not [line for line in lines if line["MESSAGE"].startswith("<")]


def unit(directory: Path, name: str, site: Site, words: str) -> None:
    """It takes a second to go, or else systemd may forget it before it is asked."""
    environment = "".join(f'Environment="{name}={value}"\n' for name, value in site.environment_of("slave").items())
    start = f"ExecStart={shlex.join(NETCLNT)} {words}\nExecStopPost=sleep 1\n"
    (directory / f"{name}.service").write_text(f"[Service]\nType=notify\nWatchdogSec=1\n{environment}{start}")
