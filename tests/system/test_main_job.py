"""The main job from end to end: publish, diff, sync, changed publish, dry run, sync, and a second sync that does nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.images import change_ext4, change_tree, content, make_ext4, make_tree
from tests.support.site import CATALOGS, TRANSPORTS, Run, Site, digest, entries, good

PLAN = ("image", "action", "from_version", "to_version", "bytes_fetch", "bytes_reuse", "bytes_write", "blocks_missing")


# the two are independent of each other, and the contract suites have every engine: the quick run takes each way of asking once
QUICK = {("postgresql", "openssh"), ("sqlite-odbc", "paramiko"), ("store", "paramiko")}
COMBINATIONS = [
    pytest.param(catalog, transport, marks=[] if (catalog, transport) in QUICK else [pytest.mark.slow])
    for catalog in CATALOGS
    for transport in TRANSPORTS
]


@pytest.mark.parametrize(("catalog", "transport"), COMBINATIONS)
def test_the_main_job(catalog: str, transport: str, make_site: Callable[..., Site], tmp_path: Path) -> None:
    site = make_site(catalog, transport=transport)
    tree = make_tree(site.source / "tree", size=1 << 20)
    image = make_ext4(site.source / "debian.ext4", tree, size=3 << 20)
    first = [site.publish(image, "--note", "first"), site.publish(tree, "--name", "pxe/debian")]
    assert [event["result"] for event in first] == ["published", "published"]

    offered = site.slave("diff")
    assert offered.code == 4
    assert offered.rows == [
        ["new", "image", "debian.ext4", "", "1", str(3 << 20), ""],
        ["new", "image", "pxe/debian", "", "1", str(first[1]["size"]), ""],
    ]
    cold = site.sync()
    equal(site)
    assert {event["image"]: event["result"] for event in cold.of("image")} == {"debian.ext4": "updated", "pxe/debian": "updated"}
    needed = stored(first)
    assert needed <= fetched(cold) < needed + needed // 5 + 100_000
    assert good(site.slave("diff")).out == ""

    change_ext4(image, tmp_path)
    change_tree(tree)
    second = [site.publish(image), site.publish(tree, "--name", "pxe/debian")]
    assert [event["version"] for event in second] == [2, 2]
    assert [row[:5] for row in site.slave("diff").rows] == [
        ["update", "image", "debian.ext4", "1", "2"],
        ["update", "image", "pxe/debian", "1", "2"],
    ]
    with site.nothing_changes():
        forecast = good(site.slave("--json", "sync", "--dry-run"))
    warm = site.sync()
    equal(site)
    assert [each["bytes_fetch"] for each in plans(warm)] == [each["bytes_fetch"] for each in plans(forecast)]
    assert sum(each["bytes_fetch"] for each in plans(warm)) <= fetched(warm) < fetched(cold) / 2

    nothing_to_do(site)


def test_an_up_to_date_sync_loads_nothing_that_only_an_update_needs(make_site: Callable[..., Site]) -> None:
    """Most runs find nothing to do, and what they cost is Python's start."""
    site = make_site()
    site.publish(site.put("image", content("idle", 10_000)))
    site.sync()
    run = good(site.slave("sync", env={**site.environment_of("slave"), "PYTHONPROFILEIMPORTTIME": "1"}))
    loaded = {line.rpartition("|")[2].strip() for line in run.err.splitlines() if line.startswith("import time:")}
    assert "netclnt.offer" in loaded
    update = {"netclnt.carry", "netclnt.pack", "netclnt.sftp", "backports.zstd", "compression.zstd", "concurrent.futures"}
    assert not loaded & {*update, "json", "shutil", "socket", "subprocess", "tempfile", "traceback"}


def plans(run: Run) -> list[dict[str, object]]:
    return [{key: event[key] for key in PLAN if key in event} for event in run.of("plan")]


def fetched(run: Run) -> int:
    return int(run.one("summary")["bytes_fetched"])


def stored(published: list[dict[str, int]]) -> int:
    return sum(event["bytes_stored"] for event in published)


def equal(site: Site) -> None:
    assert digest(site.root / "debian.ext4") == digest(site.source / "debian.ext4")
    assert entries(site.root / "pxe/debian") == entries(site.source / "tree")


def nothing_to_do(site: Site) -> None:
    """A sync that asks one question and opens no connection; where the catalog is the store, one connection and no question."""
    database = site.place.database
    sessions, statements = site.sessions(), len(database.server.statements()) if database else 0
    idle = site.sync()
    summary = idle.one("summary")
    assert summary["images_changed"] == 0
    if site.place.slave == "store":
        assert (summary["sftp_connections"], site.sessions() - sessions) == (1, 1)
        assert summary["bytes_fetched"] < 4096
        return
    assert (summary["sftp_connections"], summary["bytes_fetched"], site.sessions() - sessions) == (0, 0, 0)
    assert summary["queries"] == 2  # one SELECT, and one UPDATE that says when this slave was last seen
    if database and database.server.engine == "postgresql":
        sent = [line for line in database.server.statements()[statements:] if "SELECT" in line and "nc_" in line]
        assert len(sent) == 1, sent
