"""Which process a run is, so that another one can tell whether it still goes on: by what proc(5) says."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")


def this_process() -> str:
    """Tells this process from all others of this host, also after a reboot or when its number is used again; empty where that
    cannot be told."""
    started = _started(os.getpid())
    return f"{_host()}:{os.getpid()}:{started}" if started else ""


def is_alive(process: str) -> bool | None:
    """Whether a process of :func:`this_process` still runs; None where that cannot be told, as from another container."""
    host, _, rest = process.partition(":")
    number, _, started = rest.partition(":")
    own = _host()
    if not own or not started or not number.isdecimal():
        return None
    if own.partition("/")[0] != host.partition("/")[0]:  # of another boot
        return False
    return _started(int(number)) == started if own == host else None


def _host() -> str:
    """The boot and the namespace of process numbers."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').readlink().name.strip('pid:[]')}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Clock ticks since boot, field 22 of its stat; the name before it may hold anything."""
    try:
        return (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
