"""A sync under the real systemd and its journal: what the supervisor shows, and that it ends a run that stands still.

A manager of its own runs in a mount namespace, with a ``/run`` of its own: the machine's, if it has one, is left alone.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from netclnt.errors import ExitCode
from netclnt.timing import Interval
from netclnt.units import Job, timer_units
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

BEGIN = r"""
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
"""

RUNS = r"""
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

FAILING = r"""
systemctl --user start --no-block netclnt-sync.service
until [ "$(wc -l < "$2/starts")" -ge 8 ]; do
    systemctl --user --quiet is-failed netclnt-sync.service && exit 1
    sleep 0.05
done
systemctl --user stop netclnt-sync.service
systemctl --user start --no-block netclnt-sync.service
until [ "$(wc -l < "$2/starts")" -ge 9 ]; do sleep 0.05; done
systemctl --user stop netclnt-sync.service
"""


def test_systemd_shows_a_run_and_ends_one_that_stands_still(make_site: Callable[..., Site], tmp_path: Path) -> None:
    site = make_site()
    site.publish(site.put("image", content("systemd", 100_000)))
    unit(tmp_path, "sync", site, "sync")
    unit(tmp_path, "waiting", site, "sync --random-delay 24h")
    said = under_systemd(tmp_path, RUNS)
    shown = [dict(pair.split("=", 1) for pair in line.split("|")) for line in said[:4]]
    ended, waiting, later, frozen = shown
    assert (ended["Result"], ended["ExecMainStatus"]) == ("success", "0")
    assert ended["StatusText"].startswith("OK: 1 image changed")
    assert "own slot" in waiting["StatusText"]
    assert later["Result"] == "success"  # it lives on: twice as long as the watchdog waits
    assert frozen["Result"] == "watchdog"
    lines = [json.loads(line) for line in said[4:]]
    levels = {line["PRIORITY"] for line in lines if line["_TRANSPORT"] == "stdout"}
    assert levels == {"6"}
    assert not [line for line in lines if line["MESSAGE"].startswith("<")]


def test_systemd_starts_a_sync_that_failed_quickly_again_and_again(tmp_path: Path) -> None:
    """The unit that is written for a timer, of a program that fails at once, and a pause of a moment."""
    made = Job(program=("/bin/netclnt",), config=Path("/c"), writable=(), schedule=Interval(30), spread=0.0, user=True)
    text = timer_units(made)["netclnt-sync.service"].replace("RestartSec=15min", "RestartSec=10ms")
    usual = re.findall(r"^(?:StartLimit|Restart|Success)\w*=.*$|^\[.*", text, re.MULTILINE)
    program = f"ExecStart=sh -c 'echo >> {tmp_path}/starts; exit {int(ExitCode.TEMP)}'"
    (tmp_path / "netclnt-sync.service").write_text("\n".join([*usual, "Type=oneshot", program, ""]))
    (tmp_path / "starts").touch()
    under_systemd(tmp_path, FAILING)


def under_systemd(directory: Path, script: str) -> list[str]:
    """What a script prints beside a manager that has the directory's units; it must succeed."""
    (directory / "run").mkdir()
    (directory / "inside").write_text(BEGIN + script)
    command = ["unshare", "--mount", "--propagation", "private", "sh", str(directory / "inside"), str(directory / "run")]
    command += map(str, (directory, MANAGER, JOURNAL))
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def unit(directory: Path, name: str, site: Site, words: str) -> None:
    """It takes a second to go, or else systemd may forget it before it is asked."""
    environment = "".join(f'Environment="{name}={value}"\n' for name, value in site.environment_of("slave").items())
    start = f"ExecStart={shlex.join(NETCLNT)} {words}\nExecStopPost=sleep 1\n"
    (directory / f"{name}.service").write_text(f"[Service]\nType=notify\nWatchdogSec=1\n{environment}{start}")
