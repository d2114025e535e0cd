"""Disks that are too small, fill up, cannot be written, or hold a file that cannot be replaced."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.images import content
from tests.support.mounts import mounted
from tests.support.proxy import Proxy
from tests.support.site import TRANSPORTS, Run, Site, checked, digest, good, quick, snapshot

pytestmark = pytest.mark.slow  # dozens of whole runs; the quick tier has the main job

MakeSite = Callable[..., Site]
MEGABYTE = 1 << 20


@pytest.mark.parametrize("kind", quick(("tmpfs", "ext4"), "tmpfs"))
def test_C1_a_disk_that_is_too_small_is_STORAGE_before_the_download(kind: str, make_site: MakeSite, tmp_path: Path) -> None:
    with mounted(kind, tmp_path, megabytes=12) as root:
        site = make_site(root=root)
        small, big = site.put("small", content("C1", 100_000)), site.put("big", random.Random(8).randbytes(16 * MEGABYTE))
        site.publish(big)
        run = site.slave("--json", "sync")
        assert (run.code, run.one("error")["code"]) == (9, "STORAGE")
        assert run.one("summary")["bytes_fetched"] < 200_000
        site.publish(small)
        assert site.slave("sync").code == 3
        assert digest(root / "small") == digest(small)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_C2_a_disk_that_fills_up_midway_is_STORAGE_and_the_next_run_goes_on(
    transport: str, slow_site: MakeSite, line: Proxy, tmp_path: Path
) -> None:
    size = 16 * MEGABYTE
    with mounted("tmpfs", tmp_path, megabytes=48) as root:
        site = slow_site(root=root, transport=transport)
        image = site.put("image", random.Random(9).randbytes(size))
        site.publish(image)
        line.hold_after(size // 4)
        process = site.start("slave", "--json", "sync")
        try:
            line.wait_until_held()
            filler = fill(root / "filler")
            line.release()
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
            process.communicate()
        first = checked(Run(process.returncode, out, err), None)
        assert (first.code, first.of("error")[0]["code"]) == (9, "STORAGE")
        assert not (root / "image").exists()
        filler.unlink()
        second = site.sync()
        assert digest(root / "image") == digest(image)
        fetched = [each.one("summary")["bytes_fetched"] for each in (first, second)]
        assert fetched[1] < size


def fill(path: Path) -> Path:
    """A file that takes all that is left."""
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(65536)):
                pass
        except OSError:
            return path
    raise AssertionError("not full")


def test_C12_a_read_only_root_is_STORAGE_and_a_remount_is_enough(make_site: MakeSite, tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path, megabytes=12) as root:
        site = make_site(root=root)
        image = site.put("image", content("C12", 200_000))
        site.publish(image)
        site.sync()
        site.publish(site.put("image", content("C12/2", 200_000)))
        subprocess.run(["mount", "-o", "remount,ro", root], check=True)
        before = snapshot(root)
        run = site.slave("sync")
        assert run.code == 9, run.err
        assert snapshot(root) == before
        subprocess.run(["mount", "-o", "remount,rw", root], check=True)
        site.sync()
        assert digest(root / "image") == digest(image)


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    done = subprocess.run(["chattr", "+i", path], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("chattr +i does not work here")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", path], check=True)


def test_C14_a_target_that_cannot_be_replaced_is_PARTIAL_and_the_others_go_on(make_site: MakeSite, tmp_path: Path) -> None:
    with mounted("ext4", tmp_path, megabytes=32) as root:
        site = make_site(root=root)
        names = ("a", "b", "c")
        for turn in (1, 2):
            for name in names:
                site.publish(site.put(name, content(f"C14/{name}/{turn}", 100_000)))
            if turn == 1:
                site.sync()
        old = digest(root / "b")
        with immutable(root / "b"):
            run = site.slave("--json", "sync")
            assert run.code == 3
            assert [event["image"] for event in run.of("error")] == ["b"]
            assert digest(root / "b") == old
            assert [digest(root / name) for name in ("a", "c")] == [digest(site.source / name) for name in ("a", "c")]
        again = site.sync()
        assert [event["image"] for event in again.of("image")] == ["b"]
        assert again.one("summary")["bytes_fetched"] < 50_000  # it lay in staging, whole
        assert good(site.slave("diff")).out == ""


def test_C13_a_state_directory_that_may_not_be_written_is_STORAGE(make_site: MakeSite, tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path, megabytes=12) as state:
        site = make_site(flags=("--state", str(state)))
        site.publish(site.put("image", content("C13", 100_000)))
        subprocess.run(["mount", "-o", "remount,ro", state], check=True)
        run = site.slave("sync")
        assert run.code == 9, run.err
        assert not (site.root / "image").exists()
