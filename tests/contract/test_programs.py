"""What every Programs does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from netclnt.machine import Ended, Programs
from netclnt.memory.programs import MemoryProgram, MemoryPrograms
from netclnt.programs import LocalPrograms


@dataclass
class Bench:
    """A place where programs are that say their lines, and then end."""

    programs: Programs
    install: Callable[..., str]
    said: list[str] = field(default_factory=list)

    def run(self, *argv: str, environment: Mapping[str, str] | None = None, stdin: bytes = b"", seconds: float = 60.0) -> Ended:
        return self.programs.run(
            argv, environment=environment or {}, stdin=stdin, seconds=seconds, grace=1.0, say=self.said.append
        )


@pytest.fixture(params=["local", "memory"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    if request.param == "memory":
        memory = MemoryPrograms({})

        def put(code: int = 0, lines: tuple[str, ...] = (), seconds: float = 0.0) -> str:
            memory.programs["/bin/program"] = MemoryProgram(code, lines, seconds)
            return "/bin/program"

        return Bench(memory, put)

    def write(code: int = 0, lines: tuple[str, ...] = (), seconds: float = 0.0) -> str:
        path = tmp_path / "program"
        says = "".join(f"print({line!r}, flush=True)\n" for line in lines)
        path.write_text(f"#!{sys.executable} -SE\nimport sys, time\n{says}time.sleep({seconds})\nsys.exit({code})\n")
        path.chmod(0o755)
        return str(path)

    return Bench(LocalPrograms(), write)


@pytest.mark.parametrize("code", [0, 1, 75, 255])
def test_the_exit_code_is_told(bench: Bench, code: int) -> None:
    assert bench.run(bench.install(code)) == Ended(code)


def test_each_line_is_told_and_the_last_one_kept(bench: Bench) -> None:
    ended = bench.run(bench.install(3, ("one", "", "two", " ")))
    assert bench.said == ["one", "", "two", " "]
    assert ended == Ended(3, said="two")


def test_what_is_not_there_cannot_be_started(bench: Bench) -> None:
    assert bench.run("/nonexistent/program") == Ended(None, "cannot be started: No such file or directory")


def test_what_takes_too_long_is_ended(bench: Bench) -> None:
    ended = bench.run(bench.install(lines=("begins",), seconds=600), seconds=1)
    assert ended == Ended(None, "did not end within 1 seconds", "begins")


def test_what_the_listener_raises_passes(bench: Bench) -> None:
    def refuse(line: str) -> None:
        raise KeyError(line)

    program = bench.install(lines=("one",), seconds=600)
    with pytest.raises(KeyError, match="one"):
        bench.programs.run([program], environment={}, stdin=b"", seconds=60, grace=1.0, say=refuse)
