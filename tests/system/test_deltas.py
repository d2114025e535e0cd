"""Delta frames over a real line: what an update costs whose every change is small."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from tests.support.site import Site, digest, entries

MakeSite = Callable[..., Site]


def make_drivers(top: Path) -> int:
    """A tree of a hundred small files that do not compress; returns their bytes."""
    chance = random.Random("drivers")
    size = 0
    for number in range(100):
        path = top / f"vendor-{number // 10}" / f"driver-{number:03}.sys"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(chance.randrange(5_000, 40_000)))
        size += path.stat().st_size
    return size


def edit(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + b"edited" + data[len(data) // 2 + 3 :])


def test_a_small_edit_in_each_of_many_files_costs_little(make_site: MakeSite) -> None:
    site = make_site()
    tree = site.source / "drivers"
    size = make_drivers(tree)
    site.publish(tree)
    cold = site.sync().one("summary")["bytes_fetched"]
    assert cold > size
    for path in tree.rglob("*.sys"):
        edit(path)
    assert site.publish(tree)["bytes_new"] > size / 2
    update = site.sync().one("summary")["bytes_fetched"]
    assert entries(site.root / "drivers") == entries(tree)
    assert update < size / 20


def test_a_raw_image_whose_blocks_moved_and_changed_costs_little(make_site: MakeSite) -> None:
    site = make_site()
    chance = random.Random("image")
    parts = [chance.randbytes(300_000) for _ in range(20)]
    image = site.put("image", b"".join(parts))
    site.publish(image)
    cold = site.sync().one("summary")["bytes_fetched"]
    chance.shuffle(parts)
    image = site.put("image", b"".join(part[:150_000] + b"changed" + part[150_050:] for part in parts))
    site.publish(image)
    update = site.sync().one("summary")["bytes_fetched"]
    assert digest(site.root / "image") == digest(image)
    assert update < cold / 10
