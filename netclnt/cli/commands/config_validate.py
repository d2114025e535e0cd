"""``netclnt config validate``: all that is wrong anywhere in the config, at once."""

from __future__ import annotations

from netclnt.cli import settings
from netclnt.cli.command import declare
from netclnt.cli.errors import Explained
from netclnt.cli.session import Session
from netclnt.cli.show import Column, Record
from netclnt.cli.text import counted
from netclnt.config import ConfigFiles, Problem
from netclnt.config.examine import all_problems, variables
from netclnt.errors import ConfigMissing, ExitCode

COLUMNS = (
    Column("place", "place"),
    Column("key", "key"),
    Column("problem", "problem"),
)


@declare("validate", examples=["netclnt config validate", "netclnt config validate -v --config new.toml"])
def command(session: Session) -> ExitCode:
    """Look for all that is wrong in the config: every file and table of it, every profile, and the environment. Says nothing and
    exits 0 if there is nothing; with -v it says what was read. Contacts nobody: netclnt doctor does that.

    Columns, a problem a line: place (FILE:LINE; empty for what no one line says), key, problem. The exit code is then 2."""
    files = settings.read(session.options.config, session.environment)
    settings.check_profile(files, session.options.profile)
    problems = all_problems(files, session.environment, state=settings.state_path(session.environment))
    roles = settings.roles(files, session.environment)
    if not problems:
        if not roles and not files.profiles:
            raise ConfigMissing(path=str(files.path), section="slave" if files.files else "")
        _tell(session, files, roles)
        return ExitCode.OK
    session.view.table("problem", COLUMNS, map(_record, problems))
    sentence = f"{counted(len(problems), 'problem')} in the config {files.path}."
    session.view.failed(Explained(ExitCode.USAGE, "ConfigInvalid", sentence, "mend what is listed and run it again"))
    return ExitCode.USAGE


def _record(problem: Problem) -> Record:
    return {
        "place": f"{problem.file.path}:{problem.line or 1}" if problem.file else "",
        "key": problem.where,
        "problem": problem.text,
        "file": str(problem.file.path) if problem.file else None,
        "line": problem.line,
    }


def _tell(session: Session, files: ConfigFiles, roles: list[str]) -> None:
    if not session.options.verbose:
        return
    for file in files.files:
        session.view.note(f"read {file.path}")
    for what, names in (
        ("roles", roles),
        ("profiles", files.profiles),
        ("from the environment", variables(session.environment)),
    ):
        if names:
            session.view.note(f"{what}: {', '.join(names)}")
