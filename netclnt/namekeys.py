"""Names of images as a catalog compares them: each database would in a way of its own."""

from __future__ import annotations

import hashlib

from netclnt.errors import BadArgument
from netclnt.model import Kind
from netclnt.naming import twin_key


def name_key(name: str) -> str:
    """The UTF-8 bytes in hex: sorts as the bytes do under every database's collation."""
    return name.encode("utf-8").hex()


def name_hash(name: str) -> str:
    """SHA-256 of a name: what names are looked up by, since databases compare text each in its own way."""
    return hashlib.sha256(name.encode("utf-8")).hexdigest()


def twin_hash(name: str) -> str:
    """Equal for names that fall together when case is ignored."""
    return name_hash(twin_key(name))


def parents(name: str) -> tuple[str, ...]:
    """The names of all directories above an image."""
    parts = name.split("/")
    return tuple("/".join(parts[:count]) for count in range(1, len(parts)))


def check_neighbour(name: str, kind: Kind, other: str, other_kind: Kind) -> None:
    """Raise BadArgument if an image called ``name`` of ``kind`` cannot exist beside the image ``other``."""
    if name == other:
        if kind is not other_kind:
            raise BadArgument(argument=name, problem=f"is there already, with kind {other_kind}")
    elif twin_key(name) == twin_key(other):
        raise BadArgument(argument=name, problem=f"differs only in case from the image {other}")
    elif other.startswith(name + "/") or name.startswith(other + "/"):
        raise BadArgument(
            argument=name, problem=f"cannot lie in the same root as the image {other}: one is a directory of the other"
        )
