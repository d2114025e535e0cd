"""Linux calls that Python's ``os`` lacks, by ctypes. Each raises OSError as ``os`` does, with ENOSYS where libc has no such call.

Numbers and layouts are those of ``linux/openat2.h``, ``linux/fs.h`` and ``linux/falloc.h``.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Callable

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08

_SYS_OPENAT2 = 437
_FICLONE = 0x40049409
_KEEP_SIZE = 1
_PUNCH_HOLE = 2

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _function(name: str, *argument_types: object) -> Callable[..., int] | None:
    found = getattr(_libc, name, None)
    if found is None:
        return None
    found.argtypes = argument_types
    found.restype = ctypes.c_long if name == "syscall" else ctypes.c_int
    return found  # type: ignore[no-any-return]  # ctypes knows foreign functions only at run time


_path = ctypes.c_char_p
_renameat2 = _function("renameat2", ctypes.c_int, _path, ctypes.c_int, _path, ctypes.c_uint)
_syncfs = _function("syncfs", ctypes.c_int)
_fallocate = _function("fallocate64", ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64) or _function(
    "fallocate", ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64
)
_syscall = _function("syscall", ctypes.c_long, ctypes.c_int, _path, ctypes.POINTER(_OpenHow), ctypes.c_size_t)


def _call(function: Callable[..., int] | None, name: str, *arguments: object) -> int:
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), name)
    while True:
        result = function(*arguments)
        if result >= 0:
            return result
        cause = ctypes.get_errno()
        if cause != errno.EINTR:
            raise OSError(cause, os.strerror(cause), name)


def openat2(directory: int, path: str, flags: int, mode: int, resolve: int) -> int:
    """A new descriptor, closed on exec, for ``path`` under ``directory`` as ``resolve`` allows."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode if flags & os.O_CREAT else 0, resolve)
    return _call(_syscall, path, _SYS_OPENAT2, directory, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))


def renameat2(old_directory: int, old: str, new_directory: int, new: str, flags: int) -> None:
    """Rename without replacing (RENAME_NOREPLACE) or exchange two names in one step (RENAME_EXCHANGE)."""
    _call(_renameat2, new, old_directory, os.fsencode(old), new_directory, os.fsencode(new), flags)


def syncfs(descriptor: int) -> None:
    """Make the whole file system durable. Write errors since ``descriptor`` was opened are told from Linux 5.8 on."""
    _call(_syncfs, "syncfs", descriptor)


def punch_hole(descriptor: int, offset: int, length: int) -> None:
    """Make the range a hole; the file's size stays."""
    _call(_fallocate, "fallocate", descriptor, _PUNCH_HOLE | _KEEP_SIZE, offset, length)


def clone(destination: int, source: int) -> None:
    """Make ``destination`` share all blocks of ``source`` (FICLONE)."""
    fcntl.ioctl(destination, _FICLONE, source)
