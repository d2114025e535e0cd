"""Versions as no honest publish makes them, put into a real store and a SQLite catalog by hand."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from netclnt.manifest import (
    Head,
    decode_entries,
    decode_head,
    encode_entries,
    encode_head,
    locations_path,
    manifest_path,
    page_offsets,
)
from tests.support.site import Site


def catalog_of(site: Site) -> Path:
    return Path(site.place.master.removeprefix("sqlite:"))


def wrong_sha256(site: Site, name: str) -> None:
    """Let the newest version of an image say another SHA-256 than its blocks make up; all block ids stay right."""
    with closing(sqlite3.connect(catalog_of(site))) as catalog:
        rows = catalog.execute(
            "SELECT v.image, v.number, v.manifest, v.head_bytes FROM nc_version v JOIN nc_image i ON i.image = v.image"
            " WHERE i.name = ? ORDER BY v.number DESC",
            (name,),
        ).fetchall()
        image, number, digest, head_bytes = rows[0]
        head, data, wrong = _with_wrong_sha256(site.store / manifest_path(digest), digest, head_bytes)
        made = hashlib.sha256(head).hexdigest()
        for place, old in ((manifest_path(made), data), (locations_path(made), site.store / locations_path(digest))):
            (site.store / place).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(old, bytes):
                (site.store / place).write_bytes(old)
            else:
                shutil.copy(old, site.store / place)
        catalog.execute(
            "UPDATE nc_version SET manifest = ?, head_bytes = ?, sha256 = CASE WHEN tree = 1 THEN '' ELSE ? END"
            " WHERE image = ? AND number = ?",
            (made, len(head), wrong, image, number),
        )
        catalog.commit()


def _with_wrong_sha256(path: Path, digest: str, head_bytes: int) -> tuple[bytes, bytes, str]:
    """Head, whole manifest, and the wrong SHA-256 (hex) that its last file has."""
    data = path.read_bytes()
    head: Head = decode_head(data[:head_bytes], digest)
    entry_offsets, _ = page_offsets(head, head_bytes)
    pages, stored = [], []
    wrong = hashlib.sha256(b"what nobody ever published").digest()
    for page, offset in zip(head.entry_pages, entry_offsets, strict=True):
        entries = decode_entries(page, data[offset : offset + page.stored], where=str(path))
        last = max(number for number, entry in enumerate(entries) if entry.size)
        entries[last] = replace(entries[last], sha256=wrong)
        row, encoded = encode_entries(entries)
        pages.append(row)
        stored.append(encoded)
    blocks = data[entry_offsets[-1] + head.entry_pages[-1].stored :]
    made = encode_head(replace(head, entry_pages=tuple(pages)))
    return made, b"".join([made, *stored, blocks]), wrong.hex()
