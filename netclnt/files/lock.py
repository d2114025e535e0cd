"""One run at a time for a root: ``flock`` on a file inside its work area, so whatever path leads there, it is the same lock.

The kernel frees it when its holder dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from netclnt.errors import Locked
from netclnt.files.confine import open_beneath
from netclnt.files.failures import reported
from netclnt.files.workarea import LOCK, WorkArea
from netclnt.naming import WORK_DIRECTORY

_WORDS_MAX = 500


@contextmanager
def locked(area: WorkArea, holder: str) -> Iterator[None]:
    """Hold the root while the context lasts; raises Locked with the words of who holds it now."""
    place = area.describe(f"{WORK_DIRECTORY}/{LOCK}")
    with reported("open", place):
        descriptor = open_beneath(area.need_work(), LOCK, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK)
    try:
        with reported("lock", place):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                words = os.pread(descriptor, _WORDS_MAX, 0).decode("utf-8", "replace").strip()
                raise Locked(path=area.path, holder=words or "another run") from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, holder.encode("utf-8", "replace")[:_WORDS_MAX], 0)
        yield
    finally:
        os.close(descriptor)
