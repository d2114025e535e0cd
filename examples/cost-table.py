#!/usr/bin/env python3
"""Prints what syncs cost, as a table: ``cost-table.py ROOT FILE…``, each FILE what a ``netclnt --json sync`` into ROOT wrote."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

HEADINGS = ("sync", "image", "bytes", "bytes fetched", "bytes reused", "seconds")


def rows(path: Path, root: Path) -> Iterator[tuple[str, ...]]:
    """One row an image, then one for the whole sync; ``bytes fetched`` there counts all that came by SFTP."""
    for line in path.read_text().splitlines():
        event = json.loads(line)
        if event["type"] == "image":
            yield row(path.stem, event["image"], f"{(root / event['image']).stat().st_size:,}", event)
        if event["type"] == "summary":
            yield row(path.stem, f"all ({event['queries']} queries, {event['sftp_connections']} SFTP connections)", "", event)


def row(sync: str, image: str, size: str, event: dict[str, float]) -> tuple[str, ...]:
    return sync, image, size, f"{event['bytes_fetched']:,}", f"{event['bytes_reused']:,}", f"{event['seconds']:.1f}"


def main(root: str, *paths: str) -> None:
    table = [HEADINGS, *(line for path in paths for line in rows(Path(path), Path(root)))]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    for cells in table:
        names = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
        sys.stdout.write("  ".join(names + numbers) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
