"""Checks of directories: may one write there, and is there room?"""

from __future__ import annotations

import stat
from pathlib import Path

from netclnt.doctor.checks import Found, warn
from netclnt.errors import NoSpace
from netclnt.machine import Disk

_FULL = 1 << 20
"""With less than this not even a ledger can be written."""
_FEW_FILES = 1000
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
OTHERS_READ = stat.S_IRWXG | stat.S_IRWXO


def look_writable(disk: Disk, *directories: Path) -> Found:
    for directory in directories:
        disk.try_writing(directory)
    return Found(f"{', '.join(map(str, directories))} can be written")


def look_at_space(disk: Disk, directory: Path, *, give_back: str, largest: int = 0) -> Found:
    """``largest``: bytes of the largest thing that may have to be written whole; ``give_back``: the command that makes room.
    Raises NoSpace."""
    space = disk.space(directory)
    if space.free < _FULL:
        raise NoSpace(path=str(directory), needed=max(largest, _FULL), free=space.free)
    hint = f"{give_back}; then df -h {directory} and df -i {directory}"
    if space.files is not None and space.files < _FEW_FILES:
        return warn(f"{{free}} and only {space.files} files are free in {directory}", hint, free=space.free)
    if space.free < largest:
        return warn(
            f"{{free}} are free in {directory}, less than the largest image ({{largest}})", hint, free=space.free, largest=largest
        )
    files = "" if space.files is None else f" and {space.files} files"
    return Found(f"{{free}}{files} are free in {directory}", sizes={"free": space.free})


def look_private(disk: Disk, path: Path, *, forbidden: int, why: str) -> Found:
    """That nobody but its owner has the ``forbidden`` permissions on a file."""
    mode = disk.looks(path).mode
    if mode & forbidden:
        letters = "go-rwx" if forbidden == OTHERS_READ else "go-w"
        return warn(f"{path} has mode {mode:04o}: {why}", f"chmod {letters} {path}")
    return Found(f"{path}, mode {mode:04o}")
