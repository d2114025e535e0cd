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
from netclnt.files.confine import Directories, kind_at, open_regular, split
from netclnt.files.failures import reported, storage_error
from netclnt.files.walk import PERMISSIONS, Found, walk
from netclnt.model import EntryType
from netclnt.protocols import Item

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_Look = tuple[int, int, int, int]
"""Size, mtime, ctime (both in nanoseconds) and inode."""

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
            with Directories(self._directory) as directories:
                file = _File(open_regular(directories.open(parent), last, os.O_RDONLY), place)
            if _look(os.fstat(file.fileno())) != self._seen.get(path):
                file.close()
                raise SourceChanged(path=place)
        return file

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


class _File(io.FileIO):
    """A file whose errors are ours, also while it is read."""

    def __init__(self, descriptor: int, path: str) -> None:
        super().__init__(descriptor, "rb")
        self._path = path
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def read(self, size: int | None = -1, /) -> bytes:
        with reported("read", self._path):
            return super().read(-1 if size is None else size) or b""

    def readall(self) -> bytes:
        with reported("read", self._path):
            return super().readall() or b""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        with reported("read", self._path):
            return super().readinto(buffer) or 0
