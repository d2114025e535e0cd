"""How much memory the number of blocks, versions and index records takes: on a slave, on a master, with a catalog.

Images are miniatures (:mod:`tests.bench.miniature`): as many blocks as 100 GB have, 1/64 as long, in the real program. The
store of 1 TB is one by its index, which is written directly in the format of :mod:`netclnt.blockindex`, of made-up ids. The
peak is that of the largest process as the kernel counts it, mapped files included.
"""

from __future__ import annotations

import json
import random
import struct
from array import array
from collections.abc import Iterator
from pathlib import Path

from netclnt.dedup import RECORD, encode_location
from netclnt.locations import Frame
from netclnt.model import ID_BYTES
from tests.bench import miniature
from tests.bench.measure import Bench, Cost, Failed, Row
from tests.bench.report import Goal
from tests.bench.scale_pair import Pair, fresh, totals

SECTION = "scale"
WAY = "netclnt"
MEMORY = 256 << 20
BLOCKS, QUICK_BLOCKS = 6_000_000, 10_000
"""Of an image of 100 GB, at 16 KiB a block; and what the quick run makes do with."""

RECORDS, QUICK_RECORDS = 62_000_000, 200_000
"""In the index of a store of 1 TB."""

SLAVE = "100 GB image: "
STORE = "1 TB store: publish 1 GB"
NEW, ORDINARY, HALF = "new", "one block in 500 changed", "every other block changed"
GOALS = (
    *(
        Goal(f"{SLAVE}{what}, {case}", WAY, "peak", MEMORY)
        for what in ("publish", "sync --dry-run", "sync")
        for case in (NEW, ORDINARY, HALF)
    ),
    Goal(f"{SLAVE}publish, nothing new", WAY, "peak", MEMORY),
    Goal(f"{SLAVE}verify", WAY, "peak", MEMORY),
    Goal(STORE, WAY, "peak", MEMORY),
)


def large_image(bench: Bench) -> Iterator[Row]:
    """Both sides with an image of 100 GB: new, unchanged, with an ordinary update, and with the worst one for runs."""
    blocks = QUICK_BLOCKS if bench.quick else BLOCKS
    image = bench.scratch / "miniature"
    try:
        with fresh(Pair(bench, bench.scratch / "large", miniature=True)) as pair:
            miniature.write_image(image, blocks)
            yield from _both(pair, image, NEW)
            yield _row(pair.publish(image), f"{SLAVE}publish, nothing new")
            miniature.change(image, every=500)
            yield from _both(pair, image, ORDINARY)
            miniature.change(image, every=2)
            yield from _both(pair, image, HALF)
            yield _row(pair.slave("verify"), f"{SLAVE}verify")
    finally:
        image.unlink(missing_ok=True)


def _both(pair: Pair, image: Path, case: str) -> Iterator[Row]:
    yield _row(pair.publish(image), f"{SLAVE}publish, {case}")
    yield _row(pair.slave("sync", "--dry-run"), f"{SLAVE}sync --dry-run, {case}")
    yield _row(pair.sync(), f"{SLAVE}sync, {case}")


def large_store(bench: Bench) -> Iterator[Row]:
    """A master whose index knows 1 TB, and an image of which it knows nothing."""
    records = QUICK_RECORDS if bench.quick else RECORDS
    image = bench.scratch / "miniature"
    try:
        with fresh(Pair(bench, bench.scratch / "store", miniature=True)) as pair:
            miniature.write_image(image, 10)
            pair.publish(image)
            index = pair.state("master") / "index"
            write_index(index / "90000000.run", records)
            _adopt(index / "index.json", "90000000.run")
            miniature.write_image(image, records // 1000, seed=11)
            cost = pair.publish(image, "other")
            if "90000000.run" not in json.loads((index / "index.json").read_text())["runs"]:
                raise Failed("the index that was written is not taken for one: has the format changed?")
            yield _row(cost, STORE)
    finally:
        image.unlink(missing_ok=True)


def write_index(path: Path, records: int) -> None:
    """A run of made-up ids, evenly spread, that all lie in one frame; written without ever holding it."""
    bits = min(24, (records // 32).bit_length())
    width, step = 1 << (64 - bits), (1 << 64) // records
    chance = random.Random(5)
    parts = [(begin, min(begin + (1 << 18), records)) for begin in range(0, records, 1 << 18)]
    value = encode_location(Frame(1, 16, 20_000, 20_000, 1), 0)
    with path.open("wb") as file:
        file.write(struct.pack("<8sQII", b"NCINDEX1", records, RECORD.size, bits))
        file.write(array("Q", (min(records, -(-prefix * width // step)) for prefix in range(1 << bits))).tobytes())
        file.write(struct.pack("<Q", records))
        for begin, end in parts:
            ids = array("Q", bytes(ID_BYTES * (end - begin)))
            high = array("Q", range(begin * step, end * step, step))
            high.byteswap()
            view = memoryview(ids)
            view[0::2] = memoryview(high)
            view[1::2] = memoryview(chance.randbytes(8 * (end - begin))).cast("Q")
            file.write(view)
        for begin, end in parts:
            file.write(value * (end - begin))


def _adopt(state: Path, name: str) -> None:
    """Let the index's state file name one more run."""
    found = json.loads(state.read_text())
    state.write_text(json.dumps(found | {"runs": [name, *found["runs"]], "numbers": 90_000_000}))


def _row(cost: Cost, case: str) -> Row:
    return cost.row(SECTION, case, WAY, **(totals(cost) if cost.events("summary") else {}))
