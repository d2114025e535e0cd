"""How a command is declared: its name, examples, parameters, and a body that gets the session."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from netclnt.cli.candidates import by_metavar, local
from netclnt.cli.parser import Command, Globals
from netclnt.cli.run import run
from netclnt.cli.session import Session
from netclnt.config import Key, Shape, Table, keys
from netclnt.errors import ExitCode

Body = Callable[..., ExitCode | None]


def declare(name: str, *, examples: Sequence[str], params: Sequence[click.Parameter] = ()) -> Callable[[Body], Command]:
    """Make a body a Command. It gets the Session first, then the parameters by name; its docstring is the help text."""

    def decorate(body: Body) -> Command:
        def callback(**values: object) -> int:
            ctx = click.get_current_context()

            def call(session: Session) -> ExitCode | None:
                return body(session, **values)

            return run(ctx.ensure_object(Globals), ctx.command_path, call)

        return Command(name, callback, examples=examples, params=params, about=body.__doc__ or "")

    return decorate


def config_flags(table: type[Table], *names: str) -> list[click.Option]:
    """Flags for keys of a config table, but for secret ones. They come in raw: the config checks them together with all else."""
    return [_flag(key) for key in map(keys(table).__getitem__, names) if not key.secret]


def _flag(key: Key) -> click.Option:
    if key.shape is Shape.FLAG:
        return click.Option([f"{key.flag}/--no-{key.flag[2:]}", key.name], default=None, help=key.about)
    many = key.shape in (Shape.TEXTS, Shape.PATHS)
    return click.Option(
        [key.flag, key.name],
        metavar=key.metavar,
        multiple=many,
        help=key.about + (" Repeatable." if many else ""),
        shell_complete=by_metavar(key.metavar),
    )


def patterns(completer: str) -> click.Argument:
    return click.Argument(["patterns"], nargs=-1, metavar="[PATTERN]...", shell_complete=local(completer))


PATTERNS = patterns("patterns")
WANTED_PATTERNS = patterns("wanted_patterns")
"""Where images are meant that this slave need not have yet."""

ROLE = click.Option(
    ["--role"],
    type=click.Choice(["master", "slave"]),
    help="Which of this host's roles is meant. Default: slave, if it is one.",
)

PRINT0 = click.Option(["--print0"], is_flag=True, help="The names alone, each ended by NUL, for xargs -0.")

FROM_FILE = [
    click.Option(
        ["--from-file", "from_file"],
        metavar="FILE|-",
        help="Names, literally, one a line; an empty list selects nothing.",
        shell_complete=local("files"),
    ),
    click.Option(["-0", "--null", "null"], is_flag=True, help="The names of --from-file end in NUL, not in a newline."),
]
