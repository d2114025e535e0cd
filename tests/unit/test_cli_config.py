"""``config show`` and ``config validate``, conf.d, profiles, systemd's directories, and configs that are none."""

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from netclnt.cli import settings
from netclnt.cli.main import main
from netclnt.config import SlaveConfig
from netclnt.errors import BadArgument, ConfigInvalid, ConfigMissing, StorageFailed

CONFIG = """[slave]
name = "s1"
catalog = "store"
parent = "sftp://u@h/d"
root = "/srv/images"

[profile.night.slave]
keep = 5
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The directory of the one config of this host; nothing else says anything."""
    for name in [name for name in os.environ if name.startswith("NETCLNT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(settings, "SYSTEM_CONFIG", tmp_path / "config.toml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "conf.d").mkdir()
    return tmp_path


def put(home, name, text, mode=0o644):
    path = home / "conf.d" / name
    path.write_text(text)
    path.chmod(mode)
    return path


def table(capsys):
    return {line.split("\t")[0]: line.split("\t")[1:] for line in capsys.readouterr().out.splitlines()}


def records(capsys, kind):
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [one for one in found if one["type"] == kind], found[-1]["name"]


def slave(profile=None, **flags):
    return settings.load(SlaveConfig, None, {}, flags, profile=profile)


# --- config show


def test_each_key_is_shown_with_its_origin(home, capsys, monkeypatch):
    put(home, "10-site.toml", '[slave]\nthreads = 2\nselect = ["a b", "!c"]\n')
    monkeypatch.setenv("NETCLNT_REPORT", "no")
    assert main(["--profile", "night", "config", "show"]) == 0
    found = table(capsys)
    assert found["slave.name"] == ["s1", "file", f"{home}/config.toml:2", ""]
    assert found["slave.threads"] == ["2", "file", f"{home}/conf.d/10-site.toml:2", ""]
    assert found["slave.select"] == ["'a b' '!c'", "file", f"{home}/conf.d/10-site.toml:3", ""]
    assert found["slave.keep"] == ["5", "profile", f"{home}/config.toml:8", ""]
    assert found["slave.report"] == ["no", "environment", "NETCLNT_REPORT", ""]
    assert found["slave.timeout"] == ["30", "default", "", ""]


def test_only_what_differs_is_shown_with_changed(home, capsys):
    put(home, "x.toml", "[slave]\nkeep = 1\nthreads = 3\n")
    assert main(["config", "show", "--changed"]) == 0
    assert list(table(capsys)) == [f"slave.{key}" for key in ("name", "catalog", "parent", "root", "threads")]


def test_a_setting_as_json(home, capsys, monkeypatch):
    monkeypatch.setenv("NETCLNT_SELECT", "a 'b c'")
    assert main(["config", "show", "--json"]) == 0
    found = {one["key"]: one for one in records(capsys, "setting")[0]}
    assert found["slave.select"].items() >= {"value": ["a", "b c"], "origin": "environment", "place": "NETCLNT_SELECT"}.items()
    wanted = {"value": "s1", "origin": "file", "file": f"{home}/config.toml", "line": 2, "changed": True}
    assert found["slave.name"].items() >= wanted.items()
    assert found["slave.keep"].items() >= {"value": 1, "origin": "default", "place": "", "file": None, "changed": False}.items()


SECRETS = {
    "NETCLNT_PING_URL": "https://ping.example/hunter2?hunter2",
    "NETCLNT_PASSWORD_COMMAND": "sh -c 'echo hunter2'",
    "NETCLNT_CATALOG": "odbc:Driver=x;UID=u;PWD={a}};hunter2}",
    "NETCLNT_PARENT": "sftp://u:hunter2@h/d",
}


@pytest.mark.parametrize("variable", SECRETS)
@pytest.mark.parametrize("command", [["config", "show"], ["config", "show", "--json"], ["config", "validate"], ["status"]])
def test_L1_no_secret_is_shown_whether_it_can_be_used_or_not(home, capsys, monkeypatch, variable, command):
    monkeypatch.setenv(variable, SECRETS[variable])
    main(command)
    told = capsys.readouterr()
    assert "hunter2" not in told.out + told.err


def test_a_broken_config_is_shown_as_far_as_it_goes(home, capsys):
    put(home, "x.toml", '[slave]\nkeep = "many"\nthraeds = 1\n')
    assert main(["config", "show", "--changed"]) == 2
    told = capsys.readouterr()
    assert f"slave.keep\t\tfile\t{home}/conf.d/x.toml:2\tmust be a whole number from 0 to 100" in told.out
    assert "conf.d/x.toml:3 slave.thraeds is an unknown key; did you mean threads?" in told.err


def test_a_role_that_is_not_set_up_has_nothing_to_show(home, capsys):
    assert main(["config", "show", "--role", "master"]) == 2
    assert "netclnt init master" in capsys.readouterr().err


# --- config validate


def test_a_sound_config_is_silent_until_asked(home, capsys, monkeypatch):
    assert main(["config", "validate"]) == 0
    assert capsys.readouterr() == ("", "")
    put(home, "a.toml", "")
    monkeypatch.setenv("NETCLNT_KEEP", "3")
    assert main(["config", "validate", "-v"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    for part in (f"{home}/config.toml", f"{home}/conf.d/a.toml", "slave", "night", "NETCLNT_KEEP"):
        assert part in told.err


def test_L6_all_that_is_wrong_anywhere_is_told_at_once(home, capsys, monkeypatch):
    put(home, "10.toml", "[slave]\nkeep = -1\nthraeds = 2\n[mastr]\nx = 1\n")
    put(home, "20.toml", "[slave]\nkeep = 2\n[profile.day.slave]\nkeep = 'x'\nstate = '/srv/images/state'\n")
    put(home, "30.toml", "[slave\n")
    monkeypatch.setenv("NETCLNT_TIMEOUT", "soon")
    monkeypatch.setenv("NETCLNT_BWLIMT", "1M")
    assert main(["config", "validate"]) == 2
    told = capsys.readouterr()
    lines = [line.split("\t") for line in told.out.splitlines()]
    conf = f"{home}/conf.d"
    assert [line[:2] for line in lines] == [
        [f"{conf}/10.toml:2", "slave.keep"],
        [f"{conf}/10.toml:3", "slave.thraeds"],
        [f"{conf}/10.toml:4", "mastr"],
        [f"{conf}/20.toml:4", "profile.day.slave.keep"],
        [f"{conf}/30.toml:1", ""],
        ["", "NETCLNT_BWLIMT"],
        ["", "NETCLNT_TIMEOUT"],
        ["", "slave.state"],
    ]
    assert lines[1][2].endswith("did you mean threads?")
    assert lines[5][2].endswith("did you mean NETCLNT_BWLIMIT?")
    assert lines[7][2].endswith("(with profile day)")
    assert "8 problems" in told.err


def test_problems_as_json(home, capsys):
    put(home, "x.toml", "\n[slave]\nkeep = -1\n")
    assert main(["config", "validate", "--json"]) == 2
    found, code = records(capsys, "problem")
    assert code == "USAGE"
    assert [(one["file"], one["line"], one["key"]) for one in found] == [(f"{home}/conf.d/x.toml", 3, "slave.keep")]


def test_a_slave_that_hides_its_key_in_the_store_is_told(home, capsys):
    put(home, "relay.toml", '[master]\nstore = "/srv/store"\n[slave]\nstate = "/srv/store/state"\n')
    assert main(["config", "validate"]) == 2
    assert "slave.state\tmust not lie inside the master's store" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["config", "validate"], ["config", "show"]])
def test_no_config_at_all_is_told(home, capsys, words):
    (home / "config.toml").unlink()
    (home / "conf.d").rmdir()
    assert main(words) == 2
    assert "There is no config" in capsys.readouterr().err


# --- all of it from the environment


OF_A_SLAVE = {"NAME": "s1", "CATALOG": "store", "PARENT": "sftp://u@h/d", "ROOT": "/srv/images", "STATE": "/srv/state"}
OF_A_MASTER = {"STORE": "/srv/store", "CATALOG": "sqlite:/srv/state/c.sqlite", "STATE": "/srv/state"}


@pytest.fixture
def by_environment(home, monkeypatch):
    """Nothing but variables says anything."""
    (home / "config.toml").unlink()
    (home / "conf.d").rmdir()
    return lambda variables: [monkeypatch.setenv(f"NETCLNT_{name}", value) for name, value in variables.items()]


@pytest.mark.parametrize(("variables", "role"), [(OF_A_SLAVE, "slave"), (OF_A_MASTER, "master")])
def test_a_role_is_known_by_what_it_alone_needs(by_environment, capsys, variables, role):
    by_environment(variables)
    assert settings.only_role(None, os.environ) == role
    assert main(["config", "validate", "-v"]) == 0
    assert f"roles: {role}\n" in capsys.readouterr().err
    assert main(["config", "show"]) == 0
    assert {key.partition(".")[0] for key in table(capsys)} - {"hooks"} == {role}


def test_variables_of_both_roles_make_no_other_role_of_a_slave(home, capsys, monkeypatch):
    for name in ("CATALOG", "STATE"):
        monkeypatch.setenv(f"NETCLNT_{name}", OF_A_SLAVE[name])
    assert main(["config", "show"]) == 0
    assert "master.store" not in table(capsys)


@pytest.mark.parametrize(("variables", "wrong"), [(OF_A_SLAVE, "KEEP"), (OF_A_MASTER, "LEVEL")])
def test_L6_what_is_wrong_in_the_environment_alone_is_told(by_environment, capsys, variables, wrong):
    by_environment({**variables, wrong: "many"})
    assert main(["config", "validate"]) == 2
    assert [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()] == [f"NETCLNT_{wrong}"]


@pytest.mark.parametrize("words", [["config", "validate"], ["config", "show"]])
def test_a_variable_that_sets_nothing_up_is_no_config(by_environment, capsys, words):
    by_environment({"KEEP": "3"})
    assert main(words) == 2
    assert "There is no config" in capsys.readouterr().err


def test_doctor_looks_at_a_slave_of_the_environment(by_environment, home, capsys):
    by_environment({**OF_A_SLAVE, "ROOT": str(home / "root"), "STATE": str(home / "state"), "PARENT": "sftp://u@127.0.0.1:1/d"})
    main(["doctor"])
    found = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[2:4] for line in found if line[1] == "config"] == [["ok", "all of it is in the environment"]]
    assert {line[0] for line in found} == {"host", "slave"}


# --- conf.d


def test_files_of_conf_d_are_read_by_name_and_others_passed_over(home):
    put(home, "20.toml", "[slave]\nkeep = 2")
    put(home, "10.toml", "[slave]\nkeep = 1\nthreads = 7")
    put(home, ".30.toml", "[slave]\nkeep = 3")
    put(home, "40.toml.dpkg-old", "[slave]\nkeep = 4")
    put(home, "50.bak", "not TOML")
    assert (slave().keep, slave().threads) == (2, 7)


def test_conf_d_alone_is_a_config(home):
    put(home, "all.toml", CONFIG)
    (home / "config.toml").unlink()
    assert slave().name == "s1"


def test_conf_d_alone_is_found_by_the_name_that_hooks_and_units_give_it(home):
    put(home, "all.toml", CONFIG)
    (home / "config.toml").unlink()
    assert settings.load(SlaveConfig, str(home / "config.toml"), {}, {}).name == "s1"
    with pytest.raises(ConfigMissing):
        settings.load(SlaveConfig, str(home / "confg.toml"), {}, {})


@pytest.mark.parametrize("kind", ["directory", "dangling", "loop"])
def test_C13_a_file_of_conf_d_that_cannot_be_read_is_an_error(home, kind):
    path = home / "conf.d" / "x.toml"
    if kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(path if kind == "loop" else "/nonexistent/x")
    with pytest.raises(StorageFailed) as caught:
        slave()
    assert caught.value.path == str(path)


@pytest.mark.parametrize("name", ["config.toml", "conf.d/x.toml"])
def test_C13_a_pipe_where_a_config_is_searched_is_an_error_and_not_waited_for(home, name):
    (home / name).unlink(missing_ok=True)
    os.mkfifo(home / name, 0o600)
    with pytest.raises(ConfigInvalid, match="is a pipe"):
        slave()


def test_a_pipe_that_is_named_is_read(home):
    (home / "pipe").unlink(missing_ok=True)
    os.mkfifo(home / "pipe", 0o600)
    writer = threading.Thread(target=lambda: (home / "pipe").write_text(CONFIG), daemon=True)
    writer.start()
    assert settings.load(SlaveConfig, str(home / "pipe"), {}, {}).name == "s1"
    writer.join()


def test_a_problem_is_told_with_file_and_line(home):
    put(home, "x.toml", "# one\n[slave]\nkeep = -1\n")
    with pytest.raises(ConfigInvalid) as caught:
        slave()
    assert dict(caught.value.problems) == {"conf.d/x.toml:3 slave.keep": "must be a whole number from 0 to 100"}


def test_L6_problems_of_a_slave_and_its_hooks_are_told_at_once(home, capsys):
    put(home, "x.toml", "[slave]\nkeep = -1\n[hooks]\nbefor = []\n")
    assert main(["sync"]) == 2
    told = capsys.readouterr().err
    assert "2 problems" in told
    assert "conf.d/x.toml:2 slave.keep must be" in told
    assert "conf.d/x.toml:4 hooks.befor is an unknown key; did you mean before?" in told
    assert main(["sync", "--no-hooks"]) == 2
    assert "1 problem " in capsys.readouterr().err


# --- profiles


def test_a_profile_lies_between_environment_and_files(home):
    put(home, "x.toml", "[slave]\nkeep = 7\n")
    assert (slave().keep, slave("night").keep, slave("night", keep="9").keep) == (7, 5, 9)
    assert settings.load(SlaveConfig, None, {"NETCLNT_KEEP": "8"}, {}, profile="night").keep == 8


def test_L6_an_unknown_profile_lists_those_there_are(home):
    put(home, "x.toml", "[profile.day.slave]\n")
    with pytest.raises(BadArgument) as caught:
        slave("nihgt")
    assert "day, night" in caught.value.problem


@pytest.mark.parametrize("words", [["--profile", "nihgt", "status"], ["status"], ["config", "show", "--profile", "nihgt"]])
def test_a_profile_is_chosen_on_either_side_and_by_the_environment(home, capsys, monkeypatch, words):
    if "--profile" not in words:
        monkeypatch.setenv("NETCLNT_PROFILE", "nihgt")
    assert main(words) == 2
    assert "no such profile; it has night" in capsys.readouterr().err


# --- systemd's directories


def test_systemds_directories_come_before_the_usual_ones(home, tmp_path):
    unit, other = tmp_path / "unit", tmp_path / "other"
    unit.mkdir()
    environment = {"CONFIGURATION_DIRECTORY": f"{unit}:{other}", "STATE_DIRECTORY": f"{other}:{unit}", "HOME": str(tmp_path)}
    assert settings.config_path(None, environment) == home / "config.toml"
    (unit / "config.toml").write_text(CONFIG)
    assert settings.config_path(None, environment) == unit / "config.toml"
    assert settings.config_path("/asked/for", environment).as_posix() == "/asked/for"
    assert settings.load(SlaveConfig, None, environment, {}).state == other
    assert settings.load(SlaveConfig, None, environment, {"state": "/flag"}).state.as_posix() == "/flag"
    (unit / "config.toml").unlink()
    (home / "config.toml").unlink()
    (home / "conf.d").rmdir()
    assert settings.config_path(None, environment) == unit / "config.toml"


@pytest.mark.parametrize("variable", ["CONFIGURATION_DIRECTORY", "XDG_CONFIG_HOME"])
def test_C13_a_place_that_cannot_be_looked_at_is_told(home, variable):
    if variable == "XDG_CONFIG_HOME":
        (home / "config.toml").unlink()
        (home / "conf.d").rmdir()
    with pytest.raises(StorageFailed) as caught:
        settings.config_path(None, {variable: "/" + "x" * 300})
    assert "x" * 300 in caught.value.path


# --- configs that are none


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (CONFIG.encode()[:-30] + b"[profil", "TOML"),
        (CONFIG.replace('"store"', '"sto').encode(), "line 3"),
        (bytes(range(256)), "is not UTF-8"),
        (CONFIG.encode("utf-16"), "is not UTF-8"),
        (CONFIG.encode() + b"\0" * 100, "line 9"),
        (b"#" * (1 << 20) + b"#", "larger than 1 MiB"),
    ],
    ids=["torn", "typo", "binary", "utf16", "zeros", "large"],
)
@pytest.mark.parametrize("words", [["status"], ["config", "show"], ["config", "validate"], ["doctor", "--role", "slave"]])
def test_L6_a_config_that_is_none_is_told(home, capsys, data, part, words):
    (home / "config.toml").write_bytes(data)
    assert main(words) == 2
    told = capsys.readouterr()
    assert part in told.out + told.err
    assert "bug" not in told.err


def test_a_byte_order_mark_is_none_of_the_content(home):
    (home / "config.toml").write_bytes(b"\xef\xbb\xbf" + CONFIG.replace("\n", "\r\n").encode())
    assert slave().name == "s1"


@pytest.mark.parametrize("words", [["status"], ["config", "validate"]])
def test_a_config_that_is_a_directory_is_told(home, capsys, words):
    (home / "config.toml").unlink()
    (home / "config.toml").mkdir()
    assert main(words) == 9
    assert f"Cannot read {home}/config.toml: Is a directory" in capsys.readouterr().err


def test_C13_a_config_without_end_is_not_read_to_it():
    with pytest.raises(ConfigInvalid) as caught:
        settings.load(SlaveConfig, "/dev/zero", {}, {})
    assert "larger than 1 MiB" in str(caught.value)


@pytest.mark.parametrize("name", ["config.toml", "conf.d/x.toml"])
@pytest.mark.parametrize("mode", [0o660, 0o646, 0o666])
def test_G5_a_config_that_others_can_change_is_refused(home, name, mode):
    path = home / name
    path.write_text(CONFIG)
    path.chmod(mode)
    with pytest.raises(ConfigInvalid) as caught:
        slave()
    (where, problem), *_ = caught.value.problems
    assert where.startswith(name)
    assert problem.endswith(f"chmod go-w {path}")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_G5_a_config_of_another_user_is_refused_by_itself_and_through_a_link(home):
    path = home / "theirs.toml"
    (home / "config.toml").rename(path)
    (home / "config.toml").symlink_to(path)
    assert slave().name == "s1"
    os.chown(path, 1234, 0)
    with pytest.raises(ConfigInvalid) as caught:
        slave()
    assert "belongs to user 1234" in caught.value.problems[0][1]
    assert settings.load(SlaveConfig, str(path), {}, {}).name == "s1", "one that is asked for by its name is trusted, as ssh -F"


# --- init


INIT = ["init", "slave", "--name", "s1", "--catalog", "store", "--parent", "sftp://u@h/d", "--root", "root", "--state", "state"]


@pytest.fixture
def empty(home):
    (home / "config.toml").unlink()
    return home


def test_init_writes_no_value_of_the_environment_and_says_so(empty, capsys, monkeypatch):
    monkeypatch.setenv("NETCLNT_KEEP", "7")
    monkeypatch.setenv("NETCLNT_ROOT", str(empty / "elsewhere"))
    assert main(INIT) == 0
    assert "is not written: NETCLNT_KEEP" in capsys.readouterr().err
    monkeypatch.delenv("NETCLNT_KEEP")
    monkeypatch.delenv("NETCLNT_ROOT")
    config = slave()
    assert (config.keep, config.root) == (1, empty / "root")
    assert not (empty / "elsewhere").exists()


def test_init_uses_a_root_of_the_environment_for_this_run(empty, capsys, monkeypatch):
    monkeypatch.setenv("NETCLNT_ROOT", str(empty / "elsewhere"))
    words = [*INIT]
    del words[words.index("--root") : words.index("--root") + 2]
    assert main(words) == 0
    assert (empty / "elsewhere" / ".netclnt" / "marker").exists()
    monkeypatch.delenv("NETCLNT_ROOT")
    with pytest.raises(ConfigInvalid) as caught:
        slave()
    assert [where for where, _ in caught.value.problems] == ["slave.root"]


def test_init_adds_to_what_conf_d_says(empty, capsys):
    text = f'[slave]\ncatalog = "store"\nparent = "sftp://u@h/d"\nroot = "{empty}/root"\nstate = "{empty}/state"\n'
    put(empty, "site.toml", text)
    assert main(["init", "slave", "--name", "s7"]) == 0
    written = (empty / "config.toml").read_text()
    assert 'name = "s7"' in written
    assert "#root = " in written
    assert slave().name == "s7"
    assert stat.S_IMODE((empty / "config.toml").stat().st_mode) == 0o640
    assert main(["init", "slave", "--name", "s7", "--catalog", "odbc:DSN=x", "--force"]) == 2
    assert f"{empty}/conf.d/site.toml says otherwise" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["config.toml", "conf.d/x.toml"])
def test_init_puts_no_paths_beside_a_table_of_them(home, capsys, place):
    with (home / place).open("a") as file:
        file.write('[paths]\n"a*" = "/srv/a"\n')
    before = (home / "config.toml").read_text()
    assert main(["init", "slave", "--force", "--root", "root", "--state", "state", "--paths", "b*=/srv/b"]) == 2
    assert ("cannot stand beside slave.paths" if place == "config.toml" else f"{home}/{place} says") in capsys.readouterr().err
    assert (home / "config.toml").read_text() == before
    assert slave().paths == (("a*", Path("/srv/a")),)


def test_init_writes_no_profile(empty, capsys):
    assert main([*INIT, "--profile", "night"]) == 2
    assert not (empty / "config.toml").exists()


def test_init_keeps_profiles_byte_for_byte(home):
    assert main(["init", "slave", "--force", "--root", "root", "--state", "state"]) == 0
    assert (home / "config.toml").read_text().endswith("\n[profile.night.slave]\nkeep = 5\n")
    assert slave("night").root == home / "root"


# --- the example


def test_the_example_of_a_slave_is_valid_with_its_profile(home, capsys):
    example = Path(__file__).parents[2] / "examples" / "netclnt.toml.slave"
    (home / "config.toml").write_text(example.read_text())
    assert main(["config", "validate"]) == 0
    assert main(["--profile", "hurry", "config", "show", "--changed"]) == 0
    assert not {"slave.bwlimit", "slave.window"} & table(capsys).keys(), "what a profile sets back is as it would be without any"
