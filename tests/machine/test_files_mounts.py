"""The contract of a root, on the file systems that slaves have."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from netclnt.errors import NoSpace, RootNotMounted, StorageFailed
from netclnt.files.root import open_root
from netclnt.model import Entry, EntryType
from tests.contract import test_root as suite
from tests.support.mounts import mounted
from tests.support.roots import Bench, directory_bench

globals().update({name: item for name, item in vars(suite).items() if name.startswith("test_")})
root = suite.root


@pytest.fixture(scope="module", params=["ext4", "xfs", "tmpfs"])
def mount(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with mounted(request.param, tmp_path_factory.mktemp("mounts")) as place:
        yield place


@pytest.fixture
def bench(mount: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = directory_bench(mount / f"root-{len(list(mount.iterdir()))}")
    yield bench
    bench.root.close()


def big(size: int) -> Entry:
    return Entry("", EntryType.FILE, 0o644, size, bytes(32))


def test_clone_shares_blocks_on_xfs(bench: Bench, mount: Path) -> None:
    bench.put_file("seed", b"s" * 20_000_000)
    os.sync()
    seed = bench.root.open("seed", "")
    free = bench.root.free()
    stage = bench.root.stage("a1")
    stage.prepare([big(20_000_000)])
    assert stage.clone(0, seed) == mount.name.startswith("xfs")
    stage.sync()
    assert free - bench.root.free() < 5_000_000
    stage.close()
    seed.close()


def test_G4_a_mount_inside_an_old_tree_is_not_emptied(bench: Bench, mount: Path, tmp_path: Path) -> None:
    bench.put_file("t/a", b"old")
    bench.put_directory("t/mnt")
    (tmp_path / "precious").write_bytes(b"mine")
    place = Path(bench.root.path) / "t" / "mnt"
    assert os.system(f"mount --bind '{tmp_path}' '{place}'") == 0
    try:
        with pytest.raises(StorageFailed):
            suite.put(bench.root, "t", {"a": b"new"})
        assert (tmp_path / "precious").read_bytes() == b"mine"
    finally:
        for line in Path("/proc/mounts").read_text().splitlines():
            where = line.split()[1]
            if where.startswith(bench.root.path) and where.endswith("/mnt"):
                os.system(f"umount '{where}'")


def test_C17_a_work_area_on_another_file_system_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root" / ".netclnt").mkdir(parents=True)
    with mounted("tmpfs", tmp_path, megabytes=1) as other:
        assert os.system(f"mount --move '{other}' '{tmp_path}/root/.netclnt'") == 0
        try:
            with pytest.raises(StorageFailed) as caught:
                open_root(tmp_path / "root", marker=None)
            assert "another file system" in caught.value.cause
        finally:
            os.system(f"mount --move '{tmp_path}/root/.netclnt' '{other}'")


def test_C17_an_image_on_another_file_system_than_its_root_is_told(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with mounted("tmpfs", tmp_path / "root", megabytes=1) as other, open_root(tmp_path / "root", marker=None) as root:
        for name in (f"{other.name}/a", other.name):
            with pytest.raises(StorageFailed):
                root.type(name)


def test_a_root_on_an_overlay_of_several_file_systems_is_one(tmp_path: Path) -> None:
    """As on a live system, or in a container: each file there tells of the file system it lies on."""
    place = tmp_path / "root"
    place.mkdir()
    with mounted("tmpfs", tmp_path, megabytes=1) as upper, mounted("ext4", tmp_path, megabytes=8) as lower:
        for path in (upper / "upper", upper / "work"):
            path.mkdir()
        (lower / "old").write_bytes(b"old")
        layers = f"lowerdir={lower},upperdir={upper}/upper,workdir={upper}/work"
        command = ["mount", "-t", "overlay", "-o", f"{layers},xino=off", "none", str(place)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("no overlay can be mounted here")
        try:
            with open_root(place, marker=None) as root:
                suite.put(root, "new", b"new")
                (place / "tree").mkdir()
                assert len({(place / name).stat().st_dev for name in ("old", "new", "tree")}) > 1
                assert [root.type(name) for name in ("old", "new", "tree", "none")] == ["file", "file", "directory", "absent"]
                assert sorted(path for path, _ in root.files()) == ["new", "old"]
        finally:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_C18_a_root_that_is_not_mounted_is_refused_and_not_refilled(tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path, megabytes=1) as place, open_root(place, marker=None) as root:
        marker = root.marker
        assert marker
        with open_root(place, marker=marker) as again:
            assert again.marker == marker
    for path in (tmp_path / "tmpfs-mount", tmp_path / "nowhere"):
        with pytest.raises(RootNotMounted):
            open_root(path, marker=marker)
    assert list((tmp_path / "tmpfs-mount").iterdir()) == []


def test_files_are_those_of_the_roots_own_file_system(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").touch()
    with mounted("tmpfs", tmp_path / "root", megabytes=1) as other, open_root(tmp_path / "root", marker=None) as root:
        (other / "b").touch()
        assert [path for path, _ in root.files()] == ["a"]


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_C2_a_full_disk_is_told_with_its_numbers(tmp_path: Path, kind: str) -> None:
    with mounted(kind, tmp_path, megabytes=8) as place, open_root(place, marker=None) as root:
        stage = root.stage("a1")
        stage.prepare([big(100 << 20)])
        with pytest.raises(NoSpace) as caught:
            for offset in range(0, 100 << 20, 1 << 20):
                stage.write(0, offset, [os.urandom(1 << 20)])
        assert caught.value.needed == 1 << 20
        assert caught.value.free < 1 << 20
        stage.close()
        root.discard("a1")
        assert root.free() > 1 << 20


def test_C5_no_inodes_is_not_called_no_space(tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path, megabytes=8, options="nr_inodes=20") as place, open_root(place, marker=None) as root:
        entries = [Entry("", EntryType.DIRECTORY, 0o755)]
        entries += [Entry(f"f{number:02}", EntryType.FILE, 0o644, 0, bytes(32)) for number in range(50)]
        stage = root.stage("a1")
        stage.prepare(entries)
        with pytest.raises(StorageFailed) as caught:
            stage.seal("t")
        assert caught.value.cause == "no free inodes"
        stage.close()


def test_C12_a_read_only_root(tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path, megabytes=8) as place:
        with open_root(place, marker=None) as root:
            suite.put(root, "a", b"one")
            marker = root.marker
        assert os.system(f"mount -o remount,ro '{place}'") == 0
        with open_root(place, marker=marker, writable=False) as root:
            assert suite.content(root, "a") == b"one"
            with pytest.raises(StorageFailed):
                root.stage("a1")
