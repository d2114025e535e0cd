"""A catalog without a database: HEAD and TOC, read from the store over the line that the images come over.

HEAD alone answers whether anything changed. The TOC is fetched like any image, so that only its changed blocks cross the line,
into a private root; it is then read by the SQL that reads a catalog.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from netclnt.bring import Line, Wanted, fill, get_manifest, make_plan, prepare
from netclnt.errors import Damaged, Incompatible, Locked, TrustError
from netclnt.head import HEAD_FILE_MAX, HEAD_PATH, StoreHead, decode_store_head
from netclnt.localmanifests import Manifests
from netclnt.model import CatalogState, HeldVersion, Report, Version
from netclnt.protocols import CatalogReader, Root, Source
from netclnt.rows import SCHEMA_VERSION
from netclnt.seeding import version_seed
from netclnt.seeds import Seed, Seeds

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
        head = decode_store_head(self._source.read_file(HEAD_PATH, limit=HEAD_FILE_MAX))
        if head.state.min_reader > SCHEMA_VERSION:
            raise Incompatible("catalog schema", f"for readers of version {head.state.min_reader}", str(SCHEMA_VERSION))
        if self._head is None or head.toc != self._head.toc:
            self.close()
        self._head = head
        return head.state

    def current(self, *, generation: int, channel: str) -> Iterator[Version]:
        return self._reader().current(generation=generation, channel=channel)

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
        line = Line(self._source, self._manifests, head.state.hash_seed, self._threads)
        wanted = Wanted("table of contents", head.toc, head.toc_head_bytes)
        old = self._manifests.digests()
        manifest = get_manifest(wanted, line, reuse=old)
        seeds = Seeds([seed for seed in map(self._seed, old) if seed is not None])
        try:
            self._root.discard(head.toc)
            staging = prepare(manifest, self._root, journal=(), base=None)
            try:
                plan = make_plan(manifest, seeds, line, staging)
                fill(wanted, manifest, plan, seeds, staging, line, on_page=lambda _: None)
                staging.stage.seal(TOC_NAME)
            finally:
                staging.stage.close()
            self._root.show(head.toc, TOC_NAME, keep=None)
        finally:
            seeds.close()
            manifest.close()
        self._manifests.keep_only([head.toc])

    def _seed(self, digest: str) -> Seed | None:
        if self._root.type(TOC_NAME) != "file":
            return None
        return version_seed(self._manifests, digest, partial(self._root.open, TOC_NAME))
