"""What the last check of the store found damaged: kept in the state directory until publishing has healed it.

A cache: lost, it is found again by the next check.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from netclnt.locations import Frame
from netclnt.notes import ODD, write_note

_FILE = "damaged.json"


@dataclass(slots=True)
class Damages:
    """``frames`` by pack and offset; ``packs`` that are gone as a whole; ``manifests`` whose own file, or that of their
    locations, is damaged; ``page_deltas`` the manifests beside which damaged ones lie; ``concerned`` are digest and length of the
    head of all manifests that need any of the others."""

    identity: str
    frames: set[tuple[int, int]] = field(default_factory=set)
    packs: set[int] = field(default_factory=set)
    manifests: set[str] = field(default_factory=set)
    page_deltas: set[str] = field(default_factory=set)
    concerned: dict[str, int] = field(default_factory=dict)

    def __contains__(self, frame: Frame) -> bool:
        return (frame.pack, frame.offset) in self.frames or frame.pack in self.packs

    def __bool__(self) -> bool:
        return bool(self.frames or self.packs or self.manifests or self.page_deltas)

    def add(self, other: Damages) -> None:
        """Take in what another check found."""
        self.frames |= other.frames
        self.packs |= other.packs
        self.manifests |= other.manifests
        self.page_deltas |= other.page_deltas
        self.concerned |= other.concerned

    @classmethod
    def load(cls, state: Path, *, identity: str) -> Damages:
        """What is recorded for the catalog of that identity; anything odd counts as nothing."""
        try:
            said = json.loads((state / _FILE).read_text())
            if said["identity"] != identity:
                return cls(identity)
            return cls(
                identity,
                {(int(pack), int(offset)) for pack, offset in said["frames"]},
                {int(pack) for pack in said["packs"]},
                set(map(str, said["manifests"])),
                set(map(str, said["page_deltas"])),
                {str(digest): int(length) for digest, length in said["concerned"].items()},
            )
        except ODD:
            return cls(identity)

    def save(self, state: Path) -> None:
        """Keep it, durably; nothing is kept of nothing."""
        path = state / _FILE
        if not self:
            path.unlink(missing_ok=True)
            return
        said = {
            "identity": self.identity,
            "frames": sorted(self.frames),
            "packs": sorted(self.packs),
            "manifests": sorted(self.manifests),
            "page_deltas": sorted(self.page_deltas),
            "concerned": self.concerned,
        }
        write_note(path, said)
