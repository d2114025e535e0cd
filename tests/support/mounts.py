"""File systems of the test's own, on loop devices and in memory."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MAKERS = {
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"],
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
