"""A ledger that is lost or broken, and images of odd sizes and changing shapes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

from tests.support.images import content, make_squashfs, make_tree
from tests.support.site import CATALOGS, Site, digest, entries, good, quick

pytestmark = pytest.mark.slow  # dozens of whole runs; the quick tier has the main job

MakeSite = Callable[..., Site]


@pytest.mark.parametrize("damage", quick(("gone", "empty", "garbage", "state-gone"), "gone", "garbage"))
def test_I1_a_lost_ledger_costs_hashing_and_no_fetching(damage: str, make_site: MakeSite) -> None:
    site = make_site()
    site.publish(site.put("image", content("I1", 2 << 20)))
    site.publish(make_tree(site.source / "tree", size=1 << 20))
    site.sync()
    before = digest(site.root / "image"), entries(site.root / "tree")
    ledger = site.state / "ledger.sqlite"
    match damage:
        case "gone":
            ledger.unlink()
        case "empty":
            os.truncate(ledger, 0)
        case "garbage":
            ledger.write_bytes(os.urandom(20_000))
            assert "netclnt sync" in site.slave("list").err
        case "state-gone":
            shutil.rmtree(site.state)
            site.init_slave()
    run = site.sync()
    assert {event["image"]: event["result"] for event in run.of("image")} == {"image": "recorded", "tree": "recorded"}
    assert run.one("summary")["bytes_fetched"] < 100_000  # manifests
    assert (digest(site.root / "image"), entries(site.root / "tree")) == before
    assert site.sync().one("summary")["sftp_connections"] == 0


def test_C25_odd_sizes(make_site: MakeSite) -> None:
    site = make_site()
    sizes = (0, 1, 4095, 4096, 65_536, 65_537, 261_120, 1_000_003)
    site.source.joinpath("tree").mkdir()
    for size in sizes:
        site.put(f"tree/{size}", content(f"C25/{size}", size))
    with site.put("sparse", b"").open("wb") as sparse:
        sparse.truncate(20 << 20)
        sparse.seek(10 << 20)
        sparse.write(b"in the middle")
    for name in ("tree", "sparse", *(f"tree/{size}" for size in (0, 1))):
        site.publish(site.source / name, "--name", name.replace("tree/", "file-"))
    site.sync()
    assert entries(site.root / "tree") == entries(site.source / "tree")
    for name, source in (("sparse", "sparse"), ("file-0", "tree/0"), ("file-1", "tree/1")):
        assert digest(site.root / name) == digest(site.source / source)
    assert (site.root / "sparse").stat().st_blocks * 512 < 1 << 20
    assert good(site.slave("verify")).out == ""


def test_F15_an_image_becomes_a_tree_and_a_file_again(make_site: MakeSite) -> None:
    site = make_site()
    tree = make_tree(site.source / "tree", size=1 << 20)
    squashed = make_squashfs(site.source / "squashed", tree)
    for source in (squashed, tree, squashed):
        site.publish(source, "--name", "boot/debian")
        site.sync()
        assert entries(site.root / "boot/debian") == entries(source)
        assert site.sync().one("summary")["images_changed"] == 0


@pytest.mark.parametrize("catalog", quick(CATALOGS, "postgresql", "mariadb", "sqlite-odbc"))
def test_E13_names_and_notes_of_odd_characters(catalog: str, make_site: MakeSite) -> None:
    site = make_site(catalog)
    name, note = 'Fürs Büro/O\'Brien 100%_{0} $(id) ; "x" –', 'it\'s "100 %" \\ üß 日本 {1}'
    image = site.put("image", content("E13", 50_000))
    site.publish(image, "--name", name, "--note", note)
    assert site.slave("diff").rows[0][2] == name
    site.sync()
    assert digest(site.root / name) == digest(image)
    assert good(site.slave("--json", "show", name, "--remote")).of("version")[1]["note"] == note
    assert [row[0] for row in good(site.slave("list", "--from-file", "-", input=name + "\n")).rows] == [name]
