"""What documents show: command lines as words, and whether the program understands them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import click
import pytest

from netclnt.cli.main import COMMANDS

TOP = Path(__file__).parents[2]

OPERATORS = {"|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1", "#"}
BEFORE_A_COMMAND = {"sudo", "env", "exec"}
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LITERAL = re.compile(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Shown:
    """A command line that a document shows, as words after ``netclnt``."""

    where: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: netclnt {shlex.join(self.words)}"


def shown_in(where: str, text: str) -> Iterator[Shown]:
    """The calls of netclnt in shell lines: alone, behind ``sudo`` and assignments, and in pipes and lists."""
    for line in text.replace("\\\n", " ").splitlines():
        if "netclnt " in line:
            words = _words(line.removeprefix("$ ").removeprefix("# "))
            for is_operator, part in groupby(words, key=OPERATORS.__contains__):
                call = [] if is_operator else _without_prefix(list(part))
                if call[:1] == ["netclnt"]:
                    yield Shown(where, tuple(call[1:]))


def all_commands(
    command: click.Command = COMMANDS, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below ``command`` with the words that call it; groups too."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, **command.context_settings)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None, f"netclnt {' '.join(path)} lists {name}, which is not there"
            yield from all_commands(child, (*path, name))


def check(commands: Iterable[Shown]) -> None:
    """Fail unless the command line understands them all. Runs nothing."""
    for shown in commands:
        try:
            _parse(shown.words)
        except click.ClickException as error:
            pytest.fail(f"{shown}: {error.format_message()}")


def man_page(name: str) -> str:
    return (TOP / "man" / name).read_text().replace("\\-", "-")


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    return list(lexer)


def _without_prefix(words: list[str]) -> list[str]:
    while words and (words[0] in BEFORE_A_COMMAND or "=" in words[0]):
        words = words[3:] if words[:2] == ["sudo", "-u"] else words[1:]
    return words


def _parse(words: tuple[str, ...]) -> None:
    """Raises click's UsageError."""
    command: click.Command = COMMANDS
    rest = list(words)
    while isinstance(command, click.Group):
        context = click.Context(command, **command.context_settings)
        _, rest, _ = command.make_parser(context).parse_args(rest)
        if not rest:
            return
        name, chosen, rest = command.resolve_command(context, rest)
        assert chosen is not None, name
        command = chosen
    command.make_context(command.name, rest)
