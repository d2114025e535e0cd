"""Page deltas: the pages of a manifest that are new, as the difference to the manifest of the version before.

Where a small change in many places makes nearly every page of a tree's manifest a new one, pages cost more than content does. The
file beside a manifest, of which nothing depends, is ``NCPAGED1``, the digest of the manifest before (32), the version of the zstd
library that compressed the entry pages (4: major, minor, patch of one byte each, lowest), the length of each group (4 each), and
the groups; numbers big-endian. :data:`PAGES_IN_GROUP` entry pages after the other are a group, then so many block pages. A group
without content has length 0, else it is: its first base page (4), how many they are (4), and one zstd frame whose prefix is the
plain content of these pages of the same kind in the manifest before. In the frame are, one after the other, those pages of the
group that the manifest before does not have, plain: entry pages as they are before they are compressed.

What comes of it counts only if it is what the page's digest says. So an entry page counts if the slave's zstd compresses as the
master's did; with another version of it nothing is tried.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from netclnt.errors import Damaged, ForbiddenValue
from netclnt.manifest import BlockPage, EntryPage, Head, compress_entries
from netclnt.model import check_range
from netclnt.pack import BASE_MIN, ZSTD_VERSION, decompress, encode_delta

MAGIC = b"NCPAGED1"
PAGES_IN_GROUP = 32

_HEADER = struct.Struct(">8s32s4s")
_GROUP = struct.Struct(">II")
_BASE_PAGES_MAX = 48
_PLAIN_MAX = 1 << 20
"""Of a group, and of its base: 32 block pages are at most 320 KiB, entry pages with long paths may be more."""

_GROUP_BYTES_MAX = _PLAIN_MAX
WORTHWHILE_BYTES = 32 * 1024
"""What new pages must take to be worth another question."""

_LEVEL = 9
_SAVED_MIN = 2
"""A group is stored if it is at most one part in so many of what the pages take."""

Read = Callable[[int, int], bytes]
"""Reads a manifest: offset, length."""


@dataclass(frozen=True)
class Pages:
    """The pages of one kind of a manifest, in order."""

    rows: Sequence[EntryPage | BlockPage]
    offsets: Sequence[int]
    read: Read

    @cached_property
    def numbers(self) -> dict[bytes, int]:
        """By digest."""
        return {row.digest: number for number, row in enumerate(self.rows)}

    def plain(self, number: int) -> bytes:
        """Raises Damaged."""
        row = self.rows[number]
        stored = self.read(self.offsets[number], row.stored)
        if isinstance(row, EntryPage):
            return decompress(stored, limit=row.plain, what="manifest page", where="page deltas")
        return stored

    def joined(self, numbers: Sequence[int]) -> bytes:
        """The plain content of some pages; nothing if that is too much for a group."""
        if sum(_plain_bytes(self.rows[number]) for number in numbers) > _PLAIN_MAX:
            return b""
        return b"".join(map(self.plain, numbers))


def pages_of(head: Head, offsets: tuple[Sequence[int], Sequence[int]], read: Read) -> tuple[Pages, Pages]:
    """The entry pages and the block pages of a manifest, and where each begins in its file."""
    return Pages(head.entry_pages, offsets[0], read), Pages(head.block_pages, offsets[1], read)


def page_deltas_path(digest: str) -> str:
    """Where the page deltas of the manifest with that digest (hex) lie in the store, if there are any."""
    return f"manifests/{digest[:2]}/{digest}.pages"


def header_bytes(head: Head) -> int:
    return _HEADER.size + 4 * sum(map(_groups, (head.entry_pages, head.block_pages)))


# --- the master's side


def encode_page_deltas(new: tuple[Pages, Pages], old: tuple[Pages, Pages], *, before: str) -> list[bytes]:
    """The parts of the file, for the manifest with the digest ``before``; empty if there is no use in it. Raises Damaged."""
    kinds = zip(new, old, strict=True)
    if sum(row.stored for pages, others in kinds for row in pages.rows if row.digest not in others.numbers) < WORTHWHILE_BYTES:
        return []
    groups = [
        _encode_group(pages, others, first)
        for pages, others in zip(new, old, strict=True)
        for first in range(0, len(pages.rows), PAGES_IN_GROUP)
    ]
    if not any(groups):
        return []
    lengths = struct.pack(f">{len(groups)}I", *map(len, groups))
    return [_HEADER.pack(MAGIC, bytes.fromhex(before), ZSTD_VERSION), lengths, *groups]


def _encode_group(new: Pages, old: Pages, first: int) -> bytes:
    numbers = _lacking(new, old, first)
    base = _base_of(new, old, numbers) if numbers else range(0)
    plain, prefix = new.joined(numbers), old.joined(base)
    if not plain or len(prefix) < BASE_MIN:
        return b""
    group = _GROUP.pack(base.start, len(base)) + encode_delta(plain, prefix, _LEVEL)
    return group if len(group) * _SAVED_MIN <= sum(new.rows[number].stored for number in numbers) else b""


def _base_of(new: Pages, old: Pages, numbers: Sequence[int]) -> range:
    """The old pages in the place of new ones: those between the old ones that the pages around are, or the part of them that is
    as far along."""
    behind = _twin(new, old, range(numbers[0] - 1, -1, -1))
    ahead = _twin(new, old, range(numbers[-1] + 1, len(new.rows)))
    begin, low = behind or (-1, -1)
    end, high = ahead or (len(new.rows), len(old.rows))
    low += 1
    if high <= low:
        low, high = 0, len(old.rows)
    if high - low > _BASE_PAGES_MAX:
        middle = low + ((numbers[0] + numbers[-1]) // 2 - begin) * (high - low) // (end - begin)
        low = max(low, min(middle - _BASE_PAGES_MAX // 2, high - _BASE_PAGES_MAX))
    return range(low, min(high, low + _BASE_PAGES_MAX))


def _twin(new: Pages, old: Pages, numbers: Sequence[int]) -> tuple[int, int] | None:
    """The first of the pages that the old manifest has, too: its number in both."""
    for number in numbers:
        twin = old.numbers.get(new.rows[number].digest)
        if twin is not None:
            return number, twin
    return None


# --- the slave's side


@dataclass(frozen=True, slots=True)
class Group:
    """Where one group lies in the file, and whose it is: entry pages' (kind 0) or block pages' (1), from page ``first`` on."""

    offset: int
    length: int
    kind: int
    first: int


def decode_header(data: bytes, head: Head, *, where: str) -> tuple[str, list[Group]]:
    """The digest of the manifest before, and the groups that have content. Raises Damaged or ForbiddenValue, also for a file that
    this program's zstd can make no use of."""
    if len(data) != header_bytes(head):
        raise Damaged(what="page deltas", where=where, problem="not their header")
    magic, before, library = _HEADER.unpack_from(data)
    if magic != MAGIC or library != ZSTD_VERSION:
        raise Damaged(what="page deltas", where=where, problem="made by another program")
    lengths = struct.unpack_from(f">{(len(data) - _HEADER.size) // 4}I", data, _HEADER.size)
    kinds = [
        (kind, first)
        for kind, rows in enumerate((head.entry_pages, head.block_pages))
        for first in range(0, len(rows), PAGES_IN_GROUP)
    ]
    groups: list[Group] = []
    offsets = accumulate(lengths, initial=len(data))
    for offset, length, (kind, first) in zip(offsets, lengths, kinds, strict=False):
        if length:
            check_range("length of a group of page deltas", length, _GROUP.size + 1, _GROUP_BYTES_MAX)
            groups.append(Group(offset, length, kind, first))
    return before.hex(), groups


def decode_group(data: bytes, group: Group, new: Pages, old: Pages, *, where: str) -> Iterator[tuple[int, bytes]]:
    """(number, stored bytes) of the pages that a group holds, as far as they are what their digests say. Raises Damaged or
    ForbiddenValue."""
    if len(data) != group.length:
        raise Damaged(what="page deltas", where=where, problem=f"a group of {len(data)} bytes instead of {group.length}")
    start, count = _GROUP.unpack_from(data)
    check_range("base pages of a group", count, 1, _BASE_PAGES_MAX)
    check_range("last base page of a group", start + count, count, len(old.rows))
    numbers = _lacking(new, old, group.first)
    size = sum(_plain_bytes(new.rows[number]) for number in numbers)
    check_range("length of a group", size, 1, _PLAIN_MAX)
    base = old.joined(range(start, start + count))
    check_range("length of a group's base", len(base), BASE_MIN, _PLAIN_MAX)
    plain = decompress(data[_GROUP.size :], limit=size, what="page deltas", where=where, base=base)
    begin = 0
    for number in numbers:
        row = new.rows[number]
        end = begin + _plain_bytes(row)
        stored = compress_entries(plain[begin:end]) if isinstance(row, EntryPage) else plain[begin:end]
        if hashlib.sha256(stored).digest() == row.digest:
            yield number, stored
        begin = end


def is_sound(data: bytes, group: Group, new: Pages, old: Pages) -> bool:
    """Whether a group gives all pages that it is for."""
    try:
        given = sum(1 for _ in decode_group(data, group, new, old, where="page deltas"))
    except (Damaged, ForbiddenValue):
        return False
    return given == len(_lacking(new, old, group.first))


def is_of_other_zstd(header: bytes) -> bool:
    """Whether a file was made with another zstd than this program's: then nothing can be told of its groups."""
    return len(header) >= _HEADER.size and header[_HEADER.size - len(ZSTD_VERSION) : _HEADER.size] != ZSTD_VERSION


# --- both


def _groups(rows: Sequence[object]) -> int:
    return -(-len(rows) // PAGES_IN_GROUP)


def _lacking(new: Pages, old: Pages, first: int) -> list[int]:
    """The pages of the group from page ``first`` on that the manifest before does not have."""
    last = min(first + PAGES_IN_GROUP, len(new.rows))
    return [number for number in range(first, last) if new.rows[number].digest not in old.numbers]


def _plain_bytes(row: EntryPage | BlockPage) -> int:
    return row.plain if isinstance(row, EntryPage) else row.stored
