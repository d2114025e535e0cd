"""C25: sizes at and off every boundary, from the master's disk to the slave's, and looked at again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from netclnt.pack import FRAME_MAX
from tests.support.amount import amount
from tests.support.images import content
from tests.support.oracle import oracle
from tests.support.site import TRANSPORTS, Site, good

pytestmark = pytest.mark.slow  # two runs a size

MakeSite = Callable[..., Site]

BLOCK_MIN, BLOCK_MAX, PAGE = 4096, 65536, 4 << 20
EDGES = (BLOCK_MIN, BLOCK_MAX, FRAME_MAX, 261_120, 1 << 20, PAGE)
"""Bytes of the least and the largest block, a frame, an answer of a server, a buffer, and about a page of a manifest."""

SIZES = (0, 1, BLOCK_MIN, BLOCK_MAX + 1, *(edge + off for edge in EDGES for off in (-1, 0, 1)))


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("filled", [True, False], ids=["content", "zeros"])
@pytest.mark.timeout(1800)
def test_C25_P1_P3_P5_odd_sizes_are_published_brought_and_found_whole(
    transport: str, filled: bool, make_site: MakeSite, request: pytest.FixtureRequest
) -> None:
    """As files, each alone, and all of them as one tree; and a second time, one byte longer."""
    site = make_site(transport=transport)
    tree = site.source / "tree"
    tree.mkdir()
    with oracle(site, request) as watch:
        for more in range(2):
            for size in SIZES:
                (tree / str(size)).write_bytes(content(f"C25/{size}", size + more) if filled else bytes(size + more))
            site.publish(tree)
            for size in SIZES[: amount(request, 2, len(SIZES))]:
                data = content(f"C25/{size}", size + more) if filled else bytes(size + more)
                site.publish(site.put(f"file-{size}", data))
            watch.begin()
            run = watch.sync()
            assert run.code == 0, run
            watch.look()
            assert good(watch.slave("verify")).out == ""
            assert good(site.master("verify", "--store")).out == ""
            watch.begin()
