"""What programs and people get: the last event of each failure, quiet pipes, bare environments, help, and no secret anywhere."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from netclnt.cli.main import COMMANDS, INIT
from tests.support.databases import free_port
from tests.support.images import content
from tests.support.site import NETCLNT, Site, good

pytestmark = pytest.mark.slow  # dozens of whole runs; the quick tier has the main job

MakeSite = Callable[..., Site]

HELP = [*([name] for name in COMMANDS.children), *(["init", name] for name in INIT.children), []]


@pytest.mark.parametrize("words", HELP, ids=lambda words: "-".join(words) or "netclnt")
def test_help_of_every_command_exits_0_and_shows_an_example(words: list[str], tmp_path: Path) -> None:
    done = subprocess.run([*NETCLNT, *words, "--help"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stderr == ""
    assert done.stdout.startswith("Usage: ")
    assert "Examples" in done.stdout


def test_L4_the_last_json_line_is_the_exit_with_the_processs_code(make_site: MakeSite) -> None:
    """Ten failures of different causes; that the last line is the process's own code is checked of every run."""
    site, other = make_site(), make_site(name="other")
    image = site.put("image", content("L4", 100_000))
    for each in (site, other):
        each.publish(image)
    site.sync()
    empty = site.put("empty", b"")
    nobody = f"sftp://nobody@127.0.0.1:{free_port()}/store"
    failures: list[tuple[list[str], int]] = [
        (["sync", "--no-such-flag"], 2),
        (["sync", "--config", str(site.directory / "none.toml")], 2),
        (["sync", "--timeout", "never"], 2),
        (["list", "no-such-image"], 2),
        (["diff", "--catalog", other.place.slave], 8),
        (["diff", "--catalog", f"sqlite:{site.directory / 'none.sqlite'}"], 5),
        (["diff", "--catalog", "store", "--parent", nobody], 5),
        (["diff", "--catalog", f"sqlite:{empty}"], 12),
        (["sync", "--catalog", "odbc:DRIVER={No Such Driver};UID=x"], 2),
        (["status", "--max-age", "0s"], 5),
    ]
    for words, code in failures:
        run = site.slave("--json", *words)
        assert run.code == code, (words, run.out, run.err)
        assert run.events[-1]["type"] == "exit"
        assert run.events[-1]["code"] == code
        assert run.of("error"), words
        assert run.err == "", words
    (site.root / "image").write_bytes(b"damaged")
    assert site.slave("--json", "verify").code == 7
    (site.state / "ledger.sqlite").write_bytes(b"SQLite format 3\0" + b"garbage" * 1000)
    assert site.slave("--json", "status").code == 11
    mended = site.slave("--json", "sync")  # with the ledger made anew: nothing tells any longer whose that image is
    assert (mended.code, [each["cause"] for each in mended.of("error")]) == (9, ["ForeignFile"])
    assert "ledger-damaged" in [each["code"] for each in mended.of("warning")]
    assert site.slave("--json", "status").code == 0


def test_L1_the_password_is_in_no_output_however_verbose(make_site: MakeSite) -> None:
    """Every run of a site is searched for the password; here for the ones that say the most, and in what is written down."""
    site = make_site("postgresql")
    site.publish(site.put("image", content("L1", 50_000)))
    for words in (["-vv", "sync"], ["-vv", "--json", "diff"], ["-vv", "status"]):
        good(site.slave(*words))
    assert site.place.password
    secret = site.place.password.encode()
    for path in (*site.state.rglob("*"), site.config("slave"), site.config("master")):
        if path.is_file():
            assert secret not in path.read_bytes(), path
    conn = f"{site.place.slave};PWD=geheim-7321"
    refused = site.slave("sync", "--catalog", conn)
    assert refused.code == 2
    assert "geheim" not in refused.out + refused.err
    assert "password_file" in refused.err


def test_A7_piped_output_is_tab_separated_and_pipes_end_quietly(make_site: MakeSite) -> None:
    site = make_site()
    for number in range(3):
        site.publish(site.put("f", content(f"A7/{number}", 2000)), "--name", f"image-{number}")
    site.sync()
    rows = good(site.slave("list")).rows
    assert [row[:4] for row in rows] == [[f"image-{number}", "image", "1", "2000"] for number in range(3)]
    assert {len(row) for row in rows} == {8}
    assert {len(row) for row in good(site.master("list")).rows} == {8}
    command = shlex.join([*NETCLNT, "list"])
    piped = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} | head -n 1 | cut -f1"],
        env=site.environment_of("slave"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (piped.stdout, piped.stderr) == ("image-0\n", "")
    assert piped.returncode in (0, 128 + signal.SIGPIPE)
    for words in (["list"], ["--json", "list"], ["sync", "--dry-run", "--json"], ["diff"]):
        with Path("/dev/full").open("w") as full:
            run = site.slave(*words, stdout=full)
        assert run.code == (0 if words == ["diff"] else 9), words  # an empty diff writes nothing


def test_a_full_standard_output_does_not_stop_a_sync(make_site: MakeSite) -> None:
    site = make_site()
    image = site.put("image", content("full", 100_000))
    site.publish(image)
    with Path("/dev/full").open("w") as full:
        assert site.slave("--json", "sync", stdout=full).code == 9
    assert (site.root / "image").read_bytes() == image.read_bytes()


def test_L8_crons_environment_is_enough(make_site: MakeSite) -> None:
    site = make_site()
    site.publish(site.put("image", content("L8", 50_000)))
    command = ["env", "-i", "sh", "-c", shlex.join([*NETCLNT, "-q", "--config", str(site.config("slave")), "sync"])]
    for _ in range(2):
        done = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (site.root / "image").exists()


def test_the_console_script_is_the_same_program(make_site: MakeSite) -> None:
    script = Path(NETCLNT[0]).with_name("netclnt")
    if not script.exists():
        pytest.skip("netclnt is not installed as a script here")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == subprocess.run([*NETCLNT, "--version"], capture_output=True, text=True, check=True).stdout


def test_L6_unknown_keys_and_bad_values_are_all_told_at_once(make_site: MakeSite) -> None:
    site = make_site()
    with site.config("slave").open("a") as config:
        config.write('\ntimeuot = 3\nkeep = "many"\n')
    run = site.slave("sync")
    assert run.code == 2
    assert "slave.timeuot" in run.err
    assert "timeout" in run.err
    assert "slave.keep" in run.err


def test_status_list_and_show_need_no_more_than_read_access(make_site: MakeSite) -> None:
    if os.geteuid() or shutil.which("setpriv") is None:
        pytest.skip("files of another account need root and setpriv")
    site = make_site()
    site.publish(site.put("image", content("read", 50_000)))
    site.sync()
    site.config("slave").chmod(0o644)
    for path in (site.directory, *site.directory.rglob("*")):
        shutil.chown(path, "nobody")
    # root that may not pass over permissions: as good as another account, and it can run this interpreter wherever it lies
    stranger = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"]
    with site.nothing_changes():
        for words in (["status"], ["list"], ["show", "image"]):
            assert good(site.slave(*words, before=stranger)).out
        assert site.slave("sync", before=stranger).code == 9
