"""What completes a value on the command line: declared beside each parameter, and loaded only when a shell asks."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]

_BY_METAVAR = {"FILE": "files", "FILE|-": "files", "DIR": "directories", "FACILITY": "facilities", "PATTERN": "patterns"}


def local(name: str) -> Completer:
    """The function of that name in :mod:`netclnt.cli.localnames`."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        found: list[CompletionItem[str]] = getattr(import_module("netclnt.cli.localnames"), name)(ctx, param, incomplete)
        return found

    return complete


def by_metavar(metavar: str) -> Completer | None:
    """As far as a metavar tells what a value may be; what it has in lower case stands for itself, as in ``CONN|store``."""
    if name := _BY_METAVAR.get(metavar):
        return local(name)
    return local("words") if literal_words(metavar) else None


def literal_words(metavar: str) -> list[str]:
    return [word for word in metavar.split("|") if word.isalpha() and word.islower()]
