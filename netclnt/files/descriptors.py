"""Descriptors of many files, few of them open at a time."""

from __future__ import annotations

import errno
import os
import resource
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

_OPEN_MAX = 256
_OPEN_MIN = 4


def open_limit() -> int:
    """How many files a tree may keep open: a quarter of what the process may, within reason."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _OPEN_MAX
    return max(_OPEN_MIN, min(_OPEN_MAX, soft // 4))


class Descriptors:
    """Opens file ``index`` by ``opener`` when it is used and closes the least recently used ones. Safe for several threads."""

    def __init__(self, opener: Callable[[int], int], limit: int) -> None:
        self._opener = opener
        self._limit = limit
        self._lock = Lock()
        self._slots: OrderedDict[int, _Slot] = OrderedDict()

    @contextmanager
    def use(self, index: int) -> Iterator[int]:
        """The descriptor of file ``index``, open while the context lasts. Raises OSError."""
        with self._lock:
            slot = self._slots.get(index) or self._open(index)
            self._slots.move_to_end(index)
            slot.users += 1
        try:
            yield slot.descriptor
        finally:
            with self._lock:
                slot.users -= 1

    def close(self) -> None:
        """Close all. Nobody may be using one."""
        with self._lock:
            while self._slots:
                os.close(self._slots.popitem()[1].descriptor)

    def _open(self, index: int) -> _Slot:
        if len(self._slots) >= self._limit:
            self._close_idle(1 + len(self._slots) - self._limit)
        try:
            descriptor = self._opener(index)
        except OSError as error:
            if error.errno != errno.EMFILE or not self._close_idle(len(self._slots)):
                raise
            descriptor = self._opener(index)
        slot = self._slots[index] = _Slot(descriptor)
        return slot

    def _close_idle(self, count: int) -> int:
        idle = [index for index, slot in self._slots.items() if not slot.users][:count]
        for index in idle:
            os.close(self._slots.pop(index).descriptor)
        return len(idle)


class _Slot:
    __slots__ = ("descriptor", "users")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.users = 0
