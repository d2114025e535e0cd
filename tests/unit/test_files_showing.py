"""Showing that is cut short at any of its renames: what lies among the kept versions then."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from netclnt.errors import StorageFailed
from netclnt.files.root import open_root
from netclnt.model import Entry, EntryType
from netclnt.naming import WORK_DIRECTORY

KEPT = "0f"


class Failing:
    """A call that works ``left`` times more."""

    def __init__(self, call: Callable[..., None], left: int) -> None:
        self._call = call
        self.left = left

    def __call__(self, *words: object, **more: object) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.EIO, "no more")
        self._call(*words, **more)


@pytest.mark.parametrize("made", [EntryType.FILE, EntryType.DIRECTORY])
def test_A1_P3_what_is_kept_is_never_without_its_content(
    made: EntryType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = Entry("", made, 0o755, 0, bytes(32) if made is EntryType.FILE else b"")
    for left in range(9):
        base = tmp_path / str(left)
        base.mkdir()
        with open_root(base, marker=None) as root, monkeypatch.context() as patched:
            for number in range(2):
                stage = root.stage("a1")
                stage.prepare([entry])
                stage.seal("image")
                stage.close()
                if number == 0:
                    root.show("a1", "image", keep=None)
            rename, link = os.rename, os.link
            renames, links = Failing(rename, left), Failing(link, left)
            patched.setattr(os, "rename", renames)
            patched.setattr(os, "link", links)
            failed = False
            try:
                root.show("a1", "image", keep=KEPT)
            except StorageFailed:
                failed = True
            assert all((base / WORK_DIRECTORY / "kept" / token / "image").exists() for token in root.kept())
            if not failed:
                assert root.kept() == [KEPT]
                assert left > 0
                return
    pytest.fail("showing never came to its end")
