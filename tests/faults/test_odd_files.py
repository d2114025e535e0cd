"""Odd things where files belong, through the whole program: with the kernel's openat2 and without it."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from netclnt.errors import ExitCode
from tests.support.images import content
from tests.support.oracle import Oracle, oracle
from tests.support.site import Run, Site
from tests.support.trace import read_trace, tracing

MakeSite = Callable[..., Site]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

BY_COMPONENT = "openat2:error=ENOSYS"
"""How strace makes a kernel of 5.5 or older of this one."""


@pytest.fixture
def walks(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Words before a command that make the kernel one without openat2; all other tests of the whole program run with it."""
    if getattr(request, "param", "by-component") == "openat2":
        return []
    return tracing(tmp_path / "trace", ["openat2"], inject=BY_COMPONENT)


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """Three images, of which the slave holds nothing yet."""
    made = make_site(flags=("--no-report",))
    tree = made.source / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/hostname").write_text("golden\n")
    (tree / "link").symlink_to("etc/hostname")
    made.publish(tree)
    for name in ("plain", "in/a/directory"):
        path = made.put(name.replace("/", "-"), content(f"G/{name}", 30_000))
        made.publish(path, "--name", name)
    return made


def test_by_component_is_what_runs_where_openat2_is_not(site: Site, tmp_path: Path) -> None:
    log = tmp_path / "trace"
    assert site.sync(before=tracing(log, ["openat2"], inject=BY_COMPONENT)).code == 0
    refused = [call for call in read_trace(log) if "ENOSYS" in call.text and "INJECTED" in call.text]
    assert len(refused) > 10


def failed(run: Run) -> set[str]:
    return {event["image"] for event in run.of("error") if "image" in event}


@pytest.mark.parametrize("walks", ["openat2", "by-component"], indirect=True)
def test_G1_G2_P8_links_and_odd_things_in_the_way_fail_alone_and_are_not_followed(site: Site, walks: list[str]) -> None:
    outside = site.directory / "outside"
    (outside / "a").mkdir(parents=True)
    (outside / "precious").write_text("precious\n")
    site.root.mkdir(exist_ok=True)
    (site.root / "in").symlink_to(outside)
    (site.root / "plain").symlink_to(outside / "precious")
    watch = Oracle(site)
    watch.begin()
    run = watch.sync(before=walks)
    assert failed(run) == {"in/a/directory", "plain"}
    assert run.code == ExitCode.PARTIAL
    assert {path.name for path in outside.rglob("*")} == {"a", "precious"}
    assert (outside / "precious").read_text() == "precious\n"
    assert (site.root / "plain").is_symlink()
    adopted = watch.sync("--adopt", before=walks)  # not even then: it is neither file nor directory
    assert failed(adopted) == {"in/a/directory", "plain"}
    for name in ("in", "plain"):
        (site.root / name).unlink()
    watch.begin()
    watch.settle()


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with closing(socket.socket(socket.AF_UNIX)) as end:
            end.bind(path.name)
    finally:
        os.chdir(before)


def make_device(path: Path) -> None:
    os.mknod(path, 0o20666, os.makedev(1, 5))


ODD = [
    pytest.param(make_fifo, id="fifo"),
    pytest.param(make_socket, id="socket"),
    pytest.param(make_device, id="device", marks=needs_root),
]


@pytest.mark.parametrize("make", ODD)
def test_G2_P9_what_is_neither_file_nor_directory_is_left_alone_and_never_waited_for(
    site: Site, walks: list[str], make: Callable[[Path], None]
) -> None:
    site.root.mkdir(exist_ok=True)
    make(site.root / "plain")
    (site.root / "in").mkdir()
    make(site.root / "in" / "a")
    before = (site.root / "plain").lstat()
    watch = Oracle(site)
    watch.begin()
    run = watch.sync(before=walks)
    assert failed(run) == {"plain", "in/a/directory"}
    assert run.code == ExitCode.PARTIAL
    now = (site.root / "plain").lstat()
    assert (now.st_ino, now.st_mode, now.st_ctime_ns) == (before.st_ino, before.st_mode, before.st_ctime_ns)
    (site.root / "plain").unlink()
    (site.root / "in" / "a").unlink()
    watch.begin()
    watch.settle()


def test_G4_links_in_the_work_area_are_not_followed(site: Site, walks: list[str]) -> None:
    outside = site.directory / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious\n")
    site.sync()
    work = site.root / ".netclnt"
    watch = Oracle(site)
    for name in ("staging", "kept", "lock"):
        kept_aside = site.directory / "home" / "aside"
        (work / name).rename(kept_aside)
        (work / name).symlink_to(outside / "precious" if name == "lock" else outside)
        site.publish(site.put("plain", content(f"G4/{name}", 40_000)))
        watch.begin()
        run = watch.sync(before=walks)
        assert run.code == ExitCode.STORAGE, (name, run.out, run.err)
        assert sorted(path.name for path in outside.iterdir()) == ["precious"]
        assert (outside / "precious").read_text() == "precious\n"
        (work / name).unlink()
        kept_aside.rename(work / name)
        watch.begin()
        watch.settle()


@needs_root
def test_G5_config_and_state_behind_another_users_links(site: Site, walks: list[str]) -> None:
    """The ledger's link is refused; no link is ever replaced by what it should have been."""
    site.sync()
    ledger = site.state / "ledger.sqlite"
    elsewhere = site.directory / "home" / "ledger"
    shutil.move(ledger, elsewhere)
    ledger.symlink_to(elsewhere)
    assert site.slave("sync", before=walks).code == ExitCode.OK
    os.lchown(ledger, 65534, 65534)
    refused = site.slave("sync", before=walks)
    assert refused.code == ExitCode.STATE
    assert "another user" in refused.err
    assert site.slave("status").code == ExitCode.STATE
    assert ledger.is_symlink()
    assert sorted(site.state.glob("ledger.damaged-*")) == []
    ledger.unlink()
    shutil.move(elsewhere, ledger)
    site.sync()


def test_G5_a_damaged_ledger_behind_the_admins_own_link_is_made_anew_where_that_leads(site: Site, walks: list[str]) -> None:
    site.sync()
    ledger = site.state / "ledger.sqlite"
    elsewhere = site.directory / "home" / "ledger"
    shutil.move(ledger, elsewhere)
    ledger.symlink_to(elsewhere)
    elsewhere.write_bytes(b"garbage" * 3000)
    run = site.slave("--json", "sync", before=walks)
    assert run.code == ExitCode.OK
    assert [each["code"] for each in run.of("warning")] == ["ledger-damaged"]
    assert ledger.readlink() == elsewhere
    (aside,) = elsewhere.parent.glob("ledger.damaged-*")
    assert aside.read_bytes() == b"garbage" * 3000
    assert site.sync().one("summary")["bytes_fetched"] == 0


def test_G6_the_root_is_a_link(make_site: MakeSite, tmp_path: Path, walks: list[str]) -> None:
    """Followed once, at the start: an admin's /srv/images may be a link to where there is room."""
    real = tmp_path / "big-disk"
    real.mkdir()
    link = tmp_path / "site-root"
    link.symlink_to(real)
    site = make_site(root=link)
    site.publish(site.put("plain", content("G6", 30_000)))
    assert site.sync(before=walks).code == 0
    assert (real / "plain").read_bytes() == (site.source / "plain").read_bytes()
    link.unlink()
    link.symlink_to(tmp_path / "nowhere")
    gone = site.slave("sync", before=walks)
    assert gone.code == ExitCode.STORAGE
    assert not (tmp_path / "nowhere").exists()


def test_G7_the_admins_own_files_are_never_touched(site: Site, walks: list[str], request: pytest.FixtureRequest) -> None:
    """Among the images, in directories that images lie in, under names that look like netclnt's own, of any kind."""
    for name in ("in/a", "in/other", "own/.netclnt"):
        (site.root / name).mkdir(parents=True)
    for name in ("notes.txt", "in/notes", "in/a/directory.bak", "in/other/x", ".netclnt2", "own/.netclnt/staging", "plain.new"):
        (site.root / name).write_text(name)
    (site.root / "dangling").symlink_to("nowhere")
    os.mkfifo(site.root / "in" / "pipe")
    with oracle(site, request) as watch:
        assert watch.sync(before=walks).code == 0
        for turn in range(2):
            site.publish(site.put("plain", content(f"G7/{turn}", 50_000)))
            watch.begin()
            assert watch.sync("--adopt", before=walks).code == 0
        assert watch.slave("verify").code == 0
    assert (site.root / "notes.txt").read_text() == "notes.txt"
