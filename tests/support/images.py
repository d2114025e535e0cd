"""Small real images: an ext4 file system, a squashfs and a tree, and what an admin's change makes of them.

Content comes from a seed, so that each run sees the same bytes; texts compress about as well as programs do, and some
files do not compress at all. No root is needed: file systems are written by ``mkfs.ext4 -d`` and ``mksquashfs``, and an
ext4 image is changed in place by ``debugfs``.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

UUID = "6e65745c-636c-4e74-8000-000000000001"
EPOCH = 1_700_000_000
"""Seconds since 1970 of all times inside the images."""


def content(seed: str, size: int) -> bytes:
    """``size`` bytes that compress to about half, the same for the same seed; alike nothing of another seed."""
    source = random.Random(seed)
    words = [source.randbytes(source.randrange(3, 12)) for _ in range(600)]
    parts: list[bytes] = []
    length = 0
    while length < size:
        part = source.choice(words) if source.random() < 0.9 else source.randbytes(8)
        parts.append(part)
        length += len(part)
    return b"".join(parts)[:size]


def make_tree(directory: Path, *, seed: str = "tree", size: int = 3 << 20) -> Path:
    """A root file system in small, of about ``size`` bytes: programs, texts, links, an empty file, a sparse one, odd modes."""
    files = {
        "boot/vmlinuz-6.1": (content(f"{seed}/kernel", size // 4), 0o644),
        "usr/bin/shell": (content(f"{seed}/shell", size // 8), 0o755),
        "usr/bin/once": (content(f"{seed}/once", size // 16), 0o4755),
        "usr/lib/libbig.so.1": (content(f"{seed}/big", size // 4), 0o644),
        "usr/share/random.bin": (random.Random(seed).randbytes(size // 8), 0o600),
        "etc/hostname": (b"golden\n", 0o644),
        "etc/empty": (b"", 0o640),
        "usr/share/doc/ein Büchlein, mit Leerzeichen.txt": (content(f"{seed}/doc", 5000), 0o444),
    }
    for number in range(40):
        files[f"usr/share/many/{number:03}.txt"] = (content(f"{seed}/{number}", 300 + 97 * number), 0o644)
    for path, (data, mode) in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        target.chmod(mode)
    (directory / "var/empty").mkdir(parents=True)
    (directory / "var/empty").chmod(0o711)
    with (directory / "var/sparse").open("wb") as sparse:
        sparse.seek(size // 2)
        sparse.write(b"end")
    (directory / "usr/lib/libbig.so").symlink_to("libbig.so.1")
    (directory / "bin").symlink_to("usr/bin")
    return directory


def change_tree(directory: Path, *, seed: str = "tree", turn: int = 1) -> Path:
    """As an upgrade does it: a library a little different, a new kernel beside it, a file edited, one gone, one moved."""
    library = directory / "usr/lib/libbig.so.1"
    data = library.read_bytes()
    middle = len(data) // 2
    library.write_bytes(data[:middle] + content(f"{seed}/patch{turn}", 3000) + data[middle + 1000 :])
    kernel = directory / "boot/vmlinuz-6.1"
    (directory / f"boot/vmlinuz-6.1.{turn}").write_bytes(kernel.read_bytes()[:-70_000] + content(f"{seed}/kernel{turn}", 90_000))
    with (directory / "etc/hostname").open("a") as hostname:
        hostname.write(f"changed {turn}\n")
    (directory / f"usr/share/many/{turn:03}.txt").unlink()
    moved = directory / f"usr/share/many/{turn + 20:03}.txt"
    moved.rename(moved.with_suffix(".moved"))
    return directory


def make_ext4(image: Path, tree: Path, *, size: int = 8 << 20) -> Path:
    """A file system of ``size`` bytes with the tree's content."""
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(size)
    options = f"hash_seed={UUID},lazy_itable_init=0,root_owner=0:0"
    run("mkfs.ext4", "-q", "-F", "-b", "1024", "-U", UUID, "-E", options, "-d", str(tree), str(image))
    return image


def change_ext4(image: Path, scratch: Path, *, seed: str = "ext4", turn: int = 1) -> Path:
    """In place: a new file of 300 kB, one file replaced, one removed; all other blocks stay where they were."""
    new = scratch / f"new-{turn}"
    new.write_bytes(content(f"{seed}/new{turn}", 300_000))
    replaced = scratch / f"replaced-{turn}"
    replaced.write_bytes(content(f"{seed}/replaced{turn}", 40_000))
    commands = [
        f"write {new} usr/lib/new-{turn}.so",
        "rm usr/share/many/039.txt",
        f"write {replaced} usr/share/many/039.txt",
        f"rm usr/share/many/{turn:03}.txt",
    ]
    script = scratch / f"debugfs-{turn}"
    script.write_text("\n".join(commands) + "\n")
    run("debugfs", "-w", "-f", str(script), str(image))
    return image


def make_squashfs(image: Path, tree: Path) -> Path:
    """A zstd squashfs of the tree, the same bytes for the same tree."""
    image.unlink(missing_ok=True)
    times = ["-mkfs-time", str(EPOCH), "-all-time", str(EPOCH)]
    run(
        "mksquashfs",
        str(tree),
        str(image),
        "-noappend",
        "-comp",
        "zstd",
        "-all-root",
        "-quiet",
        "-no-progress",
        "-processors",
        "1",
        *times,
    )
    return image


def run(*command: str) -> None:
    """Run a tool of the system; skip the test where it is not installed. E2fsprogs' time stands still at EPOCH."""
    program = shutil.which(command[0], path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        pytest.skip(f"{command[0]} is not installed")
    environment = {"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8", "E2FSPROGS_FAKE_TIME": str(EPOCH)}
    done = subprocess.run([program, *command[1:]], check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{command[0]} failed: {done.stdout}{done.stderr}"
