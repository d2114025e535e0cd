"""Where a block's id was seen: sorted, memory-mapped files, so that an index of many millions of ids needs no memory of its own.

A **run** is one file: ``NCINDEX1``, the number of records (8), the length of a value (4), bits of the fan-out (4), the fan-out (8
bytes each: how many ids come before each prefix of that many bits, and the total), the ids in order (16 each), the values
in the same order; numbers little-endian. A run is a cache: it is made anew when it does not look right, and a block found
through it is hashed again before it is used.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, repeat
from pathlib import Path
from types import TracebackType

from netclnt.errors import Damaged, NetclntError, NoSpace, StorageFailed
from netclnt.model import ID_BYTES

MAGIC = b"NCINDEX1"
_HEADER = struct.Struct("<8sQII")
_RECORDS_IN_MEMORY = 100_000
_RECORDS_AT_ONCE = 20_000
_IDS_PER_BUCKET = 32
_BUCKET_MAX = 128
"""Ids looked through one by one. There are more where they are not evenly spread: keys of frames begin with their pack."""
_FANOUT_BITS_MAX = 24

_MAPPED_MAX = 8 << 20
_LOOKS_KEPT = 64
"""A look makes up to 128 KiB of a run this process's memory, as the kernel maps what lies around: of a run that is longer than
``_MAPPED_MAX`` all is given back after so many looks. It stays in the page cache."""


class Run:
    """One sorted file of ids with a value each, open for look-ups.

    Raises Damaged if the file is not such a run: when it is opened, or whenever that shows; StorageFailed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _translated("open", path), path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < _HEADER.size:
                raise Damaged(what="index", where=str(path), problem="not a whole index")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.count: int
        magic, self.count, self.value_size, self._bits = _HEADER.unpack_from(self._map)
        self._ids = _HEADER.size + 8 * ((1 << min(self._bits, _FANOUT_BITS_MAX)) + 1)
        self._values = self._ids + self.count * ID_BYTES
        if magic != MAGIC or self._bits > _FANOUT_BITS_MAX or len(self._map) != self._values + self.count * self.value_size:
            self._map.close()
            raise Damaged(what="index", where=str(path), problem="not a whole index")
        self._is_large = len(self._map) > _MAPPED_MAX
        self._looks = 0

    def find(self, id_: bytes) -> bytes | None:
        """The value recorded under an id; any of them if there are several; None if there is none."""
        low, high = self._bucket(int.from_bytes(id_[:4], "big") >> (32 - self._bits))
        if high - low > _BUCKET_MAX:
            low, high = self._narrowed(id_, low, high)
        end = self._ids + high * ID_BYTES
        if self._is_large:
            self._looks += 1
            if self._looks % _LOOKS_KEPT == 0:
                self._map.madvise(mmap.MADV_DONTNEED)
        position = self._map.find(id_, self._ids + low * ID_BYTES, end)
        while position >= 0:
            index, rest = divmod(position - self._ids, ID_BYTES)
            if not rest:
                start = self._values + index * self.value_size
                return self._map[start : start + self.value_size]
            position = self._map.find(id_, position + 1, end)
        return None

    def _narrowed(self, id_: bytes, low: int, high: int) -> tuple[int, int]:
        """A part of a range of records that still holds an id, if the range does."""
        while high - low > _BUCKET_MAX:
            middle = (low + high) // 2
            start = self._ids + middle * ID_BYTES
            if self._map[start : start + ID_BYTES] < id_:
                low = middle + 1
            else:
                high = middle + 1
        return low, high

    def __iter__(self) -> Iterator[bytes]:
        """All records, id and value joined, in order."""
        for first_byte in range(256):
            yield from self.slice(first_byte)

    def slice(self, first_byte: int) -> list[bytes]:
        """The records whose id begins with that byte, in order."""
        low = self._before(first_byte)
        count = self._before(first_byte + 1) - low
        size = self.value_size
        start = self._ids + low * ID_BYTES
        ids = self._map[start : start + count * ID_BYTES]
        start = self._values + low * size
        values = self._map[start : start + count * size]
        self._map.madvise(mmap.MADV_DONTNEED)
        return [ids[i * ID_BYTES : (i + 1) * ID_BYTES] + values[i * size : (i + 1) * size] for i in range(count)]

    def _before(self, first_byte: int) -> int:
        """How many ids begin with a lower byte."""
        if first_byte > 255:
            return self.count
        low, high = self._bucket(first_byte << 24 >> (32 - self._bits))
        while low < high:
            middle = (low + high) // 2
            if self._map[self._ids + middle * ID_BYTES] < first_byte:
                low = middle + 1
            else:
                high = middle
        return low

    def _bucket(self, prefix: int) -> tuple[int, int]:
        low: int
        high: int
        low, high = struct.unpack_from("<QQ", self._map, _HEADER.size + 8 * prefix)
        if not low <= high <= self.count:
            raise Damaged(what="index", where=str(self.path), problem="a fan-out that cannot be")
        return low, high

    def close(self) -> None:
        """Idempotent."""
        self._map.close()


def write_run(path: Path, records: Iterable[bytes], *, value_size: int) -> None:
    """Write a run from records (id and value joined) in any order, with bounded memory; content is on disk before the name is."""
    parts: list[Path] = []
    source = iter(records)
    try:
        while True:
            batch = sorted(islice(source, _RECORDS_IN_MEMORY))
            # Each slice is taken apart into ids and values: of all at once that would be as much memory again.
            slices = (batch[start : start + _RECORDS_AT_ONCE] for start in range(0, len(batch), _RECORDS_AT_ONCE))
            if len(batch) < _RECORDS_IN_MEMORY and not parts:
                _write_sorted(path, slices, len(batch), value_size)
                return
            part = path.with_name(f"{path.name}.part{len(parts)}")
            _write_sorted(part, slices, len(batch), value_size)
            parts.append(part)
            if len(batch) < _RECORDS_IN_MEMORY:
                merge_runs(path, parts, value_size=value_size)
                return
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def merge_runs(path: Path, parts: Sequence[Path], *, value_size: int) -> None:
    """Write one run that holds the records of several."""
    runs = [Run(part) for part in parts]
    try:
        slices = (sorted(record for run in runs for record in run.slice(first_byte)) for first_byte in range(256))
        _write_sorted(path, slices, sum(run.count for run in runs), value_size)
    finally:
        for run in runs:
            run.close()


def change_run(path: Path, run: Run, change: Callable[[bytes], bytes | None]) -> None:
    """Write a run with ``change(value)`` in the place of each value of another, without the ids for which that is None.

    ``change`` is asked twice for each value, as the number of records stands at the beginning of a run."""

    def changed(first_byte: int) -> list[bytes]:
        values = ((record[:ID_BYTES], change(record[ID_BYTES:])) for record in run.slice(first_byte))
        return [id_ + value for id_, value in values if value is not None]

    count = sum(len(changed(first_byte)) for first_byte in range(256))
    _write_sorted(path, map(changed, range(256)), count, run.value_size)


def _write_sorted(path: Path, slices: Iterable[list[bytes]], count: int, value_size: int) -> None:
    """Write a run whose records come in order, ``count`` of them in sorted lists."""
    bits = min(_FANOUT_BITS_MAX, (count // _IDS_PER_BUCKET).bit_length())
    shift = 32 - bits
    fanout = array("Q")
    ids_start = _HEADER.size + 8 * ((1 << bits) + 1)
    temporary = path.with_name(path.name + ".new")
    with _translated("write", path):
        with temporary.open("wb") as ids, temporary.open("r+b") as values:
            ids.seek(ids_start)
            values.seek(ids_start + count * ID_BYTES)
            written = 0
            for records in slices:
                ids.write(b"".join([record[:ID_BYTES] for record in records]))
                values.write(b"".join([record[ID_BYTES:] for record in records]))
                last_prefix = int.from_bytes(records[-1][:4], "big") >> shift if records else -1
                fanout.extend(
                    written + bisect_left(records, (prefix << shift).to_bytes(4, "big"))
                    for prefix in range(len(fanout), last_prefix + 1)
                )
                written += len(records)
            fanout.extend(repeat(count, (1 << bits) + 1 - len(fanout)))
            ids.seek(0)
            ids.write(_HEADER.pack(MAGIC, count, value_size, bits))
            if sys.byteorder == "big":
                fanout.byteswap()
            ids.write(fanout)
            values.flush()
            ids.flush()
            # A run whose ids survive a power cut without their values would tell of blocks where they are not.
            os.fsync(ids.fileno())
        temporary.replace(path)


@contextmanager
def _translated(action: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _storage_error(action, path, error) from None


def _storage_error(action: str, path: Path, error: OSError) -> NetclntError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(path=str(path), needed=0, free=0)
    return StorageFailed(action=action, path=str(path), errno=error.errno or 0, cause=error.strerror or "")


class Growing:
    """An index that is asked while it grows: a bounded dictionary, and runs on disk under ``path`` for what no longer fits.

    A filter, one bit by the first 28 of each id, spares the runs nearly all questions about what they do not hold. A context
    manager; its files are gone at the end.
    """

    def __init__(self, path: Path, *, value_size: int) -> None:
        self._path = path
        self._value_size = value_size
        self._recent: dict[bytes, bytes] = {}
        self._runs: list[Run] = []
        self._filter = bytearray()
        self._written = 0

    def __enter__(self) -> Growing:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for run in self._runs:
            run.close()
            run.path.unlink(missing_ok=True)

    def find(self, id_: bytes) -> bytes | None:
        value = self._recent.get(id_)
        if value is not None or not self._runs:
            return value
        prefix = int.from_bytes(id_[:4], "big")
        if self._filter[prefix >> 7] >> (prefix >> 4 & 7) & 1:
            for run in self._runs:
                value = run.find(id_)
                if value is not None:
                    return value
        return None

    def add(self, id_: bytes, value: bytes) -> None:
        """Record an id that was not found before."""
        self._recent[id_] = value
        if len(self._recent) >= _RECORDS_IN_MEMORY:
            self._spill()

    def __iter__(self) -> Iterator[bytes]:
        """All records, id and value joined; in no order."""
        for run in self._runs:
            yield from run
        for id_, value in self._recent.items():
            yield id_ + value

    def _spill(self) -> None:
        part = self._path.with_name(f"{self._path.name}.grow{self._written}")
        self._written += 1
        recent, ids = self._recent, sorted(self._recent)
        batches = (ids[start : start + _RECORDS_AT_ONCE] for start in range(0, len(ids), _RECORDS_AT_ONCE))
        _write_sorted(part, ([id_ + recent[id_] for id_ in batch] for batch in batches), len(ids), self._value_size)
        self._filter = self._filter or bytearray(1 << 25)
        for prefix in (int.from_bytes(id_[:4], "big") for id_ in ids):
            self._filter[prefix >> 7] |= 1 << (prefix >> 4 & 7)
        self._recent = {}
        self._runs.append(Run(part))
        # Runs of like size are merged, so that there are never more than a few to ask (a log-structured merge).
        while len(self._runs) >= 2 and self._runs[-1].count * 2 > self._runs[-2].count:
            newer, older = self._runs.pop(), self._runs.pop()
            merged = self._path.with_name(f"{self._path.name}.grow{self._written}")
            self._written += 1
            merge_runs(merged, [newer.path, older.path], value_size=self._value_size)
            for run in (newer, older):
                run.close()
                run.path.unlink()
            self._runs.append(Run(merged))
