"""File systems of the test's own, on loop devices and in memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MAKERS = {
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"],
    "btrfs": ["mkfs.btrfs", "-q"],
}


@contextmanager
def mounted(kind: str, directory: Path, *, megabytes: int = 320, options: str = "") -> Iterator[Path]:
    """A new file system of this kind, mounted below ``directory``; skips the test where that cannot be done."""
    if os.geteuid():
        pytest.skip("mounting needs root")
    place = directory / f"{kind}-mount"
    place.mkdir()
    if kind == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m{options and ',' + options}", "none", str(place)]
    else:
        if shutil.which(MAKERS[kind][0]) is None:
            pytest.skip(f"{MAKERS[kind][0]} is not installed")
        image = directory / f"{kind}.img"
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        subprocess.run([*MAKERS[kind], str(image)], check=True, capture_output=True)
        command = ["mount", "-o", f"loop{options and ',' + options}", str(image), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount {kind} here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


LAZY = "commit=300,noauto_da_alloc"
"""Options that let ext4 keep dirty data for minutes: only what was asked to be durable reaches the device."""

ROOM = {"ext4": 64, "xfs": 320, "btrfs": 160}
"""Megabytes that a file system of each kind needs for these tests."""


_BUSY_SECONDS = 10.0


class Disk:
    """A loop device whose power can be cut. A context manager, mounted while it lasts: ``image`` at ``place``."""

    def __init__(self, kind: str, directory: Path, *, options: str = "") -> None:
        if os.geteuid():
            pytest.skip("mounting needs root")
        if shutil.which(MAKERS[kind][0]) is None:
            pytest.skip(f"{MAKERS[kind][0]} is not installed")
        # else xfs mounts no second file system with one UUID, as a copy of one that lives on is
        self._options = [option for option in (options, "nouuid" if kind == "xfs" else "") if option]
        self.place = directory / "disk"
        self.place.mkdir()
        self.image = directory / "disk.img"
        with self.image.open("wb") as file:
            file.truncate(ROOM[kind] << 20)
        subprocess.run([*MAKERS[kind], str(self.image)], check=True, capture_output=True)

    def __enter__(self) -> Disk:
        try:
            self.mount()
        except AssertionError as refusal:
            pytest.skip(f"cannot mount here: {refusal}")
        return self

    def __exit__(self, *_: object) -> None:
        if self.place.is_mount():
            subprocess.run(["umount", "--lazy", str(self.place)], check=True)

    def mount(self) -> None:
        command = ["mount", "-o", ",".join(["loop", *self._options]), str(self.image), str(self.place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr.strip()

    def unmount(self) -> None:
        """In peace: everything reaches the device. Who has something open is about to end (a server's session). Where somebody
        else made a namespace meanwhile, the file system lives on there (as that of a service which systemd starts)."""
        subprocess.run(["sync", "--file-system", str(self.place)], check=True)
        until = time.monotonic() + _BUSY_SECONDS
        while subprocess.run(["umount", str(self.place)], check=False, capture_output=True).returncode:
            assert time.monotonic() < until, f"{self.place} stays busy"
            time.sleep(0.05)

    def save(self, to: Path) -> None:
        """Keep the content as it is, in peace."""
        self.unmount()
        _copy(self.image, to)
        self.mount()

    def restore(self, saved: Path) -> None:
        self._change_to(saved)

    def cut(self) -> None:
        """Cut the power, and switch it on again: what the device had not got is gone."""
        survived = self.image.with_suffix(".survived")
        _copy(self.image, survived)
        self._change_to(survived)

    def _change_to(self, content: Path) -> None:
        """Go on with another content, in a file of its own: what still comes for the old one goes there."""
        self.unmount()
        self.image.unlink()
        _copy(content, self.image)
        self.mount()


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(source), str(target)], check=True)
