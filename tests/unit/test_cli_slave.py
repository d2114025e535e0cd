"""The slave's commands over a real sshd: what they print, and how they exit."""

import json
import os

import pytest

from netclnt.cli.main import main
from netclnt.errors import Unreachable
from netclnt.ledger import Ledger


@pytest.fixture
def run(tmp_path, monkeypatch, capsys, sshd):
    """Runs a command of a relay whose two roles share one config, and returns (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETCLNT_CONFIG", str(tmp_path / "config.toml"))

    def call(*words):
        code = main(words)
        told = capsys.readouterr()
        return code, told.out, told.err

    assert call("init", "master", "--store", "store", "--state", "mstate")[0] == 0
    line = ["--parent", sshd.url(tmp_path / "store"), "--identity", str(sshd.identity), "--known-hosts", str(sshd.known_hosts)]
    slave = ["init", "slave", "--name", "s1", "--catalog", "store", "--root", "root", "--state", "sstate"]
    assert call(*slave, *line, "--retry-budget", "1")[0] == 0
    return call


@pytest.fixture
def published(run, tmp_path):
    """Two images are published: ``disk`` and the tree ``boot``."""
    (tmp_path / "disk").write_bytes(os.urandom(400_000))
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / "kernel").write_bytes(b"k" * 1000)
    assert run("publish", "disk")[1] == "disk@1\n"
    assert run("publish", "boot", "--kind", "software", "--note", "tab\tless")[0] == 2
    assert run("publish", "boot", "--kind", "software", "--note", "6.1")[1] == "boot@1\n"
    return tmp_path


def events(text):
    return [json.loads(line) for line in text.splitlines()]


def test_diff_sync_diff(run, published):
    code, out, _ = run("diff")
    assert code == 4
    assert out.splitlines() == ["new\tsoftware\tboot\t\t1\t1000\t", "new\timage\tdisk\t\t1\t400000\t"]
    assert run("diff", "--exit-zero")[0] == 0
    code, out, err = run("sync")
    assert (code, out) == (0, "")
    assert "disk@1 updated: " in err
    assert "2 images changed: " in err
    assert (published / "root" / "disk").read_bytes() == (published / "disk").read_bytes()
    assert run("diff") == (0, "", "")
    assert run("sync", "-q") == (0, "", "")


def test_L5_dry_run_prints_the_plan_of_the_real_run(run, published):
    code, out, err = run("sync", "--dry-run", "disk")
    assert code == 0
    action, name, old, new, fetch, reuse, write, _ = out.split("\t")
    assert (action, name, old, new, reuse, write) == ("new", "disk", "", "1", "0", "400000")
    assert not (published / "root" / "disk").exists()
    assert "no image changed" not in err
    planned = [one for one in events(run("--json", "sync", "-n", "disk")[1]) if one["type"] == "plan"]
    assert [one["bytes_fetch"] for one in planned] == [int(fetch)]
    real = [one for one in events(run("--json", "sync", "disk")[1]) if one["type"] == "plan"]
    assert [(one["bytes_fetch"], one["bytes_write"]) for one in real] == [(int(fetch), int(write))]


def test_json_of_a_sync_ends_with_summary_and_exit(run, published):
    found = events(run("sync", "--json", "--detailed-exit-code")[1])
    assert found[0]["type"] == "start"
    assert {one["type"] for one in found} >= {"catalog", "change", "plan", "image", "summary"}
    assert found[-2].items() >= {"type": "summary", "images_changed": 2, "sftp_connections": 1}.items()
    assert found[-1].items() >= {"type": "exit", "code": 4, "name": "DIFF"}.items()


def test_json_of_a_diff_says_each_change_once(run, published):
    changes = [one for one in events(run("diff", "--json")[1]) if one["type"] == "change"]
    assert [(one["image"], one["action"], one["to_version"], one["size"]) for one in changes] == [
        ("boot", "new", 1, 1000),
        ("disk", "new", 1, 400_000),
    ]


def test_patterns_and_lists_choose(run, published):
    assert run("diff", "kind:software")[1].split("\t")[2] == "boot"
    assert run("diff", "!boot")[1].split("\t")[2] == "disk"
    (published / "names").write_bytes(b"disk\0")
    assert run("diff", "--from-file", "names", "-0")[1].split("\t")[2] == "disk"
    (published / "names").write_bytes(b"")
    assert run("diff", "--from-file", "names") == (0, "", "")
    assert run("sync", "boot")[0] == 0
    assert not (published / "root" / "disk").exists()


@pytest.mark.parametrize("command", ["diff", "sync", "list", "show", "verify"])
def test_L6_a_pattern_that_matches_nothing_is_told(command, run, published):
    code, out, err = run(command, "nosuch")
    assert (code, out) == (2, "")
    assert "nosuch" in err


def test_list_show_status_of_both_roles(run, published):
    run("sync")
    run("publish", "boot", "--name", "disk2")
    assert [line.split("\t")[:5] for line in run("list")[1].splitlines()] == [
        ["boot", "software", "1", "1000", "held"],
        ["disk", "image", "1", "400000", "held"],
    ]
    assert [line.split("\t")[0] for line in run("list", "--role", "master")[1].splitlines()] == ["boot", "disk", "disk2"]
    assert run("show", "disk", "--remote")[1].count("\n") == 2
    held, current = (line.split("\t") for line in run("show", "disk", "--cost")[1].splitlines())
    assert (held[1], held[7:]) == ("held", ["", "", "", "400000", "0", "0"])
    assert (current[1], current[7:]) == ("current", ["0", "0", "0", "", "", ""])
    assert run("show", "disk", "--limit", "2")[0] == 2
    assert run("show", "disk", "--role", "master", "--cost")[0] == 2
    table = run("--color", "always", "show", "disk")[1]
    assert "disk@1 was made of:" in table
    assert "400 kB fetched (100 %)" in table
    assert run("show", "disk2", "--role", "master")[1].split("\t")[1] == "current"
    code, out, _ = run("status", "--max-age", "26h")
    assert code == 0
    assert out.split("\t")[:5] == ["s1", "slave", "2", "2", "401000"]
    assert out.split("\t")[7] == "OK"
    assert run("status", "--role", "master")[1].split("\t")[2:4] == ["3", "3"]


def test_status_fails_when_the_last_success_is_too_old_or_missing(run, published):
    assert run("status")[0] == 0
    code, _, err = run("status", "--max-age", "26h")
    assert code == 5
    assert "no success yet" in err
    with Ledger(published / "sstate" / "ledger.sqlite") as ledger:
        ledger.start_run("r1", "netclnt sync", "2020-01-01T00:00:00Z")
        ledger.end_run("r1", ended="2020-01-01T00:00:01Z", code=0)
    code, out, err = run("status", "--max-age", "26h")
    assert code == 5
    assert "1 d 2 h are allowed" in err
    assert out.split("\t")[6] == "2020-01-01T00:00:01Z"
    assert run("status", "--max-age", "soon")[0] == 2


def test_C19_verify_names_the_place_and_repair_mends_it(run, published):
    run("sync")
    assert run("verify", "-q") == (0, "", "")
    with (published / "root" / "disk").open("r+b") as file:
        file.seek(200_000)
        file.write(b"????")
    code, out, err = run("verify")
    assert (code, out) == run("verify", "--sha256")[:2]
    assert code == 7
    name, version, path, offset, length, _ = out.split("\t")
    assert (name, version, path) == ("disk", "1", "")
    assert int(offset) <= 200_000 < int(offset) + int(length)
    assert "netclnt verify --repair disk" in err
    assert events(run("verify", "--json")[1])[-1]["name"] == "INTEGRITY"
    assert run("diff")[1].split("\t")[0] == "update"
    assert run("verify", "--repair")[0] == 0
    assert (published / "root" / "disk").read_bytes() == (published / "disk").read_bytes()


def test_D3_a_parent_that_is_away_is_TEMP_and_in_the_status(run, published):
    code, _, err = run("sync", "--parent", "sftp://u@127.0.0.1:1/srv/n", "--retry-budget", "0")
    assert code == 5
    assert "cannot be reached" in err
    assert run("status")[1].split("\t")[7] == "TEMP"


def test_H1_a_root_in_use_is_LOCKED_and_silent_under_quiet(run, published):
    from netclnt.files.root import open_root

    with open_root(published / "root", marker=None) as root, root.lock("pid 4711, a test"):
        code, _, err = run("sync")
        assert code == 10
        assert "pid 4711, a test" in err
        assert run("sync", "-q") == (10, "", "")
        assert run("list")[0] == 0


def test_an_account_that_this_host_lacks_is_told(run, published):
    code, _, err = run("sync", "--transport", "openssh")
    assert code == 0, err
    config = published / "config.toml"
    config.write_text(config.read_text().replace('#owner = "root"', 'owner = "no-such-account"'))
    code, _, err = run("sync")
    assert code == 2
    assert "slave.owner names an account" in err


@pytest.mark.parametrize(("flags", "own", "budget"), [([], "300", 20), ([], "5", 5), (["--retry-budget", "100"], "5", 100)])
def test_a_look_waits_less_for_the_line_than_a_sync(run, published, monkeypatch, flags, own, budget):
    from netclnt.cli import edges

    seen = []

    def open_slave(config, _):
        seen.append(config.retry_budget)
        raise Unreachable(what="store", address="", cause="test")

    monkeypatch.setattr(edges, "open_slave", open_slave)
    monkeypatch.setenv("NETCLNT_RETRY_BUDGET", own)
    assert run("diff", *flags)[0] == 5
    assert seen == [budget]
