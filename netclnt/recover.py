"""Recovery: a catalog that was lost, or restored from a backup, is made whole from what the store shows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Protocol

from netclnt.errors import BadArgument, Damaged, Incompatible, Unreachable
from netclnt.head import HEAD_PATH, StoreHead
from netclnt.master import Master, own_files, read_head, refresh_head, scratch
from netclnt.model import CatalogState
from netclnt.protocols import OfferRows
from netclnt.storedframes import write_content
from netclnt.storedmanifest import StoredManifest


class Toc(OfferRows, Protocol):
    """A TOC, open."""

    def close(self) -> None: ...


def recover(master: Master, *, open_toc: Callable[[Path], Toc], at: str) -> CatalogState:
    """Make the catalog anew, or mend it, by the store's HEAD and TOC; generation and numbers rise above all that was ever seen,
    so that every slave looks again. The identity stays. A HEAD that cannot be read is made anew from the catalog.

    Raises BadArgument where neither catalog nor HEAD is there, ForeignMaster, HistoriesDiffer, Damaged.
    """
    with own_files(master.state), master.store.lock(master.holder), ExitStack() as stack:
        known = _is_there(master)
        head = _head(master, known=known)
        if known:
            stack.enter_context(master.catalog.writer_lock(master.holder))
        offer = _open(master, head, open_toc, stack) if head else None
        state = master.catalog.recover(head.state if head else None, offer, at=at)
        if head is None:
            master.store.remove(HEAD_PATH)
    refresh_head(master)
    return state


def _is_there(master: Master) -> bool:
    with suppress(Incompatible, Unreachable):
        master.catalog.state()
        return True
    return False


def _head(master: Master, *, known: bool) -> StoreHead | None:
    """HEAD; None if a catalog that is there can do without."""
    try:
        head = read_head(master.store)
    except Damaged:
        if not known:
            raise
        return None
    if head is None and not known:
        raise BadArgument(argument="--recover", problem="finds neither a catalog nor a HEAD in the store")
    return head


def _open(master: Master, head: StoreHead, open_toc: Callable[[Path], Toc], stack: ExitStack) -> Toc:
    path = scratch(master) / "recovered.sqlite"
    stack.callback(path.unlink, missing_ok=True)
    with path.open("w+b") as file:
        write_content(StoredManifest(master.store, head.toc, head.toc_head_bytes), master.store, file)
    return stack.enter_context(closing(open_toc(path)))
