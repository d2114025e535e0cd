#!/usr/bin/env python3
"""Prints what syncs cost, as a table: ``cost-table.py DIR LABEL…``.

For each LABEL, DIR holds what ``netclnt --json sync`` wrote in LABEL.sync, and what ``netclnt --json list`` wrote after it in
LABEL.list.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

HEADINGS = ("sync", "image", "bytes", "bytes fetched", "bytes reused", "seconds")


def events(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rows(directory: Path, label: str) -> Iterator[tuple[str, ...]]:
    """One row an image, then one for the whole sync; ``bytes fetched`` there counts all that came by SFTP."""
    listed = {event["image"]: int(event["size"]) for event in events(directory / f"{label}.list") if event["type"] == "image"}
    for event in events(directory / f"{label}.sync"):
        if event["type"] == "image":
            yield row(label, event["image"], listed[event["image"]], event)
        if event["type"] == "summary":
            counts = f"all ({event['queries']} queries, {event['sftp_connections']} SFTP connections)"
            yield row(label, counts, sum(listed.values()), event)


def row(label: str, name: str, size: int, event: dict[str, str]) -> tuple[str, ...]:
    return (
        label,
        name,
        f"{size:,}",
        f"{int(event['bytes_fetched']):,}",
        f"{int(event['bytes_reused']):,}",
        f"{float(event['seconds']):.2f}",
    )


def main(directory: str, *labels: str) -> None:
    table = [HEADINGS, *(cells for label in labels for cells in rows(Path(directory), label))]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    for cells in table:
        names = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
        sys.stdout.write("  ".join(names + numbers) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
