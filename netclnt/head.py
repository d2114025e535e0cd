"""HEAD: the tiny text file in the store that says which generation it holds. Lines ``key value``, closed by their own SHA-256.

``netclnt-head 1``, ``identity`` (32 hex digits), ``hash-seed`` (16), ``schema`` (version and min_reader), ``generation``,
``assignment`` (revision), ``statement`` (number), ``chunker``, ``toc`` (digest of the TOC's manifest and length of its head),
``sha256``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from netclnt.errors import Damaged, Incompatible
from netclnt.model import HEAD_BYTES_MAX, CatalogState, check_hex, check_range
from netclnt.rows import SCHEMA_VERSION

HEAD_PATH = "HEAD"
HEAD_FILE_MAX = 4096
_FIRST = "netclnt-head 1"
_KEYS = ("identity", "hash-seed", "schema", "generation", "assignment", "statement", "chunker", "toc", "sha256")


@dataclass(frozen=True, slots=True)
class StoreHead:
    """``toc`` is the digest of the TOC's manifest, ``toc_head_bytes`` the length of that manifest's head."""

    state: CatalogState
    toc: str
    toc_head_bytes: int


def encode_store_head(head: StoreHead) -> bytes:
    state = head.state
    values = (
        state.identity,
        f"{state.hash_seed:016x}",
        f"{state.schema_version} {state.min_reader}",
        str(state.generation),
        str(state.assignment_revision),
        str(state.statement_number),
        state.chunker,
        f"{head.toc} {head.toc_head_bytes}",
    )
    text = "".join(f"{line}\n" for line in (_FIRST, *(f"{key} {value}" for key, value in zip(_KEYS, values, strict=False))))
    return f"{text}sha256 {hashlib.sha256(text.encode()).hexdigest()}\n".encode()


def decode_offered_head(data: bytes) -> StoreHead:
    """As :func:`decode_store_head`, for a slave. Raises Incompatible where the catalog is for later readers than this program."""
    head = decode_store_head(data)
    if head.state.min_reader > SCHEMA_VERSION:
        raise Incompatible("catalog schema", f"for readers of version {head.state.min_reader}", str(SCHEMA_VERSION))
    return head


def decode_store_head(data: bytes) -> StoreHead:
    """Raises Damaged, Incompatible or ForbiddenValue."""
    try:
        lines = data.decode("ascii").splitlines()
        if lines[:1] != [_FIRST]:
            raise Incompatible(what="HEAD", found=repr(data[:32]), supported=_FIRST)
        signed = data[: data.rindex(b"sha256 ")]
        fields = dict(line.split(" ", 1) for line in lines[1:])
        if tuple(fields) != _KEYS or fields["sha256"] != hashlib.sha256(signed).hexdigest():
            raise Damaged(what="HEAD", where=HEAD_PATH, problem="it does not match its own SHA-256")
        schema_version, min_reader = map(int, fields["schema"].split(" "))
        toc, toc_head_bytes = fields["toc"].split(" ")
        state = CatalogState(
            identity=fields["identity"],
            hash_seed=int(fields["hash-seed"], 16),
            chunker=fields["chunker"],
            schema_version=schema_version,
            min_reader=min_reader,
            generation=int(fields["generation"]),
            assignment_revision=int(fields["assignment"]),
            statement_number=int(fields["statement"]),
        )
        head = StoreHead(
            state=state,
            toc=check_hex("manifest digest", toc, 64),
            toc_head_bytes=check_range("length of a manifest's head", int(toc_head_bytes), 1, HEAD_BYTES_MAX),
        )
    except (ValueError, IndexError) as error:
        raise Damaged(what="HEAD", where=HEAD_PATH, problem=repr(error)) from None
    if encode_store_head(head) != data:
        raise Damaged(what="HEAD", where=HEAD_PATH, problem="not written as netclnt writes it")
    return head
