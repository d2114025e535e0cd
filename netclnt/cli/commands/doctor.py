"""``netclnt doctor``: what would end a run, found beforehand."""

from __future__ import annotations

from collections.abc import Iterator

import click

from netclnt.cli.command import config_flags, declare
from netclnt.cli.errors import Explained, explain
from netclnt.cli.examination import examinations
from netclnt.cli.session import Session
from netclnt.cli.show import Column, Record
from netclnt.cli.text import human_bytes, safe
from netclnt.config import SlaveConfig, duration
from netclnt.doctor import Finding, Found, Result, examine
from netclnt.errors import BadArgument, ExitCode
from netclnt.outcome import outcome

COLUMNS = (
    Column("role", "role"),
    Column("check", "check"),
    Column("result", "result"),
    Column("found", "found"),
    Column("hint", "hint"),
)

_PROBE_SECONDS_MAX = 60.0


@declare(
    "doctor",
    examples=["netclnt doctor", "netclnt doctor --probe 5"],
    params=[
        click.Option(["--role"], type=click.Choice(["master", "slave"]), help="Look at this role only. Default: all there are."),
        click.Option(["--probe"], metavar="SECONDS", help="Measure the line to the store for so long, 60 s at most."),
        *config_flags(SlaveConfig, "timeout"),
    ],
)
def command(session: Session, *, role: str | None, probe: str | None, **flags: object) -> ExitCode:
    """Look at config, places, ledger, catalog, store and host, and say of each whether it is right, or what to type. Changes
    nothing and holds no lock. The exit code is 0 with warnings, and that of the worst error otherwise.

    Columns, a check a line: role (host, slave, master), check, result (ok, warning, error, skipped), found, hint."""
    seconds = 0.0 if probe is None else _seconds(probe)
    codes: list[ExitCode] = []
    amiss: list[str] = []
    with examinations(session, role, probe=seconds, flags=flags) as planned:

        def records() -> Iterator[Record]:
            for examination in planned:
                for finding in examine(examination.checks, broken=examination.broken):
                    told = explain(finding.error) if finding.error else None
                    if told:
                        codes.append(told.code)
                    record = _record(examination.role, finding, told)
                    if finding.result in (Result.WARNING, Result.ERROR):
                        amiss.append(_sentence(record))
                    yield record

        session.view.table("check", COLUMNS, records())
    for sentence in amiss:
        session.view.note(sentence)
    return outcome(whole_run=codes)


def _seconds(text: str) -> float:
    try:
        seconds = duration(text)
    except ValueError as error:
        raise BadArgument(argument="--probe", problem=str(error)) from None
    if not 0 < seconds <= _PROBE_SECONDS_MAX:
        raise BadArgument(argument="--probe", problem=f"must be more than 0 and at most {_PROBE_SECONDS_MAX:g} seconds")
    return seconds


def _record(role: str, finding: Finding, told: Explained | None) -> Record:
    record: dict[str, object] = {"role": role, "check": finding.check, "result": str(finding.result)}
    if told:
        first, *problems = told.sentence.split("\n")
        sentence = " ".join([first, "; ".join(problem.strip() for problem in problems)]).strip()
        return record | {"found": sentence, "hint": told.hint, "code": told.code.name, "cause": told.cause}
    if finding.found:
        return record | {"found": _text(finding.found), "hint": finding.found.hint} | dict(finding.found.sizes)
    return record | {"found": f"needs {finding.misses}", "hint": ""}


def _sentence(record: Record) -> str:
    """What is amiss, whole, for people: a narrow terminal's table has no room for what to type."""
    role, check, result, found, hint = (safe(record[column.field]) for column in COLUMNS)
    return f"netclnt: {result}: {role} {check}: {found}\n  hint: {hint}"


def _text(found: Found) -> str:
    text = found.text
    for name, size in found.sizes.items():
        text = text.replace(f"{{{name}}}", human_bytes(size))
    return text
