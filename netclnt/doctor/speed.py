"""How fast the line is, measured with what the store holds anyway: the frames of one page of a manifest, again and again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from time import monotonic

from netclnt.errors import Damaged
from netclnt.locations import decode_record, decode_table, table_bytes
from netclnt.manifest import Head, decode_blocks, decode_head, locations_path, manifest_path, page_offsets
from netclnt.model import Range
from netclnt.pack import pack_path
from netclnt.protocols import Source


@dataclass(frozen=True, slots=True)
class Speed:
    bytes: int
    seconds: float

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.bytes / self.seconds if self.seconds else 0.0


def measure(source: Source, digest: str, head_bytes: int, *, seconds: float) -> Speed:
    """Fetch frames that the manifest with that digest speaks of, over and over, and throw them away; new ones are asked for as
    long as ``seconds`` have not passed. Raises what a sync would."""
    head = decode_head(_read(source, manifest_path(digest), 0, head_bytes), digest)
    frames = _frames(source, head, digest, head_bytes)
    begin = monotonic()
    done = sum(len(data) for _, data in source.fetch(_until(begin + seconds, frames)))
    return Speed(done, monotonic() - begin)


def _until(end: float, ranges: Sequence[Range]) -> Iterator[Range]:
    """The ranges in turns, each of them a value of its own, until the time has come."""
    for one in cycle(ranges):
        if monotonic() >= end:
            return
        yield Range(one.path, one.offset, one.length)


def _frames(source: Source, head: Head, digest: str, head_bytes: int) -> Sequence[Range]:
    """The frames of a page in the middle, or of the next one that has any."""
    path = locations_path(digest)
    table = decode_table(_read(source, path, 0, table_bytes(len(head.block_pages))), len(head.block_pages), where=path)
    _, offsets = page_offsets(head, head_bytes)
    middle = len(table) // 2
    for number in (*range(middle, len(table)), *range(middle)):
        page = head.block_pages[number]
        blocks = decode_blocks(page, _read(source, manifest_path(digest), offsets[number], page.stored), where=path)
        start = sum(earlier.plain for earlier in head.block_pages[:number])
        record = decode_record(_read(source, path, *table[number]), blocks, page_start=start, where=path)
        if record.frames:
            return [Range(pack_path(frame.pack), frame.offset, frame.stored) for frame in record.frames]
    raise Damaged(what="locations", where=path, problem="it speaks of no frame")


def _read(source: Source, path: str, offset: int, length: int) -> bytes:
    ((_, data),) = source.fetch([Range(path, offset, length)])
    return data
