"""Candidates for a shell that completes a command line, from what lies on this host: config, ledger, a master's TOC.

Nothing is written, waited for, or asked of any other host. Each function is a click ``shell_complete``; where it raises, there
are no candidates.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from click.shell_completion import CompletionItem

from netclnt.catalog.toc import open_toc
from netclnt.cli import edges, settings
from netclnt.cli.candidates import literal_words
from netclnt.cli.parser import Globals
from netclnt.config import MasterConfig, SlaveConfig
from netclnt.config.readers import FACILITIES
from netclnt.ledger import Ledger
from netclnt.model import Kind
from netclnt.protocols import CatalogReader

PART = "part"
"""The type of a candidate that more is to be typed behind, so that no space follows it."""

_KIND = "kind:"

_STORE_TOC = "toc"
"""The directory of the state in which a slave keeps the TOC of ``catalog = "store"``."""

T = TypeVar("T", MasterConfig, SlaveConfig)
R = TypeVar("R")

if TYPE_CHECKING:
    Items = list[CompletionItem[str]]


def files(_: click.Context, __: click.Parameter, incomplete: str) -> Items:
    """The shell itself knows them."""
    return [CompletionItem(incomplete, type="file")]


def directories(_: click.Context, __: click.Parameter, incomplete: str) -> Items:
    return [CompletionItem(incomplete, type="dir")]


def words(_: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Those that the metavar has literally."""
    return _beginning(literal_words(str(param.metavar)), incomplete)


def facilities(_: click.Context, __: click.Parameter, incomplete: str) -> Items:
    return _beginning(["off", *FACILITIES], incomplete)


def profiles(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """Those of the config."""
    options = ctx.ensure_object(Globals)
    return _beginning(settings.read(options.config, os.environ).profiles, incomplete)


def names(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """Of images that this slave holds, or this master offers."""
    return _beginning(_there(ctx), incomplete)


def patterns(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """As :func:`names`; and kinds, and what ``!`` excludes."""
    return _patterns(_there(ctx), incomplete)


def wanted_patterns(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """As :func:`patterns`; and the names of what is offered, where its TOC lies here."""
    with suppress(Exception):
        return _patterns({*_held(ctx), *_offered_to_slave(ctx)}, incomplete)
    return _patterns(_held(ctx), incomplete)


def offered(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """The names that this master offers."""
    return _beginning(_offered(ctx), incomplete)


def promotable(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """``NAME@``, and behind it the versions that are still in the store, the newest first."""
    return _numbered(ctx, incomplete, whole=False)


def retirable(ctx: click.Context, _: click.Parameter, incomplete: str) -> Items:
    """As :func:`promotable`; the name alone will do, too."""
    return _numbered(ctx, incomplete, whole=True)


def _patterns(known: Iterable[str], incomplete: str) -> Items:
    bang = "!" if incomplete.startswith("!") else ""
    bare = incomplete.removeprefix(bang)
    if bare.startswith(_KIND):
        return _beginning([f"{bang}{_KIND}{kind.value}" for kind in Kind], incomplete)
    found = _beginning([bang + name for name in known], incomplete)
    return [*found, *([CompletionItem(bang + _KIND, type=PART)] if _KIND.startswith(bare) else [])]


def _numbered(ctx: click.Context, incomplete: str, *, whole: bool) -> Items:
    if "@" not in incomplete:
        known = _beginning(_offered(ctx), incomplete)
        return known if whole else [CompletionItem(f"{item.value}@", type=PART) for item in known]
    name = incomplete.partition("@")[0]
    config = _config(ctx, MasterConfig)

    def versions(reader: CatalogReader, generation: int) -> Iterator[CompletionItem[str]]:
        for one in reader.history(name, generation=generation, channel=config.channel):
            state = "current" if one.current else "retired" if one.retired else one.version.created
            if not one.dropped:
                yield CompletionItem(f"{name}@{one.version.number}", help=state)

    return [item for item in _asked(config.state / edges.TOC, versions) if item.value.startswith(incomplete)]


def _there(ctx: click.Context) -> list[str]:
    role = ctx.params.get("role") or settings.only_role(ctx.ensure_object(Globals).config, os.environ)
    return _offered(ctx) if role == "master" else _held(ctx)


def _held(ctx: click.Context) -> list[str]:
    with Ledger(_config(ctx, SlaveConfig).state / edges.LEDGER, busy=0, readonly=True) as ledger:
        return [held.name for held in ledger.held()]


def _offered(ctx: click.Context) -> list[str]:
    config = _config(ctx, MasterConfig)
    return _current(config.state / edges.TOC, config.channel)


def _offered_to_slave(ctx: click.Context) -> list[str]:
    config = _config(ctx, SlaveConfig)
    return _current(config.state / _STORE_TOC / edges.TOC, config.channel) if config.catalog == "store" else []


def _current(toc: Path, channel: str) -> list[str]:
    return _asked(toc, lambda reader, generation: (one.name for one in reader.current(generation=generation, channel=channel)))


def _asked(toc: Path, question: Callable[[CatalogReader, int], Iterable[R]]) -> list[R]:
    with closing(open_toc(toc)) as reader:
        return list(question(reader, reader.state().generation))


def _config(ctx: click.Context, table: type[T]) -> T:
    options = ctx.ensure_object(Globals)
    return settings.load(table, options.config, os.environ, {}, profile=options.profile)


def _beginning(values: Iterable[str], incomplete: str) -> Items:
    return [CompletionItem(value) for value in sorted(values) if value.startswith(incomplete)]
