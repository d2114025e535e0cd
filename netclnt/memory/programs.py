"""Programs that run nowhere: each answers as a function in Python says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from netclnt.machine import Ended


@dataclass(frozen=True)
class Call:
    """One run of a program, as it was asked for."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    stdin: bytes
    seconds: float
    grace: float


@dataclass(frozen=True)
class MemoryProgram:
    """Takes ``seconds``, writes ``lines``, and ends with ``code``. ``act`` is called while it runs, and may raise as a signal's
    handler would."""

    code: int = 0
    lines: Iterable[str] = ()
    seconds: float = 0.0
    act: Callable[[Call], None] | None = None


class MemoryPrograms:
    """:class:`netclnt.machine.Programs`. ``programs`` are there by their paths; ``calls`` are all runs so far."""

    def __init__(self, programs: Mapping[str, MemoryProgram]) -> None:
        self.programs = dict(programs)
        self.calls: list[Call] = []

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
        call = Call(tuple(argv), dict(environment), stdin, seconds, grace)
        self.calls.append(call)
        program = self.programs.get(argv[0])
        if program is None:
            return Ended(None, "cannot be started: No such file or directory")
        said = ""
        for line in program.lines:
            say(line)
            said = line if line.strip() else said
        if program.act is not None:
            program.act(call)
        if program.seconds > seconds:
            return Ended(None, f"did not end within {seconds:g} seconds", said)
        return Ended(program.code, said=said)
