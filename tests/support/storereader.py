"""A little reader of a store's files, independent of the slave: what a version's locations really lead to."""

from __future__ import annotations

from collections.abc import Mapping

import xxhash

from netclnt.locations import EARLIER, decode_record, decode_table, table_bytes
from netclnt.manifest import (
    check_entries,
    decode_blocks,
    decode_entries,
    decode_head,
    locations_path,
    manifest_path,
    page_offsets,
)
from netclnt.model import ZERO_ID, Entry, EntryType, Version
from netclnt.pack import decode_frame, pack_path


def read_version(files: Mapping[str, bytes], digest: str, head_bytes: int) -> tuple[list[Entry], dict[str, bytes]]:
    """The entries of a manifest, and each file's content by path; every check that can be made is made."""
    manifest, locations = files[manifest_path(digest)], files[locations_path(digest)]
    head = decode_head(manifest[:head_bytes], digest)
    entry_offsets, block_offsets = page_offsets(head, head_bytes)
    entries: list[Entry] = []
    for page, offset in zip(head.entry_pages, entry_offsets, strict=True):
        entries += decode_entries(page, manifest[offset : offset + page.stored], where="test")
    check_entries(head, entries)
    count = len(head.block_pages)
    table = decode_table(locations[: table_bytes(count)], count, where="test")
    content, data = bytearray(), 0
    for block_page, offset, (start, length) in zip(head.block_pages, block_offsets, table, strict=True):
        blocks = decode_blocks(block_page, manifest[offset : offset + block_page.stored], where="test")
        record = decode_record(locations[start : start + length], blocks, page_start=len(content), where="test")
        where = {run.first + n: (run, n) for run in record.runs for n in range(run.count)}
        check = xxhash.xxh3_128(seed=head.hash_seed)
        for index, (id_, size) in enumerate(blocks):
            if id_ == ZERO_ID:
                assert index not in where
                content += bytes(size)
                continue
            run, before = where[index]
            begin = run.start + sum(blocks.lengths[run.first : run.first + before])
            if run.frame == EARLIER:
                block = bytes(content[begin : begin + size])
            else:
                frame = record.frames[run.frame]
                stored = files[pack_path(frame.pack)][frame.offset : frame.offset + frame.stored]
                block = bytes(decode_frame(frame.codec, stored, plain=frame.plain, where="test")[begin : begin + size])
            assert xxhash.xxh3_128_digest(block, seed=head.hash_seed) == id_
            content += block
            check.update(block)
            data += size
        assert check.digest() == block_page.check
    ends = page_offsets(head, head_bytes)
    assert len(manifest) == (ends[1][-1] + head.block_pages[-1].stored if count else ends[0][-1] + head.entry_pages[-1].stored)
    assert len(locations) == (sum(table[-1]) if count else table_bytes(0))
    assert data == head.data
    return entries, _files(entries, bytes(content))


def content_of(files: Mapping[str, bytes], version: Version) -> dict[str, bytes]:
    """Each file's content of a published version, by path."""
    entries, found = read_version(files, version.manifest, version.head_bytes)
    assert len(entries) == version.entries
    assert sum(map(len, found.values())) == version.size
    return found


def _files(entries: list[Entry], content: bytes) -> dict[str, bytes]:
    found, start = {}, 0
    for entry in entries:
        if entry.type is EntryType.FILE:
            found[entry.path] = content[start : start + entry.size]
            start += entry.size
    assert start == len(content)
    return found
