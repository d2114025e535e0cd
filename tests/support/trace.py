"""What a command asks of the kernel: strace's log as values, and its ways to make a call fail or kill."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

WRITES = ("write", "pwrite64", "pwritev", "pwritev2", "copy_file_range", "ftruncate", "fallocate")
SYNCS = ("fsync", "fdatasync")
NAMES = ("rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "linkat", "symlinkat")

CHANGING = (*WRITES[1:], *SYNCS, *NAMES)
"""Calls that change the disk, but for ``write``, which standard output has, too."""

_LINE = re.compile(r"(\d+) +(\w+)\((.*)")

_LIBRARY = re.compile(r"^[^<]*<[^>]*\.(so[.\d]*|pyc?)>")
"""The text of a call on a part of the interpreter, or of a library."""


@dataclass(frozen=True)
class Call:
    """One call as it was begun: ``text`` are its arguments as strace shows them, descriptors with their paths."""

    thread: int
    name: str
    text: str


def tracing(log: Path, calls: Sequence[str], *, inject: str = "") -> list[str]:
    """The words that go before a command. ``inject`` is strace's, as ``fsync:signal=KILL:when=3``."""
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is not installed")
    if subprocess.run([program, "-o", "/dev/null", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")
    more = ["-e", f"inject={inject}"] if inject else []
    # with --seccomp-bpf, strace 6.1 injects errors, but no signals: nobody is killed
    quick = [] if "signal=" in inject else ["--seccomp-bpf"]
    return [program, "-f", *quick, "-y", "-s", "200", "-o", str(log), "-e", f"trace={','.join(calls)}", *more]


def aimed(words: Sequence[str]) -> Path | None:
    """Where the log of a command lies that is to be hit by what :func:`tracing` injects; None if nothing is injected."""
    return Path(words[words.index("-o") + 1]) if any(word.startswith("inject=") for word in words) else None


def is_hit(log: Path) -> bool:
    """Whether it was: a call that failed, lied, was slow or killed, as strace tells at its end."""
    text = log.read_text(errors="replace")
    return any(mark in text for mark in ("(INJECTED)\n", "(DELAYED)\n", "+++ killed by SIGKILL"))


def is_output_hit(log: Path) -> bool:
    """Whether what was injected met standard output, which then need not be whole: calls are counted, and how many lines of a
    run's progress come before a write is up to the clock."""
    return any(call.startswith("write(1<") for call in _injected(log))


def is_library_hit(log: Path) -> bool:
    """Whether what was injected met a part of the interpreter or of a library while it was loaded, which tells of it in words of
    its own, and may go on without."""
    return any(call.startswith(("read(", "pread64(")) and _LIBRARY.search(call) for call in _injected(log))


def _injected(log: Path) -> Iterator[str]:
    """The calls that were made to fail, each whole though others' lines came between its beginning and its end."""
    begun: dict[str, str] = {}
    for line in log.read_text(errors="replace").splitlines():
        thread, _, text = line.partition(" ")
        text = text.lstrip()
        if text.endswith("<unfinished ...>"):
            begun[thread] = text
        elif text.endswith("(INJECTED)"):
            yield begun.get(thread, "") + text if text.startswith("<...") else text


def read_trace(log: Path) -> list[Call]:
    found = (_LINE.fullmatch(line) for line in log.read_text(errors="replace").splitlines())
    return [Call(int(match[1]), match[2], match[3]) for match in found if match]


def points(calls: Sequence[Call], below: Sequence[Path], *, only: bool = False) -> list[tuple[str, int]]:
    """(call, n): every place where a run can be hit by ``inject=call:…:when=n``, which counts each thread's calls.
    Only calls from the first one that touches a file ``below`` on; with ``only``, just those that touch one. Never one that would
    keep another thread or process from loading a library: it would not even begin."""
    paths = [str(path) for path in below]
    counts: Counter[tuple[int, str]] = Counter()
    loading: set[tuple[str, int]] = set()
    found: dict[tuple[str, int], None] = {}
    begun = False
    for call in calls:
        counts[call.thread, call.name] += 1
        touches = any(path in call.text for path in paths)
        begun = begun or touches
        if _LIBRARY.search(call.text):
            loading.add((call.name, counts[call.thread, call.name]))
        if touches or (begun and not only):
            found[call.name, counts[call.thread, call.name]] = None
    return [point for point in found if point not in loading]


def sample(chosen: Sequence[tuple[str, int]], count: int, request: pytest.FixtureRequest) -> list[tuple[str, int]]:
    """So many of the points, by the seed of the test run."""
    seed = int(request.config.option.hypothesis_seed)
    return random.Random(seed).sample(chosen, min(count, len(chosen)))


def sample_of_each(chosen: Sequence[tuple[str, int]], count: int, request: pytest.FixtureRequest) -> list[tuple[str, int]]:
    """So many of the points, by the seed of the test run: of each call one, before any has two, and so on."""
    turns: Counter[str] = Counter()
    ranked: list[tuple[int, tuple[str, int]]] = []
    for name, number in sample(chosen, len(chosen), request):
        turns[name] += 1
        ranked.append((turns[name], (name, number)))
    return [point for _, point in sorted(ranked, key=lambda each: each[0])][:count]
