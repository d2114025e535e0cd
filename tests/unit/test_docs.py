"""What the documents say is so: their commands parse, their configs load, the man pages name all there is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from netclnt.cli.main import COMMANDS
from netclnt.config.tables import MasterConfig, SlaveConfig, Table, keys
from netclnt.errors import ExitCode

TOP = Path(__file__).parents[2]
TEXTS = sorted(path for path in [*TOP.glob("*.md"), *TOP.glob("examples/**/*.md"), *TOP.glob("docs/**/*.md")])
EVENTS = ["start", "catalog", "change", "plan", "progress", "image", "retry", "warning", "error", "summary", "exit"]
"""The types of JSON events: a contract."""

OPERATORS = {"|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1", "#"}
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#]+)")


@dataclass(frozen=True)
class Shown:
    """A command line that a document shows, as words after ``netclnt``."""

    where: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: netclnt {shlex.join(self.words)}"


def shown_in(where: str, text: str) -> Iterator[Shown]:
    for line in text.replace("\\\n", " ").splitlines():
        if "netclnt " not in line:
            continue
        words = shlex.split(line.removeprefix("$ ").removeprefix("# "), comments=True)
        while words and (words[0] in ("sudo", "env") or "=" in words[0]):
            words = words[3:] if words[:2] == ["sudo", "-u"] else words[1:]
        if words[:1] == ["netclnt"]:
            end = next((index for index, word in enumerate(words) if word in OPERATORS), len(words))
            yield Shown(where, tuple(words[1:end]))


def all_commands(
    command: click.Command = COMMANDS, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below ``command`` with the words that call it; groups too."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None, f"netclnt {' '.join(path)} lists {name}, which is not there"
            yield from all_commands(child, (*path, name))


def parse(words: tuple[str, ...]) -> None:
    """Raise click's UsageError unless these words are a call that the command line understands. Runs nothing."""
    command: click.Command = COMMANDS
    rest = list(words)
    while isinstance(command, click.Group):
        context = click.Context(command)
        _, rest, _ = command.make_parser(context).parse_args(rest)
        if not rest:
            return
        name, chosen, rest = command.resolve_command(context, rest)
        assert chosen is not None, name
        command = chosen
    command.make_context(command.name, rest)


def check(commands: Iterable[Shown]) -> None:
    for shown in commands:
        try:
            parse(shown.words)
        except click.ClickException as error:
            pytest.fail(f"{shown}: {error.format_message()}")


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(TOP)))
def test_commands_in_documents_are_understood(path: Path) -> None:
    for block in FENCE.findall(path.read_text()):
        check(shown_in(path.name, block))


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(TOP)))
def test_links_in_documents_lead_somewhere(path: Path) -> None:
    lost = [link for link in LINK.findall(path.read_text()) if not (path.parent / link).exists()]
    assert not lost


def test_examples_in_help_are_understood() -> None:
    for path, command in all_commands():
        examples = "\n".join(getattr(command, "examples", ()))
        assert examples, f"netclnt {' '.join(path)} --help has no example"
        check(shown_in(f"netclnt {' '.join(path)} --help", examples))


def written(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (TOP / "man" / name).exists(), reason=f"man/{name} is not written yet")


def man_page(name: str) -> str:
    return (TOP / "man" / name).read_text().replace("\\-", "-")


@written("netclnt.1")
def test_the_man_page_names_each_command_and_option() -> None:
    words = set(re.findall(r"[A-Za-z0-9][\w-]*", man_page("netclnt.1")))
    missing = [" ".join(path) for path, _ in all_commands() if not set(path) <= words]
    for path, command in all_commands():
        options = [
            name for param in command.get_params(click.Context(command)) if isinstance(param, click.Option) for name in param.opts
        ]
        missing += [" ".join([*path, name]) for name in options if name.lstrip("-") not in words]
    assert not missing


@written("netclnt.1")
def test_the_man_page_names_each_exit_code() -> None:
    words = set(re.findall(r"\w+", man_page("netclnt.1")))
    missing = [code for code in ExitCode if not {str(code.value), code.name if code < 128 else str(code.value)} <= words]
    assert not missing


@written("netclnt.toml.5")
@pytest.mark.parametrize("table", [MasterConfig, SlaveConfig])
def test_the_config_page_names_each_key(table: type[Table]) -> None:
    words = set(re.findall(r"\w+", man_page("netclnt.toml.5")))
    assert not keys(table).keys() - words


@written("netclnt.7")
@pytest.mark.parametrize("event", EVENTS)
def test_the_overview_names_each_event(event: str) -> None:
    assert re.search(rf"\b{event}\b", man_page("netclnt.7"))
