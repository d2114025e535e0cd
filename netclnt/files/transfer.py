"""Moving bytes between buffers and descriptors: whole, whatever the kernel does short. Raises OSError."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from netclnt.files import syscalls
from netclnt.files.holes import CANNOT
from netclnt.model import Bytes

CHUNK = 1 << 20
_IOV_MAX = 1024


def write_all(descriptor: int, offset: int, buffers: Sequence[Bytes]) -> int:
    """Write the buffers one after the other at ``offset``, in as few calls as the kernel allows; returns their length."""
    todo = [view for view in (memoryview(buffer).cast("B") for buffer in buffers) if len(view)]
    start = offset
    first = 0
    while first < len(todo):
        written = os.pwritev(descriptor, todo[first : first + _IOV_MAX], offset)
        offset += written
        while first < len(todo) and written >= len(todo[first]):
            written -= len(todo[first])
            first += 1
        if written:
            todo[first] = todo[first][written:]
    return offset - start


def read_full(descriptor: int, offset: int, buffer: bytearray | memoryview) -> int:
    """Fill ``buffer`` from ``offset``; less than its length only at the end of the file."""
    view = memoryview(buffer).cast("B")
    done = 0
    while done < len(view):
        got = os.preadv(descriptor, [view[done:]], offset + done)
        if not got:
            break
        done += got
    return done


def copy_range(source: int, source_offset: int, target: int, offset: int, length: int) -> int:
    """Copy inside the kernel, or by reading and writing where it cannot; less than ``length`` only if ``source`` ends."""
    done = 0
    while done < length:
        try:
            copied = os.copy_file_range(source, target, length - done, source_offset + done, offset + done)
        except OSError as error:
            if error.errno not in CANNOT:
                raise
            copied = 0
        if not copied:  # the end, or a file system that says so without meaning it: reading tells
            return done + _copy_by_hand(source, source_offset + done, target, offset + done, length - done)
        done += copied
    return done


def _copy_by_hand(source: int, source_offset: int, target: int, offset: int, length: int) -> int:
    buffer = memoryview(bytearray(min(CHUNK, length)))
    done = 0
    while done < length:
        got = read_full(source, source_offset + done, buffer[: length - done])
        write_all(target, offset + done, [buffer[:got]])
        done += got
        if got < len(buffer[: length - done + got]):
            break
    return done


def clone_whole(target: int, source: int, size: int) -> bool:
    """Make ``target`` share all blocks with ``source`` and set its size; False, and nothing changed, where that is impossible."""
    try:
        syscalls.clone(target, source)
    except OSError as error:
        if error.errno in (*CANNOT, errno.EBADF, errno.EISDIR):
            return False
        raise
    os.ftruncate(target, min(size, os.fstat(source).st_size))  # bytes that lay there beyond the source must not shine through
    os.ftruncate(target, size)
    return True


def zero_range(descriptor: int, offset: int, length: int) -> None:
    """Make the range a hole, or write zeros where the file system knows no holes."""
    if not length:
        return
    try:
        syscalls.punch_hole(descriptor, offset, length)
    except OSError as error:
        if error.errno not in CANNOT:
            raise
        zeros = bytes(min(CHUNK, length))
        for start in range(offset, offset + length, CHUNK):
            write_all(descriptor, start, [memoryview(zeros)[: offset + length - start]])
