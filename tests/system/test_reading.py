"""``status``, ``list``, ``show`` and ``verify`` on a slave that has something."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.images import content, make_tree
from tests.support.site import Site, digest, entries, good

pytestmark = pytest.mark.slow  # whole runs; the quick tier has the main job

MakeSite = Callable[..., Site]


def flip(path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


def test_C19_verify_names_the_flipped_block_and_the_next_sync_mends_it(make_site: MakeSite) -> None:
    site = make_site()
    image = site.put("image", content("C19", 4 << 20))
    site.publish(image)
    tree = make_tree(site.source / "tree", size=1 << 20)
    site.publish(tree)
    cold = site.sync()
    assert good(site.slave("verify")).out == ""

    flip(site.root / "image", 1_234_567)
    flip(site.root / "tree/usr/bin/shell", 50_000)
    run = site.slave("verify")
    assert run.code == 7
    named = {row[0]: row[1:] for row in run.rows}
    assert named.keys() == {"image", "tree"}
    version, path, offset, length, _ = named["image"]
    assert (version, path) == ("1", "")
    assert int(offset) <= 1_234_567 < int(offset) + int(length) <= int(offset) + 65536
    version, path, offset, length, _ = named["tree"]
    assert (version, path) == ("1", "usr/bin/shell")
    assert int(offset) <= 50_000 < int(offset) + int(length)
    assert [row[4] for row in good(site.slave("list")).rows] == ["damaged", "damaged"]

    mended = site.sync()
    assert digest(site.root / "image") == digest(image)
    assert entries(site.root / "tree") == entries(tree)
    assert mended.one("summary")["bytes_fetched"] < cold.one("summary")["bytes_fetched"] / 4
    assert good(site.slave("verify")).out == ""


def test_C19_verify_repair_fetches_just_that_block(make_site: MakeSite) -> None:
    site = make_site()
    image = site.put("image", content("repair", 4 << 20))
    site.publish(image)
    site.sync()
    flip(site.root / "image", 99)
    run = good(site.slave("--json", "verify", "--repair"))
    assert [event["offset"] for event in run.of("damage")] == [0]
    assert run.one("summary")["bytes_fetched"] < 500_000
    assert digest(site.root / "image") == digest(image)


def test_C20_a_live_image_that_was_cut_lengthened_or_touched_is_noticed(make_site: MakeSite) -> None:
    site = make_site()
    image = site.put("image", content("C20", 1 << 20))
    site.publish(image)
    site.sync()
    live = site.root / "image"
    for damage in (
        lambda: live.write_bytes(live.read_bytes()[:500_000]),
        lambda: live.write_bytes(live.read_bytes() + b"more"),
        lambda: live.unlink(),
    ):
        damage()
        assert site.slave("verify").code == 7
        site.sync()
        assert digest(live) == digest(image)
    live.touch()
    touched = site.sync()
    assert touched.of("image") == []
    assert touched.one("summary")["sftp_connections"] == 0


def test_status_list_and_show_tell_what_happened(make_site: MakeSite) -> None:
    site = make_site()
    assert good(site.slave("list")).out == ""
    assert good(site.slave("status")).rows[0][:4] == ["store-0042", "slave", "", "0"]
    assert site.slave("status", "--max-age", "1d").code == 5
    site.publish(site.put("image", content("one", 50_000)), "--note", "first")
    site.sync()
    site.publish(site.put("image", content("two", 60_000)), "--note", "second")
    site.sync()
    assert good(site.slave("list")).rows[0][:5] == ["image", "image", "2", "60000", "held"]
    assert [row[:2] for row in good(site.slave("show", "image")).rows] == [["2", "held"], ["1", "kept"]]
    assert [row[:2] for row in good(site.master("show", "image")).rows] == [["2", "current"], ["1", "older"]]
    remote = good(site.slave("--json", "show", "image", "--remote")).of("version")
    assert [(each["version"], each["state"]) for each in remote] == [(2, "held"), (1, "kept"), (2, "current"), (1, "older")]
    status = good(site.slave("--json", "status", "--max-age", "1d")).one("status")
    assert (status["generation"], status["images"], status["result"]) == (2, 1, "OK")
    assert good(site.master("status")).rows[0][1:5] == ["master", "2", "1", "60000"]
    assert site.slave("show", "nothing").code == 2
