"""The command line as typed: global options anywhere, lazy commands, help, usage errors."""

import json
import subprocess
import sys

import click
import pytest

from netclnt.cli import parser
from netclnt.cli.main import COMMANDS, main
from netclnt.config import MasterConfig, SlaveConfig, keys
from tests.support.documents import all_commands

HEAVY = ("paramiko", "pyodbc", "rich", "sqlite3", "cryptography", "json", "tomllib", "netclnt.errors", "netclnt.config")


ALL = {path: command for path, command in all_commands() if command.callback is not None}
"""What can be run, by the words that call it."""


def names():
    return [list(path) for path in ALL]


def called(path):
    """Words that call a command with nothing but what it must be given."""
    needed = []
    for param in ALL[path].params:
        if param.required:
            needed += [param.opts[0]] if isinstance(param, click.Option) else []
            needed.append(param.type.choices[0] if isinstance(param.type, click.Choice) else "x")
    return needed


@pytest.fixture
def seen(monkeypatch):
    """The global options that reached a command."""
    kept = []
    monkeypatch.setattr("netclnt.cli.command.run", lambda options, command, body: kept.append((options, command)) or 0)
    return kept


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom netclnt.cli.main import main\ncode = main(['--help'])\n"
        f"print([name for name in {HEAVY} if name in sys.modules], code, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[] 0"
    assert "netclnt sync --dry-run" in done.stdout


@pytest.mark.parametrize("name", names(), ids=" ".join)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_helps_with_examples_first(name, flag, capsys):
    assert main([*name, flag]) == 0
    told = capsys.readouterr().out
    assert told.index("Examples:") < told.index("Options:") < told.index("Global options:")
    assert f"netclnt {' '.join(name)}" in told
    for option in ("--config", "--json", "--quiet", "--verbose", "--color", "--progress"):
        assert option in told


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("netclnt ")


@pytest.mark.parametrize(
    "words",
    [
        ["--json", "-v", "--config", "/c", "--color", "never", "list"],
        ["list", "--json", "-v", "--config", "/c", "--color", "never"],
        ["--json", "--config", "/other", "list", "-v", "--config", "/c", "--color", "never"],
    ],
)
def test_global_options_count_before_and_after_the_command(words, seen):
    assert main(words) == 0
    options, command = seen[0]
    assert command == "netclnt list"
    assert options == parser.Globals(config="/c", json=True, verbose=1, color="never")


GIVEN = ["--config", "/c", "--profile", "p", "--json", "-q", "-vv", "--color", "never", "--progress", "always"]
WANTED = parser.Globals(config="/c", profile="p", json=True, quiet=True, verbose=2, color="never", progress="always")


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_each_command_takes_each_global_option_on_either_side(path, seen):
    words = called(path)
    for call in ([*GIVEN, *path, *words], [*path, *GIVEN, *words], [*path, *words, *GIVEN], [path[0], *GIVEN, *path[1:], *words]):
        assert main(call) == 0
    assert [options for options, _ in seen] == [WANTED] * 4
    assert {command for _, command in seen} == {"netclnt " + " ".join(path)}


def test_each_global_option_has_a_variable(seen, monkeypatch):
    for name, value in {"CONFIG": "/c", "PROFILE": "p", "JSON": "1", "QUIET": "yes", "VERBOSE": "2"}.items():
        monkeypatch.setenv(f"NETCLNT_{name}", value)
    monkeypatch.setenv("NETCLNT_COLOR", "never")
    monkeypatch.setenv("NETCLNT_PROGRESS", "always")
    assert main(["list"]) == 0
    assert seen[0][0] == WANTED


NO_KEYS = {
    "what this call is about": (
        *("name", "kind", "requires", "note", "channel", "from_file", "null", "role", "changed", "remote"),
        *("image", "images", "since", "failed", "limit"),
    ),
    "how much of it": (
        *("dry_run", "store", "sha256", "subset", "repair", "probe", "replace", "recover", "retry_quarantined", "no_hooks"),
        "cost",
    ),
    "what is to be written, and where": ("force", "directory", "service", "user", "timer", "cron"),
    "what a script asks of it, or a monitor": ("exit_zero", "detailed_exit_code", "print0", "max_age", "warn_age", "nagios"),
}
"""Flags that are no keys, for what they say is said anew with each call."""


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_each_flag_that_is_no_key_is_one_for_a_reason(path):
    known = {key.flag for table in (MasterConfig, SlaveConfig) for key in keys(table).values()}
    options = [param for param in ALL[path].params if isinstance(param, click.Option) and param.opts[0] not in known]
    assert {option.name for option in options} <= {name for names in NO_KEYS.values() for name in names}


def test_a_flag_before_the_command_wins_over_the_environment(seen, monkeypatch):
    monkeypatch.setenv("NETCLNT_CONFIG", "/env")
    monkeypatch.setenv("NETCLNT_COLOR", "always")
    main(["--color", "never", "list"])
    assert (seen[0][0].color, seen[0][0].config) == ("never", "/env")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["lsit"], "did you mean 'list'"),
        (["list", "--nope"], "--nope"),
        (["publish"], "PATH"),
        (["publish", "x", "--kind", "file"], "file"),
        (["init", "server"], "There is no command 'server'"),
        (["--color", "red", "list"], "red"),
    ],
)
def test_L6_usage_errors_exit_2_with_a_hint(words, wanted, capsys):
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert wanted in told.err
    assert "--help" in told.err


@pytest.mark.parametrize("words", [["--json", "lsit"], ["list", "--nope", "--json"], ["--json"], ["--json", "init"]])
def test_L6_usage_errors_are_json_too(words, capsys):
    assert main(words) == 2
    told = capsys.readouterr()
    events = [json.loads(line) for line in told.out.splitlines()]
    assert [one["type"] for one in events] == ["start", "error", "exit"]
    assert events[1]["message"]
    assert events[-1].items() >= {"code": 2, "name": "USAGE"}.items()
    assert told.err == ""


CONN = "odbc:Driver=x;UID=u;PWD={a}};hunter2}"


@pytest.mark.parametrize(
    "words",
    [
        ["status", CONN],
        ["sync", "--catlog", CONN],
        ["sync", f"--catlog={CONN}"],
        [CONN],
        ["odbc:PWD=hunter2"],
        ["--color", CONN, "list"],
        ["init", "slave", "sftp://u:hunter2@h/d"],
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_L1_a_password_typed_in_the_wrong_place_is_not_repeated(words, form, capsys):
    assert main([*form, *words]) == 2
    told = capsys.readouterr()
    assert "hunter2" not in told.out + told.err


def test_L6_usage_errors_are_json_where_the_environment_asks_for_it(monkeypatch, capsys):
    monkeypatch.setenv("NETCLNT_JSON", "1")
    assert main(["lsit"]) == 2
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["name"] == "USAGE"


def test_no_command_shows_the_help_and_exits_2(capsys):
    assert main([]) == 2
    assert "On a slave:" in capsys.readouterr().err


def test_each_command_has_its_place_in_the_help():
    assert sorted(name for names in COMMANDS.sections.values() for name in names) == sorted(COMMANDS.children)
    assert not COMMANDS.synonyms.keys() - COMMANDS.children.keys()
    words = [word for words in COMMANDS.synonyms.values() for word in words]
    assert len(words) == len({*words, *COMMANDS.children}) - len(COMMANDS.children), "no word means two commands"


@pytest.mark.parametrize("path", [[], *names(), ["init"], ["config"]], ids=" ".join)
def test_help_is_a_word_for_help(path, capsys):
    assert main([*path, "--help"]) == 0
    wanted = capsys.readouterr().out
    for words in (["help", *path], ["help", *path, "--help"], ["help", "help", *path]):
        assert main(words) == 0
        assert capsys.readouterr().out == wanted


def test_help_orders_what_it_tells(capsys):
    main(["sync", "--help"])
    told = capsys.readouterr().out
    parts = ["Usage: netclnt sync", "Examples:", "Bring this slave up to date", "\nOptions:", "Global options:"]
    assert [told.index(part) for part in parts] == sorted(told.index(part) for part in parts)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["lsit"], "netclnt: There is no command 'lsit'; did you mean 'list'?"),
        (["init", "slvae"], "There is no command 'slvae'; did you mean 'slave'?"),
        (["pull"], "did you mean 'sync'?"),
        (["validate"], "did you mean 'config validate'?"),
        (["help", "shwo"], "did you mean 'show'?"),
        (["xyzzy"], "There is no command 'xyzzy'."),
        (["sync", "--dryrun"], "--dry-run"),
        (["--jsn", "list"], "--json"),
    ],
)
def test_L6_a_slip_is_answered_with_a_guess(words, wanted, capsys):
    assert main(words) == 2
    assert wanted in capsys.readouterr().err.splitlines()[0]


def test_L6_json_after_a_double_dash_is_a_name(capsys):
    assert main(["publish", "--nope", "--", "--json"]) == 2
    assert capsys.readouterr().out == ""
