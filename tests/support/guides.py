"""The blocks of a guide, and how each is kept true: its shell lines are typed on the computers it names, what it shows of their
output is compared, its other files are given to the programs that read them.

A block's fence says what it is: ``sh master`` and ``sh slave`` are typed there, as root; ``text`` is what the block before it
prints, in which ``…`` stands for anything within a line, and alone on a line for any lines; ``toml``, ``sshd``, ``sql``, ``yaml``
and ``ini`` are files.
A comment before it says more: ``<!-- exit 4 -->``, or why it is not run: ``<!-- not run: … -->``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.computers import Computer

COMPUTERS = ("master", "slave")
_FENCE = re.compile(r"^ *```([^\n`]*)$")
_NOTE = re.compile(r"^<!-- (not run|exit)(?::)? (.+) -->$")


@dataclass(frozen=True)
class Block:
    path: Path
    line: int
    section: str
    language: str
    computer: str
    text: str
    not_run: str = ""
    code: int = 0

    def __str__(self) -> str:
        return f"{self.path.name}:{self.line}"

    @property
    def is_typed(self) -> bool:
        return self.language == "sh" and not self.not_run


def blocks_of(path: Path) -> list[Block]:
    """All of them. Fails where a fence is written in a way that is not known here: no block escapes."""
    found, section = [], ""
    lines = path.read_text().splitlines()
    numbered = iter(enumerate(lines, 1))
    for number, line in numbered:
        if line.startswith("#"):
            section = line.lstrip("# ")
        if not (fence := _FENCE.match(line)):
            continue
        assert line.startswith("```"), f"{path.name}:{number}: a block is indented"
        body = []
        for _, inner in numbered:
            if inner == "```":
                break
            body.append(inner)
        else:
            raise AssertionError(f"{path.name}:{number}: a block does not end")
        language, _, computer = fence[1].partition(" ")
        note = _NOTE.match(lines[number - 2])
        facts = {note[1]: note[2]} if note else {}
        block = Block(
            path, number, section, language, computer, "".join(f"{inner}\n" for inner in body),
            facts.get("not run", ""), int(facts.get("exit", 0)),
        )  # fmt: skip
        assert not block.is_typed or computer in COMPUTERS, f"{block} does not say where it is typed"
        found.append(block)
    return found


Said = Mapping[str, Sequence[str]]
"""What each computer has printed so far, block by block."""


@dataclass
class Reader:
    """Whoever follows a guide on two computers. ``filled`` are the values that everybody has others of, as the guide writes them,
    and how the reader knows their own."""

    computers: Mapping[str, Computer]
    filled: Mapping[str, Callable[[Said], str]]
    said: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in COMPUTERS})
    last: str = ""

    def follow(self, blocks: Sequence[Block]) -> None:
        """Type each block that is typed, and compare what it prints. Raises AssertionError with all that it printed."""
        for block in blocks:
            if block.is_typed:
                self._type(block)
            elif block.language == "text" and not block.not_run:
                compare(block, self.last)

    def _type(self, block: Block) -> None:
        script = block.text
        for shown, own in self.filled.items():
            if shown in script:
                script = script.replace(shown, own(self.said))
        typed = self.computers[block.computer].type(script)
        assert typed.code == block.code, f"{block}: exit code {typed.code}\n{script}\n{typed.out}"
        assert "Traceback" not in typed.out, f"{block}: {typed.out}"
        self.said[block.computer].append(typed.out)
        self.last = typed.out


def compare(block: Block, printed: str) -> None:
    """That a block is what was printed."""
    pattern = "".join(map(_line, block.text.splitlines()))
    assert re.fullmatch(pattern, printed), f"{block}: it prints\n{printed}"


def _line(line: str) -> str:
    if line == "…":
        return r"(?:.*\n)*?"
    return ".*?".join(map(re.escape, line.split("…"))) + r" *\n"
