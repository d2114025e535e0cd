"""The section levels: what the master pays for each level of zstd, in time and in the store, for the raw image and its update."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from tests.bench.images import pair
from tests.bench.measure import Bench, Row
from tests.bench.site import Site, stored

LEVELS = (1, 3, 6, 9, 12)
IMAGES = ("raw",)


def rows(bench: Bench) -> Iterator[Row]:
    """Once each: a level's time is of seconds, and nothing else takes part."""
    images = pair(bench.cache, "raw", quick=bench.quick)
    for level in LEVELS[:2] if bench.quick else LEVELS:
        site = Site(bench, bench.scratch / "levels", "image")
        site.found()
        try:
            for source in (images.old, images.new):
                before = stored(site.store)
                with bench.alone():
                    cost = site.publish(source, "--level", str(level))
                added = stored(site.store) - before
                yield cost.row("levels", f"publish {source.stem}, by level", f"netclnt, level {level}", added=added)
        finally:
            shutil.rmtree(site.directory)
