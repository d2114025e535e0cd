"""A slave's directory of images on a real file system."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Self

from netclnt.errors import StorageFailed
from netclnt.files.confine import Directories, ThreadDirectories, kind_at, open_beneath, open_regular, split
from netclnt.files.failures import reported
from netclnt.files.lock import locked
from netclnt.files.preparing import inner
from netclnt.files.reader import FileReader
from netclnt.files.removal import names, remove, weigh
from netclnt.files.showing import put_away, show, take
from netclnt.files.staging import DirectoryStage
from netclnt.files.syscalls import syncfs
from netclnt.files.transfer import CHUNK, read_full
from netclnt.files.walk import PERMISSIONS, Found, regular_files, walk
from netclnt.files.workarea import IMAGE, KEPT, STAGING, Ownership, WorkArea, make_marker, open_area, read_marker
from netclnt.model import Entry, EntryType
from netclnt.naming import WORK_DIRECTORY, check_name, check_path, check_token, is_token
from netclnt.protocols import Facts, Root

_ON_THE_WAY = (errno.ELOOP, errno.ENOTDIR)
"""How the kernel says that something else than a directory lies on the way to a path."""


def open_root(
    path: Path | str, *, marker: str | None, writable: bool = True, ownership: Ownership | None = None
) -> DirectoryRoot:
    """Open a root; the caller closes it. A link in ``path`` itself is followed, once, now.

    ``marker`` is what the ledger remembers of this root. None means first contact (or a lost ledger): with ``writable`` a
    marker is made unless there is one, to be remembered from :attr:`DirectoryRoot.marker`. Otherwise a root that lacks it
    raises RootNotMounted, and nothing is created in it. Raises StorageFailed, and ForeignFile where the work area's name is
    taken by something else than a directory.
    """
    area = open_area(Path(path), marker=marker, writable=writable, ownership=ownership or Ownership())
    try:
        return DirectoryRoot(area, writable=writable)
    except BaseException:
        area.close()
        raise


class DirectoryRoot:
    """:class:`netclnt.protocols.Root`. A context manager that closes it; made by :func:`open_root`."""

    def __init__(self, area: WorkArea, *, writable: bool) -> None:
        self._area = area
        self._live = ThreadDirectories(area.root)
        self._marker = read_marker(area.work, area.path) if area.work >= 0 else None
        self._was_marked = self._marker is not None
        if self._marker is None and writable:
            self._marker = make_marker(area.need_work(), area.path)

    @property
    def path(self) -> str:
        """The root's absolute path, links resolved."""
        return self._area.path

    @property
    def marker(self) -> str | None:
        """What the ledger should remember; None for a root opened only to read that was never written to."""
        return self._marker

    @property
    def was_marked(self) -> bool:
        """Whether the marker was there when the root was opened."""
        return self._was_marked

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._live.close()
        self._area.close()

    def lock(self, holder: str) -> AbstractContextManager[None]:
        return locked(self._area, holder)

    # --- live images

    def facts(self, name: str, paths: Sequence[str]) -> Sequence[Facts | None]:
        with reported("look at", self._area.describe(check_name(name))), Directories(self._area.root) as directories:
            return [self._facts(directories, _join(name, path)) for path in paths]

    def _facts(self, directories: Directories, path: str) -> Facts | None:
        parent, last = split(path)
        try:
            found = os.stat(last, dir_fd=directories.open(parent), follow_symlinks=False)
        except OSError as error:
            if error.errno == errno.ENOENT or error.errno in _ON_THE_WAY:
                return None
            raise
        return Facts(size=found.st_size, mtime=found.st_mtime_ns, inode=found.st_ino)

    def type(self, name: str) -> str:
        """As the Protocol says; ``other`` also where a link or a file lies on the way. Raises StorageFailed (EXDEV) for a place
        on another file system than the root, which nothing can be renamed to."""
        parent, last = split(check_name(name))
        place = self._area.describe(name)
        with reported("look at", place), Directories(self._area.root) as directories:
            try:
                directory = directories.open(parent)
                kind = kind_at(directory, last)
            except FileNotFoundError:
                return "absent"
            except OSError as error:
                if error.errno in _ON_THE_WAY:
                    return "other"
                raise
            # That of a file is its directory's: in an overlay of several file systems each file tells of the one it lies on.
            tree = kind == "directory"
            found = os.stat(last, dir_fd=directory, follow_symlinks=False) if tree else os.fstat(directory)
            if found.st_dev != self._area.device:
                raise StorageFailed(action="use", path=place, errno=errno.EXDEV, cause="on another file system than the root")
            return kind

    def open(self, name: str, path: str) -> FileReader:
        whole = _join(check_name(name), path)
        parent, last = split(whole)
        with reported("open", place := self._area.describe(whole)):
            return FileReader(open_regular(self._live.open(parent), last, os.O_RDONLY), place, root=self._area.path, inner=path)

    def secure(self, name: str) -> None:
        with reported("sync", self._area.describe(check_name(name))):
            syncfs(self._area.root)

    def tree(self, name: str) -> Iterator[Entry]:
        parent, last = split(check_name(name))
        place = self._area.describe(name)
        with reported("read", place), self._directory(self._area.root, parent) as directory:
            for found in walk(directory, last, where=place):
                yield _entry(found)

    def files(self) -> Iterator[tuple[str, Facts]]:
        with reported("read", self._area.path):
            for path, found in regular_files(self._area.root):
                yield path, Facts(size=found.st_size, mtime=found.st_mtime_ns, inode=found.st_ino)

    # --- staging areas and kept versions

    def stage(self, token: str) -> DirectoryStage:
        return DirectoryStage(self._area, token)

    def staged(self) -> Sequence[str]:
        return self._tokens(STAGING)

    def discard(self, token: str) -> None:
        self._remove(STAGING, token)

    def staged_path(self, token: str) -> str:
        return self._area.describe(f"{WORK_DIRECTORY}/{STAGING}/{check_token(token)}/{IMAGE}")

    def show(self, token: str, name: str, *, keep: str | None) -> None:
        """As the Protocol says. Missing parents are made (mode 0755). Raises ForeignFile where something else than a file or a
        directory lies at the image's place or on the way to it."""
        self._live.close()  # other directories lie at their places afterwards
        show(self._area, check_token(token), check_name(name), keep=None if keep is None else check_token(keep))

    def take(self, name: str, other: Root) -> bool:
        if not isinstance(other, DirectoryRoot):
            return False
        self._live.close()
        other._live.close()
        return take(self._area, check_name(name), other._area)

    def put_away(self, name: str, *, keep: str | None) -> None:
        self._live.close()
        put_away(self._area, check_name(name), keep=None if keep is None else check_token(keep))

    def kept(self) -> Sequence[str]:
        return self._tokens(KEPT)

    def keeps(self, token: str) -> bool:
        place = self._area.describe(f"{WORK_DIRECTORY}/{KEPT}/{check_token(token)}")
        if self._area.work < 0:
            return False
        with reported("look at", place), self._directory(self._area.work, KEPT) as directory:
            return kind_at(directory, token) != "absent"

    def staged_bytes(self, token: str) -> int:
        return self._weigh(STAGING, token)

    def kept_bytes(self, token: str) -> int:
        return self._weigh(KEPT, token)

    def open_kept(self, token: str, path: str) -> FileReader:
        path = f"{KEPT}/{check_token(token)}/{inner(check_path(path) if path else path)}"
        parent, last = split(path)
        place = self._area.describe(f"{WORK_DIRECTORY}/{path}")
        with reported("open", place), self._directory(self._area.need_work(), parent) as directory:
            return FileReader(open_regular(directory, last, os.O_RDONLY), place)

    def drop(self, token: str) -> None:
        self._remove(KEPT, token)

    def free(self) -> int:
        with reported("look at", self._area.path):
            space = os.fstatvfs(self._area.root)
        return space.f_bavail * space.f_frsize

    def free_files(self) -> int | None:
        with reported("look at", self._area.path):
            space = os.fstatvfs(self._area.root)
        return space.f_favail if space.f_files else None

    # --- inside

    @contextmanager
    def _directory(self, top: int, path: str) -> Iterator[int]:
        opened = open_beneath(top, path, os.O_PATH | os.O_DIRECTORY)
        try:
            yield opened
        finally:
            os.close(opened)

    def _tokens(self, kind: str) -> list[str]:
        if self._area.work < 0:
            return []
        place = self._area.describe(f"{WORK_DIRECTORY}/{kind}")
        with reported("list", place), self._directory(self._area.work, kind) as directory:
            return [name for name in names(directory) if is_token(name)]

    def _weigh(self, kind: str, token: str) -> int:
        place = self._area.describe(f"{WORK_DIRECTORY}/{kind}/{check_token(token)}")
        with reported("look at", place), self._directory(self._area.need_work(), kind) as directory:
            return weigh(directory, token)

    def _remove(self, kind: str, token: str) -> None:
        place = self._area.describe(f"{WORK_DIRECTORY}/{kind}/{check_token(token)}")
        with reported("remove", place), self._directory(self._area.need_work(), kind) as directory:
            remove(directory, token)


def _join(name: str, path: str) -> str:
    return f"{name}/{check_path(path)}" if path else name


def _entry(found: Found) -> Entry:
    mode = stat.S_IMODE(found.stat.st_mode) & PERMISSIONS
    if found.type is not EntryType.FILE:
        return Entry(found.path, found.type, mode, target=found.target)
    size, digest = _digest(found)
    return Entry(found.path, found.type, mode, size, digest)


def _digest(found: Found) -> tuple[int, bytes]:
    """Bytes read and their SHA-256, so that the two always belong together."""
    opened = open_regular(found.directory, found.name, os.O_RDONLY)
    try:
        os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        sha256 = hashlib.sha256()
        buffer = memoryview(bytearray(CHUNK))
        size = 0
        while got := read_full(opened, size, buffer):
            sha256.update(buffer[:got])
            size += got
        return size, sha256.digest()
    finally:
        os.close(opened)
