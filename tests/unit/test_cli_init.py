"""``init``: a host set up by one command, and left alone by a second one."""

import json
import re
import stat
import subprocess
import tomllib

import pytest

from netclnt.cli.main import main
from netclnt.ledger import Ledger


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host's directories; relative paths are typed in ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETCLNT_CONFIG", str(tmp_path / "config.toml"))
    return tmp_path


SLAVE = ["init", "slave", "--name", "s1", "--catalog", "store", "--parent", "sftp://u@h/srv/n", "--root", "root", "--state", "st"]
MASTER = ["init", "master", "--store", "store", "--state", "state"]


def snapshot(path):
    return {one.relative_to(path): (one.lstat().st_mtime_ns, one.is_file() and one.read_bytes()) for one in path.rglob("*")}


def test_slave_gets_config_directories_key_marker_and_the_line_for_the_master(host, capsys):
    assert main(SLAVE) == 0
    told = capsys.readouterr()
    config = host / "config.toml"
    assert tomllib.loads(config.read_text())["slave"]["root"] == str(host / "root")
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert re.fullmatch(r'restrict,command="internal-sftp -R" ssh-ed25519 AAAA\S+ netclnt-s1\n', told.out)
    key = host / "st" / "id_ed25519"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with Ledger(host / "st" / "ledger.sqlite", readonly=True) as ledger:
        assert ledger.marker() == (host / "root" / ".netclnt" / "marker").read_text().strip()


def test_the_key_is_one_that_openssh_reads(host, capsys):
    main(SLAVE)
    key = host / "st" / "id_ed25519"
    public = subprocess.run(["ssh-keygen", "-y", "-f", key], capture_output=True, text=True, check=True).stdout
    assert public.split()[1] == key.with_suffix(".pub").read_text().split()[1] == capsys.readouterr().out.split()[-2]


def test_an_identity_of_ones_own_is_used(host, capsys):
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", host / "key"], check=True)
    public = (host / "key.pub").read_text().split()[1]
    (host / "key.pub").unlink()
    assert main([*SLAVE, "--identity", "key"]) == 0
    assert public in capsys.readouterr().out
    assert not (host / "st" / "id_ed25519").exists()


@pytest.mark.parametrize("words", [SLAVE, MASTER])
def test_a_second_run_changes_nothing_and_says_so(words, host, capsys):
    assert main(words) == 0
    first = capsys.readouterr()
    before = snapshot(host)
    for again in (words, words[:2]):
        assert main(again) == 0
        told = capsys.readouterr()
        assert told.out == first.out
        assert "nothing to change" in told.err
    after = snapshot(host)
    assert {
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path) and path.suffix == ".toml"
    } == set()
    assert before.keys() == after.keys()


def test_other_values_are_refused_until_forced(host, capsys):
    main(SLAVE)
    before = (host / "config.toml").read_bytes()
    assert main(["init", "slave", "--name", "s2", "--channel", "beta"]) == 2
    told = capsys.readouterr().err
    assert "--name, --channel" in told
    assert "--force" in told
    assert (host / "config.toml").read_bytes() == before
    assert main(["init", "slave", "--name", "s2", "--force"]) == 0
    table = tomllib.loads((host / "config.toml").read_text())["slave"]
    assert (table["name"], table["parent"]) == ("s2", "sftp://u@h/srv/n")


def test_the_second_role_is_added_to_the_one_config_byte_for_byte(host):
    main(SLAVE)
    config = host / "config.toml"
    config.write_text(config.read_text() + "# mine\n")
    config.chmod(0o600)
    before = config.read_bytes()
    assert main(MASTER) == 0
    assert config.read_bytes().startswith(before)
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert set(tomllib.loads(config.read_text())) == {"slave", "master"}


def test_L6_all_problems_at_once_and_nothing_made(host, capsys):
    assert main(["init", "slave", "--root", "root", "--keep", "-1", "--catalog", "odbc:DSN=x;PWD=hunter2"]) == 2
    told = capsys.readouterr().err
    for part in ("slave.name is missing", "slave.parent is missing", "--keep must be", "--catalog must not contain a password"):
        assert part in told
    assert "hunter2" not in told
    assert list(host.iterdir()) == []


def test_a_root_without_its_parent_is_refused(host, capsys):
    words = [*SLAVE]
    words[words.index("root")] = "not/there"
    assert main(words) == 9
    assert not (host / "config.toml").exists()


def test_C18_a_root_that_lost_its_marker_is_not_mounted(host):
    main(SLAVE)
    (host / "root" / ".netclnt" / "marker").unlink()
    assert main(SLAVE) == 9


def test_master_gets_catalog_store_and_an_identity(host, capsys):
    assert main(["--json", *MASTER]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["type"] for one in events] == ["start", "init", "exit"]
    assert re.fullmatch("[0-9a-f]{32}", events[1]["identity"])
    assert (host / "store" / "HEAD").exists()
    assert (host / "state" / "catalog.sqlite").exists()
    main(["--json", *MASTER])
    again = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert again[1].items() >= {"identity": events[1]["identity"], "changed": False}.items()


def test_a_masters_catalog_inside_the_store_is_refused(host, capsys):
    assert main([*MASTER, "--catalog", "sqlite:store/c.sqlite"]) == 2
    assert "must not lie inside the store" in capsys.readouterr().err
    assert list(host.iterdir()) == []
