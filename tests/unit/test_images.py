"""The tests' images are what they say: real, reproducible, and changed as an admin would."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from tests.support.images import change_ext4, change_tree, make_ext4, make_squashfs, make_tree


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_squashfs_is_the_same_for_the_same_tree(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    first = digest(make_squashfs(tmp_path / "first", tree))
    assert digest(make_squashfs(tmp_path / "second", tree)) == first
    assert digest(make_squashfs(tmp_path / "third", change_tree(tree))) != first


def test_ext4_is_changed_in_place_and_stays_a_file_system(tmp_path: Path) -> None:
    image = make_ext4(tmp_path / "image", make_tree(tmp_path / "tree"))
    before = image.read_bytes()
    after = change_ext4(image, tmp_path).read_bytes()
    alike = sum(before[at : at + 1024] == after[at : at + 1024] for at in range(0, len(before), 1024))
    assert len(before) == len(after)
    assert 0.8 < alike / (len(before) // 1024) < 1
    check = subprocess.run(["/usr/sbin/e2fsck", "-fn", str(image)], check=False, capture_output=True, text=True)
    assert check.returncode == 0, check.stdout


def test_a_changed_tree_keeps_most_of_its_content(tmp_path: Path) -> None:
    before = {path.name: digest(path) for path in make_tree(tmp_path / "before").rglob("*") if path.is_file()}
    after = {path.name: digest(path) for path in change_tree(make_tree(tmp_path / "after")).rglob("*") if path.is_file()}
    assert before != after
    assert len(before.items() & after.items()) > len(before) * 3 // 4
