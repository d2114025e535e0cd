"""The order of writes of a real run in this process, as words: what touches content, names, durability, ledger and master."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import pytest

from netclnt.files import showing, staging
from netclnt.files.root import DirectoryRoot
from netclnt.ledger import Ledger

DESCRIPTORS = ("pwritev", "copy_file_range", "fsync", "fdatasync")
_DIGEST = 64
"""Staging areas of versions are called by the digests of their manifests."""

LEDGER = ("journal_add", "journal_clear", "keep", "record", "drop_kept", "set_applied")


class Recorder:
    """``steps`` are those of the root at ``root`` since the recording began, each as
    ``call place``; what repeats is told once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._steps: list[str] = []

    @property
    def steps(self) -> list[str]:
        return [step for step, _ in groupby(self._steps)]

    def note(self, step: str) -> None:
        self._steps.append(step)

    def place(self, descriptor: int, name: str = "") -> str | None:
        """``live``, ``staged``, ``kept`` for an image's file, the directories that hold them as ``root``, ``stage``, ``staging``
        and so on; what is about to be kept lies ``aside`` in the directory ``spare``; None for anywhere else."""
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        path = path / name if name else path
        if not path.is_relative_to(self.root):
            return None
        match path.relative_to(self.root).parts:
            case ():
                return "root"
            case (".netclnt", "staging"):
                return "staging"
            case (".netclnt", "kept"):
                return "all kept"
            case (".netclnt", "staging", token, *inner) if len(token) != _DIGEST:
                return "aside" if inner else "spare"
            case (".netclnt", "staging", _):
                return "stage"
            case (".netclnt", "kept", _):
                return "keep"
            case (".netclnt", "staging", *_):
                return "staged"
            case (".netclnt", "kept", *_):
                return "kept"
            case (".netclnt", *_):
                return None
        return "live"


R = TypeVar("R", bound=Recorder)


@contextmanager
def recorded(root: Path, patch: pytest.MonkeyPatch, kind: type[R] = Recorder) -> Iterator[R]:
    """Records all threads' calls until the block ends."""
    recorder = kind(root)
    with patch.context() as within:
        for name in DESCRIPTORS:
            within.setattr(os, name, _on_descriptor(recorder, name, getattr(os, name)))
        within.setattr(staging, "syncfs", _on_descriptor(recorder, "syncfs", staging.syncfs))
        within.setattr(os, "rename", _between(recorder, "rename", os.rename))
        within.setattr(os, "link", _between(recorder, "link", os.link))
        within.setattr(showing, "renameat2", _renameat2(recorder, showing.renameat2))
        within.setattr(DirectoryRoot, "secure", _told(recorder, "secure live", DirectoryRoot.secure))
        for name in LEDGER:
            within.setattr(Ledger, name, _told(recorder, f"ledger {name}", getattr(Ledger, name)))
        yield recorder


def _on_descriptor(recorder: Recorder, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    at = 1 if name == "copy_file_range" else 0

    def call(*arguments: Any, **named: Any) -> Any:
        place = recorder.place(arguments[at])
        if place is not None:
            recorder.note(f"{'write' if name in ('pwritev', 'copy_file_range') else name} {place}")
        return real(*arguments, **named)

    return call


def _between(recorder: Recorder, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(source: Any, target: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None, **named: Any) -> Any:
        if src_dir_fd is not None and dst_dir_fd is not None:
            places = recorder.place(src_dir_fd, source), recorder.place(dst_dir_fd, target)
            if all(places):
                recorder.note(f"{name} {places[0]} to {places[1]}")
        return real(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, **named)

    return call


def _renameat2(recorder: Recorder, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(old_directory: int, old: str, new_directory: int, new: str, flags: int) -> None:
        word = "exchange" if flags == showing.RENAME_EXCHANGE else "rename"
        places = recorder.place(old_directory, old), recorder.place(new_directory, new)
        recorder.note(f"{word} {places[0]} {'with' if word == 'exchange' else 'to'} {places[1]}")
        real(old_directory, old, new_directory, new, flags)

    return call


def _told(recorder: Recorder, step: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        recorder.note(step)
        return real(*arguments, **named)

    return call
