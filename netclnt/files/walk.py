"""A walk over what an image consists of, in the order of a version's entries."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from netclnt.errors import Unpublishable
from netclnt.files.confine import describe, open_beneath
from netclnt.files.removal import names
from netclnt.model import EntryType
from netclnt.naming import WORK_DIRECTORY, check_path

PERMISSIONS = 0o777
"""Bits of a mode that a version carries: set-user-id and its sisters belong to the host that gives the owner."""


@dataclass(frozen=True, slots=True)
class Found:
    """One file, directory or link met on the walk: its path inside the image, how it looks, and where it can be opened.

    ``directory`` is valid until the walk goes on.
    """

    path: str
    type: EntryType
    stat: os.stat_result
    target: str
    directory: int
    name: str


def walk(directory: int, name: str, *, where: str) -> Iterator[Found]:
    """The image ``name`` in ``directory``: itself (path ``""``), then what lies below, sorted by path components.

    ``where`` is its path for messages. Raises OSError; ForbiddenName and Unpublishable for what no version can contain.
    """
    yield from _visit(directory, name, "", where)


def regular_files(top: int) -> Iterator[tuple[str, os.stat_result]]:
    """Path and look of each regular file in directories on the file system of the directory ``top``, the work area apart; links
    are not followed, and what cannot be read is passed over."""
    device = os.fstat(top).st_dev
    pending = [""]
    while pending:
        path = pending.pop()
        for name, status in _listed(top, path):
            inner = f"{path}/{name}" if path else name
            if inner == WORK_DIRECTORY:
                continue
            if stat.S_ISDIR(status.st_mode):
                if status.st_dev == device:
                    pending.append(inner)
            elif stat.S_ISREG(status.st_mode):
                yield inner, status


def _listed(top: int, path: str) -> list[tuple[str, os.stat_result]]:
    """What lies in one directory, as far as it can be read."""
    found = []
    with suppress(OSError):
        directory = open_beneath(top, path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in names(directory):
                with suppress(OSError):
                    found.append((name, os.stat(name, dir_fd=directory, follow_symlinks=False)))
        finally:
            os.close(directory)
    return found


def _visit(directory: int, name: str, path: str, where: str) -> Iterator[Found]:
    found = _look(directory, name, path, where)
    yield found
    if found.type is not EntryType.DIRECTORY:
        return
    below = open_beneath(directory, name, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for inner in names(below):
            inner_path = check_path(f"{path}/{inner}" if path else inner)
            yield from _visit(below, inner, inner_path, where)
    finally:
        os.close(below)


def _look(directory: int, name: str, path: str, where: str) -> Found:
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if stat.S_ISREG(status.st_mode):
        return Found(path, EntryType.FILE, status, "", directory, name)
    if stat.S_ISDIR(status.st_mode):
        return Found(path, EntryType.DIRECTORY, status, "", directory, name)
    whole = f"{where}/{path}" if path else where
    if not stat.S_ISLNK(status.st_mode) or not path:
        raise Unpublishable(path=whole, problem=f"a {describe(status.st_mode)}")
    target = os.readlink(name, dir_fd=directory)
    try:
        target.encode("utf-8")
    except UnicodeEncodeError:
        raise Unpublishable(path=whole, problem="a link whose target is not UTF-8") from None
    return Found(path, EntryType.LINK, status, target, directory, name)
