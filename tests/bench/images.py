"""The images that are measured: each format before and after a real upgrade, and a tree of many small files.

They are made once and kept in the cache. The raw image is Debian, by ``examples/make-image.sh``, from the mirrors that this
machine's apt uses; all others are made of its files. Quick ones are a few megabytes of this machine's own ``/usr``.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO

TOP = Path(__file__).parents[2]
MIB = 1 << 20
IMAGE_MIB = 4096
PACKAGES = [
    "linux-image-amd64", "systemd-sysv", "zstd", "openssh-server", "build-essential", "python3-dev", "python3-pip", "git", "vim",
    "openjdk-17-jdk-headless", "firefox-esr", "postgresql", "mariadb-server", "apache2", "nodejs", "samba", "ghostscript",
]  # fmt: skip
QUICK_BYTES = 12 * MIB
TREE_FILES, QUICK_TREE_FILES = 50_000, 400
TREE_MEAN = 20_000
"""Bytes of a tree's file, on average; sizes are log-normal, as those of drivers are."""
TREE_SEED = 3
EPOCH = 1_700_000_000

Make = Callable[[Path, Path], None]
"""From a raw image to a file that is not there yet."""


@dataclass(frozen=True)
class Pair:
    """An image before and after: two files, or two directories of trees."""

    kind: str
    old: Path
    new: Path

    @property
    def tree(self) -> bool:
        return self.new.is_dir()


def data_bytes(path: Path) -> int:
    """Of a file's, or of all files of a tree: without holes."""
    files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
    return sum(min(status.st_size, status.st_blocks * 512) for status in map(Path.stat, files))


def pair(cache: Path, kind: str, *, quick: bool = False) -> Pair:
    """The images of this format, made where the cache lacks them, which may take minutes."""
    home = cache / "quick" if quick else cache
    home.mkdir(parents=True, exist_ok=True)
    found = Pair(kind, home / f"before.{SUFFIXES[kind]}", home / f"after.{SUFFIXES[kind]}")
    if found.old.exists() and found.new.exists():
        return found
    if kind == "tree":
        _tree(pair(cache, "tar", quick=quick), found, QUICK_TREE_FILES if quick else TREE_FILES)
    elif kind != "raw":
        raw = pair(cache, "raw", quick=quick)
        _whole(found.old, partial(MAKERS[kind], raw.old))
        _whole(found.new, partial(MAKERS[kind], raw.new))
    elif quick:
        _quick_raw(found)
    else:
        _raw(home, found)
    return found


def missing(kind: str) -> list[str]:
    """Debian packages without which images of this format cannot be made here."""
    return [package for program, package in PROGRAMS.get(kind, {}).items() if shutil.which(program) is None]


def _whole(target: Path, make: Callable[[Path], None]) -> None:
    """Under its name only when it is complete."""
    work = target.with_name(f"work-{target.name}")
    shutil.rmtree(work, ignore_errors=True)
    work.unlink(missing_ok=True)
    if not target.exists():
        make(work)
        work.rename(target)


def _raw(cache: Path, found: Pair) -> None:
    def script(*arguments: str | Path) -> None:
        environment = os.environ | {"DOWNLOADS": str(cache / "downloads")}
        subprocess.run([TOP / "examples/make-image.sh", *map(str, arguments)], check=True, env=environment)

    def upgraded(work: Path) -> None:
        subprocess.run(["cp", "--sparse=always", found.old, work], check=True)
        script("upgrade", work)

    _whole(found.old, lambda work: script("new", work, str(IMAGE_MIB), *PACKAGES))
    _whole(found.new, upgraded)


def _quick_raw(found: Pair) -> None:
    """A file system of some of this machine's programs; then some of them replaced by others, inside the same file system."""
    files = largest_programs()
    before, after = islice(files, 0, None, 2), islice(files, 1, None, 2)
    work = found.old.with_name("quick-tree")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for number, file in enumerate(_up_to(before, QUICK_BYTES)):
        shutil.copyfile(file, work / f"{number:03}-{file.name}")
    _whole(found.old, lambda image: _mkfs(work, image))
    names = sorted(path.name for path in work.iterdir())[::4]
    changes = [f"rm {name}\nwrite {file} {name}" for name, file in zip(names, after, strict=False)]
    shutil.copyfile(found.old, found.new)
    subprocess.run(["debugfs", "-w", "-f", "-", found.new], input="\n".join(changes).encode(), check=True, capture_output=True)
    shutil.rmtree(work)


def largest_programs() -> list[Path]:
    """Programs and libraries of this machine of less than 1 MiB, the largest first."""
    files = {path for top in ("/usr/bin", "/usr/sbin", "/usr/lib/x86_64-linux-gnu", "/usr/lib") for path in Path(top).glob("*")}
    sizes = {path: path.stat().st_size for path in files if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK)}
    return sorted((path for path, size in sizes.items() if size < MIB), key=lambda path: (-sizes[path], path))


def _up_to(files: Iterator[Path], count: int) -> Iterator[Path]:
    for file in files:
        if count <= 0:
            return
        count -= file.stat().st_size
        yield file


def _mkfs(directory: Path, image: Path) -> None:
    with image.open("wb") as file:
        file.truncate(2 * QUICK_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", directory, image], check=True)


def _mounted(image: Path, script: str, target: Path) -> None:
    """Run ``script`` with the image's files as $1 and ``target`` as $2, mounted for it alone; copied where only root may."""
    top = target.with_name("files")
    shutil.rmtree(top, ignore_errors=True)
    top.mkdir()
    mount: list[str | Path] = [
        "unshare",
        "--mount",
        "sh",
        "-ec",
        'mount -o loop,ro,noload "$0" "$1"; ' + script,
        image,
        top,
        target,
    ]
    dump: list[str | Path] = ["sh", "-ec", 'debugfs -R "rdump / $1" "$0" 2>/dev/null >&2; ' + script, image, top, target]
    try:
        subprocess.run(mount if os.geteuid() == 0 else dump, check=True, stdout=subprocess.DEVNULL)
    finally:
        shutil.rmtree(top)


def _tar(image: Path, target: Path) -> None:
    script = 'tar --create --sort=name --numeric-owner --exclude=./lost+found --file "$2" --directory "$1" .'
    _mounted(image, script, target)


def _squashfs(image: Path, target: Path) -> None:
    script = 'mksquashfs "$1" "$2" -comp zstd -Xcompression-level 3 -noappend -quiet -no-progress -e lost+found'
    _mounted(image, script, target)


def _wim(image: Path, target: Path) -> None:
    _mounted(image, 'wimlib-imagex capture "$1" "$2" --compress=LZX --unix-data --no-acls', target)


PROGRAMS = {"squashfs": {"mksquashfs": "squashfs-tools"}, "wim": {"wimlib-imagex": "wimtools"}}
"""What makes a format, and the Debian package that has it."""
SUFFIXES = {"raw": "ext4", "tar": "tar", "squashfs": "squashfs", "wim": "wim", "tree": "tree"}
MAKERS: dict[str, Make] = {"tar": _tar, "squashfs": _squashfs, "wim": _wim}


def _tree(tar: Pair, found: Pair, count: int) -> None:
    """Files cut one after the other from the files of a real system, so that they compress as such do and repeat as little.

    The update, as a driver library gets it: of a hundred files two are edited in the middle, one is replaced, one is removed,
    and one is added."""
    chance = random.Random(TREE_SEED)
    with tar.new.open("rb") as source:
        _whole(found.old, lambda work: _plant(work, count, chance, source))
        _whole(found.new, lambda work: _grow(found.old, work, chance, source))


def _plant(work: Path, count: int, chance: random.Random, source: IO[bytes]) -> None:
    for number in range(count):
        path = work / f"vendor-{number // 2500:02}" / f"driver-{number // 50:04}" / f"file-{number:05}.bin"
        _write(path, _cut(chance, source), EPOCH)


def _grow(old: Path, work: Path, chance: random.Random, source: IO[bytes]) -> None:
    subprocess.run(["cp", "-a", old, work], check=True)
    for path in sorted(path for path in work.rglob("*") if path.is_file()):
        match chance.randrange(100):
            case 0 | 1:
                data = path.read_bytes()
                middle = len(data) // 2
                _write(path, data[:middle] + chance.randbytes(chance.randrange(200)) + data[middle + 40 :], EPOCH + 1)
            case 2:
                _write(path, _cut(chance, source), EPOCH + 1)
            case 3:
                path.unlink()
            case 4:
                _write(path.with_suffix(".new"), _cut(chance, source), EPOCH + 1)


def _cut(chance: random.Random, source: IO[bytes]) -> bytes:
    size = min(int(chance.lognormvariate(0, 1) * TREE_MEAN / 1.65) + 1, MIB)  # exp(1/2), the mean of this distribution
    data = source.read(size)
    while len(data) < size:
        source.seek(0)
        data += source.read(size - len(data))
    return data


def _write(path: Path, data: bytes, time: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (time, time))
