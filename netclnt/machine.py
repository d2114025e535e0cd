"""The machine that netclnt runs on, as edges: places on its disks, processes of a service, programs of an admin's.

What holds for the Protocols of :mod:`netclnt.protocols` holds for these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# --- places on the local disk, before anything is done there


@dataclass(frozen=True, slots=True)
class Looks:
    """Permission bits and file system of what lies at a path, links followed."""

    mode: int
    device: int


@dataclass(frozen=True, slots=True)
class Space:
    """What this user may still write to a file system: bytes, and files (None where they are not counted)."""

    free: int
    files: int | None


class Disk(Protocol):
    """Looks at places of the local disk, and leaves no trace. All methods raise StorageError."""

    def looks(self, path: Path) -> Looks: ...

    def space(self, directory: Path) -> Space: ...

    def try_writing(self, directory: Path) -> None:
        """Raises what whoever makes a file there would meet."""

    def shares(self, directory: Path) -> bool:
        """Whether a copy in there can share blocks with its original (FICLONE)."""


# --- the host of a service


class Child(Protocol):
    """A process that the service started."""

    def code(self) -> int | None:
        """Its exit code; 128 and the signal's number, if one killed it; None while it runs."""

    def send(self, number: int) -> None:
        """A signal; none to one that has ended."""


class Host(Protocol):
    """What a service stands on: a clock, signals as values, and processes."""

    def now(self) -> float:
        """The wall clock, in seconds since 1970. It may be set at any moment."""

    def monotonic(self) -> float:
        """Seconds that only ever grow."""

    def wait(self, seconds: float) -> int | None:
        """The next signal that concerns a service (SIGCHLD when a child has ended), or None after so many seconds."""

    def start(self) -> Child:
        """Start the next sync. Raises StorageFailed."""


# --- programs of this host


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit ``code``, or None with the ``problem`` where it has none ("did not end within 600 seconds",
    "cannot be started: …", "was ended by SIGKILL"). ``said`` is the last line that it wrote; empty if there was none."""

    code: int | None
    problem: str = ""
    said: str = ""


class Programs(Protocol):
    """Runs programs that an admin named. No shell is in between."""

    def run(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        stdin: bytes,
        seconds: float,
        grace: float,
        say: Callable[[str], None],
    ) -> Ended:
        """Run one to its end, with exactly this environment and ``stdin`` on its standard input. What takes longer than
        ``seconds`` is ended by SIGTERM, and ``grace`` seconds later by SIGKILL, with all that it started in its session.

        Each line that it writes, on either stream, is told to ``say`` (without its newline, of bounded length, and of bounded
        number; nothing that it writes blocks it). Whoever holds its streams open behind its end is not waited for. An exception
        of ``say``, or of a signal's handler, ends the program at once, and passes.
        """
