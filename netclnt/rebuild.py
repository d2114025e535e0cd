"""After the ledger was lost: what lies in the root is recognized by its content, as the offered version or an older one.

So nothing is fetched that is here, and an image that netclnt put there is not taken for somebody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress

from netclnt.errors import ForbiddenName, StorageError, Unpublishable
from netclnt.events import ImageDone, Observer
from netclnt.ledger import Held
from netclnt.look import facts_if_whole, take_facts
from netclnt.model import CatalogState, EntryType, HeldVersion, Version
from netclnt.protocols import Facts
from netclnt.slave import Slave


def rebuild(
    slave: Slave,
    versions: Iterable[Version],
    state: CatalogState,
    *,
    histories: Callable[[Sequence[str]], Mapping[str, Sequence[HeldVersion]]],
    observer: Observer,
) -> None:
    """Hash what lies at the places of images that the ledger does not know, and record what is some version of theirs.

    ``histories`` asks the catalog for all versions of some images, once. A tree is compared with manifests of the state directory
    alone; where one is gone the sync fetches it.
    """
    contents = [content for content in (_Content.look(slave, version) for version in versions) if content is not None]
    unknown = [content for content in contents if not content.is_recorded_as(content.offered, state, observer)]
    older = histories([content.offered.name for content in unknown]) if unknown else {}
    for content in unknown:
        for one in older.get(content.offered.name, ()):
            if one.version.number != content.offered.number and content.is_recorded_as(one.version, state, observer):
                break


class _Content:
    """What lies at the place of an image that the ledger does not know. ``facts`` and ``sha256`` are those of a file."""

    def __init__(self, slave: Slave, offered: Version, facts: Mapping[str, Facts], sha256: str) -> None:
        self.offered = offered
        self._slave = slave
        self._facts = facts
        self._sha256 = sha256

    @classmethod
    def look(cls, slave: Slave, offered: Version) -> _Content | None:
        """None if the ledger knows the image, or nothing lies there that could be one. A file is hashed now, and once."""
        with suppress(ForbiddenName, Unpublishable, StorageError):
            slave = slave.at(offered)
            kind = slave.root.type(offered.name) if slave.ledger.get(offered.name) is None else "known"
            if kind == "directory":
                return cls(slave, offered, {}, "")
            if kind == "file":
                (facts,) = slave.root.facts(offered.name, [""])
                (entry,) = slave.root.tree(offered.name)
                return cls(slave, offered, {"": facts}, entry.sha256.hex()) if facts is not None else None
        return None

    def is_recorded_as(self, version: Version, state: CatalogState, observer: Observer) -> bool:
        """Record it if it is this version; whether it is."""
        began = self._slave.monotonic()
        facts = self._facts_as_tree(version) if version.tree else self._facts if self._sha256 == version.sha256 else None
        if not facts:
            return False
        self._slave.root.secure(version.name)
        held = Held.of(version, generation=state.generation, shown_at=self._slave.now())
        self._slave.record(held, facts)
        observer(ImageDone(version.name, version.number, "recorded", 0, 0, self._slave.monotonic() - began))
        return True

    def _facts_as_tree(self, version: Version) -> Mapping[str, Facts] | None:
        """How it looks if it is this version; hashed only where all files are there in their sizes."""
        manifest = self._slave.manifests.open(version.manifest) if not self._facts else None
        if manifest is None:
            return None
        with closing(manifest), suppress(StorageError):
            found = take_facts(self._slave.root, version.name, manifest.entries)
            sizes = {entry.path: entry.size for entry in manifest.entries if entry.type is EntryType.FILE}
            if len(found) == len(manifest.entries) and all(found[path].size == size for path, size in sizes.items()):
                return facts_if_whole(self._slave.root, version.name, manifest.entries)
        return None
