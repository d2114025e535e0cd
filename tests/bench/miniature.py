"""netclnt in miniature: blocks and frames 1/64 as long, everything else as it is.

``python -m tests.bench.miniature WORDS…`` is ``netclnt WORDS…`` on a master whose chunker cuts blocks of 256 bytes on average
instead of 16 KiB, and whose frames hold as many of them as ever. An image of 100 GB is then one of 1.6 GB with just as many
blocks, pages, frames and index records, so that what grows with their number can be measured for real, by the real program,
without the disk and the minutes that the bytes would take. What depends on bytes (buffers, rates) is not to be read off it.
A slave needs nothing of this: the blocks of a manifest may be of any length.
"""

from __future__ import annotations

import os
import random
import sys
from functools import partial
from pathlib import Path

from pyfastcdc import FastCDC

from netclnt import chunking, ingest
from netclnt.cli.main import main as netclnt
from netclnt.model import BLOCK_MAX

FACTOR = 64
BLOCKS_PER_BYTE = 1 / 311
"""Measured, of random content: 6 million blocks take 1.9 GB; at full length 120 GB."""

_WORDS = 1 << 16
"""How much content is made at a time, in 8-byte words."""


def main() -> int:
    """Run netclnt with the lengths of blocks and frames cut down."""
    small = partial(FastCDC, avg_size=BLOCK_MAX // 4 // FACTOR, min_size=BLOCK_MAX // 16 // FACTOR, max_size=BLOCK_MAX // FACTOR)
    chunking.FastCDC = lambda **_: small()
    ingest.FRAME_MAX = ingest.FRAME_MAX // FACTOR
    return netclnt()


def write_image(path: Path, blocks: int, *, seed: int = 7) -> None:
    """An image of about so many blocks, of content that does not compress."""
    source = random.Random(seed)
    left = int(blocks / BLOCKS_PER_BYTE)
    with path.open("wb") as file:
        while left > 0:
            left -= file.write(source.randbytes(min(left, _WORDS * 8)))


def change(path: Path, *, every: int, seed: int = 8) -> None:
    """Change 8 bytes in about every ``every``-th block, in place, all over the image."""
    source = random.Random(seed)
    stride = round(every / BLOCKS_PER_BYTE / 8)
    with path.open("r+b") as file:
        while part := file.read(_WORDS * 8):
            words = memoryview(bytearray(part[: len(part) // 8 * 8])).cast("Q")
            places = len(range(stride // 2, len(words), stride))
            words[stride // 2 :: stride] = memoryview(source.randbytes(places * 8)).cast("Q")
            file.seek(-len(part), os.SEEK_CUR)
            file.write(words)
            file.seek(len(part) - len(words) * 8, os.SEEK_CUR)


if __name__ == "__main__":
    sys.exit(main())
