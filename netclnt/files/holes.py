"""Where a sparse file holds data. Loads next to nothing: the program of :mod:`netclnt.files.digesting` lives on it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

CANNOT = (errno.EXDEV, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.ETXTBSY)
"""How a file system says that it does not know a call, or not for this file."""


def data_ranges(descriptor: int, offset: int, length: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of the parts of a range that may hold data. Moves the descriptor's own position, which nobody uses."""
    end = offset + length
    while offset < end:
        try:
            start = os.lseek(descriptor, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            if error.errno in CANNOT:
                yield offset, end - offset
                return
            raise
        if start >= end:
            return
        offset = min(end, os.lseek(descriptor, start, os.SEEK_HOLE))
        yield start, offset - start
