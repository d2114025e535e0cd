"""What lies in the in-memory root: files, directories and links by their paths."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

from netclnt.errors import StorageFailed
from netclnt.model import Bytes, EntryType
from netclnt.naming import check_path
from netclnt.protocols import Facts, Reader

HOLE = 4096
"""Zeros of so many bytes, at a multiple of them, take no space."""


@dataclass(eq=False, slots=True)
class Node:
    """A file, directory or link; ``type`` None is anything else (a FIFO, a device)."""

    type: EntryType | None
    mode: int
    inode: int
    mtime: int
    data: bytearray = field(default_factory=bytearray)
    target: str = ""


Tree = dict[str, Node]
"""Nodes by path: inside an image ``""`` is the image itself."""


class MemoryReader:
    """:class:`netclnt.protocols.Reader` of a file, which may still change."""

    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def size(self) -> int:
        return len(self.node.data)

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> int:
        part = self.node.data[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        """Nothing to close."""


def join(name: str, path: str) -> str:
    return f"{name}/{check_path(path)}" if path else name


def facts_of(node: Node) -> Facts:
    return Facts(len(node.data), node.mtime, node.inode)


def below(tree: Tree, name: str) -> Tree:
    """The image ``name`` with all in it, by paths inside it."""
    prefix = f"{name}/"
    return {path[len(prefix) :]: node for path, node in tree.items() if path == name or path.startswith(prefix)}


def in_order(tree: Tree) -> list[tuple[str, Node]]:
    """Parents before children, by the bytes of their paths' components."""
    return sorted(tree.items(), key=lambda pair: [part.encode() for part in pair[0].split("/")] if pair[0] else [])


def reader_of(tree: Tree, path: str) -> Reader:
    """Raises StorageFailed."""
    node = tree.get(path)
    if node is None:
        raise missing("open", path)
    if node.type is not EntryType.FILE:
        raise StorageFailed(action="open", path=path, errno=errno.EINVAL, cause="not a regular file")
    return MemoryReader(node)


def missing(action: str, path: str) -> StorageFailed:
    return StorageFailed(action=action, path=path, errno=errno.ENOENT, cause="no such file")


def holes(data: Bytes) -> int:
    """Bytes of whole pages of zeros."""
    view = memoryview(data)
    return sum(len(part) for start in range(0, len(view), HOLE) if not any(part := view[start : start + HOLE]))
