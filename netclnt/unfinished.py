"""What an interrupted publish left: blocks that lie in packs already, and that the next publish need not store again.

A publish writes the index records of its new blocks into a file of the state directory before any index knows them. A file that
is still there when the next writer comes is what an interruption left. Nothing in it is believed: each frame is read and each
of its blocks hashed, since neither pack nor file need have reached the disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import IO

from netclnt.chunking import block_id
from netclnt.dedup import RECORD, StoreIndex, decode_location
from netclnt.errors import Damaged, SourceMissing
from netclnt.locations import Frame
from netclnt.model import ID_BYTES
from netclnt.pack import FRAME_MAX, STORED_MAX, decode_frame, pack_path
from netclnt.protocols import Store

_RECORD_BYTES = ID_BYTES + RECORD.size


def adopt(path: Path, store: Store, index: StoreIndex, *, hash_seed: int, scratch: Path) -> None:
    """Take the blocks that ``path`` tells of, as far as they are really there, into the index; the file is gone then."""
    if not path.exists():
        return
    packs: set[int] = set()
    with path.open("rb") as left, tempfile.TemporaryFile(dir=scratch) as good:
        for frame, blocks in _frames(left):
            if _is_there(frame, blocks, store, hash_seed):
                packs.add(frame.pack)
                good.write(b"".join(record for record in blocks if index.find(record[:ID_BYTES]) is None))
        if good.tell():
            # A version that refers to a pack must find it after a power cut, too.
            for pack in packs:
                store.secure(pack_path(pack))
            store.sync()
            good.seek(0)
            index.add(iter(lambda: good.read(_RECORD_BYTES), b""), generation=index.generation)
    path.unlink()


def _frames(left: IO[bytes]) -> Iterator[tuple[Frame, list[bytes]]]:
    """Each frame with the records of its blocks, up to the first that cannot be one."""
    records = iter(lambda: left.read(_RECORD_BYTES), b"")
    with suppress(Damaged):
        for frame, group in groupby(records, key=_frame_of):
            yield frame, list(group)


def _frame_of(record: bytes) -> Frame:
    if len(record) < _RECORD_BYTES:
        raise Damaged(what="journal", where="unfinished publish", problem="it ends early")
    return decode_location(record[ID_BYTES:])[0]


def _is_there(frame: Frame, records: list[bytes], store: Store, hash_seed: int) -> bool:
    """Whether the frame lies in its pack, with exactly these blocks in it."""
    path = pack_path(frame.pack)
    if frame.stored > STORED_MAX or frame.plain > FRAME_MAX:
        return False
    try:
        plain = decode_frame(frame.codec, store.read(path, frame.offset, frame.stored), plain=frame.plain, where=path)
        starts = [decode_location(record[ID_BYTES:])[1] for record in records]
    except (Damaged, SourceMissing):
        return False
    ends = [*starts[1:], frame.plain]
    view = memoryview(plain)
    return starts == sorted(starts) and all(
        block_id(view[start:end], hash_seed) == record[:ID_BYTES]
        for start, end, record in zip(starts, ends, records, strict=True)
    )
