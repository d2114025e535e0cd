"""``netclnt service install``: let systemd or cron start netclnt."""

from __future__ import annotations

from time import time

import click

from netclnt.agenda import meets_windows
from netclnt.cli.candidates import local
from netclnt.cli.command import config_flags, declare
from netclnt.cli.installing import (
    FORMS,
    Put,
    Wanted,
    files_of,
    job_of,
    next_commands,
    others,
    refuse_changed,
    refuse_if_impossible,
    write,
)
from netclnt.cli.line import wall_clock
from netclnt.cli.session import Session
from netclnt.cli.settings import here
from netclnt.cli.show import Column
from netclnt.config import SlaveConfig
from netclnt.errors import BadArgument
from netclnt.events import Warned

COLUMNS = (Column("result", "result"), Column("path", "path"))


@declare(
    "install",
    examples=["netclnt service install --timer --dry-run", "netclnt service install --cron --schedule 'at 03:30 every 1 day'"],
    params=[
        click.Option(["--timer", "timer"], is_flag=True, help="A systemd timer, and a service that syncs once. The default."),
        click.Option(["--service", "service"], is_flag=True, help="A systemd service for netclnt service."),
        click.Option(["--cron", "cron"], is_flag=True, help="A line for cron."),
        click.Option(["--user"], is_flag=True, help="For this account's own service manager, not the system's."),
        click.Option(
            ["--directory"],
            metavar="DIR",
            help="Write there instead, as when an image of a server is made.",
            shell_complete=local("directories"),
        ),
        click.Option(["-n", "--dry-run"], is_flag=True, help="Print what would be written; change nothing."),
        click.Option(["--force"], is_flag=True, help="Overwrite what is there and says something else."),
        *config_flags(SlaveConfig, "schedule", "random_delay"),
    ],
)
def command(
    session: Session,
    *,
    timer: bool,
    service: bool,
    cron: bool,
    user: bool,
    directory: str | None,
    dry_run: bool,
    force: bool,
    **flags: object,
) -> None:
    """Write what lets systemd or cron start netclnt by the config's schedule, and say what to type next.

    Run again, it changes nothing; what somebody changed is never overwritten unasked. Columns: result, path."""
    asked = [form for form, given in zip(FORMS, (timer, service, cron), strict=True) if given]
    if len(asked) > 1:
        raise BadArgument(argument=" ".join(f"--{form}" for form in asked), problem="choose one of them")
    where = here() / directory if directory else None
    if where and not where.is_absolute():
        raise BadArgument(argument="--directory", problem="must be an absolute path, as the working directory is gone")
    wanted = Wanted(form=asked[0] if asked else "timer", user=user, directory=where, dry_run=dry_run)
    refuse_if_impossible(wanted)
    config = session.slave(**flags)
    job = job_of(session, config, user=user, flags=flags)
    files = files_of(session, wanted, job)
    if wanted.form != "service" and not meets_windows(job.schedule, config.window, time(), wall_clock):
        text = f"No start of the schedule lies in a window; netclnt service ({wanted.form} does not) waits until one opens."
        session.observe(Warned("outside-windows", text))
    if dry_run:
        _show(session, files)
    else:
        _write(session, wanted, files, force=force)


def _write(session: Session, wanted: Wanted, files: list[Put], *, force: bool) -> None:
    if not force or any(put.path.is_symlink() for put in files):
        refuse_changed(files, wanted)
    for put in files:
        if not put.same:
            write(put)
    records = [{"result": "unchanged" if put.same else "written", "path": str(put.path)} for put in files]
    session.view.table("file", COLUMNS, records)
    for path in others(files, wanted):
        session.view.note(f"{path} is there, too: one of them is enough")
    for number, line in enumerate(next_commands(wanted)):
        session.view.note(f"{'' if number else 'next: '}{line}")


def _show(session: Session, files: list[Put]) -> None:
    for put in files:
        result = "unchanged" if put.same else "would be written"
        lines = [f"# {put.path}", *put.text.splitlines(), ""]
        session.view.result("file", {"result": result, "path": str(put.path), "text": put.text}, lines)
