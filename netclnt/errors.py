"""Every error netclnt foresees: a class a cause, its facts in fields, its exit code on the class.

Exceptions carry facts only. The sentence and the hint a person reads are written in one place, ``netclnt.cli.errors``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """The process's exit codes: a contract, listed in netclnt(1)."""

    OK = 0
    BUG = 1
    USAGE = 2
    PARTIAL = 3
    DIFF = 4
    TEMP = 5
    AUTH = 6
    INTEGRITY = 7
    TRUST = 8
    STORAGE = 9
    LOCKED = 10
    STATE = 11
    INCOMPAT = 12
    LIMIT = 13
    PAUSED = 14
    HANGUP = 129
    INTERRUPT = 130
    TERMINATED = 143


@dataclass(eq=False)
class NetclntError(Exception):
    """Base of all foreseen errors; ``str()`` gives the facts for a log, not a sentence for people."""

    exit_code: ClassVar[ExitCode] = ExitCode.BUG

    def __str__(self) -> str:
        facts = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))
        return f"{type(self).__name__}({facts})"


# --- USAGE: flag, config, environment


class UsageError(NetclntError):
    exit_code = ExitCode.USAGE


@dataclass(eq=False)
class BadArgument(UsageError):
    """A value given on the command line cannot be used; ``hint`` is the next command to type, or empty."""

    argument: str
    problem: str
    hint: str = ""


@dataclass(eq=False)
class ConfigMissing(UsageError):
    """No config file, or no section for this role in it."""

    path: str
    section: str


@dataclass(eq=False)
class ConfigInvalid(UsageError):
    """All problems of one config at once, each as ``(table.key, problem)``."""

    path: str
    problems: tuple[tuple[str, str], ...]


@dataclass(eq=False)
class DriverMissing(UsageError):
    """The ODBC driver manager has no such driver or data source."""

    driver: str
    cause: str


@dataclass(eq=False)
class NoSuchImage(UsageError):
    """A pattern or name that matches nothing."""

    name: str


@dataclass(eq=False)
class SourceChanged(UsageError):
    """The file changed while it was published; nothing was recorded."""

    path: str


@dataclass(eq=False)
class Unpublishable(UsageError):
    """The path holds something that an image cannot contain."""

    path: str
    problem: str


# --- TEMP: try again later


class TemporaryError(NetclntError):
    exit_code = ExitCode.TEMP


@dataclass(eq=False)
class Unreachable(TemporaryError):
    """``what`` is "catalog" or "store"."""

    what: str
    address: str
    cause: str


@dataclass(eq=False)
class LineBroken(TemporaryError):
    """A connection that worked ended, or answered nonsense, in the middle of work."""

    what: str
    address: str
    cause: str


@dataclass(eq=False)
class DeadlinePassed(TemporaryError):
    """No progress for ``seconds``."""

    what: str
    address: str
    seconds: float


@dataclass(eq=False)
class SourceMissing(TemporaryError):
    """A file that the catalog speaks of is not in the store (or not readable there): it may be behind, or half restored."""

    path: str
    cause: str


@dataclass(eq=False)
class HookFailed(NetclntError):
    """``program`` of a hook did not end with exit code 0 but with ``code``, or without one; ``cause`` says how. ``image`` is
    empty for a hook of the whole run; ``said`` is the last line that it wrote."""

    exit_code = ExitCode.TEMP
    hook: str
    image: str
    program: str
    code: int | None
    cause: str
    said: str


# --- AUTH: never retried


class AuthError(NetclntError):
    exit_code = ExitCode.AUTH


@dataclass(eq=False)
class LoginRefused(AuthError):
    what: str
    address: str
    user: str
    cause: str


@dataclass(eq=False)
class HostKeyUnknown(AuthError):
    """``fingerprint`` in OpenSSH's form, ``SHA256:…``; empty where the transport does not tell it."""

    address: str
    fingerprint: str
    known_hosts: str


@dataclass(eq=False)
class HostKeyChanged(AuthError):
    address: str
    fingerprint: str
    known_hosts: str


@dataclass(eq=False)
class IdentityFileUnusable(AuthError):
    """The private key is not there, not readable, or needs a passphrase that nobody is there to type."""

    path: str
    cause: str


# --- INTEGRITY: hash or length mismatch


class IntegrityError(NetclntError):
    exit_code = ExitCode.INTEGRITY


@dataclass(eq=False)
class Damaged(IntegrityError):
    """``what`` ("frame", "page", "manifest", "HEAD", …) at ``where`` is not what its digest or grammar says."""

    what: str
    where: str
    problem: str


@dataclass(eq=False)
class ContentMismatch(IntegrityError):
    """A whole file has another SHA-256 (both in hex) than its version says."""

    image: str
    path: str
    expected: str
    found: str


@dataclass(eq=False)
class InQuarantine(IntegrityError):
    """A version that is not fetched again: with all its blocks right, its content never had its SHA-256."""

    image: str
    version: int
    since: str
    problem: str


# --- TRUST


class TrustError(NetclntError):
    exit_code = ExitCode.TRUST


@dataclass(eq=False)
class ForbiddenName(TrustError):
    """A name or path outside the grammar; ``rule`` says which part it breaks."""

    name: str
    rule: str


@dataclass(eq=False)
class ForbiddenValue(TrustError):
    """A value from a catalog, a store or a server that is out of range."""

    what: str
    value: str
    rule: str


@dataclass(eq=False)
class ForeignMaster(TrustError):
    """Another origin's identity than the one this slave follows."""

    expected: str
    found: str


# --- STORAGE: local disk


class StorageError(NetclntError):
    exit_code = ExitCode.STORAGE


@dataclass(eq=False)
class NoSpace(StorageError):
    """Bytes needed and free on the file system of ``path``."""

    path: str
    needed: int
    free: int


@dataclass(eq=False)
class StorageFailed(StorageError):
    """A call on the local file system failed with ``errno``; ``action`` is a verb ("write", "rename", …)."""

    action: str
    path: str
    errno: int
    cause: str


@dataclass(eq=False)
class RootNotMounted(StorageError):
    """The root lacks the marker it had: most likely its file system is not mounted."""

    path: str


@dataclass(eq=False)
class ForeignFile(StorageError):
    """Something that netclnt did not put there lies where an image belongs; ``found`` says what it is."""

    image: str
    path: str
    found: str


# --- LOCKED, STATE, INCOMPAT, LIMIT, PAUSED


@dataclass(eq=False)
class Locked(NetclntError):
    """Another run holds ``path``; ``holder`` is what it said of itself ("pid 4711, netclnt sync, since …")."""

    exit_code = ExitCode.LOCKED
    path: str
    holder: str


@dataclass(eq=False)
class LedgerDamaged(NetclntError):
    exit_code = ExitCode.STATE
    path: str
    cause: str


@dataclass(eq=False)
class LedgerBusy(NetclntError):
    """Another program (an admin's ``sqlite3``?) held the ledger for ``seconds``; ``holder`` says who, where that can be told."""

    exit_code = ExitCode.STATE
    path: str
    seconds: float
    holder: str = ""


@dataclass(eq=False)
class LedgerForeign(NetclntError):
    """A database of another program lies in the ledger's place; it is left alone."""

    exit_code = ExitCode.STATE
    path: str


@dataclass(eq=False)
class LedgerLinked(NetclntError):
    """A symbolic link that belongs to another user lies in the ledger's place; it is neither followed nor replaced."""

    exit_code = ExitCode.STATE
    path: str
    owner: int


@dataclass(eq=False)
class Incompatible(NetclntError):
    """``what`` ("catalog schema", "ledger", "manifest", …) has version ``found``; this program reads ``supported``."""

    exit_code = ExitCode.INCOMPAT
    what: str
    found: str
    supported: str


@dataclass(eq=False)
class CatalogBehindStore(NetclntError):
    """The store's HEAD is ahead of the catalog: the catalog was restored from a backup."""

    exit_code = ExitCode.INCOMPAT
    catalog_generation: int
    store_generation: int


@dataclass(eq=False)
class HistoriesDiffer(NetclntError):
    """Catalog and store tell of different things up to ``generation``, first in ``table``: neither continues the other."""

    exit_code = ExitCode.INCOMPAT
    generation: int
    table: str


@dataclass(eq=False)
class BrakeApplied(NetclntError):
    """A limit that protects from a mistake at the master; ``limit`` is its name in the config."""

    exit_code = ExitCode.LIMIT
    limit: str
    problem: str


class Paused(NetclntError):
    """A normal stop with work left: the next run goes on."""

    exit_code = ExitCode.PAUSED


@dataclass(eq=False)
class LinePaused(Paused):
    """This run may take nothing more from the line. ``reason`` is the config's key that says so, ``limit`` what it allows and
    ``left`` what is left of that, in bytes or seconds; ``again`` (RFC 3339, local time) when the line may be used again, empty
    where any other run may."""

    reason: str
    limit: float = 0
    left: int = 0
    again: str = ""


@dataclass(eq=False)
class ActivationDeferred(Paused):
    """All is fetched, and the hook ``before_image`` wants ``images`` to be shown later."""

    images: tuple[str, ...]


@dataclass(eq=False)
class PutOff(Paused):
    """``program`` of the hook ``before`` wants the run to be later; ``said`` is the last line that it wrote."""

    program: str
    said: str


class Stopped(NetclntError):
    """A signal asked the run to end; what was done so far is kept."""


class HungUp(Stopped):
    exit_code = ExitCode.HANGUP


class Interrupted(Stopped):
    exit_code = ExitCode.INTERRUPT


class Terminated(Stopped):
    exit_code = ExitCode.TERMINATED
