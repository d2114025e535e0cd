"""Packs and frames: how new blocks are stored.

A pack is a 16-byte header (``NCPACK1\\n``, the pack's id as eight big-endian bytes) and frames, back to back. A frame is a run of
consecutive new blocks, at most :data:`FRAME_MAX` plain bytes, stored by one of the codecs: 0 as it is, 1 as one zstd frame
(RFC 8878) that declares its content size, 2 as one zstd frame made with a prefix of raw content: the frame's **base**, blocks
that a slave very likely has. A delta frame, one with a base, is only ever a second form of a plain one: whoever lacks its base
takes that. Where frames lie is told by the locations beside a manifest, not by the pack.
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
PREFIX = 2

BASE_MIN = 8
"""zstd takes no shorter prefix."""

BASE_MAX = 512 * 1024
"""The longest base of a frame, plain."""

ZSTD_VERSION = bytes((0, *zstd.zstd_version_info))
"""Of the library: two versions may compress the same content to other bytes."""

_DELTA_LEVEL_MIN = 2
"""What the lowest level keeps of a long base does not reach back to its beginning."""

_WINDOW_LOG_MIN = 10
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


def decompress(stored: Bytes, *, limit: int, what: str, where: str, base: Bytes = b"") -> bytes:
    """The content of exactly one zstd frame, made with the prefix ``base`` if there is one; never more than ``limit`` bytes.
    Raises Damaged."""
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX}
    decompressor = zstd.ZstdDecompressor(zstd_dict=_prefix(base) if base else None, options=options)
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


def encode_delta(plain: Bytes, base: Bytes, level: int) -> bytes:
    """The stored bytes of a delta frame (codec PREFIX)."""
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: max(level, _DELTA_LEVEL_MIN),
        zstd.CompressionParameter.window_log: max((len(base) + len(plain)).bit_length(), _WINDOW_LOG_MIN),
    }
    compressor = zstd.ZstdCompressor(options=options, zstd_dict=_prefix(base))
    compressor.set_pledged_input_size(len(plain))
    return compressor.compress(plain, compressor.FLUSH_FRAME)


def _prefix(base: Bytes) -> tuple[zstd.ZstdDict, int]:
    return zstd.ZstdDict(base, is_raw=True).as_prefix


def decode_frame(codec: int, stored: Bytes, *, plain: int, where: str, base: Bytes = b"") -> Bytes:
    """The ``plain`` bytes of a frame; of a delta frame by its ``base``. Raises Damaged when it is anything else."""
    content = stored if codec == RAW else decompress(stored, limit=plain, what="frame", where=where, base=base)
    if len(content) != plain:
        raise Damaged(what="frame", where=where, problem=f"{len(content)} bytes instead of {plain}")
    return content
