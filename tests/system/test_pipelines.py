"""netclnt in pipelines, as an admin writes them, in real shells; and what programs read of it, against the shipped schema."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.images import content
from tests.support.jsonlines import check_lines
from tests.support.site import NETCLNT, Site, catalog_place, good
from tests.support.sshd import Sshd

pytestmark = pytest.mark.slow  # dozens of whole runs; the quick tier has the schema against the code

SHELLS = [shell for shell in ("bash", "dash") if shutil.which(shell)]
NAMES = ("boot/debian 12", "it's a name", "wörter", "z")


@pytest.fixture(scope="module")
def prepared(request: pytest.FixtureRequest, sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Four images are offered, the names of some of them as hard as names may be; one is held."""
    directory = tmp_path_factory.mktemp("pipelines") / "site"
    directory.mkdir()
    made = Site(directory, sshd, catalog_place("sqlite", request, directory))
    made.init()
    for name in NAMES:
        made.publish(made.put("f", content(name, 30_000)), "--name", name)
    made.sync("z")
    subprocess.run(["cp", "-a", directory, directory.with_name("saved")], check=True)
    return made


@pytest.fixture
def site(prepared: Site) -> Site:
    """As it was prepared, whatever the tests before did to it."""
    shutil.rmtree(prepared.directory)
    subprocess.run(["cp", "-a", prepared.directory.with_name("saved"), prepared.directory], check=True)
    return prepared


def shell(site: Site, script: str, *, program: str = "bash", code: int = 0, **environment: str) -> str:
    """What a script prints. ``netclnt`` in it is the slave's, ``pipefail`` is set where the shell has it."""
    first = f'netclnt() {{ {shlex.join(NETCLNT)} "$@"; }}\n' + ("set -o pipefail\n" if program == "bash" else "")
    done = subprocess.run(
        [program, "-c", first + script],
        env=dict(site.environment_of("slave")) | environment, stdin=subprocess.DEVNULL, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert b"Traceback" not in done.stderr
    assert b"rror" not in done.stderr, done.stderr
    return done.stdout.decode()


def test_names_go_from_command_to_command(site: Site) -> None:
    for program, name in zip(SHELLS, ("boot/debian 12", "it's a name"), strict=False):
        script = f"netclnt diff --exit-zero | cut -f3 | grep -F {shlex.quote(name)} | netclnt -q sync --from-file -"
        shell(site, script, program=program)
        assert name in {row[0] for row in good(site.slave("list")).rows}
    assert shell(site, "netclnt diff --exit-zero | cut -f1-3") == "new\timage\twörter\n"
    assert shell(site, "netclnt diff --exit-zero --print0 | xargs -0 -n 1 echo") == "wörter\n"
    told = shell(site, "netclnt list | cut -f1 | tr '\\n' '\\0' | xargs -0 -n 1 echo NAME")
    assert told.splitlines() == [f"NAME {name}" for name in sorted(set(NAMES) - {"wörter"}, key=str.encode)]
    assert shell(site, "netclnt list --print0 | xargs -0 -n 1 echo NAME") == told
    assert shell(site, "netclnt list --print0 | netclnt -q verify -0 --from-file -") == ""


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_json_goes_into_jq(site: Site) -> None:
    wanted = 'select(.type == "image") | [.image, .version, .size] | @tsv'
    assert shell(site, f"netclnt --json list | jq -r {shlex.quote(wanted)}") == "z\t1\t30000\n"
    offered = shell(site, "netclnt --json diff --exit-zero | jq -r 'select(.type == \"change\") | .image'")
    assert offered.splitlines() == sorted(set(NAMES) - {"z"}, key=str.encode)
    shell(site, "netclnt sync 'it*' -q")
    wanted = 'map(select(.type == "run"))[0].images[0].result == "updated"'
    shell(site, f"netclnt --json history | jq -es {shlex.quote(wanted)}")
    assert shell(site, "netclnt schema | jq -r .title") == "A line of netclnt --json\n"


def test_the_exit_code_of_diff_in_a_script_that_ends_at_the_first_error(site: Site) -> None:
    """The idiom that the README shows."""
    script = "set -e\nrc=0; netclnt diff > changes.tsv || rc=$?\ntest $rc -eq 0 || test $rc -eq 4\nwc -l < changes.tsv"
    assert shell(site, f"cd {site.directory}\n{script}").strip() == "3"
    site.sync()
    assert shell(site, f"cd {site.directory}\n{script}").strip() == "0"


def test_A7_C4_readers_that_have_enough_and_full_disks(site: Site) -> None:
    """netclnt ends by SIGPIPE, or was done before its reader went away."""
    for words in ("diff", "show z", "history", "--json list", "schema", "--help"):
        call = f"{shlex.join(NETCLNT)} {words}"
        assert shell(site, f"{call} | head -n 1 > /dev/null; echo ${{PIPESTATUS[0]}}").strip() in {"141", "0", "4"}, words
        assert shell(site, f"{call} | true; echo ${{PIPESTATUS[0]}}").strip() in {"141", "0", "4"}, words
    for words in ("diff", "list --print0", "history", "status --nagios", "schema", "--help"):
        done = site.slave(*words.split(), before=["bash", "-c", 'exec "$@" > /dev/full', "-"])
        assert done.code == 9, (words, done.err)
        assert "standard output" in done.err, words


def test_what_is_printed_is_the_same_in_every_locale_but_for_what_that_cannot_write(site: Site) -> None:
    plain = "netclnt diff --exit-zero 'boot/*' z; netclnt list; netclnt show z"
    assert shell(site, plain, LC_ALL="C") == shell(site, plain, LC_ALL="C.UTF-8") == shell(site, plain, LC_ALL="", LANG="")
    script = 'netclnt --json diff --exit-zero | grep \'"change"\' | sed \'s/"time":"[^"]*","run_id":"[^"]*"//\''
    assert shell(site, script, LC_ALL="C") == shell(site, script, LC_ALL="C.UTF-8")
    again = "netclnt diff --exit-zero | cut -f3 | netclnt -q sync --from-file -"
    shell(site, again, LC_ALL="C", PYTHONUTF8="1")


def test_status_for_nagios_while_a_sync_runs_and_without_any_right_but_to_read(site: Site) -> None:
    text = good(site.slave("status", "--nagios", "--max-age", "26h")).out
    assert text.startswith("NETCLNT OK - slave store-0042: last success ")
    assert " | age=" in text
    assert text.count("\n") == 1
    assert site.slave("status", "--nagios", "--max-age", "0s").code == 2
    assert shell(site, "netclnt status --nagios --warn-age 0s", code=1).startswith("NETCLNT WARNING - ")
    site.config("slave").chmod(0o644)
    if os.geteuid() == 0 and shutil.which("setpriv"):
        reader = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"]
        for path in (site.directory, *site.directory.rglob("*")):
            shutil.chown(path, "nobody")
        with site.nothing_changes():
            assert site.slave("status", "--nagios", before=reader).code == 0
            assert site.slave("history", before=reader).rows
    (site.state / "ledger.sqlite").write_bytes(b"SQLite format 3\0" + b"garbage" * 1000)
    unknown = site.slave("status", "--nagios")
    assert (unknown.code, unknown.err) == (3, "")
    assert unknown.out.startswith("NETCLNT UNKNOWN - The ledger ")
    assert site.slave("status", "--nagios", "--json").code == 2


def test_a_host_that_is_both_shows_both(site: Site) -> None:
    both = site.directory / "both.toml"
    both.write_text(site.config("slave").read_text() + "\n" + site.config("master").read_text())
    rows = good(site.slave("status", "--config", both)).rows
    assert [row[1] for row in rows] == ["slave", "master"]
    assert [row[1] for row in good(site.slave("status", "--config", both, "--role", "master")).rows] == ["master"]
    text = good(site.slave("status", "--nagios", "--config", both)).out
    assert "slave store-0042" in text
    assert "master_images=4" in text


def test_history_of_both_roles(site: Site) -> None:
    site.publish(site.put("f", content("next", 40_000)), "--name", "z")
    site.sync()
    assert site.slave("sync", "no-such-image").code == 2
    rows = good(site.slave("history")).rows
    assert [row[2] for row in rows] == ["USAGE", "OK", "OK"]
    assert [row[5] for row in rows] == ["0", "4", "1"]
    assert rows[1][8] > "0"
    assert rows[1][10] > "0"
    assert [row[2] for row in good(site.slave("history", "--failed")).rows] == ["USAGE"]
    assert len(good(site.slave("history", "-n", "1")).rows) == 1
    assert len(good(site.slave("history", "--since", "1h")).rows) == 3
    assert good(site.slave("history", "--since", "2100-01-01")).out == ""
    of_image = good(site.slave("history", "--images", "--image", "z")).rows
    assert [(row[1], row[2], row[3]) for row in of_image] == [("z", "2", "updated"), ("z", "1", "updated")]
    offer = good(site.master("history")).rows
    assert [(row[1], row[2], row[3]) for row in offer][:2] == [("publish", "z", "2"), ("publish", "z", "1")]
    good(site.master("retire", "z@2"))
    good(site.master("promote", "z@2", "--channel", "test"))
    assert [row[1] for row in good(site.master("history", "--image", "z")).rows] == ["promote", "retire", "publish", "publish"]
    assert site.master("history", "--failed").code == 2


# --- JSON Lines

OF_A_SLAVE = [
    *(
        "diff",
        "sync --dry-run",
        "sync",
        "list",
        "show z",
        "show z --remote",
        "status",
        "history",
        "verify",
        "verify --subset 1/2",
    ),
    *("verify --sha256", "prune", "prune --dry-run", "doctor", "schema", "trust-host", "config show", "config validate"),
    "service install --timer --dry-run",
]
OF_A_MASTER = [
    *("list", "show z", "status", "history", "promote z@1 --channel test", "retire z@2", "gc --dry-run", "gc", "verify --store"),
    *("doctor", "init master --store /nowhere"),
]


def test_L4_every_command_prints_what_the_schema_says(site: Site) -> None:
    """All runs of all system and fault tests are checked; here are those that no other test may have."""
    site.publish(site.put("tree file", content("x", 1000)), "--name", "kept")
    runs = [site.slave("--json", *words) for words in map(str.split, OF_A_SLAVE)]
    site.publish(site.put("f", content("more", 40_000)), "--name", "z")
    runs += [site.slave("--json", "sync", "--keep", "0"), site.slave("--json", "prune", "--keep", "0")]
    (site.root / "z").write_bytes(b"damaged")
    runs += [
        site.slave("--json", "verify"),
        site.slave("--json", "verify", "--repair"),
        site.slave("--json", "history", "--images"),
    ]
    runs += [site.master("--json", *words) for words in map(str.split, OF_A_MASTER)]
    for run in runs:
        assert run.out, run.err
        check_lines(run.events)
    types = {event["type"] for run in runs for event in run.events}
    assert types >= {
        "start",
        "catalog",
        "change",
        "plan",
        "image",
        "version",
        "status",
        "run",
        "offer_change",
        "damage",
        "subset",
    }
    assert types >= {"check", "gc", "host_key", "schema", "summary", "error", "exit"}


FAULTS = [
    *("sync --no-such-flag", "no-such-command", "", "sync --timeout never", "sync --bwlimit fast", "sync --from-file /nowhere"),
    *("list no-such-image", "show no-such-image", "verify no-such-image", "sync no-such-image", "sync -0", "sync ''"),
    *("sync --catalog sqlite:/nowhere/c.sqlite", "diff --catalog sqlite:/dev/null", "sync --catalog odbc:DRIVER={None};UID=x"),
    *("diff --catalog store --parent sftp://nobody@127.0.0.1:1/s", "sync --catalog store --parent sftp://nobody@127.0.0.1:1/s"),
    *("sync --catalog odbc:DRIVER={SQLite3};PWD=secret", "status --max-age 0s", "status --max-age never", "status --warn-age 1h"),
    *("status --nagios", "history --since never", "history --limit -1", "verify --subset 9/7", "verify --store --repair"),
    *("promote z", "retire z", "gc", "publish /nowhere", "list --config /nowhere/c.toml", "doctor --probe never"),
    *(
        "prune --keep -1",
        "diff --max-retire 1000",
        "sync --host-key SHA256:no",
        "config show --no-such",
        "trust-host SHA256:AAAA",
    ),
]


def test_L4_the_json_of_forty_faults(site: Site) -> None:
    kinds = set()
    assert len(FAULTS) >= 30
    for words in FAULTS:
        run = site.slave("--json", *shlex.split(words))
        check_lines(run.events)
        assert run.code, words
        assert run.events[-1]["type"] == "exit", words
        assert run.of("error") or words.startswith("doctor"), words
        kinds |= {event["cause"] for event in run.of("error")}
    assert len(kinds) >= 10, kinds


def test_the_schema_that_is_printed_is_the_one_that_is_shipped(site: Site) -> None:
    printed = json.loads(good(site.slave("schema")).out)
    assert printed == good(site.slave("--json", "schema")).one("schema")["schema"]
    assert printed == json.loads((Path(__file__).parents[2] / "netclnt" / "jsonlines.schema.json").read_text())
