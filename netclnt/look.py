"""Whether what lies in the root is what the ledger says: by its looks, which is cheap, or by its content."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import zip_longest

from netclnt.errors import ForbiddenName, StorageError, Unpublishable
from netclnt.ledger import Held, Ledger
from netclnt.localmanifests import Manifests
from netclnt.model import Entry, EntryType
from netclnt.protocols import Facts, Root


def is_as_recorded(root: Root, ledger: Ledger, manifests: Manifests, held: Held) -> bool:
    """Whether an image looks as it did when it was recorded, and its manifest is at hand."""
    return not held.damaged and held.manifest in manifests and looks_as_recorded(root, held.name, ledger.facts(held.name))


def _is_at_its_place(root: Root, ledger: Ledger, manifests: Manifests, held: Held) -> bool:
    """Whether what lies at an image's place is what was shown there, whatever happened inside it since."""
    return not held.damaged and held.manifest in manifests and looks_as_recorded(root, held.name, ledger.facts(held.name, ""))


def looks_as_recorded(root: Root, name: str, facts: Mapping[str, Facts]) -> bool:
    """Whether every one of these paths of an image has the size, mtime and inode it was recorded with, and there are any."""
    paths = list(facts)
    try:
        return bool(paths) and list(root.facts(name, paths)) == [facts[path] for path in paths]
    except StorageError:
        return False


def take_facts(root: Root, name: str, entries: Sequence[Entry]) -> dict[str, Facts]:
    """How these entries of an image look now."""
    paths = [entry.path for entry in entries]
    found = root.facts(name, paths)
    return {path: facts for path, facts in zip(paths, found, strict=True) if facts is not None}


def as_sealed(entries: Sequence[Entry], sealed: Sequence[Facts]) -> dict[str, Facts]:
    """How an image looks that nobody changed since it was sealed."""
    return {entry.path: facts for entry, facts in zip(entries, sealed, strict=True)}


def has_content(root: Root, name: str, entries: Sequence[Entry]) -> bool:
    """Whether an image consists of exactly these entries. Modes count inside a tree; the image's own is the admin's affair."""
    try:
        return all(
            found is not None and wanted is not None and _comparable(found) == _comparable(wanted)
            for found, wanted in zip_longest(root.tree(name), entries)
        )
    except (ForbiddenName, Unpublishable, StorageError):
        return False


def facts_if_whole(root: Root, name: str, entries: Sequence[Entry]) -> dict[str, Facts] | None:
    """How an image that has this content looks: as it did before the content was read, so that a change meanwhile shows."""
    try:
        facts = take_facts(root, name, entries)
    except StorageError:
        return None
    return facts if has_content(root, name, entries) else None


def _comparable(entry: Entry) -> tuple[str, EntryType, int, int, bytes, str]:
    return entry.path, entry.type, entry.mode if entry.path else 0, entry.size, entry.sha256, entry.target


def is_displaced(root: Root, held: Held) -> bool:
    """Whether something of another type lies at an image's place: it is no damaged image, but what somebody put there."""
    return root.type(held.name) not in ("absent", "directory" if held.tree else "file")


@dataclass(frozen=True, slots=True)
class Rechecked:
    """An image that was not as recorded, and what a look at its content found: its facts if it is whole, else None."""

    held: Held
    facts: Mapping[str, Facts] | None

    @property
    def now(self) -> Held:
        return replace(self.held, damaged=self.facts is None)


def recheck(
    root: Root, ledger: Ledger, manifests: Manifests, images: Iterable[Held], *, replaced: Collection[str] = ()
) -> list[Rechecked]:
    """Hash every one of the images that is not as recorded. One whose manifest is gone counts as damaged until that is fetched
    again. Of those that are to be ``replaced`` only the place is looked at: whoever takes something over from them looks at that.
    """
    return [
        Rechecked(held, _facts_if_whole(root, manifests, held))
        for held in images
        if not (_is_at_its_place if held.name in replaced else is_as_recorded)(root, ledger, manifests, held)
    ]


def _facts_if_whole(root: Root, manifests: Manifests, held: Held) -> dict[str, Facts] | None:
    manifest = manifests.open(held.manifest)
    if manifest is None:
        return None
    with closing(manifest):
        return facts_if_whole(root, held.name, manifest.entries)


def record(root: Root, ledger: Ledger, rechecked: Iterable[Rechecked]) -> None:
    """Let the ledger know what was found; never of content that a power cut could take back."""
    for found in rechecked:
        if found.facts is not None:
            root.secure(found.held.name)
        if found.facts is not None or not found.held.damaged:
            ledger.correct(found.held, found.facts)
