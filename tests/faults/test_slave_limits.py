"""Versions whose claims alone would cost hours."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from netclnt.config.readers import Unfit, size
from netclnt.errors import BrakeApplied, ExitCode
from tests.support.oracle import oracle
from tests.support.site import Site, digest
from tests.support.world import World

MakeSite = Callable[..., Site]


def test_F7_an_image_of_zeros_beyond_the_limit_is_LIMIT_and_the_others_come(tmp_path) -> None:
    world = World(tmp_path)
    world.publish("huge", bytes(3 << 20))
    world.publish("small", b"x" * 1000)
    result = world.sync(max_image_size=1 << 20)
    ((name, error),) = result.failed
    assert (name, type(error), error.limit) == ("huge", BrakeApplied, "max_image_size")
    assert result.exit_code is ExitCode.PARTIAL
    assert (world.live("huge"), world.live("small")) == (None, b"x" * 1000)
    assert world.root.staged() == []
    assert world.forecast(max_image_size=1 << 20).exit_code is ExitCode.LIMIT
    assert world.sync(max_image_size=3 << 20).exit_code is ExitCode.OK
    world.ledger.close()


@pytest.mark.slow
def test_F7_P9_a_sparse_image_is_refused_before_anything_of_it_is_fetched(make_site: MakeSite, request) -> None:
    site = make_site()
    with (site.source / "sparse").open("wb") as file:
        os.truncate(file.fileno(), 64 << 20)
    site.publish(site.source / "sparse")
    with oracle(site, request) as watch:
        run = watch.sync("--max-image-size", "40M")
        assert (run.code, run.one("error")["code"], run.one("error")["image"]) == (13, "LIMIT", "sparse")
        assert "--max-image-size" in run.one("error")["hint"]
        assert run.one("summary")["bytes_fetched"] == 0
    assert digest(site.root / "sparse") == digest(site.source / "sparse")


@pytest.mark.parametrize(("value", "wanted"), [(1, 1), ("4T", 4 << 40), ("1.5K", 1536), ("300", 300), ("12b", 12)])
def test_a_size_is_bytes(value: object, wanted: int) -> None:
    assert size(value) == wanted


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "", "4X", "-1", "0", None])
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(Unfit):
        size(value)
