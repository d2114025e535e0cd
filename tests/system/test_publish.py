"""Publishing as an admin meets it: killed, twice at once, of a source that moves, under any umask, of the same content again."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.amount import amount
from tests.support.images import content
from tests.support.site import Run, Site, checked, digest, good
from tests.support.trace import NAMES, SYNCS, WRITES, points, read_trace, sample_of_each, tracing

pytestmark = pytest.mark.slow  # dozens of whole runs; the quick tier has the main job

MakeSite = Callable[..., Site]
CHANGING = (*WRITES, *SYNCS, *NAMES)


def packs(site: Site) -> set[Path]:
    return {path for path in (site.store / "packs").rglob("*") if path.is_file()}


def test_unchanged_content_says_so_and_adds_nothing(make_site: MakeSite) -> None:
    site = make_site()
    image = site.put("image", content("same", 300_000))
    assert site.publish(image)["result"] == "published"
    before = packs(site)
    os.utime(image)
    again = site.publish(image)
    assert (again["result"], again["version"], again["bytes_new"], again["bytes_stored"]) == ("unchanged", 1, 0, 0)
    assert packs(site) == before
    assert good(site.master("publish", image)).out == "image@1\n"
    assert [row[:5] for row in good(site.master("list")).rows] == [["image", "image", "1", "300000", "offered"]]


def test_content_comes_from_standard_input_with_a_name(make_site: MakeSite) -> None:
    site = make_site()
    image = site.put("image", content("stdin", 3 << 20))
    with subprocess.Popen(["cat", image], stdout=subprocess.PIPE) as piped:
        run = good(site.master("--json", "publish", "-", "--name", "piped", stdin=piped.stdout))
    assert run.one("image").items() >= {"image": "piped", "version": 1, "size": 3 << 20, "sha256": digest(image)}.items()
    assert site.publish(image, "--name", "piped")["result"] == "unchanged"
    assert site.publish(site.put("empty", b""), "--name", "piped")["version"] == 2
    assert site.master("publish", "-", "--name", "piped").code == 2  # nothing comes: the program before it failed
    nameless = site.master("publish", "-")
    assert nameless.code == 2
    assert "--name" in nameless.err
    site.sync()
    assert (site.root / "piped").read_bytes() == b""


@pytest.mark.timeout(600)
def test_A16_killed_at_the_nth_call_that_changes_the_disk(
    make_site: MakeSite, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """At points that are chosen anew in each run, of as many different calls as there is time for."""
    site, log = make_site("store"), tmp_path / "trace"
    data = content("A16", 300_000)
    image = site.put("image", data)
    site.publish(image)
    site.put("image", data + content("A16/trace", 20_000))
    good(site.master("publish", image, before=tracing(log, CHANGING)))
    chosen = points(read_trace(log), [site.store, site.directory / "master-state", site.directory / "catalog.sqlite"])
    assert len(chosen) > 20
    killed = 0
    for turn, (name, number) in enumerate(sample_of_each(chosen, amount(request, 8, 40), request)):
        site.put("image", data + content(f"A16/{turn}", 20_000))
        run = site.master("publish", image, before=tracing(log, CHANGING, inject=f"{name}:signal=KILL:when={number}"))
        assert run.code in (0, -signal.SIGKILL), f"{name} {number}: {run.err}"
        killed += run.code != 0
        assert site.slave("sync").code == 0
        site.publish(image)
        site.sync()
        assert digest(site.root / "image") == digest(image), f"{name} {number}"
    assert killed, "none of them was killed"
    request.node.user_properties.append(("runs", killed))


@contextmanager
def stopped_publisher(site: Site, image: Path) -> Iterator[subprocess.Popen[str]]:
    """A publisher that holds the store, and was stopped there."""
    process = site.start("master", "--json", "publish", image)
    lock = site.store / ".lock"
    try:
        deadline = time.monotonic() + 30
        while not lock.exists() or f"pid {process.pid}," not in lock.read_text():
            assert process.poll() is None and time.monotonic() < deadline, "it never held the store"
            time.sleep(0.002)
        process.send_signal(signal.SIGSTOP)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_E19_two_publishers_at_once_one_is_LOCKED_and_nothing_is_lost(make_site: MakeSite) -> None:
    site = make_site()
    site.publish(site.put("zero", b"0"))
    big, small = site.put("big", random.Random(5).randbytes(24 << 20)), site.put("small", content("E19", 50_000))
    with stopped_publisher(site, big) as first:
        second = site.master("publish", small)
        assert second.code == 10
        assert f"pid {first.pid}" in second.err
        first.send_signal(signal.SIGCONT)
        out, err = first.communicate(timeout=60)
    assert checked(Run(first.returncode, out, err), None).one("image")["version"] == 1
    site.publish(small)
    assert [row[0] for row in site.master("list").rows] == ["big", "small", "zero"]
    generations = [each["generation"] for each in good(site.master("--json", "list")).of("image")]
    assert sorted(generations) == [1, 2, 3]


def test_H3_a_killed_publisher_needs_no_unlock(make_site: MakeSite) -> None:
    site = make_site()
    big = site.put("big", random.Random(6).randbytes(24 << 20))
    with stopped_publisher(site, big) as first:
        first.kill()
        first.wait()
    assert site.publish(big)["version"] == 1


def test_A18_a_source_that_changes_while_it_is_published_is_refused(make_site: MakeSite) -> None:
    site = make_site()
    image = site.put("image", random.Random(7).randbytes(8 << 20))
    done = threading.Event()

    def touch() -> None:
        while not done.wait(0.001):
            image.touch()

    toucher = threading.Thread(target=touch)
    toucher.start()
    try:
        run = site.master("publish", image)
    finally:
        done.set()
        toucher.join()
    assert run.code == 2
    assert "changed while it was read" in run.err
    assert good(site.master("list")).out == ""
    assert site.publish(image)["version"] == 1


def test_C26_the_umask_decides_neither_the_stores_modes_nor_the_images(make_site: MakeSite) -> None:
    site = make_site()
    image, tree = site.put("image", content("C26", 100_000)), site.source / "tree"
    tree.mkdir(0o751)
    tree.chmod(0o751)
    (tree / "file").write_bytes(b"x")
    (tree / "file").chmod(0o604)
    for umask in (0o077, 0o000):
        site.put("image", content(f"C26/{umask}", 100_000)).chmod(0o644)
        for path in (image, tree):
            good(site.master("publish", path, umask=umask))
        site.sync(umask=umask)
        for path in (site.store, *site.store.rglob("*")):
            mode = stat.S_IMODE(path.lstat().st_mode)
            assert mode == (0o755 if path.is_dir() else 0o644), path
        shown = [stat.S_IMODE((site.root / name).stat().st_mode) for name in ("image", "tree", "tree/file")]
        assert shown == [0o644, 0o751, 0o604]
        assert stat.S_IMODE((site.root / ".netclnt").stat().st_mode) == 0o700
    (site.root / "image").chmod(0o440)
    site.publish(site.put("image", content("C26/kept", 100_000)))
    site.sync()
    assert stat.S_IMODE((site.root / "image").stat().st_mode) == 0o440


def test_bad_sources_and_names_are_refused_before_anything_is_written(make_site: MakeSite) -> None:
    site = make_site()
    image = site.put("image", b"data")
    os.mkfifo(site.source / "fifo")
    before = set(site.store.rglob("*"))
    for words, code in [
        ((site.source / "not-there",), 2),
        ((site.source / "fifo",), 2),
        ((image, "--name", "../up"), 8),
        ((image, "--name", "-rf"), 8),
        ((image, "--requires", "x@y"), 2),
    ]:
        assert site.master("publish", *words).code == code, words
    assert set(site.store.rglob("*")) == before
