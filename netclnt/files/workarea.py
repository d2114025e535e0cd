"""``ROOT/.netclnt``: the private work area of a root, and the marker in it that tells a mounted root from a bare mount point.

::

    .netclnt/            mode 0700
      marker             32 hex digits and a newline: made once, and remembered by the ledger
      lock               flock of the run that holds the root; its words about itself
      staging/TOKEN/     a version under construction: ``image``, a file or a directory
      kept/TOKEN/        an old version kept aside: ``image``
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from netclnt.errors import ForeignFile, RootNotMounted, StorageFailed
from netclnt.files.confine import describe, open_beneath
from netclnt.files.failures import reported, storage_error
from netclnt.naming import WORK_DIRECTORY

IMAGE = "image"
"""What the image is called inside a staging area or a kept version."""

STAGING = "staging"
KEPT = "kept"
MARKER = "marker"
LOCK = "lock"

_MARKER = re.compile(r"([0-9a-f]{32})\n", re.ASCII)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Ownership:
    """What new images get where nothing lay before: ids, or None for those of this process; ``mode`` of an image that is
    one file, or None for its version's; ``label`` as the file system keeps it, or empty for the one that the kernel gives."""

    owner: int | None = None
    group: int | None = None
    mode: int | None = None
    label: bytes = b""


@dataclass(frozen=True, slots=True)
class WorkArea:
    """Descriptors of a root and of its work area (-1 where there is none, or it may not be read)."""

    path: str
    root: int
    work: int
    device: int
    ownership: Ownership

    def describe(self, inner: str) -> str:
        """An absolute path for messages."""
        return f"{self.path}/{inner}" if inner else self.path

    def need_work(self) -> int:
        """The work area's descriptor; raises StorageFailed if there is none."""
        if self.work < 0:
            raise StorageFailed(action="open", path=self.describe(WORK_DIRECTORY), errno=errno.ENOENT, cause="no work area")
        return self.work

    def close(self) -> None:
        for descriptor in (self.work, self.root):
            if descriptor >= 0:
                os.close(descriptor)


def open_area(path: Path, *, marker: str | None, writable: bool, ownership: Ownership) -> WorkArea:
    """Open a root, resolving links in ``path`` once. ``marker`` is what the ledger remembers, or None at first contact:
    a root that lacks it raises RootNotMounted, and nothing is created. With ``writable`` the work area is made if missing.
    """
    try:
        resolved = path.resolve(strict=True)
        root = os.open(resolved, _DIRECTORY)
    except FileNotFoundError as error:
        if marker is not None:
            raise RootNotMounted(path=str(path)) from error
        raise storage_error("open", str(path), error) from error
    except (OSError, RuntimeError) as error:  # RuntimeError: how pathlib tells of links in a circle
        loop = OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        raise storage_error("open", str(path), error if isinstance(error, OSError) else loop) from error
    work = -1
    try:
        work = _open_work(root, str(resolved), marker=marker, writable=writable)
        device = os.fstat(root).st_dev
        if work >= 0 and os.fstat(work).st_dev != device:
            place = f"{resolved}/{WORK_DIRECTORY}"
            raise StorageFailed(action="open", path=place, errno=errno.EXDEV, cause="on another file system than the root")
    except BaseException:
        os.close(root)
        if work >= 0:
            os.close(work)
        raise
    return WorkArea(str(resolved), root, work, device, ownership)


def _open_work(root: int, path: str, *, marker: str | None, writable: bool) -> int:
    place = f"{path}/{WORK_DIRECTORY}"
    try:
        found = os.stat(WORK_DIRECTORY, dir_fd=root, follow_symlinks=False)
    except FileNotFoundError:
        if marker is not None:
            raise RootNotMounted(path=path) from None
        if not writable:
            return -1
        with reported("create", place):
            os.mkdir(WORK_DIRECTORY, 0o700, dir_fd=root)
            os.fsync(root)
    except OSError as error:
        raise storage_error("look at", place, error) from error
    else:
        if not stat.S_ISDIR(found.st_mode):
            raise ForeignFile(image=WORK_DIRECTORY, path=place, found=describe(found.st_mode))
    try:
        with reported("open", place):
            work = open_beneath(root, WORK_DIRECTORY, _DIRECTORY)
    except StorageFailed as error:
        if error.errno == errno.EACCES and not writable:
            return -1
        raise
    try:
        if marker is not None and read_marker(work, path) != marker:
            raise RootNotMounted(path=path)
        if writable:
            with reported("create", place):
                if stat.S_IMODE(os.fstat(work).st_mode) != 0o700:
                    os.fchmod(work, 0o700)
                for name in (STAGING, KEPT):
                    make_directory(work, name)
    except BaseException:
        os.close(work)
        raise
    return work


def make_directory(directory: int, name: str, mode: int = 0o700) -> bool:
    """Make a directory of exactly this mode and make its name durable; False if it was there. Raises OSError."""
    try:
        os.mkdir(name, mode, dir_fd=directory)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            raise
        return False
    made = open_beneath(directory, name, _DIRECTORY)
    try:
        os.fchmod(made, mode)  # whatever the umask left of it
    finally:
        os.close(made)
    sync_directory(directory)
    return True


def sync_directory(directory: int, path: str = "") -> None:
    """Make the names in a directory durable. Raises OSError."""
    opened = open_beneath(directory, path, _DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def read_marker(work: int, path: str) -> str | None:
    """The marker in the work area of the root ``path``; None if there is none, or nothing that could be one. Raises StorageFailed
    if it cannot be read: that is no sign of a root that is not mounted."""
    try:
        descriptor = open_beneath(work, MARKER, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        with reported("read", f"{path}/{WORK_DIRECTORY}/{MARKER}"):
            found = _MARKER.fullmatch(os.read(descriptor, 64).decode("ascii", "replace"))
    finally:
        os.close(descriptor)
    return found[1] if found else None


def make_marker(work: int, path: str) -> str:
    """Write a new random marker, durable."""
    marker = secrets.token_hex(16)
    with reported("write", f"{path}/{WORK_DIRECTORY}/{MARKER}"):
        descriptor = open_beneath(work, f"{MARKER}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(f"{marker}\n".encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
        os.rename(f"{MARKER}.new", MARKER, src_dir_fd=work, dst_dir_fd=work)
        sync_directory(work)
    return marker
