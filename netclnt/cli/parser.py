"""What is loaded at every start: global options, and groups whose commands are imported when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from netclnt.cli.candidates import local
from netclnt.guessing import closest

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

WHEN = ("auto", "always", "never")
HELP = "help"
HELP_OPTIONS = ["-h", "--help"]
CONTEXT = {"help_option_names": HELP_OPTIONS, "max_content_width": 110}


@dataclass
class Globals:
    """The global options of one call, wherever on the command line they stood."""

    config: str | None = None
    profile: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: int = 0
    color: str = "auto"
    progress: str = "auto"


def global_options(*, outermost: bool) -> list[click.Option]:
    """The global options; the environment counts for the outermost ones only, so that it never overrules an earlier flag."""

    def env(variable: str) -> str | None:
        return variable if outermost else None

    option = partial(click.Option, expose_value=False, callback=_keep, is_eager=True)
    config = "The config. Default: /etc/netclnt/config.toml, then the XDG place."
    profile = "A profile of the config, laid over the rest."
    when = click.Choice(WHEN)
    return [
        option(["--config"], envvar=env("NETCLNT_CONFIG"), metavar="FILE", help=config, shell_complete=local("files")),
        option(["--profile"], envvar=env("NETCLNT_PROFILE"), metavar="NAME", help=profile, shell_complete=local("profiles")),
        option(["--json"], envvar=env("NETCLNT_JSON"), is_flag=True, help="JSON Lines on standard output."),
        option(["-q", "--quiet"], envvar=env("NETCLNT_QUIET"), is_flag=True, help="Nothing but errors on standard error."),
        option(["-v", "--verbose"], envvar=env("NETCLNT_VERBOSE"), count=True, help="Say more on standard error."),
        option(["--color"], envvar=env("NETCLNT_COLOR"), type=when, help="Default: auto. NO_COLOR counts."),
        option(["--progress"], envvar=env("NETCLNT_PROGRESS"), type=when, help="Default: auto, on a terminal."),
    ]


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if param.name and ctx.get_parameter_source(param.name) in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT):
        setattr(ctx.ensure_object(Globals), param.name, value)


class _WithGlobals(click.Command):
    """Shows examples before the description, and global options below the command's own."""

    examples: Sequence[str] = ()
    global_params: Sequence[click.Option] = ()

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *self.global_params]

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
        super().format_help_text(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own = [one for one in self.get_params(ctx) if isinstance(one, click.Option) and one not in self.global_params]
        for title, params in (("Options", own), ("Global options", self.global_params)):
            records = [record for param in params if (record := param.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Command(_WithGlobals):
    def __init__(
        self, name: str, callback: Callable[..., int], *, examples: Sequence[str], params: Sequence[click.Parameter], about: str
    ) -> None:
        super().__init__(name, context_settings=dict(CONTEXT), params=list(params), callback=callback, help=about)
        self.examples = examples
        self.global_params = global_options(outermost=False)


class LazyGroup(_WithGlobals, click.Group):
    """A group of commands in modules ``netclnt.cli.commands.X``, each of which has the Command in its ``command``.

    ``children`` maps a command's name to its module (or to a group) and the line that the group's help shows for it, and
    ``sections`` a heading of that help to the commands below it. ``synonyms`` are what other programs call them.
    """

    def __init__(
        self,
        name: str,
        children: Mapping[str, tuple[str | click.Command, str]],
        *,
        examples: Sequence[str],
        about: str,
        epilog: str = "",
        params: Sequence[click.Parameter] = (),
        outermost: bool = False,
        sections: Mapping[str, Sequence[str]] | None = None,
        synonyms: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        context = dict(CONTEXT)
        super().__init__(name, context_settings=context, no_args_is_help=True, params=list(params), help=about, epilog=epilog)
        self.children = children
        self.sections = sections or {"Commands": list(children)}
        self.synonyms = synonyms or {}
        self.examples = examples
        self.global_params = global_options(outermost=outermost)

    def list_commands(self, _: click.Context) -> list[str]:
        return list(self.children)

    def get_command(self, _: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.children:
            return None
        where = self.children[cmd_name][0]
        if isinstance(where, click.Command):
            return where
        command = import_module(f"netclnt.cli.commands.{where}").command
        return command if isinstance(command, click.Command) else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """``help`` is not a command, but asks for the help of the one behind it."""
        name = args[0]
        if name == HELP:
            return self._resolve_help(ctx, [word for word in args if word not in (HELP, *HELP_OPTIONS)])
        if not name.startswith("-") and name not in self.children:
            ctx.fail(f"There is no command {name!r}{self._guess(name)}")
        return super().resolve_command(ctx, args)

    def _resolve_help(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args:
            return self.resolve_command(ctx, args if ctx.resilient_parsing else [*args, "--help"])
        if not ctx.resilient_parsing:
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()
        return None, None, []

    def _guess(self, name: str) -> str:
        """What may have been meant: a slip of the fingers, a command of a group, or what other programs call it."""
        deeper = {child: f"{group} {child}" for group, (of, _) in self.children.items() for child in getattr(of, "children", ())}
        meant = deeper.get(name) or next((own for own, names in self.synonyms.items() if name in names), None)
        close = meant or closest(name, self.children)
        return f"; did you mean {close!r}?" if close else "."

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Of the commands without loading them."""
        item = import_module("click.shell_completion").CompletionItem
        names = [item(name, help=line) for name, (_, line) in self.children.items() if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.children))  # the same in all sections
        for title, names in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), self.children[name][1]) for name in names])
        _WithGlobals.format_options(self, ctx, formatter)


class CommandGroup(LazyGroup):
    """A group that is a command by itself where none of its own is named: the one in the module ``own``."""

    def __init__(
        self, name: str, children: Mapping[str, tuple[str | click.Command, str]], *, own: str, examples: Sequence[str]
    ) -> None:
        super().__init__(name, children, examples=examples, about="")
        self._own = own
        self.invoke_without_command, self.no_args_is_help = True, False
        self.callback = self._call

    @property
    def own(self) -> Command:
        command: Command = import_module(f"netclnt.cli.commands.{self._own}").command
        return command

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        self.params, self.help = self.own.params, self.own.help
        return super().get_params(ctx)

    def _call(self, **values: object) -> object:
        context = click.get_current_context()
        if context.invoked_subcommand is None and self.own.callback:
            return self.own.callback(**values)
        given = [param for param in self.params if param.expose_value and values.get(param.name or "") not in (None, ())]
        if given:
            context.fail(f"{given[0].opts[0]} belongs behind {context.invoked_subcommand!r}.")
        return None
