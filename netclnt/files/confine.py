"""Opening below a directory descriptor, never out of it: by ``openat2`` where the kernel has it, else component by component.

All functions raise OSError: ELOOP for a symbolic link anywhere in the path, EXDEV for a path that would
lead out. The caller translates.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from types import TracebackType
from typing import Self

from netclnt.files import syscalls

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_THERE = (errno.ENOSYS, errno.EPERM)
_RACES_MAX = 100


def open_beneath(directory: int, path: str, flags: int, mode: int = 0o600, *, same_mount: bool = False) -> int:
    """A descriptor for ``path`` (``""`` is the directory itself); ``same_mount`` refuses to cross into another mount.

    With O_PATH alone, the last part may be a link, and the descriptor names the link itself.
    """
    _check(path)
    resolve = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS
    if same_mount:
        resolve |= syscalls.RESOLVE_NO_XDEV
    if flags & (os.O_PATH | os.O_DIRECTORY) == os.O_PATH:
        flags |= os.O_NOFOLLOW  # the kernel's way to ask for a link itself
    for _ in range(_RACES_MAX):
        try:
            return syscalls.openat2(directory, path or ".", flags, mode, resolve)
        except OSError as error:
            if error.errno == errno.EAGAIN:  # a rename elsewhere made the kernel unsure whether we are still beneath
                continue
            if error.errno in _NOT_THERE:  # EPERM: how older container runtimes answer calls they do not know
                break
            raise
    return open_by_component(directory, path, flags, mode, same_mount=same_mount)


def open_by_component(directory: int, path: str, flags: int, mode: int = 0o600, *, same_mount: bool = False) -> int:
    """What :func:`open_beneath` promises, by one ``openat`` a component (a bind mount of the same device goes unseen)."""
    _check(path)
    *parents, last = path.split("/")
    device = os.fstat(directory).st_dev
    current = os.dup(directory)
    try:
        for part in parents:
            below = _open_one(current, part, _DIRECTORY)
            os.close(current)
            current = below
        opened = _open_one(current, last or ".", flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    finally:
        os.close(current)
    if same_mount and os.fstat(opened).st_dev != device:
        os.close(opened)
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    return opened


def _open_one(directory: int, part: str, flags: int, mode: int = 0o600) -> int:
    try:
        return os.open(part, flags, mode, dir_fd=directory)
    except NotADirectoryError:
        # O_DIRECTORY with O_NOFOLLOW says "not a directory" of a link: tell it as openat2 does
        if stat.S_ISLNK(os.stat(part, dir_fd=directory, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), part) from None
        raise


def _check(path: str) -> None:
    if path and any(part in ("", ".", "..") for part in path.split("/")):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)


def split(path: str) -> tuple[str, str]:
    """(directory, last component)."""
    parent, _, last = path.rpartition("/")
    return parent, last


def open_regular(directory: int, name: str, flags: int) -> int:
    """Open one name in a directory, only if it is a regular file; nothing else is even opened (a device may act on that)."""
    if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", name)
    opened = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.EINVAL, "not a regular file", name)
    return opened


def kind_at(directory: int, name: str) -> str:
    """``absent``, ``file``, ``directory`` or ``other``, links not followed."""
    try:
        mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return "absent"
    if stat.S_ISREG(mode):
        return "file"
    return "directory" if stat.S_ISDIR(mode) else "other"


def describe(mode: int) -> str:
    """What a person calls a file of this ``st_mode``."""
    words = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "directory",
        stat.S_IFLNK: "symbolic link",
        stat.S_IFIFO: "FIFO",
        stat.S_IFSOCK: "socket",
        stat.S_IFBLK: "block device",
        stat.S_IFCHR: "character device",
    }
    return words.get(stat.S_IFMT(mode), "unknown")


class Directories:
    """The directories of one tree, one of them open at a time: cheap for paths that come sorted.

    A context manager; does not own ``top``.
    """

    def __init__(self, top: int) -> None:
        self._top = top
        self._path = ""
        self._opened = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def open(self, path: str) -> int:
        """A descriptor for the directory ``path``, valid until the next call."""
        if not path:
            return self._top
        if path != self._path or self._opened < 0:
            self.close()
            self._opened = open_beneath(self._top, path, os.O_PATH | os.O_DIRECTORY)
            self._path = path
        return self._opened

    def close(self) -> None:
        if self._opened >= 0:
            os.close(self._opened)
            self._opened = -1


class ThreadDirectories:
    """:class:`Directories` for each thread that asks. Does not own ``top``."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._local = threading.local()
        self._all: list[Directories] = []

    def open(self, path: str) -> int:
        """A descriptor for the directory ``path``, valid until this thread's next call."""
        directories: Directories | None = getattr(self._local, "directories", None)
        if directories is None:
            directories = self._local.directories = Directories(self._top)
            self._all.append(directories)
        return directories.open(path)

    def close(self) -> None:
        """Close what is open; later calls look anew. Nobody may be using any."""
        for directories in self._all:
            directories.close()
