"""A version under construction, as real files in ``ROOT/.netclnt/staging/TOKEN``."""

from __future__ import annotations

import errno
import os
import platform
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from netclnt.errors import ForbiddenValue, StorageError, StorageFailed
from netclnt.files.confine import open_beneath, split
from netclnt.files.descriptors import open_limit
from netclnt.files.failures import reported, storage_error
from netclnt.files.holes import data_ranges
from netclnt.files.preparing import Prepared, inner, prepare, recover
from netclnt.files.reader import FileReader
from netclnt.files.removal import remove
from netclnt.files.sealing import dress, make_durable
from netclnt.files.stagedfiles import StagedFiles
from netclnt.files.syscalls import syncfs
from netclnt.files.transfer import CHUNK, clone_whole, copy_range, zero_range
from netclnt.files.workarea import STAGING, WorkArea, make_directory, sync_directory
from netclnt.model import Bytes, Entry, EntryType
from netclnt.naming import WORK_DIRECTORY, check_name, check_token
from netclnt.protocols import Digester, Facts, Reader

if TYPE_CHECKING:
    from netclnt.files.digester import ProcessDigester

_PROCESSORS = 2
"""With fewer there is nothing to gain from a process more."""

_MANY = 64
"""From so many files on, one ``syncfs`` costs less than an ``fsync`` for each."""


def _syncfs_tells_errors() -> bool:
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    return release is not None and (int(release[1]), int(release[2])) >= (5, 8)


class DirectoryStage:
    """:class:`netclnt.protocols.Stage` in a root's work area. Made by ``DirectoryRoot.stage``.

    After a failed ``fsync`` nobody can say what reached the disk, and asking again would be answered with success: the staging
    area is then removed, and each later call raises the same error.
    """

    def __init__(self, area: WorkArea, token: str) -> None:
        self._area = area
        self._token = check_token(token)
        self._path = area.describe(f"{WORK_DIRECTORY}/{STAGING}/{token}")
        self._entries: tuple[Entry, ...] = ()
        self._touched: set[int] = set()
        self._broken: StorageError | None = None
        self._digesters: list[ProcessDigester] = []
        self._limit = open_limit()
        self._many = min(_MANY, self._limit) if _syncfs_tells_errors() else 1 << 62
        with reported("create", self._path):
            staging = open_beneath(area.need_work(), STAGING, os.O_PATH | os.O_DIRECTORY)
            try:
                make_directory(staging, token)
                self._directory = open_beneath(staging, token, os.O_RDONLY | os.O_DIRECTORY)
            finally:
                os.close(staging)
        self._files = StagedFiles(self._directory, (), Prepared([]), limit=self._limit)

    def prepare(self, entries: Sequence[Entry]) -> Sequence[bool]:
        self._check()
        self._files.close()
        self._entries = tuple(entries)
        with reported("create", self._path):
            recover(self._directory)
            prepared = prepare(self._directory, self._entries)
        self._files = StagedFiles(self._directory, self._entries, prepared, limit=self._limit)
        return prepared.there

    def clone(self, file: int, reader: Reader) -> bool:
        if not isinstance(reader, FileReader):
            return False
        with self._writing("clone", file) as descriptor:
            return clone_whole(descriptor, reader.fileno(), self._entries[file].size)

    def write(self, file: int, offset: int, data: Sequence[Bytes]) -> None:
        length = sum(memoryview(buffer).nbytes for buffer in data)
        self._inside(file, offset, length)
        self._check()
        try:
            self._files.write(file, offset, data, length)
        except OSError as error:
            raise storage_error("write", self._path, error, needed=length) from error
        self._touched.add(file)

    def copy(self, file: int, offset: int, reader: Reader, reader_offset: int, length: int) -> int:
        self._inside(file, offset, length)
        if not isinstance(reader, FileReader):
            return self._copy_foreign(file, offset, reader, reader_offset, length)
        if not reader_offset and length == self._entries[file].size and self._link(file, reader):
            return length
        with self._writing("write", file, needed=length) as descriptor:
            return copy_range(reader.fileno(), reader_offset, descriptor, offset, length)

    def link(self, name: str, files: Iterable[tuple[int, Facts]]) -> Sequence[int]:
        self._check()
        try:
            live = open_beneath(self._area.root, check_name(name), os.O_PATH | os.O_DIRECTORY)
        except OSError:
            return ()  # no tree that could be read: whoever reads it otherwise will tell
        try:
            with reported("write", self._path):
                linked = self._files.link_unread(live, files)
        finally:
            os.close(live)
        self._touched.update(linked)
        return linked

    def _link(self, file: int, reader: FileReader) -> bool:
        self._check()
        if reader.root != self._area.path:
            return False
        with reported("write", self._path):
            linked = self._files.link(file, reader)
        if linked:
            self._touched.add(file)
        return linked

    def _copy_foreign(self, file: int, offset: int, reader: Reader, reader_offset: int, length: int) -> int:
        buffer = memoryview(bytearray(min(CHUNK, length)))
        done = 0
        while done < length:
            part = buffer[: length - done]
            got = reader.read_into(reader_offset + done, part)
            self.write(file, offset + done, [part[:got]])
            done += got
            if got < len(part):
                break
        return done

    def zero(self, file: int, offset: int, length: int) -> None:
        self._inside(file, offset, length)
        with self._writing("write", file) as descriptor:
            zero_range(descriptor, offset, length)

    def read_into(self, file: int, offset: int, buffer: bytearray | memoryview) -> int:
        self._check()
        try:
            return self._files.read_into(file, offset, buffer)
        except OSError as error:
            raise storage_error("read", self._path, error) from error

    def data_ranges(self, file: int, offset: int, length: int) -> Iterator[tuple[int, int]]:
        self._check()
        if not self._files.there(file):
            return
        with reported("read", self._path), self._files.readable(file) as descriptor:
            yield from data_ranges(descriptor, offset, length)

    def digester(self, file: int, *, hash_seed: int) -> Digester | None:
        from netclnt.files.digester import ProcessDigester  # noqa: PLC0415 - subprocess; an up-to-date sync never gets here

        self._check()
        if len(os.sched_getaffinity(0)) < _PROCESSORS:
            return None
        with reported("read", self._path):
            descriptor = self._files.open(file)
        with suppress(OSError):  # no process to be had: it goes without
            self._digesters.append(ProcessDigester(descriptor, path=self._path, hash_seed=hash_seed))
            return self._digesters[-1]
        return None

    def sync(self) -> None:
        self._check()
        touched = set()
        while self._touched:  # emptied, not exchanged: a thread may be about to add to it
            touched.add(self._touched.pop())
        with self._durably():
            if len(touched) >= self._many:
                syncfs(self._area.root)
                return
            for file in sorted(touched):
                with self._files.readable(file) as descriptor:
                    os.fdatasync(descriptor)
            for directory in {split(inner(self._entries[file].path))[0] for file in touched}:
                sync_directory(self._directory, directory)

    def seal(self, name: str) -> Sequence[Facts]:
        self._check()
        with reported("create", self._path):
            self._files.complete([number for number, entry in enumerate(self._entries) if entry.type is EntryType.FILE])
        with reported("look at", self._area.describe(name)):
            facts = dress(self._area, self._directory, self._files, name)
        self._files.close()
        with self._durably():
            if len(self._entries) >= self._many:
                syncfs(self._area.root)
            else:
                make_durable(self._directory, self._entries)
        self._touched.clear()
        return facts

    def close(self) -> None:
        while self._digesters:
            self._digesters.pop().close()
        self._files.close()
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    @contextmanager
    def _writing(self, action: str, file: int, *, needed: int = 0) -> Iterator[int]:
        self._check()
        with reported(action, self._path, needed=needed), self._files.writable(file) as descriptor:
            yield descriptor
        self._touched.add(file)  # behind the write: a sync meanwhile may have missed it

    def _inside(self, file: int, offset: int, length: int) -> None:
        size = self._entries[file].size
        if offset < 0 or length < 0 or offset + length > size:
            raise ForbiddenValue(what="range", value=f"{offset}+{length}", rule=f"inside the file's {size} bytes")

    def _check(self) -> None:
        if self._broken is not None:
            raise self._broken
        if self._directory < 0:
            raise StorageFailed(action="use", path=self._path, errno=errno.EBADF, cause="closed")

    @contextmanager
    def _durably(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._break()
            self._broken = storage_error("sync", self._path, error)
            raise self._broken from error

    def _break(self) -> None:
        self._files.close()
        try:
            staging = open_beneath(self._area.need_work(), STAGING, os.O_PATH | os.O_DIRECTORY)
            try:
                remove(staging, self._token)
            finally:
                os.close(staging)
        except OSError:
            return  # a disk that fails may refuse this too; the error to tell is the first one
