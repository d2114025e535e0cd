"""A. Death around hooks: wherever a run is killed, no image is half shown, and the hook hears of each version in the end."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.amount import amount
from tests.support.oracle import oracle
from tests.support.site import Site
from tests.support.trace import CHANGING, points, read_trace, sample, tracing
from tests.support.update import NAMES, make_update

pytestmark = pytest.mark.slow  # dozens of whole runs

MakeSite = Callable[..., Site]


def add_hooks(site: Site) -> tuple[Path, Path]:
    """Hooks that note what they hear of, and let an image be shown as long as the gate is there. Returns notes and gate."""
    directory = site.directory / "hooks"
    directory.mkdir()
    notes, gate, program = directory / "notes", directory / "gate", directory / "program"
    program.write_text(
        "#!/bin/sh\n"
        f'test "$NETCLNT_HOOK" = after_image && echo "$NETCLNT_IMAGE" "$NETCLNT_VERSION" >> {notes}\n'
        f'test "$NETCLNT_HOOK" != before_image || test -e {gate} || exit 75\n'
        "exit 0\n"
    )
    program.chmod(0o755)
    hooks = "".join(f"{hook} = {json.dumps([str(program)])}\n" for hook in ("before", "before_image", "after_image", "after"))
    with site.config("slave").open("a") as config:
        config.write(f"\n[hooks]\n{hooks}")
    return notes, gate


@pytest.mark.parametrize("deferred", [False, True], ids=["shown", "deferred"])
@pytest.mark.timeout(3600)
def test_A1_P1_P2_P3_P4_killed_at_the_nth_call_of_a_run_with_hooks(
    make_site: MakeSite, tmp_path: Path, request: pytest.FixtureRequest, *, deferred: bool
) -> None:
    site = make_site()
    saved = make_update(site, tmp_path / "saved")
    notes, gate = add_hooks(site)
    log = tmp_path / "trace"
    if not deferred:
        gate.touch()
    with oracle(site, request, but=("hooks",)) as watch:
        code = 14 if deferred else 0
        assert watch.sync(before=tracing(log, CHANGING)).code == code
        places = points(read_trace(log), [site.root, site.state])
        assert len(places) > 10
        killed = 0
        for name, number in sample(places, amount(request, 3, len(places)), request):
            site.restore(saved)
            notes.unlink(missing_ok=True)
            if deferred:
                gate.unlink(missing_ok=True)
            run = watch.sync(before=tracing(log, CHANGING, inject=f"{name}:signal=KILL:when={number}"))
            assert run.code in (code, -signal.SIGKILL), f"{name} {number}: {run.err}"
            killed += run.code != code
            if deferred:
                assert not notes.exists(), f"{name} {number}: an image was shown that the hook deferred"
            gate.touch()
            done = watch.settle()
            heard = set(notes.read_text().splitlines())
            assert heard == {f"{image} 2" for image in NAMES}, f"{name} {number}: the hook heard of {heard}"
            if deferred and run.code == code:
                assert sum(event["bytes_fetched"] for event in done.of("image")) == 0, f"{name} {number}"
        assert killed, "none of them was killed"
