"""The two standard streams: data to the one, everything else to the other, and what happens when one of them fails."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping
from enum import IntEnum
from signal import SIGPIPE
from typing import ClassVar, TextIO

from netclnt.errors import StorageFailed

STDOUT = "standard output"


class Level(IntEnum):
    """How much a line matters: the priorities of syslog(3)."""

    ERROR = 3
    WARNING = 4
    INFO = 6


class OutputClosed(Exception):
    """Standard output's reader went away: the run ends quietly, as by SIGPIPE. Not a failure, so no NetclntError."""

    exit_code: ClassVar[int] = 128 + SIGPIPE
    """As a shell tells it."""
    name: ClassVar[str] = "SIGPIPE"
    sentence: ClassVar[str] = "Standard output's reader went away."


class Output:
    """Lines to standard output and standard error. Characters that the locale lacks are escaped, not refused.

    ``journal`` says that standard error leads to systemd's journal, which takes a line's level from its prefix."""

    def __init__(self, stdout: TextIO, stderr: TextIO, *, journal: bool = False) -> None:
        self.stdout = stdout
        self.stderr = stderr
        self.journal = journal

    def data(self, line: str, end: str = "\n") -> None:
        """Raises OutputClosed or StorageFailed."""
        try:
            self.stdout.write(line + end)
        except OSError as error:
            raise failure(error) from None

    def flush(self) -> None:
        """Raises OutputClosed or StorageFailed."""
        try:
            self.stdout.flush()
        except OSError as error:
            silence_stdout()
            raise failure(error) from None

    def note(self, text: str, level: Level = Level.INFO) -> None:
        """Lines for people; a standard error that cannot take them stops nothing."""
        prefix = f"<{int(level)}>" if self.journal else ""
        try:
            self.stderr.write("".join(f"{prefix}{line}\n" for line in text.split("\n")))
            self.stderr.flush()
        except OSError:
            _silence(2)
        except ValueError:  # closed
            return


def standard() -> Output:
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")
    return Output(sys.stdout, sys.stderr, journal=_is_journal(os.environ))


def _is_journal(environment: Mapping[str, str]) -> bool:
    """Whether standard error is the journal's own stream, as JOURNAL_STREAM tells it: systemd.exec(5)."""
    told = environment.get("JOURNAL_STREAM")
    if not told:
        return False
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return told == f"{status.st_dev}:{status.st_ino}"


def failure(error: OSError) -> OutputClosed | StorageFailed:
    """What a failed write to standard output means."""
    if error.errno == errno.EPIPE:
        return OutputClosed()
    return StorageFailed(action="write", path=STDOUT, errno=error.errno or 0, cause=error.strerror or str(error))


def silence_stdout() -> None:
    """Let what is still buffered go nowhere, so that the interpreter does not fail on it a second time at its end."""
    _silence(1)


def _silence(stream: int) -> None:
    try:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream)
        os.close(descriptor)
    except OSError:
        return
