"""The ledger's file: opened, migrated, and its errors translated."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from netclnt.errors import (
    ForbiddenName,
    ForbiddenValue,
    Incompatible,
    LedgerBusy,
    LedgerDamaged,
    LedgerForeign,
    LedgerLinked,
    NetclntError,
    NoSpace,
    StorageFailed,
)
from netclnt.ledger.holder import holder_of
from netclnt.ledger.schema import APPLICATION_ID, MIGRATIONS

MEMORY = ":memory:"

_OWN_TABLES = {"applied", "held", "fact", "journal"}

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_STORAGE = {
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_AUTH: errno.EACCES,
}


class Database:
    """A connection to a ledger. ``readonly`` changes nothing on disk: a missing or older ledger is then a copy in memory."""

    def __init__(self, path: Path | str, *, busy: float, readonly: bool) -> None:
        self.path = str(path)
        self._busy = busy
        self._connection = self._open(readonly=readonly)
        try:
            with self.translated():
                self._prepare(readonly=readonly)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        with self.translated():
            self._connection.close()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a question."""
        with self.translated():
            return self._connection.execute(sql, parameters).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction, begun for writing; undone if the body raises."""
        with self.translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # some errors (a full disk) have rolled back already
                    self._connection.execute("ROLLBACK")
                raise

    def check(self) -> None:
        """Read every page, and compare indexes with their tables. Raises LedgerDamaged."""
        found = self.rows("PRAGMA integrity_check(1)")
        if found != [("ok",)]:
            raise LedgerDamaged(path=self.path, cause=str(found[0][0]) if found else "no answer to integrity_check")

    @contextmanager
    def translated(self) -> Iterator[None]:
        """sqlite3's errors, and values that no ledger of ours contains, as our own."""
        try:
            yield
        except sqlite3.ProgrammingError:  # a wrong thread, a closed ledger: a mistake of this program, not of the file
            raise
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._translate(error) from error

    @contextmanager
    def believed(self) -> Iterator[None]:
        """While rows are made into values: one that its own checks refuse shows a damaged ledger."""
        try:
            yield
        except (ForbiddenName, ForbiddenValue, ValueError, TypeError) as error:
            raise LedgerDamaged(path=self.path, cause=str(error)) from error

    def _translate(self, error: sqlite3.Error | UnicodeDecodeError) -> NetclntError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _BUSY:
            return LedgerBusy(path=self.path, seconds=self._busy, holder=holder_of(self.path))
        if code == sqlite3.SQLITE_FULL:
            return NoSpace(path=self.path, needed=0, free=_free(self.path))
        if code == sqlite3.SQLITE_CANTOPEN:
            return StorageFailed(action="open", path=self.path, errno=_why_not_opened(self.path), cause=str(error))
        if code in _STORAGE:
            return StorageFailed(action="use", path=self.path, errno=_STORAGE[code], cause=str(error))
        return LedgerDamaged(path=self.path, cause=str(error))

    def _open(self, *, readonly: bool) -> sqlite3.Connection:
        if self.path == MEMORY:
            return self._connect(MEMORY)
        try:
            _refuse_foreign_link(Path(self.path))
            if not Path(self.path).exists():
                if readonly:
                    return self._connect(MEMORY)
                _create(Path(self.path))
        except OSError as error:
            cause = error.strerror or str(error)
            raise StorageFailed(action="open", path=self.path, errno=error.errno or 0, cause=cause) from error
        return self._connect(f"file:{quote(str(Path(self.path).absolute()))}?mode={'ro' if readonly else 'rw'}")

    def _connect(self, uri: str) -> sqlite3.Connection:
        with self.translated():
            return sqlite3.connect(uri, uri=True, timeout=self._busy, isolation_level=None)

    def _prepare(self, *, readonly: bool) -> None:
        version = self._first_look(readonly=readonly)
        if readonly and version < len(MIGRATIONS):
            copy = self._connect(MEMORY)
            self._connection.backup(copy)
            self._connection.close()
            self._connection = copy
        # With FULL, a power cut soon after a commit may bring the journal's name back and undo the commit; EXTRA syncs the
        # directory too. Damaged pages are noticed sooner with cell_size_check.
        for setting in ("synchronous = EXTRA", "foreign_keys = ON", "cell_size_check = ON", "trusted_schema = OFF"):
            self._connection.execute(f"PRAGMA {setting}")
        if version < len(MIGRATIONS):
            self._migrate()

    def _first_look(self, *, readonly: bool) -> int:
        """The version. A writer that died in a transaction left a journal to be played back, which a connection that only reads
        may not do: it then reads a copy in memory."""
        try:
            return self._version()
        except sqlite3.OperationalError as error:
            if not readonly or error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise
        self._connection.close()
        self._connection = self._played_back() or self._open(readonly=True)
        return self._version()

    def _played_back(self) -> sqlite3.Connection | None:
        """A copy in memory with the journal played back; None if somebody has begun to use the file meanwhile."""
        import shutil  # noqa: PLC0415 - with all its kinds of archives; it is rare that a writer died and a reader comes first
        import tempfile  # noqa: PLC0415 - as above

        journal = Path(f"{os.path.realpath(self.path)}-journal")  # SQLite's place for it, where the ledger is behind a link
        try:
            with tempfile.TemporaryDirectory(prefix="netclnt-ledger-") as directory:
                copy = Path(directory) / "ledger"
                before = journal.stat()
                shutil.copyfile(journal, f"{copy}-journal")
                shutil.copyfile(self.path, copy)
                if not os.path.samestat(before, after := journal.stat()) or before.st_mtime_ns != after.st_mtime_ns:
                    return None
                with closing(self._connect(f"file:{quote(str(copy))}?mode=rw")) as whole:
                    memory = self._connect(MEMORY)
                    try:
                        whole.backup(memory)
                    except BaseException:
                        memory.close()
                        raise
                    return memory
        except FileNotFoundError:
            return None
        except OSError as error:
            cause = error.strerror or str(error)
            raise StorageFailed(action="copy", path=self.path, errno=error.errno or 0, cause=cause) from error

    def _version(self) -> int:
        ((application,),) = self._connection.execute("PRAGMA application_id").fetchall()
        ((version,),) = self._connection.execute("PRAGMA user_version").fetchall()
        tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master")}
        if tables and application != APPLICATION_ID:
            if tables >= _OWN_TABLES:
                raise LedgerDamaged(path=self.path, cause=f"application id {application:#x} in its header")
            raise LedgerForeign(path=self.path)
        if not 0 <= version <= len(MIGRATIONS):
            raise Incompatible(what="ledger", found=str(version), supported=f"0 to {len(MIGRATIONS)}")
        return int(version)

    def _migrate(self) -> None:
        self._connection.execute("BEGIN EXCLUSIVE")
        try:
            for number in range(self._version(), len(MIGRATIONS)):  # asked again: another process may have been faster
                for statement in MIGRATIONS[number]:
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def _refuse_foreign_link(path: Path) -> None:
    if path.is_symlink() and (owner := path.lstat().st_uid) not in (0, os.geteuid()):
        raise LedgerLinked(path=str(path), owner=owner)


def _create(path: Path) -> None:
    """An empty file that everybody may read (``status`` and ``list`` need no more), whatever the umask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        os.fchmod(descriptor, 0o644)
    finally:
        os.close(descriptor)


def _why_not_opened(path: str) -> int:
    """SQLite does not tell: ask the kernel again."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.errno or 0
    return errno.EACCES  # the file opens, so it is the journal beside it that could not be made


def _free(path: str) -> int:
    try:
        space = os.statvfs(Path(path).parent)
    except OSError:
        return 0
    return space.f_bavail * space.f_frsize
