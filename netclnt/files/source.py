"""A local file or directory to publish."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from netclnt.errors import BadArgument, ForbiddenName, SourceChanged, Unpublishable
from netclnt.files.confine import Directories, kind_at, split
from netclnt.files.failures import reported, storage_error
from netclnt.files.walk import PERMISSIONS, Found, walk
from netclnt.model import EntryType
from netclnt.protocols import Item

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_Look = tuple[int, int, int, int]
"""Size, mtime, ctime (both in nanoseconds) and inode."""

_AHEAD_MAX = 1 << 20
"""A file up to this size is asked for whole when it is opened: the disk works while files opened before it are read."""

_ZEROS = memoryview(bytes(1 << 20))

_NO_LONGER = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL)
"""What opening or looking at something says that was there, as a regular file or a directory, a moment ago."""


def open_content(path: Path | str) -> LocalContent:
    """Open what is to be published; the caller closes it. A link in ``path`` itself is followed, once, now.

    Raises BadArgument if nothing lies there, Unpublishable if that is neither a file nor a directory, StorageFailed.
    """
    try:
        resolved = Path(path).resolve(strict=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadArgument(argument=str(path), problem="there is no such file or directory") from error
    except RuntimeError as error:
        raise BadArgument(argument=str(path), problem="links that lead in a circle") from error
    except OSError as error:
        raise storage_error("open", str(path), error) from error
    with reported("open", str(resolved)):
        directory = os.open(resolved.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return LocalContent(directory, resolved.name or ".", str(resolved))
    except BaseException:
        os.close(directory)
        raise


class LocalContent:
    """:class:`netclnt.protocols.Content`. A context manager that closes it; made by :func:`open_content`."""

    def __init__(self, directory: int, name: str, path: str) -> None:
        self._directory = directory
        self._directories = Directories(directory)
        self._name = name
        self._path = path
        self._seen: dict[str, _Look] = {}
        with reported("open", path):
            kind = kind_at(directory, name)
        if kind not in ("file", "directory"):
            raise Unpublishable(path=path, problem="neither a file nor a directory")
        self._tree = kind == "directory"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent."""
        self._directories.close()
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    @property
    def tree(self) -> bool:
        return self._tree

    def items(self) -> Iterator[Item]:
        """As the Protocol says. Raises Unpublishable for a name or a type that no version can contain, SourceChanged where
        something vanished meanwhile, StorageFailed."""
        self._seen = {}
        for found in self._walk():
            self._seen[found.path] = _look(found.stat)
            size = found.stat.st_size if found.type is EntryType.FILE else 0
            yield Item(found.path, found.type, found.stat.st_mode & PERMISSIONS, size, found.target)

    def open(self, path: str) -> BinaryIO:
        """As the Protocol says. Raises SourceChanged if it is not what :meth:`items` saw; reading raises StorageFailed."""
        place = self._describe(path)
        parent, last = split(f"{self._name}/{path}" if path else self._name)
        with self._translated(place):
            descriptor = _open_seen(self._directories.open(parent), last, self._seen.get(path))
            if descriptor is None:
                raise SourceChanged(path=place)
            return _File(descriptor, place)

    def check_unchanged(self) -> None:
        missing = dict(self._seen)
        for found in self._walk():
            if missing.pop(found.path, None) != _look(found.stat):
                raise SourceChanged(path=self._describe(found.path))
        for path in missing:
            raise SourceChanged(path=self._describe(path))

    def _walk(self) -> Iterator[Found]:
        with self._translated(self._path):
            yield from walk(self._directory, self._name, where=self._path)

    def _describe(self, path: str) -> str:
        return f"{self._path}/{path}" if path else self._path

    @contextmanager
    def _translated(self, place: str) -> Iterator[None]:
        try:
            yield
        except ForbiddenName as error:
            raise Unpublishable(path=f"{self._path}/{error.name}", problem=error.rule) from error
        except OSError as error:
            if error.errno in _NO_LONGER:
                raise SourceChanged(path=place) from error
            raise storage_error("read", place, error) from error


def _look(status: os.stat_result) -> _Look:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _open_seen(directory: int, name: str, seen: _Look | None) -> int | None:
    """Open a regular file that still looks as it did; None if it does not. Nothing else is even opened (a device may act on
    that)."""
    if _look(os.stat(name, dir_fd=directory, follow_symlinks=False)) != seen:
        return None
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    if _look(os.fstat(descriptor)) == seen:
        return descriptor
    os.close(descriptor)
    return None


class _File(io.FileIO):
    """A file whose errors are ours, also while it is read. Its holes are not read: they are known to be zeros."""

    def __init__(self, descriptor: int, path: str) -> None:
        super().__init__(descriptor, "rb")
        self._path = path
        status = os.fstat(descriptor)
        self._size = status.st_size
        self._has_holes = status.st_blocks * 512 < status.st_size
        if self._size <= _AHEAD_MAX:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        else:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return super().read(-1 if size is None else size) or b""
        except OSError as error:
            raise storage_error("read", self._path, error) from error

    def readall(self) -> bytes:
        with reported("read", self._path):
            return super().readall() or b""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        with reported("read", self._path):
            if self._has_holes:
                return self._past_holes(memoryview(buffer).cast("B"))
            return super().readinto(buffer) or 0

    def _past_holes(self, view: memoryview) -> int:
        """Fill the view's beginning from the next data, or with zeros from the next hole."""
        start = self.tell()
        data = self._next(start, os.SEEK_DATA)
        if data > start:
            count = min(data - start, len(view), len(_ZEROS))
            view[:count] = _ZEROS[:count]
            self.seek(start + count)
            return count
        hole = self._next(start, os.SEEK_HOLE)
        self.seek(start)
        return super().readinto(view[: hole - start] if hole > start else view) or 0

    def _next(self, start: int, what: int) -> int:
        """Where the next data or hole is; the file's end if there is none."""
        try:
            return os.lseek(self.fileno(), start, what)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return self._size
            raise
