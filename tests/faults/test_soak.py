"""M3 in short: that the soak runs, finds its faults, and that what grows is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.soak import MEMORY_MORE, WARM, Soak, Usage, prepared
from tests.support.amount import amount


@pytest.mark.slow
@pytest.mark.timeout(4000)
def test_M3_a_short_soak_stays_flat(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    seed = int(request.config.option.hypothesis_seed)
    with prepared(tmp_path, seed) as found:
        found.settle_each = amount(request, 2, 5)
        found.run(amount(request, 10, 1800))
        request.node.user_properties.append(("runs", sum(found.codes.values())))
    assert found.growth() == [], f"seed {seed}"
    assert set(found.faults) == {kind.__name__ for kind in found.kinds()}
    assert 0 in found.codes


@pytest.mark.parametrize("grown", ["memory", "descriptors", "threads", "files"])
def test_M3_what_grows_is_told(grown: str) -> None:
    flat = Usage(memory=100 << 20, descriptors=5, threads=1, files=20)
    more = {"memory": flat.memory + 2 * MEMORY_MORE}.get(grown, getattr(flat, grown) + 1)
    watched = Soak.__new__(Soak)
    watched.usages = [flat] * (WARM + 3)
    assert watched.growth() == []
    watched.usages = [flat] * WARM + [replace(flat, **{grown: more})] * 3
    assert [told.partition(":")[0] for told in watched.growth()] == [grown]
