"""Units and cron lines: what they say, what systemd's own tools think of them, and what ``service install`` does to a host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from netclnt.cli.installing import SPREAD, make_job
from netclnt.cli.settings import SYSTEM_CONFIG
from netclnt.config import ConfigFile, SlaveConfig, defaults, from_table, resolve
from netclnt.errors import ExitCode
from netclnt.timing import parse_schedule
from netclnt.units import Job, NotExpressible, cron_file, service_units, timer_units
from tests.support.documents import TOP
from tests.support.site import Run, checked

SYSTEMD_ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(SYSTEMD_ANALYZE is None, reason="systemd is not installed: apt install systemd")

UNITS = TOP / "examples" / "systemd"
EXAMPLE = TOP / "examples" / "netclnt.toml.slave"


def job(**changes: Any) -> Job:
    usual = Job(
        program=(sys.executable, "-m", "netclnt"),
        config=SYSTEM_CONFIG,
        writable=(Path("/srv/images"), Path("/var/lib/netclnt")),
        schedule=parse_schedule("at 02:00 every 1 day"),
        spread=1800.0,
    )
    return replace(usual, **changes)


def values(text: str, name: str) -> list[str]:
    """What a unit says for a directive, line by line."""
    return re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)


def lines_of_cron(schedule: str, **changes: object) -> list[str]:
    text = cron_file(job(schedule=parse_schedule(schedule), **changes))
    return [line for line in text.splitlines() if line and line[0] in "0123456789*"]


# --- the examples


def example_texts() -> dict[Path, str]:
    """What ``service install`` writes for the example of a config, installed where its docs say."""
    tables = ConfigFile.of(EXAMPLE.read_text(), path=EXAMPLE).tables
    layers = [from_table(SlaveConfig, tables["slave"])]
    layers.append(defaults(SlaveConfig, state=Path("/var/lib/netclnt"), layers=layers))
    config = resolve(SlaveConfig, *layers, path=EXAMPLE)
    made = make_job(config, SYSTEM_CONFIG, ["/usr/local/bin/netclnt"], user=False, flags={})
    units = timer_units(made) | service_units(made)
    return {UNITS / name: text for name, text in units.items()} | {TOP / "examples" / "cron.netclnt": cron_file(made)}


@pytest.mark.parametrize("path", example_texts(), ids=lambda path: path.name)
def test_the_examples_are_what_install_writes(path: Path) -> None:
    assert path.read_text() == example_texts()[path]


def test_there_are_no_other_units() -> None:
    assert {path for path in example_texts() if path.parent == UNITS} == set(UNITS.iterdir())


# --- what they say


def test_a_normal_stop_is_success_and_only_what_may_pass_is_repeated() -> None:
    unit = timer_units(job())["netclnt-sync.service"]
    assert values(unit, "SuccessExitStatus") == ["10 14"]
    assert str(int(ExitCode.TEMP)) not in values(unit, "RestartPreventExitStatus")[0].split()
    assert values(service_units(job())["netclnt.service"], "SuccessExitStatus") == ["143"]


@pytest.mark.parametrize("schedule", ["at 02:00 every 1 day", "at 02:00,05:30 every 1 day", "every 1 minute"])
def test_no_start_of_the_schedule_is_refused_for_those_before_it(schedule: str) -> None:
    """systemd counts every start from the first in a while on, also those that follow a long run that failed in the end."""
    unit = timer_units(job(schedule=parse_schedule(schedule)))["netclnt-sync.service"]
    assert values(unit, "StartLimitIntervalSec") == ["0"]
    assert values(unit, "Restart") == ["on-failure"]


def test_the_delay_is_waited_once() -> None:
    units = timer_units(job(spread=900.0))
    assert values(units["netclnt-sync.timer"], "RandomizedDelaySec") == ["15m"]
    assert values(units["netclnt-sync.timer"], "FixedRandomDelay") == ["yes"]
    assert values(units["netclnt-sync.service"], "Environment") == ["NETCLNT_RANDOM_DELAY=0"]
    assert not values(timer_units(job(spread=0.0))["netclnt-sync.timer"], "RandomizedDelaySec")
    assert lines_of_cron("at 02:00 every 1 day")[0].endswith(" -q sync --random-delay 30m")
    assert lines_of_cron("at 02:00 every 1 day", spread=0.0)[0].endswith(" -q sync")


def test_L1_a_password_file_is_handed_over_as_a_credential() -> None:
    for text in (timer_units(job(password_file=Path("/etc/netclnt/password"))) | service_units(job())).values():
        assert "PASSWORD_FILE" not in text.replace("Environment=NETCLNT_PASSWORD_FILE=%d/catalog-password", "")
    unit = service_units(job(password_file=Path("/etc/netclnt/password")))["netclnt.service"]
    assert values(unit, "LoadCredential") == ["catalog-password:/etc/netclnt/password"]
    assert "NETCLNT_PASSWORD_FILE=%d/catalog-password" in values(unit, "Environment")


def test_odd_paths_are_quoted_and_nothing_in_them_is_expanded() -> None:
    odd = Path('/srv/my "images" 100% $HOME')
    unit = timer_units(job(program=("/opt/a b/netclnt", "--config", "/etc/%n $x"), writable=(odd,)))["netclnt-sync.service"]
    assert values(unit, "ExecStart") == ['"/opt/a b/netclnt" --config "/etc/%%n $$x" -q sync']
    assert values(unit, "ReadWritePaths") == ['"-/srv/my \\"images\\" 100%% $HOME"']
    assert "'/opt/a b/netclnt' --config '/etc/\\%n $x' -q" in cron_file(
        job(program=("/opt/a b/netclnt", "--config", "/etc/%n $x"))
    )


def test_what_lies_below_tmp_is_not_hidden_from_its_own_service() -> None:
    assert values(timer_units(job())["netclnt-sync.service"], "PrivateTmp") == ["yes"]
    assert not values(timer_units(job(writable=(Path("/var/tmp/root"),)))["netclnt-sync.service"], "PrivateTmp")


def test_what_an_account_cannot_have_is_not_in_its_units() -> None:
    unit = service_units(job(user=True))["netclnt.service"]
    assert not re.search("^(Protect|Private|Capability|ReadWrite)", unit, re.MULTILINE)
    assert values(unit, "NoNewPrivileges") == ["yes"]
    assert values(unit, "WantedBy") == ["default.target"]
    assert "root" not in "".join(lines_of_cron("every 6 hours", user=True))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("at 02:00 every 1 day", ["0 2 * * *"]),
        ("at 02:30,14:30,03:05 every 1 day", ["5 3 * * *", "30 2,14 * * *"]),
        ("at 03:30 every 1 week on Sun,Mon", ["30 3 * * 1,0"]),
        ("every 15 minutes", ["*/15 * * * *"]),
        ("every 6 hours", ["0 */6 * * *"]),
        ("every 24 hours", ["0 */24 * * *"]),
    ],
)
def test_what_cron_is_told(schedule: str, expected: list[str]) -> None:
    assert [line.partition("  ")[0] for line in lines_of_cron(schedule)] == expected


@pytest.mark.parametrize(
    "schedule", ["at 02:00 every 2 days", "at 02:00 every 2 weeks on Sun", "every 7 hours", "every 90 minutes"]
)
def test_what_neither_can_count_is_refused(schedule: str) -> None:
    for write in (timer_units, cron_file):
        with pytest.raises(NotExpressible, match=r"cannot (count|start)"):
            write(job(schedule=parse_schedule(schedule)))
    assert service_units(job(schedule=parse_schedule(schedule)))


# --- systemd's own tools


@needs_systemd
@pytest.mark.parametrize(
    "schedule",
    [
        "at 02:00 every 1 day",
        "at 14:30,02:05 every 1 day",
        "at 03:30 every 1 week on Sun,Tue",
        "every 15 minutes",
        "every 6 hours",
    ],
)
def test_systemd_understands_the_schedule_as_the_service_does(schedule: str) -> None:
    base = datetime(2026, 11, 24, 1, 59, tzinfo=UTC).timestamp()
    meant, expected = parse_schedule(schedule), [base]
    while len(expected) < 6:
        expected.append(meant.next(expected[-1], UTC))
    told: set[float] = set()
    for calendar in values(timer_units(job(schedule=meant))["netclnt-sync.timer"], "OnCalendar"):
        done = subprocess.run(
            ["systemd-analyze", "calendar", "--iterations=5", "--base-time=2026-11-24 01:59:00 UTC", calendar],
            capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C"},
        )  # fmt: skip
        for moment in re.findall(r"(?:Next elapse|Iteration #\d+|Iter\. #\d+): \w+ (\S+ \S+) UTC", done.stdout):
            told.add(datetime.fromisoformat(f"{moment}+00:00").timestamp())
    assert sorted(told)[:5] == expected[1:]


VARIANTS: dict[str, Callable[[], dict[str, str]]] = {
    "timer": lambda: timer_units(job()),
    "service": lambda: service_units(job(flags=("--schedule", "at 02:00 every 3 days"))),
    "password": lambda: service_units(job(password_file=Path("/etc/hostname"))),
    "odd-paths": lambda: timer_units(job(writable=(Path('/srv/a "b" 100%'),), schedule=parse_schedule("every 6 hours"))),
    "user": lambda: timer_units(job(user=True)) | {"netclnt.service": service_units(job(user=True))["netclnt.service"]},
}


@needs_systemd
@pytest.mark.parametrize("variant", VARIANTS)
def test_systemd_finds_nothing_to_say_of_what_is_written(variant: str, tmp_path: Path) -> None:
    for name, text in VARIANTS[variant]().items():
        (tmp_path / name).write_text(text)
    user = ["--user"] if variant == "user" else []
    command = ["systemd-analyze", *user, "verify", "--man=no", *map(str, tmp_path.iterdir())]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert not [line for line in done.stderr.splitlines() if "netclnt" in line]


@needs_systemd
@pytest.mark.parametrize("name", ["netclnt-sync.service", "netclnt.service"])
def test_systemd_calls_the_sandbox_OK(name: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    path = tmp_path / name
    path.write_text((timer_units(job()) | service_units(job()))[name])
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=30", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    last = done.stdout.splitlines()[-1]
    record_property("exposure", last)
    print(last)
    assert done.returncode == 0, last
    assert " OK " in last


# --- service install


CONFIG = """[slave]
name = "store-0815"
catalog = "store"
parent = "sftp://netclnt@master.example/store"
root = "/srv/images"
state = "/var/lib/netclnt"
"""


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., Run]:
    """Runs ``service install`` into a directory of the test's own; with ``directory=None`` where it would go."""
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)

    def run(*flags: str, directory: str | None = "units", before: tuple[str, ...] = (), **environment: str) -> Run:
        where = ["--directory", str(tmp_path / directory)] if directory else []
        done = subprocess.run(
            [*before, sys.executable, "-m", "netclnt", "--config", str(config), "service", "install", *where, *flags],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONWARNINGS": "error"} | environment,
            capture_output=True, text=True, check=False, timeout=60, cwd="/",
        )  # fmt: skip
        return checked(Run(done.returncode, done.stdout, done.stderr), None)

    return run


Install = Callable[..., Run]


def test_run_again_it_changes_nothing(install: Install, tmp_path: Path) -> None:
    units = tmp_path / "units"
    first = install()
    assert first.rows == [["written", str(units / name)] for name in ("netclnt-sync.service", "netclnt-sync.timer")]
    looks = {path: (path.stat().st_mtime_ns, path.stat().st_mode & 0o777) for path in units.iterdir()}
    assert {mode for _, mode in looks.values()} == {0o644}
    assert [row[0] for row in install().rows] == ["unchanged", "unchanged"]
    assert {path: (path.stat().st_mtime_ns, path.stat().st_mode & 0o777) for path in units.iterdir()} == looks


def test_what_somebody_changed_is_overwritten_only_by_force(install: Install, tmp_path: Path) -> None:
    install("--service")
    unit = tmp_path / "units" / "netclnt.service"
    unit.write_text(changed := unit.read_text().replace("Nice=10", "Nice=19"))
    refused = install("--service")
    assert refused.code == 2
    assert f"{unit}: it is there, and says something else" in refused.err
    assert "netclnt service install --service --dry-run" in refused.err
    assert unit.read_text() == changed
    assert install("--service", "--force").rows == [["written", str(unit)]]
    assert "Nice=10" in unit.read_text()


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_G4_a_masked_unit_is_left_alone(force: list[str], install: Install, tmp_path: Path) -> None:
    unit = tmp_path / "units" / "netclnt.service"
    unit.parent.mkdir()
    unit.symlink_to("/dev/null")
    refused = install("--service", *force)
    assert refused.code == 2
    assert "symbolic link" in refused.err
    assert unit.is_symlink()


def test_L5_a_dry_run_shows_and_changes_nothing(install: Install, tmp_path: Path) -> None:
    shown = install("--timer", "--dry-run", "--schedule", "at 03:30 every 1 week on Sun")
    assert not (tmp_path / "units").exists()
    assert "OnCalendar=Sun *-*-* 03:30:00" in shown.out
    assert shown.out.count("# Written by") == 2


def test_the_config_and_what_was_given_go_into_the_command(install: Install, tmp_path: Path) -> None:
    install("--service", "--schedule", "every 6 hours", "--random-delay", "0")
    unit = (tmp_path / "units" / "netclnt.service").read_text()
    (start,) = values(unit, "ExecStart")
    assert start.endswith(f' --config {tmp_path}/config.toml -q service --schedule "every 6 hours" --random-delay 0')
    assert Path(start.split()[0]).is_absolute()
    assert values(unit, "ReadWritePaths") == ["-/srv/images -/var/lib/netclnt"]


@pytest.mark.slow
def test_a_fleet_is_spread_where_nobody_said_otherwise(install: Install) -> None:
    assert SPREAD == 1800
    assert "RandomizedDelaySec=30m" in install("-n").out
    assert "RandomizedDelaySec" not in install("-n", "--random-delay", "0").out
    assert "--random-delay 1m" in install("-n", "--cron", NETCLNT_RANDOM_DELAY="60").out


@pytest.mark.slow
def test_a_timer_that_never_meets_a_window_is_warned_of(install: Install) -> None:
    windows = {"NETCLNT_WINDOW": "20:00-23:00"}
    assert "warning: No start of the schedule lies in a window" in install("-n", **windows).err
    assert "warning" not in install("-n", "--schedule", "at 20:00 every 1 day", **windows).err
    assert "warning" not in install("-n", "--service", **windows).err
    refused = install("-n", "--schedule", "at 02:00 every 2 days", **windows)
    assert (refused.code, "warning" in refused.err) == (2, False)


def test_json_tells_the_same(install: Install, tmp_path: Path) -> None:
    run = install("--json", "--cron")
    assert run.one("file")["path"] == str(tmp_path / "units" / "netclnt")
    assert run.one("file")["result"] == "written"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--timer", "--cron"], "choose one of them"),
        (["--schedule", "at 02:00 every 3 days"], "netclnt service install --service"),
        (["--cron", "--schedule", "every 7 hours"], "netclnt service install --service"),
        (["--schedule", "now and then"], "--schedule must be as"),
    ],
)
def test_what_cannot_be_is_told_with_what_to_type(flags: list[str], told: str, install: Install, tmp_path: Path) -> None:
    refused = install(*flags)
    assert refused.code == 2
    assert told in refused.err
    assert not (tmp_path / "units").exists()


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="this host is run by systemd")
@pytest.mark.parametrize("form", ["--timer", "--service"])
def test_a_host_without_systemd_is_told_of_cron(form: str, install: Install) -> None:
    refused = install(form, directory=None)
    assert refused.code == 2
    assert "not run by systemd" in refused.err
    assert "netclnt service install --cron" in refused.err


PLACES = [Path("/etc/systemd/system"), Path("/etc/cron.d")]

AS_ON_A_HOST_WITH_SYSTEMD = """
mount -t tmpfs none /run && mkdir -p /run/systemd/system
mount --bind "$0/systemd" /etc/systemd/system && mount --bind "$0/cron" /etc/cron.d && exec "$@"
"""


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or not all(path.is_dir() for path in PLACES),
    reason="a mount namespace needs root, and this test directories of systemd and cron",
)
def test_it_writes_where_systemd_and_cron_look_and_says_what_to_type(install: Install, tmp_path: Path) -> None:
    for name in ("systemd", "cron"):
        (tmp_path / name).mkdir()
    inside = ("unshare", "--mount", "--propagation", "private", "sh", "-c", AS_ON_A_HOST_WITH_SYSTEMD, str(tmp_path))
    timer = install("--timer", directory=None, before=inside)
    assert timer.rows[1] == ["written", "/etc/systemd/system/netclnt-sync.timer"]
    assert timer.err.splitlines() == ["next: systemctl daemon-reload", "systemctl enable --now netclnt-sync.timer"]
    cron = install("--cron", directory=None, before=inside)
    assert cron.rows == [["written", "/etc/cron.d/netclnt"]]
    assert cron.err == "/etc/systemd/system/netclnt-sync.timer is there, too: one of them is enough\n"
    service = install("--service", directory=None, before=inside)
    assert "systemctl enable --now netclnt.service" in service.err
    assert service.err.count("is there, too") == 2
    user = install("--timer", "--user", directory=None, before=inside)
    assert user.rows[1] == ["written", f"{tmp_path}/.config/systemd/user/netclnt-sync.timer"]
    assert "systemctl --user enable --now netclnt-sync.timer" in user.err
    assert "loginctl enable-linger" in user.err


def test_the_crontab_of_an_account_is_only_shown(install: Install) -> None:
    refused = install("--cron", "--user", directory=None)
    assert refused.code == 2
    assert "crontab -e" in refused.err
    assert " root " not in install("--cron", "--user", "--dry-run", directory=None).out


@pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/etc/cron.d").is_dir(), reason="needs root, who becomes somebody else, and cron"
)
def test_who_is_not_root_is_told_of_sudo(install: Install, tmp_path: Path) -> None:
    (tmp_path / "config.toml").chmod(0o644)
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_mode & 0o005 != 0o005:
            path.chmod(path.stat().st_mode | 0o005)
    refused = install("--cron", directory=None, before=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"))
    assert refused.code == 2
    assert "sudo netclnt service install --cron" in refused.err
