"""A real root and its twin behind one face, so that one suite can arrange and inspect both."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netclnt.files.root import open_root
from netclnt.memory.root import MemoryRoot
from netclnt.protocols import Root


@dataclass
class Bench:
    """A root and an admin's hands in it: paths are relative to the root."""

    root: Root
    put_file: Callable[..., None]
    put_directory: Callable[..., None]
    put_link: Callable[[str, str], None]
    put_other: Callable[[str], None]


def memory_bench() -> Bench:
    root = MemoryRoot()
    return Bench(root, root.put_file, root.put_directory, root.put_link, root.put_other)


def directory_bench(path: Path) -> Bench:
    """``path`` is made; nothing has to be closed by hand before the test's end but the bench's ``root``."""
    path.mkdir(exist_ok=True)

    def put_file(name: str, data: bytes, mode: int = 0o644) -> None:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
        (path / name).chmod(mode)

    def put_directory(name: str, mode: int = 0o755) -> None:
        (path / name).mkdir(parents=True)
        (path / name).chmod(mode)

    def put_link(name: str, target: str) -> None:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).symlink_to(target)

    def put_other(name: str) -> None:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path / name)

    return Bench(open_root(path, marker=None), put_file, put_directory, put_link, put_other)
