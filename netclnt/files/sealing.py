"""Owner, group, mode and security label of what was staged, and its durability: the last step before it is shown."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netclnt.files.confine import Directories, open_beneath, split
from netclnt.files.failures import reported
from netclnt.files.walk import PERMISSIONS
from netclnt.files.workarea import IMAGE, Ownership, WorkArea
from netclnt.model import Entry, EntryType

LABEL = "security.selinux"
_NO_LABEL = (errno.ENODATA, errno.ENOTSUP, errno.ENOSYS)
_FORMATS = {EntryType.FILE: stat.S_IFREG, EntryType.DIRECTORY: stat.S_IFDIR, EntryType.LINK: stat.S_IFLNK}


@dataclass(frozen=True, slots=True)
class _Attributes:
    """-1 for an owner or group means: leave it; ``label`` is empty where there is none."""

    owner: int
    group: int
    mode: int
    label: bytes = b""


def inner(path: str) -> str:
    """Where an entry lies inside its staging area or kept version."""
    return f"{IMAGE}/{path}" if path else IMAGE


def dress(area: WorkArea, stage: int, entries: Sequence[Entry], name: str) -> None:
    """Give what was staged its final attributes, children first.

    The image itself gets owner, group, mode and label of what lies at its place now, if that is of the same type; else the
    root's settings and the version's mode. What lies inside a tree gets owner, group and label likewise (of the same path, else
    of the tree), but always the version's mode: there it is content. Raises StorageFailed.
    """
    with _Replaced(area, name, entries[0]) as replaced, Directories(stage) as directories:
        for entry in reversed(entries):
            with reported("set the owner of", area.describe(f"{name}/{entry.path}" if entry.path else name)):
                parent, last = split(inner(entry.path))
                _dress(directories.open(parent), last, entry, replaced.attributes(entry))


def make_durable(stage: int, entries: Sequence[Entry]) -> None:
    """fsync each file and directory. Raises OSError, and then nothing is known of any of them."""
    with Directories(stage) as directories:
        for entry in entries:
            if entry.type is not EntryType.LINK:
                parent, last = split(inner(entry.path))
                _fsync(directories.open(parent), last)
    os.fsync(stage)


def _fsync(directory: int, name: str) -> None:
    opened = open_beneath(directory, name, os.O_RDONLY | os.O_NONBLOCK)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _dress(directory: int, last: str, entry: Entry, wanted: _Attributes) -> None:
    if entry.type is EntryType.LINK:
        if (wanted.owner, wanted.group) != (-1, -1):
            os.chown(last, wanted.owner, wanted.group, dir_fd=directory, follow_symlinks=False)
        return
    opened = open_beneath(directory, last, os.O_RDONLY | os.O_NONBLOCK)
    try:
        now = os.fstat(opened)
        if wanted.owner not in (-1, now.st_uid) or wanted.group not in (-1, now.st_gid):
            os.fchown(opened, wanted.owner, wanted.group)
        os.fchmod(opened, wanted.mode)  # after the owner: chown takes set-user-id away
        if wanted.label and _label(opened) != wanted.label:
            os.setxattr(opened, LABEL, wanted.label)
    finally:
        os.close(opened)


def _label(descriptor: int) -> bytes:
    try:
        # by way of /proc, since the descriptor may be one that only names its file (O_PATH)
        return os.getxattr(Path(f"/proc/self/fd/{descriptor}"), LABEL)
    except OSError as error:
        if error.errno in _NO_LABEL:
            return b""
        raise


class _Replaced:
    """What lies at the image's place before the new version is shown. A context manager."""

    def __init__(self, area: WorkArea, name: str, image: Entry) -> None:
        self._ownership: Ownership = area.ownership
        self._image = image
        self._top = _open_same(area.root, name, image.type)
        self._status = os.fstat(self._top) if self._top >= 0 else None
        self._top_label = _label(self._top) if self._top >= 0 else b""
        self._directories = Directories(self._top)

    def __enter__(self) -> _Replaced:
        return self

    def __exit__(self, *_: object) -> None:
        self._directories.close()
        if self._top >= 0:
            os.close(self._top)

    def attributes(self, entry: Entry) -> _Attributes:
        mode = entry.mode & PERMISSIONS
        if self._status is None:
            owner = -1 if self._ownership.owner is None else self._ownership.owner
            group = -1 if self._ownership.group is None else self._ownership.group
            only_file = not entry.path and entry.type is EntryType.FILE
            return _Attributes(owner, group, mode if self._ownership.mode is None or not only_file else self._ownership.mode)
        if not entry.path:
            kept = stat.S_IMODE(self._status.st_mode)
            return _Attributes(self._status.st_uid, self._status.st_gid, kept, self._top_label)
        return self._inner(entry, mode)

    def _inner(self, entry: Entry, mode: int) -> _Attributes:
        assert self._status is not None
        parent, last = split(entry.path)
        try:
            opened = _open_same(self._directories.open(parent), last, entry.type)
        except OSError:
            opened = -1
        if opened < 0:
            return _Attributes(self._status.st_uid, self._status.st_gid, mode)
        try:
            found = os.fstat(opened)
            return _Attributes(found.st_uid, found.st_gid, mode, _label(opened) if self._top_label else b"")
        finally:
            os.close(opened)


def _open_same(directory: int, path: str, kind: EntryType) -> int:
    """A descriptor that names what lies at ``path`` if it is of this kind, else -1."""
    try:
        opened = open_beneath(directory, path, os.O_PATH)
    except OSError:
        return -1
    if stat.S_IFMT(os.fstat(opened).st_mode) == _FORMATS[kind]:
        return opened
    os.close(opened)
    return -1
