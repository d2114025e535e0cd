"""``netclnt config show``: each key of the config, its value, and where that comes from."""

from __future__ import annotations

import click

from netclnt.cli import settings
from netclnt.cli.command import declare
from netclnt.cli.session import Session
from netclnt.cli.show import Column, Record
from netclnt.config import HooksConfig, is_set_up
from netclnt.config.examine import ALL_TABLES, Setting, role_settings
from netclnt.config.resolve import read_values
from netclnt.errors import ConfigInvalid, ConfigMissing

COLUMNS = (
    Column("key", "key"),
    Column("text", "value"),
    Column("origin", "origin"),
    Column("place", "place"),
    Column("problem", "problem"),
)


@declare(
    "show",
    examples=["netclnt config show", "netclnt config show --changed --role slave"],
    params=[
        click.Option(["--role"], type=click.Choice(["master", "slave"]), help="This role only. Default: all there are."),
        click.Option(["--changed"], is_flag=True, help="Only what is not as it would be without any config."),
    ],
)
def command(session: Session, *, role: str | None, changed: bool) -> None:
    """Show every key of the config, the value that counts, and where it comes from. Secrets are masked. A value that cannot be
    used is left out, and the exit code is then 2.

    Columns: key, value (as its variable in the environment would be set), origin (environment, profile, file, default), place
    (FILE:LINE or the variable), problem."""
    files = settings.read(session.options.config, session.environment)
    settings.check_profile(files, session.options.profile)
    problems = list(files.problems)
    found: list[Setting] = []
    for table in ALL_TABLES:
        if role in (None, "slave" if table is HooksConfig else table.TABLE):
            layers = settings.layers(table, files, session.environment, {}, session.options.profile)
            if table is HooksConfig or is_set_up(table, files, layers):
                found += role_settings(table, layers)
                problems += read_values(table, layers)[1]
    if not any(one.given for one in found) and not problems:
        raise ConfigMissing(path=str(files.path), section=(role or "slave") if files.files else "")
    session.view.table("setting", COLUMNS, (_record(one) for one in found if one.changed or one.problem or not changed))
    if problems:
        raise ConfigInvalid(path=str(files.path), problems=tuple(problem.pair for problem in problems))


def _record(setting: Setting) -> Record:
    file = setting.given.file if setting.given else None
    return {
        "key": setting.name,
        "value": setting.value,
        "origin": str(setting.origin),
        "place": setting.place,
        "problem": setting.problem,
        "text": setting.text,
        "file": str(file.path) if file else None,
        "line": file.line(setting.given.where) if file and setting.given else None,
        "changed": setting.changed,
    }
