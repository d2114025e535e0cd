"""Manifests: the bytes that say what a version consists of, and their decoder, which believes nothing.

A manifest is one file of the store. Its **head** lists its pages; the SHA-256 of the head is the manifest's digest in the
catalog, and the head holds the SHA-256 of every page, so one digest vouches for all. All numbers are big-endian.

Head: ``NCMANIF1``, chunker (one length byte, ASCII), flags (1 byte: 1 = tree), hash seed (8), size of all files (8), the same
without runs of zeros (8), number of entries (4), number of blocks (8), number of entry pages (4), number of block pages (4);
then for each **entry page** SHA-256 (32), stored length (4), plain length (4), entries (4); for each **block page** SHA-256
(32), blocks (4), plain bytes (8), and the xxh3-128, under the hash seed, of its content without the runs of zeros (16). The
pages follow the head in that order, without gaps.

Entry page: one zstd frame of entries, each: type (1: ``f``, ``d``, ``l``), mode (2), size (8), SHA-256 (32, files only), path
(2 + UTF-8), target (2 + UTF-8, links only). Entries are in the order of their paths' components, the image itself (path
``""``) first. Block page: for each block its length (4), then for each block its id (16). The blocks of all files, in the order
of the entries, form one stream of plain bytes: the version's **plain offset**s count along it.

Pages are cut by content, so that a small change leaves nearly all pages as they were: :func:`entry_pages`, :func:`ends_page`.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import xxhash

from netclnt.errors import Damaged, ForbiddenValue, Incompatible
from netclnt.model import (
    BLOCK_MAX,
    CHUNKER_NAME_MAX,
    ID_BYTES,
    SIZE_MAX,
    ZERO_ID,
    ZERO_RUN_MAX,
    Blocks,
    Entry,
    EntryType,
    check_range,
    check_text,
)

MAGIC = b"NCMANIF1"
ENTRIES_MIN, ENTRIES_AVERAGE, ENTRIES_MAX = 16, 64, 256
BLOCKS_MIN, BLOCKS_AVERAGE, BLOCKS_MAX = 64, 256, 512
PAGES_MAX = 1 << 20
ENTRY_PAGE_BYTES_MAX = ENTRIES_MAX * 9000

_HEAD = struct.Struct(">BQQQIQII")
_ENTRY_PAGE = struct.Struct(">32sIII")
_BLOCK_PAGE = struct.Struct(">32sIQ16s")
_ENTRY = struct.Struct(">cHQ")
_SHORT = struct.Struct(">H")
_SHA256_BYTES = 32
_TYPES = {b"f": EntryType.FILE, b"d": EntryType.DIRECTORY, b"l": EntryType.LINK}
_LETTERS = {type_: letter for letter, type_ in _TYPES.items()}


@dataclass(frozen=True, slots=True)
class EntryPage:
    digest: bytes
    stored: int
    plain: int
    count: int


@dataclass(frozen=True, slots=True)
class BlockPage:
    """``plain`` bytes of content in ``count`` blocks; ``check`` is the xxh3-128 of that content without the runs of zeros."""

    digest: bytes
    count: int
    plain: int
    check: bytes

    @property
    def stored(self) -> int:
        """Length of the page in the manifest."""
        return self.count * (4 + ID_BYTES)


@dataclass(frozen=True, slots=True)
class Head:
    """``hash_seed`` is that of the block ids; ``size`` counts the bytes of all files, ``data`` those outside of runs of zeros:
    what a copy takes on disk."""

    chunker: str
    tree: bool
    hash_seed: int
    size: int
    data: int
    entries: int
    blocks: int
    entry_pages: tuple[EntryPage, ...]
    block_pages: tuple[BlockPage, ...]


def manifest_path(digest: str) -> str:
    """Where the manifest with that digest (hex) lies in the store."""
    return f"manifests/{digest[:2]}/{digest}.manifest"


def locations_path(digest: str) -> str:
    """Where the locations of that manifest's blocks lie in the store."""
    return f"manifests/{digest[:2]}/{digest}.locations"


# --- cutting pages


def entry_pages(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Cut entries into pages: after a path whose xxh3-64 is 0 modulo the average, within minimum and maximum."""
    page: list[Entry] = []
    for entry in entries:
        page.append(entry)
        ends = xxhash.xxh3_64_intdigest(entry.path.encode()) % ENTRIES_AVERAGE == 0
        if len(page) >= ENTRIES_MAX or (ends and len(page) >= ENTRIES_MIN):
            yield page
            page = []
    if page:
        yield page


def ends_page(count: int, last_id: bytes) -> bool:
    """Whether a block page of ``count`` blocks ends behind ``last_id``: an id whose first two bytes are 0 modulo the average."""
    if count >= BLOCKS_MAX:
        return True
    return count >= BLOCKS_MIN and int.from_bytes(last_id[:2], "big") % BLOCKS_AVERAGE == 0 and last_id != ZERO_ID


# --- pages


def encode_entries(entries: Sequence[Entry]) -> tuple[EntryPage, bytes]:
    """The page's row in the head, and its stored bytes."""
    parts: list[bytes] = []
    for entry in entries:
        parts.append(_ENTRY.pack(_LETTERS[entry.type], entry.mode, entry.size))
        parts.append(entry.sha256)
        parts.extend(_text(entry.path))
        if entry.type is EntryType.LINK:
            parts.extend(_text(entry.target))
    plain = b"".join(parts)
    stored = compress_entries(plain)
    return EntryPage(hashlib.sha256(stored).digest(), len(stored), len(plain), len(entries)), stored


def compress_entries(plain: bytes) -> bytes:
    """An entry page as it is stored."""
    from netclnt.pack import compress  # noqa: PLC0415 - zstd; an up-to-date sync never gets here

    return compress(plain, 9)


def decode_entries(page: EntryPage, stored: bytes, *, where: str, known: dict[bytes, Entry] | None = None) -> list[Entry]:
    """The entries of a page. Those in ``known``, by their bytes, are not made and checked again; the others are added to it.
    Raises Damaged, ForbiddenName or ForbiddenValue."""
    from netclnt.pack import decompress  # noqa: PLC0415 - as above

    _check_digest(page.digest, stored, "manifest page", where)
    plain = decompress(stored, limit=page.plain, what="manifest page", where=where)
    if len(plain) != page.plain:
        raise Damaged(what="manifest page", where=where, problem=f"{len(plain)} bytes instead of {page.plain}")
    known = {} if known is None else known
    entries: list[Entry] = []
    start = 0
    try:
        while start < len(plain):
            end = _end_of_entry(plain, start)
            record = plain[start:end]
            entry = known.get(record)
            if entry is None:
                entry = known[record] = _decode_entry(record)
            entries.append(entry)
            start = end
    except (struct.error, KeyError, UnicodeDecodeError, IndexError) as error:
        raise Damaged(what="manifest page", where=where, problem=repr(error)) from None
    if len(entries) != page.count:
        raise Damaged(what="manifest page", where=where, problem=f"{len(entries)} entries instead of {page.count}")
    return entries


def _end_of_entry(plain: bytes, start: int) -> int:
    """Where the entry that begins at ``start`` ends; behind the page's end if that is cut short."""
    letter = plain[start : start + 1]
    position: int = start + _ENTRY.size + (_SHA256_BYTES if letter == b"f" else 0)
    for _ in range(2 if letter == b"l" else 1):
        position += _SHORT.size + _SHORT.unpack_from(plain, position)[0]
    return position


def _decode_entry(record: bytes) -> Entry:
    letter, mode, size = _ENTRY.unpack_from(record)
    position = _ENTRY.size
    type_ = _TYPES[letter]
    sha256 = record[position : position + _SHA256_BYTES] if type_ is EntryType.FILE else b""
    position += len(sha256)
    path, position = _take_text(record, position)
    target, position = _take_text(record, position) if type_ is EntryType.LINK else ("", position)
    return Entry(path, type_, mode, size, sha256, target)


def encode_blocks(blocks: Blocks, check: bytes) -> tuple[BlockPage, bytes]:
    """The page's row in the head, and its stored bytes. ``check`` as in :class:`BlockPage`."""
    stored = encode_lengths(blocks.lengths) + blocks.ids
    return BlockPage(hashlib.sha256(stored).digest(), len(blocks), sum(blocks.lengths), check), stored


def decode_blocks(page: BlockPage, stored: bytes, *, where: str) -> Blocks:
    """The blocks of a page, their lengths within bounds and adding up. Raises Damaged or ForbiddenValue."""
    _check_digest(page.digest, stored, "manifest page", where)
    if len(stored) != page.stored:
        raise Damaged(what="manifest page", where=where, problem=f"{len(stored)} bytes instead of {page.stored}")
    blocks = Blocks(decode_lengths(stored[: page.count * 4]), stored[page.count * 4 :])
    if sum(blocks.lengths) != page.plain:
        raise ForbiddenValue(what="block lengths", value=str(sum(blocks.lengths)), rule=f"adding up to {page.plain}")
    if 0 in blocks.lengths or max(blocks.lengths) > BLOCK_MAX:
        for index, length in enumerate(blocks.lengths):
            if not 1 <= length <= BLOCK_MAX:
                check_range("block length", length, 1, ZERO_RUN_MAX if blocks.id(index) == ZERO_ID else BLOCK_MAX)
    return blocks


def encode_lengths(lengths: array[int]) -> bytes:
    """Lengths of blocks, four big-endian bytes each."""
    copy = array("I", lengths)
    if sys.byteorder == "little":
        copy.byteswap()
    return copy.tobytes()


def decode_lengths(stored: bytes) -> array[int]:
    """What :func:`encode_lengths` made: with it a page of blocks begins."""
    lengths = array("I", stored)
    if sys.byteorder == "little":
        lengths.byteswap()
    return lengths


# --- head


def encode_head(head: Head) -> bytes:
    chunker = head.chunker.encode("ascii")
    parts = [
        MAGIC,
        bytes([len(chunker)]),
        chunker,
        _HEAD.pack(
            head.tree,
            head.hash_seed,
            head.size,
            head.data,
            head.entries,
            head.blocks,
            len(head.entry_pages),
            len(head.block_pages),
        ),
    ]
    parts.extend(_ENTRY_PAGE.pack(page.digest, page.stored, page.plain, page.count) for page in head.entry_pages)
    parts.extend(_BLOCK_PAGE.pack(page.digest, page.count, page.plain, page.check) for page in head.block_pages)
    return b"".join(parts)


def decode_head(data: bytes, digest: str) -> Head:
    """The head whose SHA-256 (hex) is ``digest``. Raises Damaged, Incompatible or ForbiddenValue."""
    _check_digest(bytes.fromhex(digest), data, "manifest", digest)
    try:
        return _decode_head(data, digest)
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise Damaged(what="manifest", where=digest, problem=repr(error)) from None


def _decode_head(data: bytes, digest: str) -> Head:
    if data[: len(MAGIC)] != MAGIC:
        raise Incompatible(what="manifest", found=repr(data[: len(MAGIC)]), supported=repr(MAGIC))
    start = len(MAGIC) + 1 + data[len(MAGIC)]
    chunker = check_text("chunker", data[len(MAGIC) + 1 : start].decode("ascii"), CHUNKER_NAME_MAX)
    flags, hash_seed, size, data_size, entries, blocks, n_entry_pages, n_block_pages = _HEAD.unpack_from(data, start)
    check_range("manifest flags", flags, 0, 1)
    check_range("size", size, 0, SIZE_MAX)
    check_range("size without zeros", data_size, 0, size)
    check_range("number of pages", n_entry_pages, 1, PAGES_MAX)
    check_range("number of pages", n_block_pages, 0, PAGES_MAX)
    start += _HEAD.size
    middle = start + n_entry_pages * _ENTRY_PAGE.size
    end = middle + n_block_pages * _BLOCK_PAGE.size
    if end != len(data):
        raise Damaged(what="manifest", where=digest, problem=f"a head of {len(data)} bytes instead of {end}")
    entry_pages = tuple(EntryPage(*row) for row in _ENTRY_PAGE.iter_unpack(data[start:middle]))
    block_pages = tuple(BlockPage(*row) for row in _BLOCK_PAGE.iter_unpack(data[middle:end]))
    for entry_page in entry_pages:
        check_range("entries of a page", entry_page.count, 1, ENTRIES_MAX)
        check_range("length of a page", entry_page.plain, 1, ENTRY_PAGE_BYTES_MAX)
        check_range("stored length of a page", entry_page.stored, 1, ENTRY_PAGE_BYTES_MAX)
    for block_page in block_pages:
        check_range("blocks of a page", block_page.count, 1, BLOCKS_MAX)
        check_range("bytes of a page", block_page.plain, 1, BLOCKS_MAX * ZERO_RUN_MAX)
    _check_sum("entries", entries, sum(page.count for page in entry_pages))
    _check_sum("blocks", blocks, sum(page.count for page in block_pages))
    _check_sum("size", size, sum(page.plain for page in block_pages))
    return Head(chunker, bool(flags), hash_seed, size, data_size, entries, blocks, entry_pages, block_pages)


def block_pages_of(head_bytes: int, chunker: str) -> int | None:
    """How many block pages a manifest has by the length of its head, if it has one page of entries, as every single file; None if
    it cannot have just one. A large tree may have fewer than told."""
    rest = head_bytes - len(MAGIC) - 1 - len(chunker) - _HEAD.size - _ENTRY_PAGE.size
    pages, odd = divmod(rest, _BLOCK_PAGE.size)
    return None if odd or pages < 1 else pages


def check_entries(head: Head, entries: Sequence[Entry]) -> None:
    """Raise ForbiddenValue unless the entries of all pages are those of one image: ordered, rooted, of the head's size."""
    root = entries[0]
    wanted = EntryType.DIRECTORY if head.tree else EntryType.FILE
    if root.path or root.type is not wanted or (not head.tree and len(entries) != 1):
        raise ForbiddenValue(what="entries", value=repr(root.path), rule=f"one root that is a {wanted}")
    directories: set[str] = {""}
    parent, before = "", entries[0]
    for entry in entries[1:]:
        parent, behind = entry.path.rpartition("/")[0], parent
        # among names of one directory, the order of code points is that of the bytes of UTF-8
        if not (entry.path > before.path if parent == behind else path_key(entry.path) > path_key(before.path)):
            raise ForbiddenValue(what="path", value=repr(entry.path), rule="behind the one before it")
        if parent != behind and parent not in directories:
            raise ForbiddenValue(what="path", value=repr(entry.path), rule="inside a directory of the same version")
        if entry.type is EntryType.DIRECTORY:
            directories.add(entry.path)
        before = entry
    _check_sum("size", head.size, sum(entry.size for entry in entries))


def path_key(path: str) -> tuple[bytes, ...]:
    """Sort key that puts parents before children and keeps a directory's content together."""
    return tuple(part.encode() for part in path.split("/")) if path else ()


def page_offsets(head: Head, head_bytes: int) -> tuple[list[int], list[int]]:
    """Where each entry page and each block page begins in the manifest's file."""
    offset = head_bytes
    starts: tuple[list[int], list[int]] = ([], [])
    for page in head.entry_pages:
        starts[0].append(offset)
        offset += page.stored
    for block_page in head.block_pages:
        starts[1].append(offset)
        offset += block_page.stored
    return starts


def _check_digest(digest: bytes, data: bytes, what: str, where: str) -> None:
    found = hashlib.sha256(data).digest()
    if found != digest:
        raise Damaged(what=what, where=where, problem=f"SHA-256 {found.hex()} instead of {digest.hex()}")


def _check_sum(what: str, said: int, found: int) -> None:
    if said != found:
        raise ForbiddenValue(what=what, value=str(said), rule=f"what its parts add up to ({found})")


def _text(text: str) -> tuple[bytes, bytes]:
    data = text.encode()
    return _SHORT.pack(len(data)), data


def _take_text(data: bytes, position: int) -> tuple[str, int]:
    (length,) = _SHORT.unpack_from(data, position)
    start = position + _SHORT.size
    raw = data[start : start + length]
    if len(raw) != length:
        raise IndexError("text ends early")
    return raw.decode(), start + length
