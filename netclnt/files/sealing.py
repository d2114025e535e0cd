"""Owner, group, mode and security label of what was staged, and its durability: the last step before it is shown."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netclnt.errors import ContentMismatch
from netclnt.files.confine import Directories, open_beneath, split
from netclnt.files.failures import storage_error
from netclnt.files.preparing import inner
from netclnt.files.stagedfiles import StagedFiles, looks_like
from netclnt.files.walk import PERMISSIONS
from netclnt.files.workarea import Ownership, WorkArea
from netclnt.model import Entry, EntryType
from netclnt.protocols import Facts

LABEL = "security.selinux"
"""SELinux's. Where there is no SELinux, it can be set and read all the same, by root, on most file systems."""
_NO_LABEL = (errno.ENODATA, errno.ENOTSUP, errno.ENOSYS)
_FORMATS = {EntryType.FILE: stat.S_IFREG, EntryType.DIRECTORY: stat.S_IFDIR, EntryType.LINK: stat.S_IFLNK}


@dataclass(frozen=True, slots=True)
class _Attributes:
    """-1 for an owner or group means: leave it; ``label`` is empty where there is none."""

    owner: int
    group: int
    mode: int
    label: bytes = b""


def dress(area: WorkArea, stage: int, files: StagedFiles, name: str) -> list[Facts]:
    """Give what was staged its final attributes, children first; returns how each entry looks then.

    The image itself gets owner, group, mode and label of what lies at its place now, if that is of the same type; else the
    root's settings and the version's mode; the root's label also where what lies there has none. What lies inside a tree gets
    owner, group and label likewise (of the same path, else of the tree), but always the version's mode: there it is content.
    A file that is a second name of another one than the live one at its path, or of one that has other attributes now or was
    written to since, is made a copy of its own, and that checked.
    Raises StorageFailed, ContentMismatch.
    """
    found: list[Facts] = []
    with _Replaced(area, name, files.entries[0]) as replaced, Directories(stage) as directories:
        for number in range(len(files.entries) - 1, -1, -1):
            entry = files.entries[number]
            try:
                facts = _facts_if_still(files, number, directories, replaced) if number in files.linked else None
                if facts is None and number in files.linked:
                    files.unshare(number)
                    _check_content(files, number, name)
                found.append(facts or _dress(directories, entry, replaced))
            except OSError as error:
                place = area.describe(f"{name}/{entry.path}" if entry.path else name)
                raise storage_error("set owner, mode and label of", place, error) from error
    found.reverse()
    return found


def _facts_if_still(files: StagedFiles, number: int, directories: Directories, replaced: _Replaced) -> Facts | None:
    """How a file looks that is a second name of the live one at its path, if that was not written to and has the right mode: its
    owner, group and label are then as they are to be."""
    entry = files.entries[number]
    parent, last = split(inner(entry.path))
    staged = os.stat(last, dir_fd=directories.open(parent), follow_symlinks=False)
    looks = files.looks.get(number)
    if looks is not None and looks_like(staged, looks) and stat.S_IMODE(staged.st_mode) == entry.mode & PERMISSIONS:
        return looks
    live = replaced.look(entry)
    if live is None or live.st_mtime_ns != files.linked[number] or stat.S_IMODE(live.st_mode) != entry.mode & PERMISSIONS:
        return None
    if (staged.st_dev, staged.st_ino, staged.st_size) != (live.st_dev, live.st_ino, entry.size):
        return None
    return Facts(size=staged.st_size, mtime=staged.st_mtime_ns, inode=staged.st_ino)


def _check_content(files: StagedFiles, number: int, name: str) -> None:
    entry = files.entries[number]
    content = bytearray(entry.size)
    files.read_into(number, 0, content)
    digest = hashlib.sha256(content).digest()
    if digest != entry.sha256:
        raise ContentMismatch(name, entry.path, entry.sha256.hex(), digest.hex())


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


def _dress(directories: Directories, entry: Entry, replaced: _Replaced) -> Facts:
    parent, last = split(inner(entry.path))
    directory = directories.open(parent)
    now = os.stat(last, dir_fd=directory, follow_symlinks=False)
    wanted = replaced.attributes(entry)
    foreign = wanted.owner not in (-1, now.st_uid) or wanted.group not in (-1, now.st_gid)
    if entry.type is EntryType.LINK:
        if foreign:
            os.chown(last, wanted.owner, wanted.group, dir_fd=directory, follow_symlinks=False)
        if wanted.label:
            opened = open_beneath(directory, last, os.O_PATH)
            try:
                set_label(opened, wanted.label)
            finally:
                os.close(opened)
    elif foreign or wanted.label or stat.S_IMODE(now.st_mode) != wanted.mode:
        _set(directory, last, wanted, foreign=foreign)
    return Facts(size=now.st_size, mtime=now.st_mtime_ns, inode=now.st_ino)


def _set(directory: int, last: str, wanted: _Attributes, *, foreign: bool) -> None:
    opened = open_beneath(directory, last, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if foreign:
            os.fchown(opened, wanted.owner, wanted.group)
        os.fchmod(opened, wanted.mode)  # after the owner: chown takes set-user-id away
        if wanted.label:
            set_label(opened, wanted.label)
    finally:
        os.close(opened)


def set_label(descriptor: int, label: bytes) -> None:
    """Raises OSError, where the file system keeps no labels, too: an image without the one that it needs is of no use."""
    if _label(descriptor) != label:
        os.setxattr(_path(descriptor), LABEL, label)


def _label(descriptor: int) -> bytes:
    try:
        return os.getxattr(_path(descriptor), LABEL)
    except OSError as error:
        if error.errno in _NO_LABEL:
            return b""
        raise


def _path(descriptor: int) -> Path:
    """By way of /proc, since the descriptor may be one that only names its file (O_PATH), or a symbolic link."""
    return Path(f"/proc/self/fd/{descriptor}")


class _Replaced:
    """What lies at the image's place before the new version is shown. A context manager."""

    def __init__(self, area: WorkArea, name: str, image: Entry) -> None:
        self._ownership: Ownership = area.ownership
        self._image = image
        self._top = _open_same(area.root, name, image.type)
        self._status = os.fstat(self._top) if self._top >= 0 else None
        self._top_label = (_label(self._top) if self._top >= 0 else b"") or self._ownership.label
        self._directories = Directories(self._top)
        self._missing: str | None = None

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
            own_mode = mode if self._ownership.mode is None or not only_file else self._ownership.mode
            return _Attributes(owner, group, own_mode, self._top_label)
        if not entry.path:
            kept = stat.S_IMODE(self._status.st_mode)
            return _Attributes(self._status.st_uid, self._status.st_gid, kept, self._top_label)
        return self._inner(entry, mode)

    def look(self, entry: Entry) -> os.stat_result | None:
        """How the same path of the image that is replaced looks, if that is of the same type."""
        if self._top < 0 or not entry.path:
            return self._status
        parent, last = split(entry.path)
        if parent == self._missing:
            return None
        try:
            directory = self._directories.open(parent)
        except OSError:
            self._missing = parent
            return None
        try:
            found = os.stat(last, dir_fd=directory, follow_symlinks=False)
        except OSError:
            return None
        return found if stat.S_IFMT(found.st_mode) == _FORMATS[entry.type] else None

    def _inner(self, entry: Entry, mode: int) -> _Attributes:
        assert self._status is not None
        found = self.look(entry)
        if found is None:
            return _Attributes(self._status.st_uid, self._status.st_gid, mode, self._top_label)
        label = (self._label_of(entry) or self._top_label) if self._top_label else b""
        return _Attributes(found.st_uid, found.st_gid, mode, label)

    def _label_of(self, entry: Entry) -> bytes:
        parent, last = split(entry.path)
        opened = _open_same(self._directories.open(parent), last, entry.type)
        if opened < 0:
            return b""
        try:
            return _label(opened)
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
