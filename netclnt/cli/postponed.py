"""A source that is not even imported before it is read from: an up-to-date slave never needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from netclnt.model import Range
from netclnt.protocols import Source

R = TypeVar("R", bound=Range)


class PostponedSource:
    """:class:`netclnt.protocols.Source`. ``open_source`` makes the real one, at the first read."""

    def __init__(self, address: str, open_source: Callable[[], Source]) -> None:
        self._address = address
        self._open_source = open_source
        self._source: Source | None = None

    @property
    def address(self) -> str:
        return self._source.address if self._source else self._address

    @property
    def connections(self) -> int:
        return self._source.connections if self._source else 0

    @property
    def bytes_received(self) -> int:
        return self._source.bytes_received if self._source else 0

    def read_file(self, path: str, *, limit: int) -> bytes:
        return self._opened().read_file(path, limit=limit)

    def fetch(self, ranges: Iterable[R]) -> Iterator[tuple[R, bytes]]:
        return self._opened().fetch(ranges)

    def close(self) -> None:
        """Idempotent."""
        if self._source:
            self._source.close()

    def _opened(self) -> Source:
        if self._source is None:
            self._source = self._open_source()
        return self._source
