"""A catalog without a database: HEAD and TOC, read from the store over the line that the images come over.

HEAD alone answers whether anything changed. The TOC is fetched like any image, so that only its changed blocks cross the line,
into a private root; it is then read by the SQL that reads a catalog.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from netclnt.errors import Damaged, Incompatible, Locked, TrustError
from netclnt.head import HEAD_FILE_MAX, HEAD_PATH, StoreHead, decode_offered_head
from netclnt.localmanifests import Manifests
from netclnt.model import CatalogState, HeldVersion, Refused, Report, Version
from netclnt.protocols import CatalogReader, Root, Source

_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.1

TOC_NAME = "toc.sqlite"
"""The TOC's name in its private root."""


class StoreCatalog:
    """A SlaveCatalog over a Source, which stays its owner's to close.

    ``root`` is a private directory for the TOC, ``manifests`` one for its manifest; ``open_toc`` opens the TOC that lies there.
    """

    def __init__(
        self, source: Source, *, root: Root, manifests: Manifests, open_toc: Callable[[], CatalogReader], threads: int
    ) -> None:
        self._source = source
        self._root = root
        self._manifests = manifests
        self._open_toc = open_toc
        self._threads = threads
        self._head: StoreHead | None = None
        self._toc: CatalogReader | None = None

    queries = 0
    """No statement is ever sent to a master."""

    def state(self) -> CatalogState:
        head = decode_offered_head(self._source.read_file(HEAD_PATH, limit=HEAD_FILE_MAX))
        if self._head is None or head.toc != self._head.toc:
            self.close()
        self._head = head
        return head.state

    def current(self, *, generation: int, channel: str, refuse: Callable[[Refused], None] | None = None) -> Iterator[Version]:
        return self._reader().current(generation=generation, channel=channel, refuse=refuse)

    def history(self, name: str, *, generation: int, channel: str) -> Sequence[HeldVersion]:
        return self._reader().history(name, generation=generation, channel=channel)

    def report(self, report: Report) -> None:
        """Nothing: a store is read-only for its slaves."""

    def seen(self, server: str, *, generation: int, at: str) -> None:
        """Nothing: a store is read-only for its slaves."""

    def close(self) -> None:
        if self._toc is not None:
            self._toc.close()
            self._toc = None

    def _reader(self) -> CatalogReader:
        """The TOC that HEAD speaks of, fetched if it is not here yet."""
        if self._head is None:
            self.state()
        assert self._head is not None
        if self._toc is None:
            with self._alone():
                self._toc = self._local_toc(self._head)
                if self._toc is None:
                    self._fetch(self._head)
                    self._toc = self._open_toc()
        return self._toc

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the private root, waiting for another run (a ``diff`` beside a ``sync``) that fetches the same TOC."""
        with ExitStack() as stack:
            until = time.monotonic() + _PATIENCE_SECONDS
            while True:
                try:
                    stack.enter_context(self._root.lock("fetching the table of contents"))
                    break
                except Locked:
                    if time.monotonic() >= until:
                        raise
                time.sleep(_POLL_SECONDS)
            yield

    def _local_toc(self, head: StoreHead) -> CatalogReader | None:
        """The TOC that lies here, if it is the one that HEAD speaks of."""
        if self._root.type(TOC_NAME) != "file" or head.toc not in self._manifests:
            return None
        toc = self._open_toc()
        try:
            found = toc.state()
            if (found.identity, found.generation) == (head.state.identity, head.state.generation):
                return toc
        except (Damaged, Incompatible, TrustError):
            pass  # whatever lies here is fetched anew
        toc.close()
        return None

    def _fetch(self, head: StoreHead) -> None:
        """Bring the TOC. What that takes is loaded only now: a slave that is up to date starts quicker."""
        from netclnt.bringtoc import bring_toc  # noqa: PLC0415 - see above

        bring_toc(head, TOC_NAME, self._root, source=self._source, manifests=self._manifests, threads=self._threads)
