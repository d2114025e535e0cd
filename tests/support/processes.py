"""Who started whom, read from ``/proc`` (a kernel need not have its lists of children, so each process's parent is asked)."""

from __future__ import annotations

import contextlib
from pathlib import Path


def children(pid: int) -> dict[int, str]:
    """Process ids of the direct children of ``pid``, with their command lines."""
    found = {}
    for process in Path("/proc").glob("[1-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            parent = process.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == pid:
                command = process.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[int(process.name)] = command.strip() or "(ended, not waited for)"
    return found
