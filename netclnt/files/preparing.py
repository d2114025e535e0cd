"""Making (or finding again) the empty shape of a version in its staging area. Raises OSError."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from netclnt.files.confine import Directories, open_beneath, split
from netclnt.files.removal import names, remove
from netclnt.files.sealing import inner
from netclnt.files.workarea import IMAGE
from netclnt.model import Entry, EntryType

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


def prepare(stage: int, entries: Sequence[Entry]) -> list[bool]:
    """Create directories, links and files at their size; for each entry, whether a file of that size was there already.

    Everything is writable for its owner only until it is sealed. What does not belong to the version is removed.
    """
    resumed = any(name == IMAGE for name in names(stage))
    with Directories(stage) as directories:
        there = [_make(directories, entry) for entry in entries]
    if resumed and entries[0].type is EntryType.DIRECTORY:
        _remove_others(stage, {inner(entry.path) for entry in entries}, IMAGE)
    return there


def _make(directories: Directories, entry: Entry) -> bool:
    parent, last = split(inner(entry.path))
    directory = directories.open(parent)
    if entry.type is EntryType.DIRECTORY:
        _make_directory(directory, last)
        return False
    if entry.type is EntryType.LINK:
        _make_link(directory, last, entry.target)
        return False
    return _make_file(directory, last, entry.size)


def _make_directory(directory: int, name: str) -> None:
    found = _look(directory, name)
    if found is not None and not stat.S_ISDIR(found.st_mode):
        remove(directory, name)
        found = None
    if found is None:
        os.mkdir(name, 0o700, dir_fd=directory)
    elif stat.S_IMODE(found.st_mode) != 0o700:
        os.chmod(name, 0o700, dir_fd=directory)


def _make_link(directory: int, name: str, target: str) -> None:
    remove(directory, name)
    os.symlink(target, name, dir_fd=directory)


def _make_file(directory: int, name: str, size: int) -> bool:
    found = _look(directory, name)
    # a file with a second name is somebody else's too: it is never written to
    if found is not None and (not stat.S_ISREG(found.st_mode) or found.st_nlink > 1):
        remove(directory, name)
        found = None
    if found is not None and stat.S_IMODE(found.st_mode) != 0o600:
        os.chmod(name, 0o600, dir_fd=directory)
    if found is not None and found.st_size == size:
        return True
    opened = open_beneath(directory, name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o600)
    try:
        os.ftruncate(opened, size)
    finally:
        os.close(opened)
    return False


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
