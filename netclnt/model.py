"""The words of the domain as values. No input or output here; each value checks itself when it is made."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from netclnt.errors import ForbiddenValue, NetclntError
from netclnt.naming import check_name, check_path

Bytes = bytes | bytearray | memoryview

ID_BYTES = 16
"""Length of a block id: an xxh3-128 digest in its canonical (big-endian) byte order."""

ZERO_ID = bytes(ID_BYTES)
"""Stands for a run of zeros, which is one entry of any length up to :data:`ZERO_RUN_MAX` and becomes a hole."""

BLOCK_MAX = 64 * 1024
ZERO_RUN_MAX = 1 << 30
SIZE_MAX = 1 << 50
NUMBER_MAX = (1 << 31) - 1
GENERATION_MAX = (1 << 62) - 1
NOTE_MAX = 1000
CHUNKER_NAME_MAX = 64
TARGET_BYTES_MAX = 4095
"""The longest text that a Linux file system takes for a symbolic link."""

HEAD_BYTES_MAX = 64 << 20
REQUIREMENTS_MAX = 1000
DEFAULT_CHANNEL = "stable"

_HEX = frozenset("0123456789abcdef")


class Kind(StrEnum):
    IMAGE = "image"
    SOFTWARE = "software"
    CONFIGURATION = "configuration"


class EntryType(StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"


def check_range(what: str, value: object, low: int, high: int) -> int:
    """Return ``value`` if it is an integer in ``low..high``; else raise ForbiddenValue."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ForbiddenValue(what=what, value=repr(value), rule=f"a whole number from {low} to {high}")
    return value


def check_hex(what: str, value: object, digits: int) -> str:
    """Return ``value`` if it is a string of exactly ``digits`` lower-case hex digits; else raise ForbiddenValue."""
    if not isinstance(value, str) or len(value) != digits or not _HEX.issuperset(value):
        raise ForbiddenValue(what=what, value=repr(value), rule=f"{digits} lower-case hex digits")
    return value


def check_text(what: str, value: object, limit: int) -> str:
    """Return ``value`` if it is a string of at most ``limit`` characters without control characters."""
    if not isinstance(value, str) or len(value) > limit or not (value.isprintable() or _is_free_of_control(value)):
        raise ForbiddenValue(what=what, value=repr(value), rule=f"at most {limit} printable characters")
    return value


def _is_free_of_control(text: str) -> bool:
    """Asked only of what has an odd blank, or the like: one call tells most, and a ledger's rows have many."""
    return not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in text)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, directory or symbolic link of a version.

    ``path`` is relative to the image and ``""`` for the image itself; ``mode`` the permission bits
    (never set-user-id and its sisters: they belong to the host that gives the owner); ``size`` in bytes
    (0 unless a file); ``sha256`` the raw 32 bytes of a file's digest (empty otherwise); ``target`` a link's text, at most
    :data:`TARGET_BYTES_MAX` bytes of UTF-8.
    """

    path: str
    type: EntryType
    mode: int
    size: int = 0
    sha256: bytes = b""
    target: str = ""

    def __post_init__(self) -> None:
        if self.path:
            check_path(self.path)
        if self.type is EntryType.FILE and self._is_plain_file():
            return
        check_range("mode", self.mode, 0, 0o777)
        check_range("file size", self.size, 0, SIZE_MAX if self.type is EntryType.FILE else 0)
        wanted = 32 if self.type is EntryType.FILE else 0
        if len(self.sha256) != wanted:
            raise ForbiddenValue(what="SHA-256", value=self.sha256.hex(), rule=f"{wanted} bytes for a {self.type}")
        if bool(self.target) != (self.type is EntryType.LINK) or "\0" in self.target:
            raise ForbiddenValue(what="link target", value=ascii(self.target), rule="text for links, nothing otherwise")
        if any(0xD800 <= ord(c) < 0xE000 for c in self.target) or len(self.target.encode()) > TARGET_BYTES_MAX:
            rule = f"at most {TARGET_BYTES_MAX} bytes of UTF-8"
            raise ForbiddenValue(what="link target", value=ascii(self.target), rule=rule)

    def _is_plain_file(self) -> bool:
        """Whether one look tells that a file keeps every rule: a tree may have a million of them."""
        return (
            type(self.mode) is int
            and 0 <= self.mode <= 0o777
            and type(self.size) is int
            and 0 <= self.size <= SIZE_MAX
            and len(self.sha256) == 32
            and not self.target
        )


@dataclass(slots=True)
class Blocks:
    """Consecutive entries of a manifest in flat arrays: ``lengths[i]`` bytes under id ``ids[16*i:16*i+16]``."""

    lengths: array[int]
    ids: bytes

    def __len__(self) -> int:
        return len(self.lengths)

    def id(self, index: int) -> bytes:
        return self.ids[index * ID_BYTES : (index + 1) * ID_BYTES]

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        return zip(split_ids(self.ids), self.lengths, strict=True)

    def zeros(self) -> Sequence[int]:
        """The numbers of the runs of zeros."""
        if ZERO_ID not in self.ids:
            return ()
        return [index for index, id_ in enumerate(split_ids(self.ids)) if id_ == ZERO_ID]


def split_ids(ids: bytes) -> tuple[bytes, ...]:
    """Joined block ids, one by one."""
    return _splitter(len(ids) // ID_BYTES).unpack(ids)


@lru_cache(maxsize=1024)
def _splitter(count: int) -> struct.Struct:
    return struct.Struct(f"{ID_BYTES}s" * count)


@dataclass(frozen=True, slots=True)
class CatalogState:
    """The one row that a slave reads when nothing changed.

    ``hash_seed`` is the 64-bit seed of all block ids; ``chunker`` the one new versions are cut with.
    """

    identity: str
    hash_seed: int
    chunker: str
    schema_version: int
    min_reader: int
    generation: int
    assignment_revision: int
    statement_number: int

    def __post_init__(self) -> None:
        check_hex("identity", self.identity, 32)
        check_range("hash seed", self.hash_seed, 0, (1 << 64) - 1)
        check_text("chunker", self.chunker, CHUNKER_NAME_MAX)
        check_range("schema version", self.schema_version, 1, NUMBER_MAX)
        check_range("min_reader", self.min_reader, 1, NUMBER_MAX)
        check_range("generation", self.generation, 0, GENERATION_MAX)
        check_range("assignment revision", self.assignment_revision, 0, GENERATION_MAX)
        check_range("statement number", self.statement_number, 0, GENERATION_MAX)


@dataclass(frozen=True, slots=True)
class Requirement:
    """``name`` must be there, in a version inside ``range`` (``""`` = any; grammar: ``N``, ``N-``, ``N-M``)."""

    name: str
    range: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        check_text("version range", self.range, 64)


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable published content of an image, as the catalog tells it.

    ``manifest`` is the SHA-256 (hex) of the manifest's head and ``head_bytes`` the length of that head, so that one read
    fetches it; ``size`` is the bytes of all its files; ``sha256`` that of the
    file's content for an image of one file, ``""`` for a tree; ``created`` RFC 3339, UTC; ``generation`` the change number
    at which it was published.
    """

    name: str
    kind: Kind
    number: int
    manifest: str
    head_bytes: int
    tree: bool
    size: int
    entries: int
    blocks: int
    sha256: str
    chunker: str
    created: str
    note: str
    generation: int
    requires: tuple[Requirement, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        check_range("version number", self.number, 1, NUMBER_MAX)
        check_hex("manifest digest", self.manifest, 64)
        check_range("length of a manifest's head", self.head_bytes, 1, HEAD_BYTES_MAX)
        check_range("size", self.size, 0, SIZE_MAX)
        check_range("number of entries", self.entries, 1, NUMBER_MAX)
        check_range("number of blocks", self.blocks, 0, SIZE_MAX)
        check_hex("SHA-256", self.sha256, 0 if self.tree else 64)
        check_text("chunker", self.chunker, CHUNKER_NAME_MAX)
        check_text("creation time", self.created, 32)
        check_text("note", self.note, NOTE_MAX)
        check_range("generation", self.generation, 1, GENERATION_MAX)


@dataclass(frozen=True, slots=True)
class Refused:
    """A current version that breaks a rule and is not taken. ``name`` and ``kind`` stand there as the catalog spells them:
    nobody checked them."""

    name: str
    kind: str
    error: NetclntError


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What ``publish`` hands to the catalog, which alone gives number and generation. Fields as in :class:`Version`."""

    name: str
    kind: Kind
    manifest: str
    head_bytes: int
    tree: bool
    size: int
    entries: int
    blocks: int
    sha256: str
    chunker: str
    created: str
    note: str
    channel: str = DEFAULT_CHANNEL
    requires: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True)
class HeldVersion:
    """One image's version as it stands at the master; the content of a ``dropped`` one is no longer in the store."""

    version: Version
    current: bool
    retired: bool
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What a slave tells its master after a run (order of writes, step 6).

    ``result`` is the exit code's name; ``images`` pairs (name, version number); ``error`` and ``hint`` are sentences or empty.
    """

    server: str
    machine_id: str
    generation: int
    result: str
    started: str
    seconds: float
    bytes_fetched: int
    bytes_reused: int
    error: str
    hint: str
    images: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Range:
    """``length`` bytes at ``offset`` of the store's file ``path`` (relative to the store)."""

    path: str
    offset: int
    length: int
