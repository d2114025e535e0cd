"""A slave's parts, and what it is asked to do: made at the composition root, handed to the work."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from netclnt.allowance import Allowance, unlimited
from netclnt.ledger import Ledger
from netclnt.localmanifests import Manifests
from netclnt.model import SIZE_MAX
from netclnt.protocols import Root, SlaveCatalog, Source
from netclnt.selection import Selection


@dataclass(frozen=True, slots=True)
class Slave:
    """``open_catalog`` opens the master's catalog anew: it is closed after each asking. ``source`` connects when it is first read
    from. ``seed_roots`` are the seed directories by their paths; ``scratch`` is a private directory for indexes.

    ``selection`` and ``channel`` say what this slave holds; ``adopt`` that foreign files may be replaced; ``keep`` how many old
    versions stay; ``max_retire`` the percentage of held images above which a shrunken offer is refused; ``max_image_size`` the
    bytes, holes included, above which an image is; ``retry_quarantined`` that versions in quarantine are fetched once more;
    ``priority`` are patterns in the order in which images are brought, ``allowance`` is what may be taken from the line;
    ``holder`` is what this run says of itself to others that find the root locked. ``now`` gives the time, RFC 3339 in UTC,
    ``monotonic`` seconds for durations.
    """

    name: str
    machine_id: str
    root: Root
    root_path: str
    ledger: Ledger
    manifests: Manifests
    open_catalog: Callable[[], SlaveCatalog]
    source: Source
    seed_roots: Mapping[str, Root]
    scratch: Path
    selection: Selection
    channel: str
    adopt: bool
    keep: int
    max_retire: int
    report: bool
    threads: int
    holder: str
    now: Callable[[], str]
    monotonic: Callable[[], float]
    retry_quarantined: bool = False
    max_image_size: int = SIZE_MAX
    allowance: Allowance = field(default_factory=unlimited)
    priority: tuple[str, ...] = ()

    def selection_digest(self, pinned: Sequence[str]) -> str:
        """Changes with everything that decides what this slave should hold; ``pinned`` are the names of pinned images."""
        facts = (self.selection.patterns, self.channel, self.root_path, *pinned)
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def drop(self, token: str) -> None:
        """Remove a kept version; from the ledger first, so that it never claims what is gone."""
        self.ledger.drop_kept(token)
        self.root.drop(token)

    def discard(self, token: str) -> None:
        """Remove a staging area; its journal first, so that it never vouches for what the next area does not hold."""
        self.ledger.journal_clear(token)
        self.root.discard(token)
