"""Making (or finding again) the empty shape of a version in its staging area. Raises OSError."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field

from netclnt.files.confine import Directories, split
from netclnt.files.removal import names, remove
from netclnt.files.workarea import IMAGE
from netclnt.model import Entry, EntryType

SMALL = 1 << 20
"""Files of at most so many bytes are opened for each use, and may be second names of live ones."""

READY = "ready-"
"""Begins the name under which an image is put in place of another; its inode follows (:func:`ready_name`)."""


def ready_name(stage: int) -> str:
    """The name from which a staged image is exchanged with the live one. Once that happened, what lies under this name has
    another inode: so a run that died there never takes the old version, which others may have open, for the new one."""
    return f"{READY}{os.stat(IMAGE, dir_fd=stage, follow_symlinks=False).st_ino}"


def recover(stage: int) -> None:
    """Undo or finish what :mod:`netclnt.files.showing` was at when a run died."""
    for name in names(stage):
        if not name.startswith(READY):
            continue
        if name == f"{READY}{os.stat(name, dir_fd=stage, follow_symlinks=False).st_ino}":
            os.rename(name, IMAGE, src_dir_fd=stage, dst_dir_fd=stage)
        else:
            remove(stage, name)


@dataclass(frozen=True, slots=True)
class Prepared:
    """For each entry, whether a file of its size was there already; and of those that have a second name, the mtime."""

    there: list[bool]
    linked: dict[int, int] = field(default_factory=dict)


def inner(path: str) -> str:
    """Where an entry lies inside its staging area or kept version."""
    return f"{IMAGE}/{path}" if path else IMAGE


def prepare(stage: int, entries: Sequence[Entry]) -> Prepared:
    """Make directories and links, and look which files are there already at their size; others of their names are removed.

    The owner may write to all directories until they are sealed. What does not belong to the version is removed.
    """
    resumed = any(name == IMAGE for name in names(stage))
    prepared = Prepared([False] * len(entries))
    with Directories(stage) as directories:
        for number, entry in enumerate(entries):
            if entry.type is EntryType.FILE and not resumed:
                continue
            parent, last = split(inner(entry.path))
            directory = directories.open(parent)
            if entry.type is EntryType.DIRECTORY:
                _make_directory(directory, last, entry.mode | stat.S_IRWXU)
            elif entry.type is EntryType.LINK:
                _make_link(directory, last, entry.target)
            else:
                _look_at_file(directory, last, entry.size, number, prepared)
    if resumed and entries[0].type is EntryType.DIRECTORY:
        _remove_others(stage, {inner(entry.path) for entry in entries}, IMAGE)
    return prepared


def _make_directory(directory: int, name: str, mode: int) -> None:
    try:
        os.mkdir(name, mode, dir_fd=directory)
        return
    except FileExistsError:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    if not stat.S_ISDIR(found):
        remove(directory, name)
        os.mkdir(name, mode, dir_fd=directory)
    elif found & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(name, mode, dir_fd=directory)


def _make_link(directory: int, name: str, target: str) -> None:
    remove(directory, name)
    os.symlink(target, name, dir_fd=directory)


def _look_at_file(directory: int, name: str, size: int, number: int, prepared: Prepared) -> None:
    found = _look(directory, name)
    if found is None:
        return
    linked = found.st_nlink > 1
    # a large file with a second name is somebody else's too, and one of another size is of no use
    if not stat.S_ISREG(found.st_mode) or found.st_size != size or (linked and size > SMALL):
        remove(directory, name)
        return
    if linked:
        prepared.linked[number] = found.st_mtime_ns
    elif found.st_mode & 0o600 != 0o600:
        os.chmod(name, 0o600, dir_fd=directory)
    prepared.there[number] = True


def _look(directory: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _remove_others(stage: int, wanted: set[str], path: str) -> None:
    with Directories(stage) as directories:
        directory = directories.open(path)
        found = names(directory)
        for name in found:
            if f"{path}/{name}" not in wanted:
                remove(directory, name)
        below = [name for name in found if f"{path}/{name}" in wanted and _is_directory(directory, name)]
    for name in below:
        _remove_others(stage, wanted, f"{path}/{name}")


def _is_directory(directory: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
