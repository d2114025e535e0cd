"""A version whose content never has its SHA-256, though all its blocks are right."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.support.crafted import wrong_sha256
from tests.support.images import content
from tests.support.oracle import oracle
from tests.support.site import Site, digest, good

pytestmark = pytest.mark.slow

MakeSite = Callable[..., Site]
SIZE = 3 << 20


def test_P5_K8_a_wrong_SHA256_is_fetched_once_more_and_then_left_in_quarantine(
    make_site: MakeSite, request: pytest.FixtureRequest
) -> None:
    site = make_site()
    first, other = site.put("image", random.Random(1).randbytes(SIZE)), site.put("other", content("K8/other", 100_000))
    site.publish(first)
    site.publish(other)
    site.sync()
    before = digest(first)
    site.put("image", random.Random(2).randbytes(SIZE))
    site.publish(first)
    site.put("other", content("K8/other/2", 100_000))
    site.publish(other)
    wrong_sha256(site, "image")
    with oracle(site, request) as watch:
        run = watch.sync()
        assert run.code == 7
        (error,) = run.of("error")
        assert (error["code"], error["cause"], error["image"]) == ("INTEGRITY", "InQuarantine", "image")
        assert "netclnt sync --retry-quarantined image" in error["hint"]
        assert [(each["image"], each["version"]) for each in run.of("image")] == [("other", 2)]
        fetched = run.one("summary")["bytes_fetched"]
        assert 2 * SIZE < fetched < 2.2 * SIZE
        assert (digest(site.root / "image"), digest(site.root / "other")) == (before, digest(other))

        again = watch.sync()
        assert (again.code, again.one("error")["cause"]) == (7, "InQuarantine")
        assert (again.one("summary")["bytes_fetched"], again.one("summary")["sftp_connections"]) == (0, 0)
        assert watch.slave("diff").code == 7
        assert watch.slave("sync", "--dry-run").code == 7
        status = good(watch.slave("--json", "status")).one("status")
        assert (status["quarantined"], status["note"]) == (["image@2"], "in quarantine: image@2")
        assert good(site.slave("list")).rows[0][6] == "version 2 is in quarantine"

        retried = watch.sync("--retry-quarantined")
        assert (retried.code, retried.one("error")["cause"]) == (7, "InQuarantine")
        assert retried.one("summary")["bytes_fetched"] > SIZE

        site.put("image", random.Random(3).randbytes(SIZE))
        site.publish(first)
        watch.begin()
    assert good(site.slave("--json", "status")).one("status")["quarantined"] == []
    assert site.sync().one("summary")["sftp_connections"] == 0


def test_P5_a_tree_with_one_wrong_SHA256_is_left_in_quarantine_until_it_is_published_anew(make_site: MakeSite) -> None:
    site = make_site()
    tree = site.source / "tree"
    (tree / "lib").mkdir(parents=True)
    for number in range(20):
        (tree / f"lib/{number}").write_bytes(content(f"P5/{number}", 40_000))
    site.publish(tree)
    wrong_sha256(site, "tree")
    for _ in range(2):
        run = site.slave("--json", "sync")
        assert (run.code, run.one("error")["cause"]) == (7, "InQuarantine")
        assert not (site.root / "tree").exists()
        assert list((site.root / ".netclnt/staging").iterdir()) == []
    assert run.one("summary")["sftp_connections"] == 0
    # the master's admin publishes from the source: the content that was offered is not that, so it is a new version
    assert site.publish(tree)["version"] == 2
    run = site.sync()
    assert [(each["image"], each["version"]) for each in run.of("image")] == [("tree", 2)]
