"""Who holds a SQLite file: as the kernel lists its locks (proc_locks(5))."""

from __future__ import annotations

import os
from pathlib import Path

_LOCKS = Path("/proc/locks")


def holder_of(path: str) -> str:
    """``pid 4711 (sqlite3)`` for the other processes that hold a lock on the file; empty where that cannot be told.

    The file is not opened: closing it would free this process's own locks on it (fcntl(2), POSIX locks).
    """
    try:
        found = Path(path).stat()
        lines = _LOCKS.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    fields = [line.split() for line in lines if place in line and "->" not in line]  # -> marks one that only waits
    pids = sorted({int(words[4]) for words in fields if words[5] == place and words[4].isdecimal()} - {0, os.getpid()})
    return ", ".join(f"pid {pid}{_name(pid)}" for pid in pids)


def _name(pid: int) -> str:
    try:
        return f" ({Path(f'/proc/{pid}/comm').read_text(encoding='utf-8', errors='replace').strip()})"
    except OSError:
        return ""
