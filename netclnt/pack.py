"""Packs and frames: how new blocks are stored.

A pack is a 16-byte header (``NCPACK1\\n``, the pack's id as eight big-endian bytes) and frames, back to back. A frame is a run of
consecutive new blocks, at most :data:`FRAME_MAX` plain bytes, stored by one of the codecs: 0 as it is, 1 as one zstd frame
(RFC 8878) that declares its content size. Where frames lie is told by the locations beside a manifest, not by the pack.
"""

from __future__ import annotations

import struct
import sys

from netclnt.errors import Damaged
from netclnt.model import Bytes

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FRAME_MAX = 248 * 1024
STORED_MAX = 261_120
"""The longest frame as stored: it fits one SFTP read."""

PACK_BYTES_MAX = 1 << 30
HEADER = struct.Struct(">8sQ")
MAGIC = b"NCPACK1\n"

RAW = 0
ZSTD = 1

_WINDOW_LOG_MAX = 22
"""No frame may ask for a window of more than 4 MiB: nothing that netclnt compresses at once is longer."""


def pack_path(pack: int) -> str:
    """Where a pack lies in the store."""
    name = f"{pack:016x}"
    return f"packs/{name[:2]}/{name}.pack"


def encode_header(pack: int) -> bytes:
    return HEADER.pack(MAGIC, pack)


def compress(plain: Bytes, level: int) -> bytes:
    """One zstd frame that declares its content size."""
    return zstd.compress(plain, level)


def decompress(stored: Bytes, *, limit: int, what: str, where: str) -> bytes:
    """The content of exactly one zstd frame; never makes more than ``limit`` bytes. Raises Damaged."""
    decompressor = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX})
    try:
        plain = decompressor.decompress(stored, max_length=limit)
    except zstd.ZstdError as error:
        raise Damaged(what=what, where=where, problem=str(error)) from None
    if not decompressor.eof or decompressor.unused_data:
        raise Damaged(what=what, where=where, problem=f"not one zstd frame of at most {limit} bytes")
    return plain


def encode_frame(plain: Bytes, level: int) -> tuple[int, Bytes]:
    """(codec, stored bytes) of a frame; content that does not compress is stored as it is."""
    stored = compress(plain, level)
    if len(stored) >= len(plain):
        return RAW, plain
    return ZSTD, stored


def decode_frame(codec: int, stored: Bytes, *, plain: int, where: str) -> Bytes:
    """The ``plain`` bytes of a frame. Raises Damaged when it is anything else."""
    content = stored if codec == RAW else decompress(stored, limit=plain, what="frame", where=where)
    if len(content) != plain:
        raise Damaged(what="frame", where=where, problem=f"{len(content)} bytes instead of {plain}")
    return content
