"""The trash: what gc found to be needed no longer, and since when. It stays where it is until the grace time is over.

So a slave that is in the middle of a slow sync still finds whatever it was told of, and a version that is promoted again within
the grace time is simply needed again. The list is a cache: lost, the grace time begins anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from netclnt.notes import ODD, write_note

_FILE = "trash.json"


@dataclass(slots=True)
class Trash:
    """``versions`` (``NAME@N MANIFEST``) that are superseded, and ``files`` of the store (by path) that no version needs: since
    when, in seconds since 1970."""

    identity: str
    versions: dict[str, float] = field(default_factory=dict)
    files: dict[str, float] = field(default_factory=dict)

    @classmethod
    def load(cls, state: Path, *, identity: str, now: float) -> Trash:
        """What is recorded for the catalog of that identity; anything odd counts as nothing, and what is said to be of the future
        as of now."""
        try:
            said = json.loads((state / _FILE).read_text())
            if said["identity"] != identity:
                return cls(identity)
            versions, files = (
                {str(key): min(now, float(at)) for key, at in said[kind].items()} for kind in ("versions", "files")
            )
        except ODD:
            return cls(identity)
        return cls(identity, versions, files)

    def save(self, state: Path) -> None:
        """Keep it, durably."""
        write_note(state / _FILE, {"identity": self.identity, "versions": self.versions, "files": self.files})
