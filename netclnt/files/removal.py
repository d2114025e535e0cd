"""Removing whole trees inside the work area, never following a link or crossing a mount."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netclnt.files.confine import open_beneath


def remove(directory: int, name: str) -> None:
    """Remove ``name`` in ``directory`` and all below it. Absent is fine. Raises OSError; EXDEV at a mount point, whose
    content is left alone."""
    try:
        mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            _remove_directory(directory, name)
        else:
            os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return


def _remove_directory(directory: int, name: str) -> None:
    below = open_beneath(directory, name, os.O_PATH | os.O_DIRECTORY, same_mount=True)
    try:
        if os.fstat(below).st_mode & 0o700 != 0o700:
            Path(f"/proc/self/fd/{below}").chmod(0o700)  # a descriptor opened by O_PATH knows no fchmod
        with _listed(below) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for inner, is_directory in found:
            if is_directory:
                _remove_directory(below, inner)
            else:
                os.unlink(inner, dir_fd=below)
    finally:
        os.close(below)
    os.rmdir(name, dir_fd=directory)


def weigh(directory: int, name: str) -> int:
    """Bytes on disk that removing ``name`` gives back: of files that have no other name. Absent is 0. Raises OSError."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return 0
    if not stat.S_ISDIR(found.st_mode):
        return found.st_blocks * 512 if found.st_nlink == 1 else 0
    below = open_beneath(directory, name, os.O_PATH | os.O_DIRECTORY, same_mount=True)
    try:
        return found.st_blocks * 512 + sum(weigh(below, inner) for inner in names(below))
    finally:
        os.close(below)


def names(directory: int) -> list[str]:
    """The names in a directory given by any descriptor, sorted by their bytes."""
    with _listed(directory) as entries:
        return sorted((entry.name for entry in entries), key=os.fsencode)


@contextmanager
def _listed(directory: int) -> Iterator[Iterator[os.DirEntry[str]]]:
    listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        with os.scandir(listed) as entries:
            yield entries
    finally:
        os.close(listed)
