"""A process of its own for the digests of one large staged file: beside all that this one does, and with no lock in common."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from netclnt.child import Child
from netclnt.files.failures import storage_error
from netclnt.protocols import DigesterLost

_PROGRAM = "netclnt.files.digesting"
_PACKAGES = str(Path(__file__).parents[2])

_PATIENCE = 60.0
"""Seconds for one page of a few megabytes; a child that was stopped, or hangs, does not hold up the run."""


class ProcessDigester:
    """:class:`netclnt.protocols.Digester` by a child, which starts with it; used by one thread. Takes over the ``descriptor``.

    Raises OSError if no child can be started. One that is silent for ``patience`` seconds counts as lost. The child has the file,
    its pipes and a session of its own: a terminal's signals are not for it, and it ends with this process, however that dies.
    """

    def __init__(self, descriptor: int, *, path: str, hash_seed: int, patience: float = _PATIENCE) -> None:
        self._path = path
        self._patience = patience
        # It finds modules where this process does, wherever the two were started from.
        modules = os.pathsep.join([*filter(None, sys.path), _PACKAGES])
        try:
            self._child = Child(
                [sys.executable, "-S", "-m", _PROGRAM, str(descriptor), str(hash_seed)],
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": modules, "PYTHONSAFEPATH": "1"},
                pass_fds=[descriptor],
            )
        finally:
            os.close(descriptor)

    def page(self, offset: int, segments: Sequence[tuple[bool, int]], check: bytes) -> bytes | None:
        answer = self._ask(json.dumps([offset, segments, check.hex()]).encode() + b"\n")
        if isinstance(answer, int):
            error = OSError(answer, os.strerror(answer))
            raise storage_error("read", self._path, error) from error
        return None if answer is None else bytes.fromhex(answer)

    def close(self) -> None:
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _ask(self, question: bytes) -> str | int | None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            view = memoryview(question)
            while view:
                view = view[os.write(self._child.stdin.fileno(), view) :]
            answers = select.poll()
            answers.register(self._child.stdout, select.POLLIN)
            line = self._child.stdout.readline() if answers.poll(self._patience * 1000) else b""
        except OSError as error:
            raise DigesterLost from error
        if not line.endswith(b"\n"):
            raise DigesterLost
        answer: str | int | None = json.loads(line)
        return answer
