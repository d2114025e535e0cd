"""The edges: one small Protocol for each foreign thing. Implementations raise only :class:`~netclnt.errors.NetclntError`.

Each Protocol has one contract suite under ``tests/contract`` that all its implementations pass, the in-memory twins of
``netclnt.memory`` included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol, TypeVar

from netclnt.model import Bytes, CatalogState, Entry, EntryType, HeldVersion, NewVersion, Range, Refused, Report, Version

R = TypeVar("R", bound=Range)

# --- catalog


class CatalogReader(Protocol):
    """A catalog (through ODBC or SQLite) or a TOC, as a slave reads it. Not shared between threads."""

    @property
    def queries(self) -> int:
        """Statements sent so far, of any kind."""

    def state(self) -> CatalogState:
        """One SELECT. Raises Incompatible for a catalog that this program is too old or too new to read."""

    def current(self, *, generation: int, channel: str, refuse: Callable[[Refused], None] | None = None) -> Iterator[Version]:
        """The current version of each image in ``channel`` as of ``generation``, ordered by the bytes of its name.

        Requirements are filled in. Bounded number of queries, whatever the number of images. A version that breaks a rule raises
        TrustError, or is handed to ``refuse`` and left out.
        """

    def history(self, name: str, *, generation: int, channel: str) -> Sequence[HeldVersion]:
        """All versions ever published of one image as of ``generation``, newest number first; empty if unknown."""

    def close(self) -> None:
        """Idempotent."""


class OfferRows(Protocol):
    """The offer as raw rows: a TOC's, or a catalog's own."""

    def state(self) -> CatalogState: ...

    def offer_rows(self, table: str, *, after: int, until: int) -> Iterator[tuple[object, ...]]:
        """Raw rows of one of the TOC's tables (``netclnt.rows.OFFER``) with ``after < generation <= until``, in the order of
        their generation, then of their key."""


class SlaveCatalog(CatalogReader, Protocol):
    """A catalog as a slave uses it: it reads, and it tells what it did."""

    def report(self, report: Report) -> None:
        """Record what a slave did. At most a handful of statements."""

    def seen(self, server: str, *, generation: int, at: str) -> None:
        """One UPDATE: the server looked, and nothing was to do. Does nothing for an unknown server."""


class Catalog(SlaveCatalog, OfferRows, Protocol):
    """A master's catalog. Each call that changes the offer is one transaction, begun by raising the generation by one; what
    slaves tell (``report``, ``seen``) leaves the generation alone."""

    def create(self, *, identity: str, hash_seed: int, chunker: str) -> None:
        """Create tables and the one state row, at generation 0. Raises BadArgument if there is a catalog already."""

    def publish(self, new: NewVersion) -> Version:
        """Insert the version under the next number and make it current in its channel. Raises BadArgument if the name
        exists with another kind, falls together with another name when case is ignored, or would be a directory of another
        image, or another image a directory of it."""

    def promote(self, name: str, number: int, *, channel: str, at: str) -> int:
        """Make a version current in ``channel`` (created if need be), also one that was retired; ``at`` is RFC 3339, UTC.
        Returns the generation. Raises NoSuchImage, also for one that was dropped."""

    def retire(self, name: str, number: int | None, *, at: str) -> int:
        """Call a version back in all channels, all versions of the image for None; the one promoted before it becomes
        current. Returns the generation. Raises NoSuchImage."""

    def drop(self, versions: Sequence[tuple[str, int]], *, at: str) -> int:
        """Call versions (name, number) back for ever, as their content leaves the store. Returns the generation. Raises
        NoSuchImage."""

    def recover(self, head: CatalogState | None, offer: OfferRows | None, *, at: str) -> CatalogState:
        """Make the catalog anew if it is lost, or mend one that is behind: take in what ``offer``, the store's TOC, has beyond
        it; then lift generation and numbers above all that ``head``, the TOC and any report show. None where the store has
        none. Returns the state. Raises ForeignMaster, HistoriesDiffer, BadArgument where there is nothing to begin with."""

    def published(self, *, after: int, until: int) -> Iterator[Version]:
        """All versions with ``after < generation <= until`` but those dropped, in the order of their generation; requirements are
        filled in."""

    def writer_lock(self, holder: str) -> AbstractContextManager[None]:
        """Held by one writer at a time across hosts (a lock row); raises Locked with the holder's words. A lock whose
        holder died is taken over by the same host, or after an hour without a sign of life."""


# --- store, read over a line


class Source(Protocol):
    """A store as a slave reads it. Paths are relative to the store. One thread at a time, unless said otherwise."""

    @property
    def address(self) -> str:
        """For messages: ``sftp://user@host:port/dir``, without any secret."""

    @property
    def connections(self) -> int:
        """Connections opened so far."""

    @property
    def bytes_received(self) -> int:
        """Payload bytes of all answers so far."""

    def read_file(self, path: str, *, limit: int) -> bytes:
        """The whole of a small file. Raises SourceMissing if it is not there, ForbiddenValue if longer than ``limit``."""

    def fetch(self, ranges: Iterable[R]) -> Iterator[tuple[R, bytes]]:
        """Each range with exactly its bytes, in any order. Takes from ``ranges`` only as bytes in flight allow, so a lazy
        iterable is never read far ahead. Raises SourceMissing for a file that is not there, Damaged for one that ends
        before the range does."""

    def close(self) -> None:
        """Idempotent; callable from any thread, and then ends a fetch under way with LineBroken."""


# --- what is published


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to publish, not read yet. Fields as in :class:`netclnt.model.Entry`; ``size`` None where only reading tells."""

    path: str
    type: EntryType
    mode: int
    size: int | None = 0
    target: str = ""


class Content(Protocol):
    """A local file or directory to publish."""

    @property
    def tree(self) -> bool: ...

    def items(self) -> Iterator[Item]:
        """The image itself (path ``""``) first, then its parts in the order of their paths' components."""

    def open(self, path: str) -> BinaryIO:
        """The content of one file, to be read from begin to end; the caller closes it."""

    def check_unchanged(self) -> None:
        """Raise SourceChanged if anything changed since :meth:`items` saw it (size, mtime, ctime or inode)."""


# --- the store, written on the master


class PackWriter(Protocol):
    """One new pack file. Its content is durable after :meth:`close`."""

    @property
    def pack(self) -> int:
        """The pack's id."""

    @property
    def size(self) -> int:
        """Bytes so far: the offset of the next frame."""

    def append(self, stored: Bytes) -> None: ...

    def close(self) -> None:
        """fsync and close."""


class Store(Protocol):
    """The exported directory, as its one writer sees it."""

    def lock(self, holder: str) -> AbstractContextManager[None]:
        """Held by one writer at a time on this host; raises Locked with the holder's words."""

    def new_pack(self) -> PackWriter: ...

    def put(self, path: str, data: Iterable[Bytes]) -> None:
        """Write a file whole and durable under its final name. An existing file of that name is replaced."""

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes. Raises SourceMissing, Damaged."""

    def size(self, path: str) -> int | None:
        """Bytes of a file, or None if it is not there."""

    def content(self) -> Iterator[tuple[str, int]]:
        """Path and bytes of each regular file of packs and manifests, what an interrupted :meth:`put` left included; in no
        order."""

    def remove(self, path: str) -> None:
        """Absent is fine. Whoever has the file open keeps it."""

    def secure(self, path: str) -> None:
        """Make a file durable, content now and name with the next :meth:`sync`, that an interrupted writer may have left in
        memory only."""

    def sync(self) -> None:
        """Make all new names durable (fsync of the directories written to since the last call)."""


# --- the slave's root


@dataclass(frozen=True, slots=True)
class Facts:
    """How a file looks from outside: the skip check compares these. ``mtime`` is in nanoseconds."""

    size: int
    mtime: int
    inode: int


class Reader(Protocol):
    """A readable local file: a live image's file, a kept one, a seed. Safe to use from several threads."""

    @property
    def size(self) -> int: ...

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> int:
        """Fill ``buffer`` from ``offset``; returns the bytes read, less than its length only at the end of the file."""

    def close(self) -> None: ...


class DigesterLost(Exception):
    """A digester is gone, for whatever reason, and with it what it knew."""


class Digester(Protocol):
    """Follows the pages of one staged file in order, for whoever has much else to do. Used by one thread."""

    def page(self, offset: int, segments: Sequence[tuple[bool, int]], check: bytes) -> bytes | None:
        """Digest the next page: ``segments`` (is it zeros, length), one after the other from ``offset`` on. Returns the SHA-256
        of the file up to the page's end; or None, and the page is still the next one, if the content that is not zeros has
        another xxh3-128 than ``check``. What was digested may leave the memory. Raises DigesterLost, and StorageFailed for what
        cannot be read."""


class Stage(Protocol):
    """One version under construction in the work area. ``file`` is an index into the entries given to ``prepare``.

    ``write``, ``copy``, ``zero`` and ``read_into`` may be called from several threads at once, for ranges that do not overlap.
    """

    def prepare(self, entries: Sequence[Entry]) -> Sequence[bool]:
        """Create directories and links; a file is made at its full size (sparse) when it is first written to, at the latest by
        :meth:`seal`, and reads as zeros until then. Returns, for each entry, whether a file was there already (of that size; from
        an interrupted run). Modes are set later, by :meth:`seal`."""

    def clone(self, file: int, reader: Reader) -> bool:
        """Make the staged file share all blocks with ``reader`` (FICLONE), at its full size; False if that is impossible."""

    def write(self, file: int, offset: int, data: Sequence[Bytes]) -> None:
        """Write the buffers one after the other at ``offset``."""

    def copy(self, file: int, offset: int, reader: Reader, reader_offset: int, length: int) -> int:
        """Copy inside the kernel where possible; returns the bytes copied, less than ``length`` only if the reader ends. A small
        file that is copied whole from the same path of the live image may become a second name of it, never to be written to."""

    def link(self, name: str, files: Iterable[tuple[int, Facts]]) -> Sequence[int]:
        """Make files second names of those at their paths in the live tree ``name``, as far as these look exactly as the facts
        say and have their entry's mode; returns those that are. Called right after :meth:`prepare`, by one thread. No content is
        read: so the facts must be as old as the last look at it. What is linked is never written to, but made a copy first."""

    def zero(self, file: int, offset: int, length: int) -> None:
        """Make the range read as zeros, as a hole where possible."""

    def read_into(self, file: int, offset: int, buffer: bytearray | memoryview) -> int:
        """As :meth:`Reader.read_into`, of what was staged."""

    def data_ranges(self, file: int, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """(offset, length) of the parts of a range that may hold data, in order; all the rest are holes, which read as zeros."""

    def digester(self, file: int, *, hash_seed: int) -> Digester | None:
        """A digester of a file, ended by :meth:`close`; None where there is none that would be faster."""

    def sync(self) -> None:
        """Make all content written so far durable (fdatasync of the files touched since the last call)."""

    def seal(self, name: str) -> Sequence[Facts]:
        """Set owner, group and mode (those of what lies at the image's place, else the version's mode and the root's
        settings) and fsync every file and directory. The last step before ``Root.show``. Returns how each entry looks, in their
        order. Raises ContentMismatch where a file that was taken as it is changed after it was looked at."""

    def close(self) -> None:
        """Close descriptors; what was staged stays. Idempotent."""


class Root(Protocol):
    """A slave's directory of images with its private work area. Names and paths are as in naming; nothing is followed out."""

    def lock(self, holder: str) -> AbstractContextManager[None]:
        """Held by one run at a time, keyed by the root's device and inode; raises Locked with the holder's words."""

    def facts(self, name: str, paths: Sequence[str]) -> Sequence[Facts | None]:
        """For each path inside the image (``""`` is the image itself) how it looks, links not followed; None if absent."""

    def type(self, name: str) -> str:
        """What lies at the image's place: ``absent``, ``file``, ``directory``, or ``other``."""

    def open(self, name: str, path: str) -> Reader:
        """Open a live image's file to read. Raises StorageFailed."""

    def secure(self, name: str) -> None:
        """Make durable what lies at the image's place and its name there, which somebody else may have left in memory only: to be
        called before anything is recorded that was not shown by this very run."""

    def tree(self, name: str) -> Iterator[Entry]:
        """What a live image consists of, root first, parents before children, sorted by path components; files' SHA-256 are
        computed while iterating. Raises ForbiddenName, Unpublishable for what no version can contain."""

    def files(self) -> Iterator[tuple[str, Facts]]:
        """Path and look of each regular file outside the work area, links not followed; what cannot be read is passed over."""

    def stage(self, token: str) -> Stage:
        """Open (or create) the staging area called ``token``, a hex string."""

    def staged(self) -> Sequence[str]:
        """Tokens of the staging areas that exist."""

    def discard(self, token: str) -> None:
        """Remove a staging area and all in it. Absent is fine."""

    def staged_path(self, token: str) -> str:
        """The absolute path of the image in a staging area, for other programs to look at."""

    def show(self, token: str, name: str, *, keep: str | None) -> None:
        """Put what was staged at the image's place: a file by rename, a tree by exchange, with fsync of the directories.
        What lay there before is kept under the token ``keep``, or removed if that is None."""

    def take(self, name: str, other: Root) -> bool:
        """Take an image over from another root, to its place here, where nothing may lie: in one step, and durable. False, and
        nothing changed, where that cannot be: from another file system, or without the right to. Raises ForeignFile."""

    def put_away(self, name: str, *, keep: str | None) -> None:
        """Take what lies at the image's place away, in one step, and durable: it is kept under the token ``keep``, or removed if
        that is None. Absent is fine."""

    def kept(self) -> Sequence[str]:
        """Tokens of old versions kept aside."""

    def keeps(self, token: str) -> bool:
        """Whether an old version is kept under that token: one look, however many are."""

    def staged_bytes(self, token: str) -> int:
        """What discarding a staging area gives back: bytes of its files, but for those that have another name. Absent: 0."""

    def kept_bytes(self, token: str) -> int:
        """What dropping a kept version gives back, as :meth:`staged_bytes`."""

    def open_kept(self, token: str, path: str) -> Reader:
        """Open a file of a kept version to read."""

    def drop(self, token: str) -> None:
        """Remove a kept version. Absent is fine."""

    def free(self) -> int:
        """Bytes that may still be written to this file system by this user."""

    def free_files(self) -> int | None:
        """Files that may still be made on this file system by this user; None where they are not counted."""
