"""A slave's parts, and what it is asked to do: made at the composition root, handed to the work."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from netclnt.allowance import Allowance, unlimited
from netclnt.errors import StorageError
from netclnt.ledger import Composition, Held, Ledger, OldPlace, Untold
from netclnt.localmanifests import Manifests
from netclnt.model import SIZE_MAX
from netclnt.protocols import Facts, Root, SlaveCatalog, Source
from netclnt.selection import Named, Selection

if TYPE_CHECKING:
    from netclnt.hooks import Hooks
    from netclnt.places import Places


@dataclass(frozen=True, slots=True)
class Slave:
    """``open_catalog`` opens the master's catalog anew: it is closed after each asking. ``source`` connects when it is first read
    from. ``places`` are all its roots, None where there is only one; ``root`` is then all of them, too, or (see :meth:`at`) the
    one that an image belongs in, which has the mark ``place``. ``seed_roots`` are the seed directories by their paths;
    ``scratch`` is a private directory for indexes.

    ``selection`` and ``channel`` say what this slave holds; ``adopt`` that foreign files may be replaced; ``keep`` how many old
    versions stay; ``max_retire`` the percentage of held images above which a shrunken offer is refused; ``max_image_size`` the
    bytes, holes included, above which an image is; ``retry_quarantined`` that versions in quarantine are fetched once more;
    ``priority`` are patterns in the order in which images are brought, ``allowance`` is what may be taken from the line;
    ``hooks`` are the programs to call, None for none; ``holder`` is what this run says of itself to others that find the root
    locked. ``now`` gives the time, RFC 3339 in UTC,
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
    places: Places | None = None
    place: str | None = None
    allowance: Allowance = field(default_factory=unlimited)
    priority: tuple[str, ...] = ()
    hooks: Hooks | None = None

    def selection_digest(self, pinned: Sequence[str]) -> str:
        """Changes with everything that decides what this slave should hold; ``pinned`` are the names of pinned images."""
        facts: tuple[object, ...] = (self.selection.patterns, self.channel, self.root_path, *pinned)
        if self.places is not None:
            facts += tuple((rule.selection.patterns, rule.path) for rule in self.places.rules)
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def drop(self, token: str) -> None:
        """Remove a kept version; from the ledger first, so that it never claims what is gone."""
        self.ledger.drop_kept(token)
        self.all_roots.drop(token)

    def trim_kept(self, name: str, *, newest: str) -> None:
        """Remove kept versions of an image beyond ``keep``; the token ``newest`` goes last, and then the highest number."""
        kept = sorted(self.ledger.kept(name), key=lambda one: (one.token != newest, -one.number))
        for each in kept[self.keep :]:
            self.drop(each.token)

    def discard(self, token: str) -> None:
        """Remove a staging area; its journal first, so that it never vouches for what the next area does not hold."""
        self.ledger.discard(token)
        self.all_roots.discard(token)

    # --- where there are several roots

    @property
    def all_roots(self) -> Root:
        """Where every image is found that is held, wherever it lies."""
        return self.root if self.places is None else self.places

    def at(self, image: Named) -> Slave:
        """This slave with the root that an image belongs in as its only one. Raises what says why that cannot be used."""
        if self.places is None:
            return self
        home = self.places.home(image)
        return replace(self, root=home.root, root_path=home.path, place=home.mark)

    def missing(self, held: Held) -> StorageError | None:
        """Why the root cannot be used in which an image lies; None if it can."""
        return None if self.places is None else self.places.of(held.name).missing

    def record(
        self,
        held: Held,
        facts: Mapping[str, Facts],
        *,
        moved_from: OldPlace | None = None,
        untold: Untold | None = None,
        composition: Composition | None = None,
    ) -> None:
        """Let the ledger know of an image what lies in the root it belongs in."""
        self.ledger.record(held, facts, place=self.place, moved_from=moved_from, untold=untold, composition=composition)
        if self.places is not None and self.place is not None:
            self.places.settled(held.name, self.place)
