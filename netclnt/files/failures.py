"""OSError to the errors of netclnt, with the facts a person needs."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from netclnt.errors import NoSpace, StorageError, StorageFailed


def storage_error(action: str, path: str, error: OSError, *, needed: int = 0) -> StorageError:
    """NoSpace when bytes ran out, else StorageFailed (an empty table of inodes and a quota too: bytes may be free then)."""
    code = error.errno or 0
    if code == errno.ENOSPC:
        try:
            space = os.statvfs(path if path.startswith("/") else ".")
        except OSError:
            return NoSpace(path=path, needed=needed, free=0)
        if space.f_files and not space.f_favail:
            return StorageFailed(action=action, path=path, errno=code, cause="no free inodes")
        return NoSpace(path=path, needed=needed, free=space.f_bavail * space.f_frsize)
    return StorageFailed(action=action, path=path, errno=code, cause=error.strerror or str(error))


@contextmanager
def reported(action: str, path: str, *, needed: int = 0) -> Iterator[None]:
    """Turn an OSError into a StorageError; ``path`` is absolute, ``needed`` the bytes that were to be written."""
    try:
        yield
    except OSError as error:
        raise storage_error(action, path, error, needed=needed) from error
