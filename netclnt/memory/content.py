"""The in-memory twin of what is published."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from netclnt.errors import SourceChanged
from netclnt.model import EntryType
from netclnt.protocols import Item


@dataclass(eq=False, slots=True)
class MemoryContent:
    """A Content of the given files (path to bytes; ``""`` alone for an image of one file) with all directories that they
    need, and links (path to target). ``changed`` makes it change while it is published."""

    files: Mapping[str, bytes]
    links: Mapping[str, str] = field(default_factory=dict)
    changed: bool = False

    @property
    def tree(self) -> bool:
        return "" not in self.files

    def items(self) -> Iterator[Item]:
        found = {path: Item(path, EntryType.FILE, 0o644, len(data)) for path, data in self.files.items()}
        found |= {path: Item(path, EntryType.LINK, 0o777, target=target) for path, target in self.links.items()}
        for path in list(found) if self.tree else []:
            while path:
                path = path.rpartition("/")[0]
                found.setdefault(path, Item(path, EntryType.DIRECTORY, 0o755))
        if self.tree:
            found.setdefault("", Item("", EntryType.DIRECTORY, 0o755))
        yield from sorted(found.values(), key=_order)

    def open(self, path: str) -> BinaryIO:
        return io.BytesIO(self.files[path])

    def check_unchanged(self) -> None:
        if self.changed:
            raise SourceChanged(path="memory")


def _order(item: Item) -> list[bytes]:
    return [part.encode() for part in item.path.split("/")] if item.path else []
