"""What the documents and examples say is so: their commands parse, their links lead somewhere, their configs load."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from netclnt.config import ConfigFile, HooksConfig, MasterConfig, SlaveConfig, Table, from_table, keys, resolve
from netclnt.errors import ExitCode
from tests.support.documents import FENCE, TOP, all_commands, check, shown_in

TEXTS = sorted(path for path in [*TOP.glob("*.md"), *TOP.glob("examples/**/*.md"), *TOP.glob("docs/**/*.md")])
EXAMPLES = sorted(path for path in TOP.glob("examples/**/*") if path.is_file() and "__pycache__" not in path.parts)
PUBLIC = [*TEXTS, *EXAMPLES, *sorted(TOP.glob("man/*.[1-9]"))]
"""All that people read."""

LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#]+)")
OWN_PATH = re.compile(r"(?<![\w./~-])((?:examples|packaging|tests|man)/[\w./-]*\w)")
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/~*<>!^-])/([a-z0-9]+)(?=[/\"';,.`]|\s[^/]|$)", re.MULTILINE)
SHELL_VARIABLE = re.compile(r'"?\$\{?\w+\}?"?')
HOST = re.compile(r"https?://([\w.-]+)")

PLACES = {"bin", "build", "dev", "etc", "mnt", "nonexistent", "opt", "proc", "root", "run", "srv", "store", "tmp", "usr", "var"}
"""Where paths in documents may begin: those of any Debian machine, and a few made up."""

HOSTS = {"ping.example.com", "semver.org", "www.apache.org"}

UNITS = TOP / "examples" / "systemd"
CONFIGS: list[tuple[str, type[MasterConfig] | type[SlaveConfig]]] = [("master", MasterConfig), ("slave", SlaveConfig)]


def relative(path: Path) -> str:
    return str(path.relative_to(TOP))


@pytest.mark.parametrize("path", TEXTS, ids=relative)
def test_commands_in_documents_are_understood(path: Path) -> None:
    for block in FENCE.findall(path.read_text()):
        check(shown_in(path.name, block))


@pytest.mark.parametrize("path", TEXTS, ids=relative)
def test_links_in_documents_lead_somewhere(path: Path) -> None:
    lost = [link for link in LINK.findall(path.read_text()) if not (path.parent / link).exists()]
    assert not lost


@pytest.mark.parametrize("path", PUBLIC, ids=relative)
def test_files_that_documents_name_are_there(path: Path) -> None:
    lost = [name for name in OWN_PATH.findall(path.read_text()) if not (TOP / name).exists()]
    assert not lost


@pytest.mark.parametrize("path", PUBLIC, ids=relative)
def test_documents_know_no_place_that_only_its_writer_has(path: Path) -> None:
    text = path.read_text()
    assert not set(ABSOLUTE_PATH.findall(SHELL_VARIABLE.sub("x", text))) - PLACES
    assert not set(HOST.findall(text)) - HOSTS


@pytest.mark.parametrize("path", EXAMPLES, ids=relative)
def test_each_example_is_told_of(path: Path) -> None:
    told = "".join(text.read_text() for text in (TOP / "README.md", *TOP.glob("man/*.[1-9]")))
    assert relative(path) in told


def test_examples_in_help_are_understood() -> None:
    for path, command in all_commands():
        examples = "\n".join(getattr(command, "examples", ()))
        assert examples, f"netclnt {' '.join(path)} --help has no example"
        check(shown_in(f"netclnt {' '.join(path)} --help", examples))


def test_the_readme_lists_each_exit_code() -> None:
    told = dict(re.findall(r"^\| (\d+) \| (\w+) \|", (TOP / "README.md").read_text(), re.MULTILINE))
    assert told == {str(code.value): code.name for code in ExitCode if code < 128}


@pytest.mark.parametrize(("role", "table"), CONFIGS)
def test_the_example_of_a_config_loads(role: str, table: type[MasterConfig] | type[SlaveConfig]) -> None:
    path = TOP / "examples" / f"netclnt.toml.{role}"
    file = ConfigFile.of(path.read_text(), path=path)
    assert list(file.tables) == [role]
    resolve(table, from_table(table, file.tables[role]), path=path, problems=file.problems)


@pytest.mark.parametrize(("role", "table"), CONFIGS)
def test_what_a_config_has_in_comments_are_keys(role: str, table: type[Table]) -> None:
    text = (TOP / "examples" / f"netclnt.toml.{role}").read_text()
    assert not set(re.findall(r"^#(\w+) = ", text, re.MULTILINE)) - keys(table).keys() - keys(HooksConfig).keys()


def test_cron_lines_and_units_call_what_is_there() -> None:
    cron = (TOP / "examples" / "cron.netclnt").read_text()
    commands = re.findall(r"^#?[\d* ]+ root +/usr/local/bin/(.*)$", cron, re.MULTILINE)
    units = "".join(path.read_text() for path in UNITS.iterdir())
    starts = re.findall(r"^ExecStart=/usr/local/bin/(.*)$", units, re.MULTILINE)
    shown = list(shown_in("cron and units", "\n".join([*commands, *starts])))
    assert len(shown) == len(commands) + len(starts) == 5
    check(shown)


def test_the_unit_takes_a_normal_stop_for_success_and_repeats_only_what_may_pass() -> None:
    unit = dict(line.split("=", 1) for line in (UNITS / "netclnt-sync.service").read_text().splitlines() if "=" in line)
    normal = {ExitCode.LOCKED, ExitCode.PAUSED}
    final = {code for code in ExitCode if code < 128} - normal - {ExitCode.OK, ExitCode.TEMP}
    assert {int(code) for code in unit["SuccessExitStatus"].split()} == normal
    assert {int(code) for code in unit["RestartPreventExitStatus"].split()} == final


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_to_say_of_the_units(tmp_path: Path) -> None:
    copies = [tmp_path / path.name for path in UNITS.iterdir()]
    for copy in copies:
        text = (UNITS / copy.name).read_text()
        copy.write_text(text.replace("/usr/local/bin/netclnt", sys.executable))
    command = ["systemd-analyze", "verify", "--man=no", *map(str, copies)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert not [line for line in done.stderr.splitlines() if "netclnt-sync" in line]
