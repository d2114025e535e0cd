"""The in-memory twin of a store read over a line, with knobs for what lines and stores do wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import TypeVar

from netclnt.allowance import Allowance, unlimited
from netclnt.errors import Damaged, ForbiddenValue, LineBroken, SourceMissing
from netclnt.model import Range
from netclnt.naming import check_path

R = TypeVar("R", bound=Range)


@dataclass(slots=True)
class Corruption:
    """Bytes of a file that arrive wrong (all bits flipped), the first ``times`` times that they are read."""

    path: str
    offset: int
    length: int
    times: int = 1

    def applied(self, path: str, offset: int, data: bytes) -> bytes:
        start = max(self.offset, offset) - offset
        end = min(self.offset + self.length, offset + len(data)) - offset
        if path != self.path or start >= end or self.times < 1:
            return data
        self.times -= 1
        return data[:start] + bytes(byte ^ 0xFF for byte in data[start:end]) + data[end:]


class MemorySource:
    """A :class:`~netclnt.protocols.Source` over a mapping of path to content, which may change while it is read.

    ``ahead`` ranges are taken at a time and answered last first, so that no consumer relies on an order. ``allowance`` may end
    its use, with Paused. After ``cut_after`` bytes more the line breaks for good; ``missing`` are files that are not there
    although the mapping has them; ``corruptions`` are applied to what is read. All of these may be set at any time.
    """

    def __init__(self, files: Mapping[str, bytes], *, ahead: int = 4, allowance: Allowance | None = None) -> None:
        self._files = files
        self._ahead = ahead
        self._allowance = allowance or unlimited()
        self._closed = False
        self.cut_after: int | None = None
        self.missing: set[str] = set()
        self.corruptions: list[Corruption] = []
        self.connections = 0
        self.bytes_received = 0
        self.address = "memory:"

    def read_file(self, path: str, *, limit: int) -> bytes:
        self._allowance.check()
        content = self._content(path)
        if len(content) > limit:
            raise ForbiddenValue(what=f"size of {path}", value=str(len(content)), rule=f"at most {limit} bytes")
        self._allowance.charge(len(content))
        return self._received(path, 0, content)

    def fetch(self, ranges: Iterable[R]) -> Iterator[tuple[R, bytes]]:
        feed = iter(ranges)
        while batch := list(islice(feed, self._ahead)):
            granted = list(takewhile(lambda wanted: self._allowance.take(wanted.length) is None, batch))
            for wanted in reversed(granted):
                yield wanted, self._bytes(wanted)
            if len(granted) < len(batch) and (paused := self._allowance.take(0)) is not None:
                raise paused

    def close(self) -> None:
        self._closed = True

    def _bytes(self, wanted: Range) -> bytes:
        if not wanted.length:
            return b""
        data = self._content(wanted.path)[wanted.offset : wanted.offset + wanted.length]
        if len(data) < wanted.length:
            raise Damaged(what="file of the store", where=wanted.path, problem="it ends too early")
        return self._received(wanted.path, wanted.offset, data)

    def _content(self, path: str) -> bytes:
        check_path(path)
        self._check_line()
        self.connections = 1
        if path in self.missing or path not in self._files:
            raise SourceMissing(path=path, cause="no such file")
        return self._files[path]

    def _received(self, path: str, offset: int, data: bytes) -> bytes:
        if self.cut_after is not None:
            if len(data) > self.cut_after:
                self.close()
            self.cut_after -= len(data)
        self._check_line()
        self.bytes_received += len(data)
        for corruption in self.corruptions:
            data = corruption.applied(path, offset, data)
        return data

    def _check_line(self) -> None:
        if self._closed:
            raise LineBroken(what="store", address=self.address, cause="the connection was closed")
