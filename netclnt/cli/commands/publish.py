"""``netclnt publish``: a file, a directory or standard input becomes an image's new version."""

from __future__ import annotations

import re
from pathlib import Path

import click

from netclnt.cli import edges
from netclnt.cli.candidates import local
from netclnt.cli.command import config_flags, declare
from netclnt.cli.session import Session
from netclnt.cli.show import now
from netclnt.cli.text import human_bytes, human_seconds
from netclnt.config import MasterConfig
from netclnt.errors import BadArgument, ForbiddenValue
from netclnt.model import NOTE_MAX, Kind, Requirement, check_text
from netclnt.naming import check_name
from netclnt.publish import Published, Request, publish

_REQUIREMENT = re.compile(r"([^@]+)(?:@(\d+|\d+-|\d+-\d+))?", re.ASCII)


@declare(
    "publish",
    examples=[
        "netclnt publish /build/debian12.ext4",
        "zstdcat debian12.ext4.zst | netclnt publish - --name debian12.ext4",
        "netclnt publish /build/pxe --name boot/debian12 --requires drivers@3- --note 'kernel 6.1.0-40'",
    ],
    params=[
        click.Argument(["path"], type=click.Path(path_type=Path, allow_dash=True)),
        click.Option(
            ["--name"],
            metavar="NAME",
            help="The image's name. Default: the last part of PATH.",
            shell_complete=local("offered"),
        ),
        click.Option(
            ["--kind"], type=click.Choice([kind.value for kind in Kind]), default=Kind.IMAGE.value, help="Default: image."
        ),
        click.Option(
            ["--requires"],
            multiple=True,
            metavar="NAME[@RANGE]",
            help="What a slave must hold as well. Repeatable.",
            shell_complete=local("offered"),
        ),
        click.Option(["--note"], default="", metavar="TEXT", help="Shown beside the version."),
        *config_flags(MasterConfig, "channel", "level", "threads"),
    ],
)
def command(
    session: Session, *, path: Path, name: str | None, kind: str, requires: tuple[str, ...], note: str, **flags: object
) -> None:
    """Offer PATH, a file or a directory, as the new version of an image; - reads a file's content from standard input. Only
    blocks that the store lacks are added; content that is current already adds no version."""
    config = session.master(**flags)
    request = Request(
        name=check_name(name or _own_name(path)),
        kind=Kind(kind),
        channel=config.channel,
        note=_note(note),
        requires=tuple(requirement(one) for one in requires),
        created=now(),
    )
    with (
        edges.open_master(config, password=session.password(config), holder=session.holder) as master,
        edges.open_content(path) as content,
    ):
        done = publish(content, request, master=master, observer=session.observe)
    _tell(session, done)


def _own_name(path: Path) -> str:
    if str(path) == edges.STANDARD_INPUT:
        raise BadArgument(argument="-", problem="standard input has no name", hint="netclnt publish - --name NAME")
    return path.absolute().name


def requirement(text: str) -> Requirement:
    """``NAME``, ``NAME@N``, ``NAME@N-`` or ``NAME@N-M``. Raises BadArgument, ForbiddenName."""
    match = _REQUIREMENT.fullmatch(text)
    if not match:
        raise BadArgument(argument="--requires", problem=f"{text} is not NAME, NAME@N, NAME@N- or NAME@N-M")
    return Requirement(name=match[1], range=match[2] or "")


def _note(text: str) -> str:
    """Raises BadArgument: what the catalog would refuse is refused before anything is read."""
    try:
        return check_text("note", text, NOTE_MAX)
    except ForbiddenValue as error:
        raise BadArgument(argument="--note", problem=f"must be {error.rule}") from None


def _tell(session: Session, done: Published) -> None:
    version = done.version
    result = "published" if done.new else "unchanged"
    record = {
        "image": version.name,
        "version": version.number,
        "result": result,
        "bytes_fetched": 0,
        "bytes_reused": version.size - done.bytes_new,
        "seconds": round(session.seconds, 3),
        "kind": version.kind,
        "size": version.size,
        "bytes_new": done.bytes_new,
        "bytes_stored": done.bytes_stored,
        "sha256": version.sha256,
        "generation": version.generation,
    }
    size, new, stored = (human_bytes(count) for count in (version.size, done.bytes_new, done.bytes_stored))
    session.view.note(
        f"{result}: {size}, {new} of them new to the store and {stored} compressed, {human_seconds(session.seconds)}"
    )
    session.view.result("image", record, [f"{version.name}@{version.number}"])
