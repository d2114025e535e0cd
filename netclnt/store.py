"""The master's side of the store: a plain directory, written by one writer and exported read-only by a stock SFTP server."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from netclnt.errors import Damaged, Locked, NetclntError, NoSpace, SourceMissing, StorageFailed
from netclnt.model import Bytes
from netclnt.pack import encode_header, pack_path

_FULL = (28, 122)  # ENOSPC, EDQUOT
_FILE_MODE = 0o644
_DIRECTORY_MODE = 0o755


class DirectoryStore:
    """A Store on a local file system. Files are readable by all whatever the umask: the SFTP account is another user."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._dirty: set[Path] = set()

    @classmethod
    def create(cls, path: Path) -> DirectoryStore:
        """Make the directory if it is not there (its parent must be)."""
        store = cls(path)
        with _translated("create", path):
            store._make_directory(path)
        store.sync()
        return store

    @contextmanager
    def lock(self, holder: str) -> Iterator[None]:
        path = self._path / ".lock"
        with _translated("open", path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE)
        try:
            with _translated("lock", path):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    said = os.pread(descriptor, 200, 0).decode(errors="replace")
                    raise Locked(path=str(self._path), holder=said) from None
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, holder.encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def new_pack(self) -> FilePackWriter:
        pack = secrets.randbits(64)
        path = self._path / pack_path(pack)
        with _translated("create", path):
            self._make_directory(path.parent)
            file = path.open("xb", buffering=1 << 20)
            os.fchmod(file.fileno(), _FILE_MODE)
        self._dirty.add(path.parent)
        return FilePackWriter(pack, path, file)

    def put(self, path: str, data: Iterable[Bytes]) -> None:
        target = self._path / path
        temporary = target.with_name(f".{target.name}.new")
        with _translated("write", target):
            self._make_directory(target.parent)
            with temporary.open("wb") as file:
                os.fchmod(file.fileno(), _FILE_MODE)
                for part in data:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        self._dirty.add(target.parent)

    def read(self, path: str, offset: int, length: int) -> bytes:
        target = self._path / path
        with _translated("read", target), target.open("rb") as file:
            file.seek(offset)
            data = file.read(length)
        if len(data) != length:
            raise Damaged(what="file", where=str(target), problem=f"it ends at byte {offset + len(data)}")
        return data

    def size(self, path: str) -> int | None:
        try:
            return (self._path / path).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _storage_error("stat", self._path / path, error) from None

    def content(self) -> Iterator[tuple[str, int]]:
        for kind in ("packs", "manifests"):
            for directory in self._entries(self._path / kind):
                if directory.is_dir(follow_symlinks=False):
                    for file in self._entries(Path(directory.path)):
                        if file.is_file(follow_symlinks=False):
                            yield f"{kind}/{directory.name}/{file.name}", self._size_of(file)

    def _entries(self, path: Path) -> list[os.DirEntry[str]]:
        with _translated("list", path), suppress(FileNotFoundError), os.scandir(path) as found:
            return list(found)
        return []

    def _size_of(self, file: os.DirEntry[str]) -> int:
        with _translated("stat", Path(file.path)):
            return file.stat(follow_symlinks=False).st_size

    def remove(self, path: str) -> None:
        target = self._path / path
        with _translated("remove", target):
            target.unlink(missing_ok=True)
        self._dirty.add(target.parent)

    def secure(self, path: str) -> None:
        target = self._path / path
        with _translated("fsync", target), target.open("rb") as file:
            os.fsync(file.fileno())
        self._dirty.update((target.parent, target.parent.parent, self._path))

    def sync(self) -> None:
        for directory in sorted(self._dirty):
            with _translated("fsync", directory):
                descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        self._dirty.clear()

    def _make_directory(self, path: Path) -> None:
        if path.is_dir():
            return
        if path != self._path:
            self._make_directory(path.parent)
        # Made under another name and then renamed: a crash must not leave a directory that slaves cannot read.
        new = path.with_name(f".{path.name}.new")
        new.mkdir(exist_ok=True)
        new.chmod(_DIRECTORY_MODE)
        new.rename(path)
        self._dirty.add(path.parent)


class FilePackWriter:
    """A PackWriter over a buffered file."""

    def __init__(self, pack: int, path: Path, file: BinaryIO) -> None:
        self.pack = pack
        self.size = 0
        self._path = path
        self._file = file
        self.append(encode_header(pack))

    def append(self, stored: Bytes) -> None:
        with _translated("write", self._path):
            self._file.write(stored)
        self.size += len(stored)

    def close(self) -> None:
        with _translated("fsync", self._path), self._file:
            self._file.flush()
            os.fsync(self._file.fileno())


@contextmanager
def _translated(action: str, path: Path) -> Iterator[None]:
    try:
        yield
    except NetclntError:
        raise
    except FileNotFoundError as error:
        if action == "read":
            raise SourceMissing(path=str(path), cause=error.strerror or "") from None
        raise _storage_error(action, path, error) from None
    except OSError as error:
        raise _storage_error(action, path, error) from None


def _storage_error(action: str, path: Path, error: OSError) -> NetclntError:
    if error.errno in _FULL:
        return NoSpace(path=str(path), needed=0, free=0)
    return StorageFailed(action=action, path=str(path), errno=error.errno or 0, cause=error.strerror or "")
