"""The update that most fault tests hit: a file and a tree, each from its first version to its second."""

from __future__ import annotations

from pathlib import Path

from tests.support.images import content
from tests.support.site import Site

NAMES = ("image", "tree")


def make_update(site: Site, saved: Path, *, size: int = 400_000) -> Path:
    """The slave holds the first versions, and is saved below ``saved``; the master offers the second ones. Of the tree, one file
    stays as it is (in staging, a second name of the live one), one changes, one comes and one goes."""
    publish_turn(site, 1, size=size)
    site.sync()
    (site.root / "notes.txt").write_text("the admin's own\n")
    saved.mkdir()
    site.save(saved)
    publish_turn(site, 2, size=size)
    return saved


def publish_turn(site: Site, turn: int, *, size: int = 400_000) -> None:
    """The versions of one turn; each has something of the one before."""
    tree = site.source / "tree"
    (tree / "etc").mkdir(parents=True, exist_ok=True)
    (tree / "same").write_bytes(content("same", 60_000))
    (tree / "etc/hostname").write_text(f"version {turn}\n")
    for old in tree.glob("only-in-*"):
        old.unlink()
    (tree / f"only-in-{turn}").write_bytes(content(f"tree/{turn}", 30_000))
    site.publish(site.put("image", content("image", size) + content(f"image/{turn}", 50_000 + 10 * turn)))
    site.publish(tree)
