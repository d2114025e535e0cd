"""Images in further roots, as an admin sets them up and changes his mind: config, sync, list, doctor, and what is not mounted."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support.amount import amount
from tests.support.images import content
from tests.support.mounts import mounted
from tests.support.site import Site, digest
from tests.support.trace import CHANGING, points, read_trace, sample, tracing

MakeSite = Callable[..., Site]


def set_paths(site: Site, *rules: tuple[str, Path]) -> None:
    """Let the slave's config have this ``[paths]``, and no other."""
    config = site.config("slave")
    before = config.read_text().partition("\n[paths]")[0]
    table = "".join(f'"{pattern}" = "{path}"\n' for pattern, path in rules)
    config.write_text(before + (f"\n[paths]\n{table}" if rules else ""))


def paths(site: Site) -> dict[str, str]:
    """Where the images lie, as ``list`` tells it."""
    return {row[0]: row[-1] for row in site.slave("list").rows}


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A file ``image`` and a piece of software ``tool`` are published."""
    site = make_site()
    site.publish(site.put("image", content("image", 200_000)))
    tool = site.source / "tool"
    (tool / "bin").mkdir(parents=True)
    (tool / "bin/run").write_bytes(content("run", 150_000))
    (tool / "link").symlink_to("bin/run")
    site.publish(tool, "--kind", "software")
    return site


@pytest.mark.parametrize("catalog", ["sqlite", "store"])
def test_software_lies_in_a_root_of_its_own(catalog: str, make_site: MakeSite, tmp_path: Path) -> None:
    where = tmp_path / "software"
    site = make_site(catalog, flags=("--paths", f"kind:software={where}"))
    assert (where / ".netclnt/marker").exists()
    site.publish(site.put("image", content("image", 100_000)))
    site.publish(site.put("tool", content("tool", 100_000)), "--kind", "software")
    site.sync()
    assert paths(site) == {"image": f"{site.root}/image", "tool": f"{where}/tool"}
    assert digest(where / "tool") == digest(site.source / "tool")
    assert not (site.root / "tool").exists()
    assert site.slave("--json", "show", "tool").one("version")["path"] == f"{where}/tool"
    assert site.slave("--json", "status").one("status")["roots"] == [str(site.root), str(where)]
    assert site.sync().one("summary")["images_changed"] == 0
    assert site.slave("verify").code == 0
    assert site.init_slave("--paths", f"kind:software={where}").code == 0


def test_C18_a_further_root_that_is_not_mounted_is_not_filled(site: Site, tmp_path: Path) -> None:
    where = tmp_path / "software"
    set_paths(site, ("kind:software", where))
    run = site.slave("--json", "sync")
    assert (run.code, run.one("error")["image"]) == (3, "tool")
    assert not where.exists()
    where.mkdir()
    site.sync()
    away = where.rename(tmp_path / "away")
    where.mkdir()
    site.publish(site.put("image", content("image2", 200_000)))
    run = site.slave("--json", "sync")
    assert (run.code, run.one("error")["image"], "not mounted" in run.one("error")["message"]) == (3, "tool", True)
    assert site.slave("verify").code == 3
    assert list(where.iterdir()) == []
    doctor = {row[1]: row[2] for row in site.slave("doctor", "--role", "slave").rows}
    assert (doctor["root"], doctor[f"root:{where}"], doctor[f"root.space:{where}"]) == ("ok", "error", "skipped")
    where.rmdir()
    away.rename(where)
    assert site.sync().one("summary")["bytes_fetched"] == 0
    doctor = {row[1]: row[2] for row in site.slave("doctor", "--role", "slave").rows}
    assert doctor[f"root:{where}"] == doctor[f"root.space:{where}"] == doctor[f"root.writable:{where}"] == "ok"


def test_a_root_that_is_mounted_elsewhere_now_is_the_same_root(site: Site, tmp_path: Path) -> None:
    where = tmp_path / "software"
    where.mkdir()
    set_paths(site, ("kind:software", where))
    site.sync()
    elsewhere = where.rename(tmp_path / "elsewhere")
    set_paths(site, ("kind:software", elsewhere))
    assert site.sync().one("summary")["images_changed"] == 0
    assert paths(site)["tool"] == f"{elsewhere}/tool"


def test_C18_a_new_disk_is_refused_until_it_is_accepted(site: Site, tmp_path: Path) -> None:
    where = tmp_path / "software"
    where.mkdir()
    set_paths(site, ("kind:software", where))
    site.sync()
    shutil.rmtree(where)
    where.mkdir()
    assert site.slave("sync").code == 9
    site.init_slave("--force")
    run = site.sync()
    assert (run.one("image")["image"], run.one("image")["bytes_fetched"] > 50_000) == ("tool", True)
    assert site.sync().one("summary")["sftp_connections"] == 0


def test_P8_roots_that_fall_together_are_refused_with_their_names(site: Site, tmp_path: Path) -> None:
    where = tmp_path / "software"
    for rules, words in (
        ([("kind:software", site.root / "software")], f"{site.root}/software, which must not lie inside {site.root}"),
        ([("a", where), ("b", where / "b")], f"{where}/b, which must not lie inside {where}"),
        ([("a*", site.root.parent)], f"{site.root}, which must not lie inside {site.root.parent}"),
        ([("!a", where)], "!a"),
        ([("kind:soft", where)], "kind:soft"),
    ):
        set_paths(site, *rules)
        run = site.slave("sync")
        assert run.code == 2, run
        assert words in run.err
    where.mkdir()
    (tmp_path / "link").symlink_to(site.root)
    (tmp_path / "inside").symlink_to(where)
    (where / "b").mkdir()
    for rules, words in (
        ([("a", tmp_path / "link")], "is the same directory as"),
        ([("a", where / "b"), ("b", tmp_path / "inside")], "must not lie inside the root"),
    ):
        set_paths(site, *rules)
        run = site.slave("sync")
        assert (run.code, words in run.err) == (2, True), run


@pytest.mark.parametrize("other", [False, True], ids=["same-file-system", "other"])
def test_images_move_to_where_they_belong_and_nothing_is_fetched(site: Site, tmp_path: Path, other: bool) -> None:
    site.sync()
    assert paths(site)["tool"] == f"{site.root}/tool"
    inode = (site.root / "tool").stat().st_ino
    where = tmp_path / "software"
    where.mkdir()
    if other:
        (tmp_path / "disk").mkdir()
        with mounted("tmpfs", tmp_path / "disk", megabytes=16) as where:
            _move(site, where)
            set_paths(site)
            _moved_back(site, where)
        return
    _move(site, where)
    assert (where / "tool").stat().st_ino == inode
    set_paths(site)
    _moved_back(site, where)


def _move(site: Site, where: Path) -> None:
    set_paths(site, ("kind:software", where))
    plan = site.slave("--json", "sync", "--dry-run").one("plan")
    assert (plan["image"], plan["bytes_fetch"]) == ("tool", 0)
    assert "moves to" in site.slave("diff").out
    run = site.sync()
    assert (run.one("image")["image"], run.one("summary")["bytes_fetched"] < 2_000) == ("tool", True)
    assert digest(where / "tool/bin/run") == digest(site.source / "tool/bin/run")
    assert not (site.root / "tool").exists()
    assert site.sync().one("summary")["sftp_connections"] == 0


def _moved_back(site: Site, where: Path) -> None:
    """Without any ``[paths]``, the root that is left is still known."""
    assert site.sync().one("summary")["bytes_fetched"] < 2_000
    assert paths(site)["tool"] == f"{site.root}/tool"
    assert sorted(path.name for path in where.iterdir()) == [".netclnt"]
    assert site.sync().one("summary")["sftp_connections"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rename", "copy"])
@pytest.mark.timeout(3600)
def test_A1_P1_P3_P4_a_move_killed_at_the_nth_call_that_changes_the_disk(
    site: Site, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    site.sync()
    if kind == "rename":
        where = tmp_path / "software"
        where.mkdir()
        _killed_at_each(site, where, tmp_path, request)
        return
    (tmp_path / "disk").mkdir()
    with mounted("tmpfs", tmp_path / "disk", megabytes=32) as where:
        _killed_at_each(site, where, tmp_path, request)


def _killed_at_each(site: Site, where: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    set_paths(site, ("kind:software", where))
    saved, log = tmp_path / "saved", tmp_path / "trace"
    saved.mkdir()
    site.save(saved)
    site.sync(before=tracing(log, CHANGING))
    places = points(read_trace(log), [site.root, site.state, where])
    assert len(places) > 10
    wanted = site.source / "tool/bin/run"
    killed = 0
    for name, number in sample(places, amount(request, 5, len(places)), request):
        site.restore(saved)
        _empty(where)
        run = site.slave("--json", "sync", before=tracing(log, CHANGING, inject=f"{name}:signal=KILL:when={number}"))
        killed += run.code != 0
        there = [place for place in (site.root, where) if (place / "tool").exists()]
        assert there, "the image is in neither place"
        assert {digest(place / "tool/bin/run") for place in there} == {digest(wanted)}
        assert site.sync().one("summary")["bytes_fetched"] < 2_000
        assert not (site.root / "tool").exists(), (name, number)
        assert digest(where / "tool/bin/run") == digest(wanted)
        assert site.slave("verify").code == 0
        assert site.sync().one("summary")["sftp_connections"] == 0
        for root in (site.root, where):
            assert _left(root, ["staging", "kept"]) == [], (name, number)
    assert killed, "none of them was killed"


def _left(root: Path, kinds: Sequence[str]) -> list[str]:
    return [path.name for kind in kinds for path in (root / ".netclnt" / kind).iterdir()]


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        shutil.rmtree(path)
    subprocess.run(["sync", "-f", str(directory)], check=True)
