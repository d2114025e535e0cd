"""The one thread pattern: a bounded feed, n workers, results in order, and the first error stops the feed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def ordered_map(work: Callable[[A], B], items: Iterable[A], *, threads: int, ahead: int) -> Generator[B, None, None]:
    """``work(item)`` for each item, in the items' order, by ``threads`` threads and at most ``ahead`` items in hand. A
    result that is there when an item is taken is not kept back.

    ``items`` is consumed in the caller's thread. The first error, of ``items`` or ``work``, ends the iteration: no further
    item is taken, waiting ones are dropped, running ones are waited for, and it is raised here. Closing the iterator early
    does the same.
    """
    pending: deque[Future[B]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="worker") as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                while pending and (len(pending) >= ahead or pending[0].done()):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
