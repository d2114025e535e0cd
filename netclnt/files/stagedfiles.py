"""The files of a staging area: made when something is first put into them, so that a small one is one open, write and close.

Until then a file reads as zeros. Small files are opened for each use, from a directory that stays open for its thread; of the
large ones some stay open. A small file that is the same as the live one at its path may be that very file, by a second name for
it (:meth:`StagedFiles.link`, :meth:`StagedFiles.link_unread`): such a one is never written to, nor given other attributes, but
first made a copy of its own. All methods raise OSError; those that put something into one file, or read it, are safe for several
threads.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from netclnt.files.confine import Directories, ThreadDirectories, split
from netclnt.files.descriptors import Descriptors
from netclnt.files.preparing import SMALL, Prepared, inner
from netclnt.files.reader import FileReader
from netclnt.files.transfer import copy_range, read_full, write_all
from netclnt.model import Bytes, Entry
from netclnt.protocols import Facts

_NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV, errno.ENOENT, errno.EACCES, errno.ENOSYS)
"""How the kernel says that it makes no second name here: a file system without them, a rule of the kernel, no ``/proc``."""
_NO_LIVE = (errno.ENOTDIR, errno.ELOOP, errno.EMLINK)
"""How it says that something else lies at a path, or that the file has all the names it can have."""

_LINKERS = 2
"""Threads that make second names: nearly all of that is the kernel's work, and side by side it takes two thirds of the time."""
_MANY = 1000
"""So many are worth the threads."""


def looks_like(found: os.stat_result, facts: Facts) -> bool:
    """Whether a file looks as the facts say."""
    return found.st_ino == facts.inode and found.st_mtime_ns == facts.mtime and found.st_size == facts.size


def _open_live(directories: Directories, path: str) -> int:
    """A directory of the live image, or -1 where no directory lies."""
    try:
        return directories.open(path)
    except OSError as error:
        if error.errno in _NO_LIVE or error.errno in _NO_LINKS:
            return -1
        raise


class StagedFiles:
    """``prepared`` says which files are there already; ``limit`` bounds the open descriptors of large files. Does not own the
    descriptor ``stage``."""

    def __init__(self, stage: int, entries: Sequence[Entry], prepared: Prepared, *, limit: int) -> None:
        self.entries = entries
        self.linked = prepared.linked
        """The mtime, in nanoseconds, that each file which has another name had before its content was looked at."""
        self.looks: dict[int, Facts] = {}
        """How those of them look that were taken unread."""
        self._stage = stage
        self._there = bytearray(prepared.there)
        self._large = Descriptors(self._open, limit)
        self._lock = threading.Lock()
        self._directories = ThreadDirectories(stage)
        self._may_link = True

    def there(self, file: int) -> bool:
        """Whether the file was made."""
        return bool(self._there[file])

    def write(self, file: int, offset: int, data: Sequence[Bytes], length: int) -> None:
        """Write ``length`` bytes, which lie inside the file."""
        if length == self.entries[file].size and not self._there[file]:
            self._make(file, data)
        elif length:
            with self.writable(file) as descriptor:
                write_all(descriptor, offset, data)

    @contextmanager
    def writable(self, file: int) -> Iterator[int]:
        """The file's descriptor, at its full size, to write to."""
        if not self._there[file] or file in self.linked:
            with self._lock:
                if file in self.linked:
                    self.unshare(file)
                elif not self._there[file]:
                    self._make(file)
        with self._opened(file, os.O_RDWR) as descriptor:
            yield descriptor

    @contextmanager
    def readable(self, file: int) -> Iterator[int]:
        """The descriptor of a file that is there, to read from."""
        with self._opened(file, os.O_RDONLY) as descriptor:
            yield descriptor

    def open(self, file: int) -> int:
        """A descriptor of the file to read from, at its full size, which the caller closes."""
        with self.writable(file):
            directory, last = self._place(file)
            return os.open(last, os.O_RDONLY | _OLD, dir_fd=directory)

    def read_into(self, file: int, offset: int, buffer: bytearray | memoryview) -> int:
        """As ``Stage.read_into``."""
        if not self._there[file]:
            length = max(0, min(len(buffer), self.entries[file].size - offset))
            buffer[:length] = bytes(length)
            return length
        with self._opened(file, os.O_RDONLY) as descriptor:
            return read_full(descriptor, offset, buffer)

    def link(self, file: int, reader: FileReader) -> bool:
        """Make the file a second name of the one that ``reader`` has opened, if that is small, has this path inside its image and
        these attributes, and the kernel allows it. Whether it is the same image is looked at when the version is sealed."""
        entry = self.entries[file]
        if not self._may_link or self._there[file] or entry.size > SMALL or reader.inner != entry.path or not entry.path:
            return False
        found = os.fstat(reader.fileno())
        if stat.S_IMODE(found.st_mode) != entry.mode or found.st_size != entry.size:
            return False
        directory, last = self._place(file)
        try:
            os.link(f"/proc/self/fd/{reader.fileno()}", last, dst_dir_fd=directory)
        except OSError as error:
            if error.errno in _NO_LINKS:
                self._may_link = False
            elif error.errno != errno.EMLINK:
                raise
            return False
        self.linked[file] = found.st_mtime_ns
        self._there[file] = True
        return True

    def link_unread(self, live: int, files: Iterable[tuple[int, Facts]]) -> list[int]:
        """Make small files second names of those at their paths below the directory ``live``, as far as these look exactly as
        the facts say and have the right mode; returns those that are. Their content is not looked at."""
        small = [(file, facts) for file, facts in files if self.entries[file].size <= SMALL and self.entries[file].path]
        if len(small) < _MANY:
            return self._link_some(live, small)
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - takes as long as all other modules for files

        half = len(small) // _LINKERS + 1
        with ThreadPoolExecutor(_LINKERS, thread_name_prefix="link") as pool:
            parts = pool.map(lambda begin: self._link_some(live, small[begin : begin + half]), range(0, len(small), half))
            return [file for part in parts for file in part]

    def _link_some(self, live: int, files: Sequence[tuple[int, Facts]]) -> list[int]:
        linked: list[int] = []
        at, source, directory = None, -1, -1
        with Directories(self._stage) as to, Directories(live) as from_:
            for file, facts in files:
                entry = self.entries[file]
                parent, last = split(entry.path)
                if parent != at:
                    source, directory, at = _open_live(from_, parent), to.open(inner(parent)), parent
                found = self._second_name(file, source, directory, last)
                if found is None:
                    continue
                if looks_like(found, facts) and stat.S_IMODE(found.st_mode) == entry.mode:
                    self.linked[file] = facts.mtime
                    self.looks[file] = facts
                    self._there[file] = True
                    linked.append(file)
                elif not self._there[file]:
                    os.unlink(last, dir_fd=directory)
        return linked

    def _second_name(self, file: int, source: int, directory: int, last: str) -> os.stat_result | None:
        """How a file looks that is there, or was just made a second name of that in ``source``; None if there can be none."""
        if not self._there[file]:
            if source < 0:
                return None
            try:
                os.link(last, last, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
            except OSError as error:
                if error.errno in _NO_LIVE or error.errno in _NO_LINKS:
                    return None
                raise
        return os.stat(last, dir_fd=directory, follow_symlinks=False)

    def unshare(self, file: int) -> None:
        """Make a file that has another name a copy of its own."""
        directory, last = self._place(file)
        source = os.open(last, os.O_RDONLY | _OLD, dir_fd=directory)
        try:
            os.unlink(last, dir_fd=directory)
            self._there[file] = False
            del self.linked[file]
            self.looks.pop(file, None)
            self._make(file)
            with self._opened(file, os.O_RDWR) as descriptor:
                copy_range(source, 0, descriptor, 0, self.entries[file].size)
        finally:
            os.close(source)

    def complete(self, files: Sequence[int]) -> None:
        """Make those of the files that nothing was put into: empty ones, and zeros throughout."""
        for file in files:
            if not self._there[file]:
                self._make(file)

    def close(self) -> None:
        """Close all descriptors. Nobody may be using one."""
        self._large.close()
        self._directories.close()

    # --- inside

    def _make(self, file: int, data: Sequence[Bytes] = ()) -> None:
        """Make the file, with all its data or as one hole: at its full size, or not at all."""
        entry = self.entries[file]
        directory, last = self._place(file)
        opened = os.open(last, os.O_WRONLY | _NEW, entry.mode | stat.S_IRUSR | stat.S_IWUSR, dir_fd=directory)
        try:
            if data:
                write_all(opened, 0, data)
            elif entry.size:
                os.ftruncate(opened, entry.size)
        except BaseException:
            with suppress(OSError):
                os.unlink(last, dir_fd=directory)
            raise
        finally:
            os.close(opened)
        self._there[file] = True

    @contextmanager
    def _opened(self, file: int, flags: int) -> Iterator[int]:
        if self.entries[file].size > SMALL:
            with self._large.use(file) as descriptor:
                yield descriptor
            return
        directory, last = self._place(file)
        descriptor = os.open(last, flags | _OLD, dir_fd=directory)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _open(self, file: int) -> int:
        directory, last = self._place(file)
        return os.open(last, os.O_RDWR | _OLD, dir_fd=directory)

    def _place(self, file: int) -> tuple[int, str]:
        """The directory that a file lies in, open until this thread asks for another one, and its name there."""
        parent, last = split(inner(self.entries[file].path))
        return self._directories.open(parent), last
