"""Looking at places of the local disk, and at what the kernel offers, without leaving a trace.

Whether one may write is found out by an unnamed file (open(2), O_TMPFILE), which no directory ever shows and which is gone when
it is closed; where a file system has none, by the permissions.
"""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from netclnt.files import syscalls
from netclnt.files.failures import reported
from netclnt.machine import Looks, Space

_UNNAMED = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
_NO_UNNAMED = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
_NOT_THERE = (errno.ENOSYS, errno.EPERM)
"""How a kernel answers calls it does not have, and how older container runtimes answer calls they do not know."""


class LocalDisk:
    """:class:`netclnt.machine.Disk`."""

    def looks(self, path: Path) -> Looks:
        with reported("look at", str(path)):
            found = path.stat()
        return Looks(stat.S_IMODE(found.st_mode), found.st_dev)

    def space(self, directory: Path) -> Space:
        with reported("look at", str(directory)):
            found = os.statvfs(directory)
        return Space(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)

    def try_writing(self, directory: Path) -> None:
        with reported("write to", str(directory)):
            try:
                os.close(os.open(directory, _UNNAMED, 0o600))
            except OSError as error:
                if error.errno not in _NO_UNNAMED:
                    raise
                _refuse_by_permissions(directory)

    def shares(self, directory: Path) -> bool:
        try:
            source = os.open(directory, _UNNAMED, 0o600)
        except OSError:
            return False
        try:
            copy = os.open(directory, _UNNAMED, 0o600)
            try:
                syscalls.clone(copy, source)
            finally:
                os.close(copy)
        except OSError:
            return False
        finally:
            os.close(source)
        return True


def _refuse_by_permissions(directory: Path) -> None:
    """Raise OSError unless this user may make files in the directory."""
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(directory))
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(directory))


def missing_calls() -> Sequence[str]:
    """Those of the calls that netclnt makes good use of which this kernel, or what confines this process, does not have."""
    return [name for name, call in _CALLS.items() if not _is_there(call)]


def open_files() -> int | None:
    """How many files this process may have open; None for no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def _openat2() -> None:
    os.close(syscalls.openat2(_HERE, "/", os.O_PATH, 0, 0))


def _renameat2() -> None:
    syscalls.renameat2(_NOWHERE, "a", _NOWHERE, "b", syscalls.RENAME_EXCHANGE)


def _copy_file_range() -> None:
    os.copy_file_range(_NOWHERE, _NOWHERE, 1)


_HERE, _NOWHERE = -100, -1
"""AT_FDCWD, and a number that no descriptor has: a call that is there says so, and does nothing."""

_CALLS: dict[str, Callable[[], None]] = {
    "openat2": _openat2,
    "renameat2": _renameat2,
    "copy_file_range": _copy_file_range,
}


def _is_there(call: Callable[[], None]) -> bool:
    try:
        call()
    except OSError as error:
        return error.errno not in _NOT_THERE
    return True
