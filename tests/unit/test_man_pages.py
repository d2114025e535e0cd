"""The man pages name all that the program has, and nothing that it has not."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import click
import pytest

import netclnt
from netclnt.cli.main import COMMANDS as COMMAND_TREE
from netclnt.cli.parser import CommandGroup
from netclnt.cli.show_json import _TYPES
from netclnt.config import REQUIRED, ConfigFile, ConfigFiles, HooksConfig, Key, MasterConfig, SlaveConfig, Table, keys
from netclnt.config.examine import all_problems
from netclnt.config.text import _value
from netclnt.errors import ExitCode
from netclnt.events import Event, Progressed
from tests.support.documents import LITERAL, TOP, all_commands, check, man_page, shown_in

EVENTS = [
    *("start", "catalog", "change", "expected", "plan", "progress", "image", "retry", "wait", "hook", "warning", "error"),
    *("summary", "exit"),
]
"""The types of JSON events: a contract."""

COMMANDS = [
    (" ".join(path), command.own if isinstance(command, CommandGroup) else command)
    for path, command in all_commands()
    if isinstance(command, CommandGroup) or not isinstance(command, click.Group)
]
PAGES = ["netclnt.1", "netclnt.toml.5", "netclnt.7"]
LINTERS = {
    "mandoc": ["mandoc", "-T", "lint", "-W", "warning"],
    "groff": ["groff", "-man", "-ww", "-K", "utf8", "-T", "utf8"],
    "groff, as mdoc": ["groff", "-mdoc", "-ww", "-K", "utf8", "-T", "utf8"],
}
SECTIONS = {
    "netclnt.1": ["SYNOPSIS", "COMMANDS", "ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES", "SEE ALSO"],
    "netclnt.toml.5": ["FILES", "EXAMPLES", "SEE ALSO"],
    "netclnt.7": ["EXIT STATUS", "SEE ALSO"],
}
READ = re.compile(r'(?:environ|environment)(?:\.get\(|\[|, )"([A-Z][A-Z_]+)"')
"""How the program asks for a variable of its environment; those of keys are told of with the keys."""

SET = {"LC_ALL", "PYTHONPATH"}
"""Not asked for, but set for programs that it starts."""

SLAVE = '[slave]\nname = "s"\ncatalog = "store"\nparent = "sftp://u@h/d"\nroot = "/srv/images"\n'
"""What examples of other tables leave out."""

PLACES_OF_THE_HOST = {"state", "catalog"}
"""Keys whose default depends on the host (a slave's catalog has none)."""


def section(page: str, heading: str) -> str:
    """The text of a section (``.Sh``) or subsection (``.Ss``) up to the next."""
    match = re.search(rf"^\.S[sh] {heading}(?:\n| [^\n]*\n)(.*?)(?=^\.S[sh] |\Z)", man_page(page), re.MULTILINE | re.DOTALL)
    assert match, f"{page} has no section {heading}"
    return match[1]


def items(text: str) -> dict[str, str]:
    """The items ``.It Cm NAME …`` of a list: what follows each."""
    parts = re.split(r"^\.It Cm ([\w -]+?)(?= Pq|$)", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def told_flags(text: str) -> set[str]:
    """All flags that are items of a list: ``.It Fl q , -quiet Ar X``, in the form that click has them."""
    found = set()
    for line in re.findall(r"^\.It Fl (.*)$", text, re.MULTILINE):
        for name in re.split(r" , ", line):
            found.add("-" + name.split()[0])
    return found


def flags(command: click.Command) -> set[str]:
    options = [param for param in command.params if isinstance(param, click.Option)]
    return {name for option in options for name in (*option.opts, *option.secondary_opts)}


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_each_command_is_told_with_its_options_and_no_others(name: str, command: click.Command) -> None:
    assert told_flags(section("netclnt.1", f"netclnt {name}")) == flags(command)


def test_the_global_options_are_told() -> None:
    _, whole = next(all_commands())
    context = click.Context(whole, **whole.context_settings)
    options = [param for param in whole.get_params(context) if isinstance(param, click.Option)]
    assert told_flags(section("netclnt.1", "Global options")) == {name for option in options for name in option.opts}


def test_no_command_is_told_that_is_not_there() -> None:
    told = re.findall(r"^\.Ss netclnt ([a-z -]*[a-z])", section_of_commands(), re.MULTILINE)
    assert told == [name for name, _ in COMMANDS]


def test_commands_are_found_where_they_belong() -> None:
    told = re.findall(r"^\.It (.+)\n\.Cm (.+)$", section_of_commands().split("\n.Ss ")[0], re.MULTILINE)
    assert {title: names.split(" , ") for title, names in told} == COMMAND_TREE.sections


def section_of_commands() -> str:
    return man_page("netclnt.1").split(".Sh COMMANDS")[1].split("\n.Sh ")[0]


def test_each_exit_code_is_told() -> None:
    told = re.findall(r"^\.It (\d+) (\w+)$", section("netclnt.1", "EXIT STATUS"), re.MULTILINE)
    assert told == [(str(code.value), code.name) for code in ExitCode]


@pytest.mark.parametrize(
    ("item", "module", "name"),
    [
        ("diff", "diff", "COLUMNS"),
        ("sync -n", "sync", "PLAN_COLUMNS"),
        ("list", "list", "COLUMNS"),
        ("show", "show", "COLUMNS"),
        ("status", "status", "COLUMNS"),
        ("history", "history", "COLUMNS"),
        ("verify", "verify", "COLUMNS"),
        ("prune", "prune", "COLUMNS"),
        ("config show", "config_show", "COLUMNS"),
        ("config validate", "config_validate", "COLUMNS"),
        ("doctor", "doctor", "COLUMNS"),
    ],
)
def test_the_columns_are_told_in_their_order(item: str, module: str, name: str) -> None:
    columns = getattr(import_module(f"netclnt.cli.commands.{module}"), name)
    text = items(section("netclnt.1", "STANDARD OUTPUT"))[item]
    assert re.search(r".*?\b".join(re.escape(column.title) for column in columns), text, re.DOTALL)


def test_each_code_of_a_warning_is_told_and_no_other() -> None:
    sources = Path(netclnt.__file__).parent.rglob("*.py")
    codes = {code for source in sources for code in re.findall(r'\bWarned\(\s*"([a-z-]+)"', source.read_text())}
    told = items(section("netclnt.1", "Events"))["warning"].split("The codes:")[1]
    assert {word for line in re.findall(r"^\.Li (.*)$", told, re.MULTILINE) for word in re.findall(r"[a-z-]+", line)} == codes


@pytest.mark.parametrize(("kind", "name"), [*_TYPES.items(), (Progressed, "progress")], ids=lambda x: str(x))
def test_each_event_is_told_with_its_fields(kind: type[Event], name: str) -> None:
    words = set(re.findall(r"\w+", items(section("netclnt.1", "Events"))[name]))
    assert not {field.name for field in fields(kind)} - words


def test_events_are_those_of_the_contract() -> None:
    assert list(items(section("netclnt.1", "Events"))) == EVENTS


@pytest.mark.parametrize("event", EVENTS)
def test_the_overview_names_each_event(event: str) -> None:
    assert re.search(rf"\b{event}\b", section("netclnt.7", "JSON LINES"))


def default(key: Key) -> str:
    if key.default is REQUIRED:
        return "required"
    return "none" if key.default is None else "[]" if key.default == () else _value(key.default)


@pytest.mark.parametrize("table", [MasterConfig, SlaveConfig, HooksConfig])
def test_each_key_is_told_with_its_default(table: type[Table]) -> None:
    text = section("netclnt.toml.5", rf"TABLE \[{table.TABLE}\]")
    told = dict(re.findall(r"^\.It Cm (\w+) Pq (?:default : (?:Li )?)?(.*)$", text.replace("\\(dq", '"'), re.MULTILINE))
    wanted = {name: default(key) for name, key in keys(table).items()}
    assert list(told) == list(wanted)
    different = {name for name in wanted if told[name] != wanted[name]}
    assert not different - PLACES_OF_THE_HOST


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_man_pages_are_understood(page: str) -> None:
    for block in LITERAL.findall(man_page(page).replace("\\e", "\\")):
        check(shown_in(page, block))


@pytest.mark.parametrize("linter", LINTERS)
@pytest.mark.parametrize("page", PAGES)
def test_a_man_page_has_nothing_that_a_linter_warns_of(linter: str, page: str) -> None:
    if shutil.which(LINTERS[linter][0]) is None:
        pytest.skip(f"{LINTERS[linter][0]} is not installed")
    done = subprocess.run([*LINTERS[linter], TOP / "man" / page], capture_output=True, text=True, check=False)
    warnings = done.stdout if linter == "mandoc" else done.stderr
    assert (done.returncode, warnings) == (0, "")


@pytest.mark.parametrize("page", PAGES)
def test_a_man_page_has_its_sections(page: str) -> None:
    headings = re.findall(r"^\.Sh (.+)$", man_page(page), re.MULTILINE)
    assert headings[0] == "NAME"
    assert [heading for heading in headings if heading in SECTIONS[page]] == SECTIONS[page]


@pytest.mark.parametrize("page", PAGES)
def test_references_between_sections_and_pages_lead_somewhere(page: str) -> None:
    text = man_page(page)
    assert not {name for name in re.findall(r"^\.Sx (.+?)(?: [.,;)])?$", text, re.MULTILINE) if not section(page, name)}
    own = {each.rpartition(".")[::2] for each in PAGES}
    assert set(re.findall(r"^\.Xr (netclnt\S*) (\d)", text, re.MULTILINE)) <= own


def told_variables() -> set[str]:
    """But for ``NETCLNT_KEY``, which stands for the variables of all keys."""
    lines = re.findall(r"^\.It Ev (?!NETCLNT_ Ns)(.*)$", section("netclnt.1", "ENVIRONMENT"), re.MULTILINE)
    return {name for line in lines for name in line.split(" , ")}


def test_each_variable_that_is_read_is_told_and_no_other() -> None:
    _, whole = next(all_commands())
    context = click.Context(whole, **whole.context_settings)
    of_options = {param.envvar for param in whole.get_params(context) if isinstance(param.envvar, str)}
    sources = Path(netclnt.__file__).parent.rglob("*.py")
    read = {name for source in sources for name in READ.findall(source.read_text())}
    assert told_variables() == of_options | read - SET


@pytest.mark.parametrize("example", [one for one in LITERAL.findall(man_page("netclnt.toml.5")) if one.startswith("[")])
def test_an_example_of_a_config_loads(example: str) -> None:
    text = example if "[slave]" in example else example + SLAVE
    file = ConfigFile.of(text, path=Path("/etc/netclnt/config.toml"))
    assert not all_problems(ConfigFiles(file, ()), {}, state=Path("/var/lib/netclnt"))
