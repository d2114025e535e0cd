"""The power is cut: what was promised durable is there when the disk, as it was at that moment, is mounted again.

The file system is told to keep dirty data for minutes, so that only what was asked to be durable reaches the device.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from netclnt.files.root import open_root
from netclnt.ledger import Ledger
from tests.contract.test_root import NEW, OLD, put, shape
from tests.support.mounts import mounted
from tests.unit.test_ledger import FACTS, FILE

LAZY = "commit=300,noauto_da_alloc"
MANY = {f"f{number:03}": b"x" * number for number in range(100)}


@contextmanager
def after_the_cut(image: Path) -> Iterator[Path]:
    """The disk as it is now, mounted anew (which replays its journal)."""
    copy = image.with_suffix(".copy")
    shutil.copyfile(image, copy)
    place = image.parent / "after"
    place.mkdir()
    subprocess.run(["mount", "-o", "loop", str(copy), str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize(("old", "new"), [(b"old", b"new" * 10_000), (OLD, NEW), (None, MANY), (MANY, b"file")])
def test_B2_what_was_shown_survives(tmp_path: Path, old, new) -> None:
    with mounted("ext4", tmp_path, megabytes=32, options=LAZY) as place, open_root(place, marker=None) as root:
        if old is not None:
            put(root, "os/x", old)
        put(root, "os/x", new, token="a2", keep="0f")
        marker = root.marker
        with after_the_cut(tmp_path / "ext4.img") as survived, open_root(survived, marker=marker) as again:
            assert list(again.tree("os/x")) == shape(new)[0]
            assert again.kept() == ([] if old is None else ["0f"])


def test_P4_what_was_synced_in_staging_survives(tmp_path: Path) -> None:
    with mounted("ext4", tmp_path, megabytes=32, options=LAZY) as place, open_root(place, marker=None) as root:
        entries, data = shape(NEW)
        stage = root.stage("a1")
        stage.prepare(entries)
        for number, part in enumerate(data):
            if part:
                stage.write(number, 0, [part])
        stage.sync()
        with after_the_cut(tmp_path / "ext4.img") as survived, open_root(survived, marker=root.marker) as again:
            found = again.stage("a1")
            there = list(found.prepare(entries))
            for number, part in enumerate(data):
                buffer = bytearray(len(part))
                if part:
                    assert there[number]
                    assert found.read_into(number, 0, buffer) == len(part)
                assert buffer == part
            found.close()
        stage.close()


def test_P2_what_the_ledger_recorded_survives(tmp_path: Path) -> None:
    with mounted("ext4", tmp_path, megabytes=32, options=LAZY) as place, Ledger(place / "ledger.sqlite") as ledger:
        ledger.record(FILE, FACTS)
        with after_the_cut(tmp_path / "ext4.img") as survived, Ledger(survived / "ledger.sqlite") as again:
            assert again.held() == [FILE]
