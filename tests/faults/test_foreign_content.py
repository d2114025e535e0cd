"""K7: what belongs to one image is put in the place of another's: by whoever can write to the store, or to the catalog."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from netclnt.manifest import decode_head, locations_path, manifest_path, page_offsets
from netclnt.pack import pack_path
from netclnt.storedmanifest import StoredManifest
from tests.support.images import content
from tests.support.oracle import Oracle, oracle
from tests.support.site import Run, Site

pytestmark = pytest.mark.slow

MakeSite = Callable[..., Site]
SIZE = 300_000
"""Bytes of each image: one page of a manifest, two frames."""

NAMES = ("alpha", "beta")
REFUSED = ("INTEGRITY", "TRUST")


class Files:
    """A site's store, as :class:`StoredManifest` reads it."""

    def __init__(self, store: Path) -> None:
        self._store = store

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        return (self._store / path).read_bytes()[offset:][:length]

    def size(self, path: str) -> int | None:
        return (self._store / path).stat().st_size if (self._store / path).exists() else None


def current(site: Site) -> dict[str, tuple[str, int]]:
    """Digest and length of the head of each image's newest manifest."""
    with closing(sqlite3.connect(site.directory / "catalog.sqlite")) as catalog:
        rows = catalog.execute(
            "SELECT nc_image.name, nc_version.manifest, nc_version.head_bytes FROM nc_version "
            "JOIN nc_image ON nc_image.image = nc_version.image ORDER BY nc_version.generation"
        )
        return {name: (manifest, head_bytes) for name, manifest, head_bytes in rows}


def pack_of(site: Site, of: tuple[str, int]) -> Path:
    (_, _, locations) = next(StoredManifest(Files(site.store), *of).located())  # type: ignore[arg-type]  # it only reads
    return site.store / pack_path(locations.frames[0].pack)


def whole_manifest(site: Site, one: tuple[str, int], other: tuple[str, int]) -> None:
    put(site.store / manifest_path(one[0]), (site.store / manifest_path(other[0])).read_bytes())


def pages_under_a_foreign_head(site: Site, one: tuple[str, int], other: tuple[str, int]) -> None:
    mine, theirs = ((site.store / manifest_path(digest)).read_bytes() for digest, _ in (one, other))
    put(site.store / manifest_path(one[0]), mine[: one[1]] + theirs[other[1] :])


def blocks_under_a_foreign_head(site: Site, one: tuple[str, int], other: tuple[str, int]) -> None:
    """The entries stay: of the one page of blocks, those of the other image."""
    mine, theirs = ((site.store / manifest_path(digest)).read_bytes() for digest, _ in (one, other))
    begins = []
    for (digest, head_bytes), data in ((one, mine), (other, theirs)):
        _, blocks = page_offsets(decode_head(data[:head_bytes], digest), head_bytes)
        begins.append(blocks[0])
    put(site.store / manifest_path(one[0]), mine[: begins[0]] + theirs[begins[1] :])


def locations(site: Site, one: tuple[str, int], other: tuple[str, int]) -> None:
    put(site.store / locations_path(one[0]), (site.store / locations_path(other[0])).read_bytes())


def packs(site: Site, one: tuple[str, int], other: tuple[str, int]) -> None:
    put(pack_of(site, one), pack_of(site, other).read_bytes())


def row_of_the_catalog(site: Site, one: tuple[str, int], other: tuple[str, int]) -> None:
    """Another image's manifest, which the store has whole, under this one's SHA-256."""
    with closing(sqlite3.connect(site.directory / "catalog.sqlite")) as catalog:
        catalog.execute("UPDATE nc_version SET manifest = ?, head_bytes = ? WHERE manifest = ?", (*other, one[0]))
        catalog.commit()


def put(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


SWAPS: list[Callable[[Site, tuple[str, int], tuple[str, int]], None]] = [
    whole_manifest,
    pages_under_a_foreign_head,
    blocks_under_a_foreign_head,
    locations,
    packs,
    row_of_the_catalog,
]


@pytest.mark.parametrize("held", [False, True], ids=["new", "update"])
@pytest.mark.parametrize("swap", SWAPS, ids=lambda swap: swap.__name__)
def test_K7_P1_P3_P5_what_is_anothers_is_refused_and_nothing_of_it_shown(
    swap: Callable[[Site, tuple[str, int], tuple[str, int]], None],
    held: bool,
    make_site: MakeSite,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    site = make_site()
    for turn in range(1 + held):
        if turn:
            site.sync()
        for name in NAMES:
            site.publish(site.put(name, content(f"{name}/{turn}", SIZE)))
    saved = tmp_path / "sound"
    saved.mkdir()
    for path in (site.store, site.directory / "catalog.sqlite"):
        copy(path, saved / path.name)
    versions = current(site)
    swap(site, versions["alpha"], versions["beta"])
    with oracle(site, request) as watch:
        watch.begin()
        look_at_refusal(watch, watch.sync(), held=held)
        # nor is it believed later, when there is something to build upon
        look_at_refusal(watch, watch.sync(), held=held)
        for path in (site.store, site.directory / "catalog.sqlite"):
            copy(saved / path.name, path)
        watch.begin()


def look_at_refusal(watch: Oracle, run: Run, *, held: bool) -> None:
    site = watch.site
    assert run.code in (7, 8), run
    (error,) = (each for each in run.of("error") if each.get("image") == "alpha")
    assert error["code"] in REFUSED, error
    watch.look()
    live = watch.live()
    assert live.get("alpha") == (site.published["alpha"][1] if held else None)
    assert live["beta"] == site.published["beta"][max(site.published["beta"])]


def copy(path: Path, to: Path) -> None:
    if path.is_dir():
        for each in path.rglob("*"):
            if each.is_file():
                target = to / each.relative_to(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.exists():
                    target.chmod(0o644)
                target.write_bytes(each.read_bytes())
    else:
        to.write_bytes(path.read_bytes())
