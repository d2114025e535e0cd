"""A. Death: a run that is killed or told to end, wherever that happens."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.amount import amount
from tests.support.images import content
from tests.support.oracle import oracle
from tests.support.site import Site
from tests.support.trace import NAMES, SYNCS, WRITES, points, read_trace, sample, tracing

pytestmark = pytest.mark.slow  # dozens of whole runs

MakeSite = Callable[..., Site]
CHANGING = (*WRITES[1:], *SYNCS, *NAMES)


def make_update(site: Site, saved: Path) -> Path:
    """The slave holds the first versions of a file and a tree, saved below ``saved``; the master offers the second ones. Of the
    tree, one file stays as it is (a second name of the live one in staging), one changes, one comes and one goes."""
    tree = site.source / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "same").write_bytes(content("A1/same", 60_000))
    data = content("A1", 400_000)
    for turn in (1, 2):
        image = site.put("image", data + content(f"A1/{turn}", 50_000 * turn))
        (tree / "etc/hostname").write_text(f"version {turn}\n")
        (tree / f"only-in-{turn}").write_bytes(content(f"A1/tree/{turn}", 30_000))
        (tree / "only-in-1").unlink(missing_ok=turn == 1) if turn == 2 else None
        site.publish(image)
        site.publish(tree)
        if turn == 1:
            site.sync()
            (site.root / "notes.txt").write_text("the admin's own\n")
            saved.mkdir()
            site.save(saved)
    return saved


@pytest.mark.timeout(3600)
def test_A1_P1_P3_P4_killed_at_the_nth_call_that_changes_the_disk(
    make_site: MakeSite, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    site, log = make_site(), tmp_path / "trace"
    saved = make_update(site, tmp_path / "saved")
    with oracle(site, request) as watch:
        watch.sync(before=tracing(log, CHANGING))
        chosen = points(read_trace(log), [site.root, site.state])
        assert len(chosen) > 20
        for name, number in sample(chosen, amount(request, 8, len(chosen)), request):
            site.restore(saved)
            run = watch.sync(before=tracing(log, CHANGING, inject=f"{name}:signal=KILL:when={number}"))
            assert run.code in (0, -signal.SIGKILL), f"{name} {number}: {run.err}"
            watch.settle()
