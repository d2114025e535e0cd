"""The config: flag > environment > file > default, all problems at once, and the text that ``init`` writes."""

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
import tomli_w

from netclnt.config import (
    ConfigFile,
    MasterConfig,
    SlaveConfig,
    defaults,
    duration,
    from_environment,
    from_flags,
    from_table,
    keys,
    resolve,
    salvage,
)
from netclnt.config.text import render, replace_table
from netclnt.errors import ConfigInvalid
from netclnt.schedule import Timetable

PATH = Path("/etc/netclnt/config.toml")
SLAVE = {
    "name": "store-0815",
    "catalog": "store",
    "parent": "sftp://netclnt@master.example:2222/srv/netclnt",
    "root": "/srv/images",
    "state": "/var/lib/netclnt",
}
MASTER = {"store": "/srv/netclnt", "catalog": "sqlite:/var/lib/netclnt/catalog.sqlite", "state": "/var/lib/netclnt"}


def slave(**more):
    return resolve(SlaveConfig, from_table(SlaveConfig, SLAVE | more), path=PATH)


def problems(table, values, *layers):
    with pytest.raises(ConfigInvalid) as caught:
        resolve(table, *layers, from_table(table, values), path=PATH)
    return dict(caught.value.problems)


@pytest.mark.parametrize("table", [MasterConfig, SlaveConfig])
def test_each_field_has_its_key_in_the_same_order(table):
    assert list(keys(table)) == [field.name for field in fields(table)]


def test_a_small_slave_config_gets_its_defaults():
    config = slave()
    assert config.root == Path("/srv/images")
    assert (config.channel, config.transport, config.keep, config.adopt, config.report) == ("stable", "paramiko", 1, False, True)
    assert config.select == ()


def test_flag_wins_over_environment_over_file_over_default():
    flags = from_flags(SlaveConfig, {"keep": "4", "seed": ()}, directory=Path("/here"))
    environment = from_environment(SlaveConfig, {"NETCLNT_KEEP": "3", "NETCLNT_THREADS": "2", "NETCLNT_MODE": ""})
    file = from_table(SlaveConfig, SLAVE | {"keep": 2, "threads": 1, "connections": 5})
    config = resolve(SlaveConfig, flags, environment, file, path=PATH)
    assert (config.keep, config.threads, config.connections, config.timeout) == (4, 2, 5, 30.0)


def test_environment_lists_are_shell_words_and_flags_are_words():
    environment = from_environment(
        SlaveConfig, {"NETCLNT_SELECT": "debian/* '!a b'", "NETCLNT_ADOPT": "yes", "NETCLNT_REPORT": "0", "NETCLNT_TIMEOUT": "2m"}
    )
    config = resolve(SlaveConfig, environment, from_table(SlaveConfig, SLAVE), path=PATH)
    assert config.select == ("debian/*", "!a b")
    assert (config.adopt, config.report, config.timeout) == (True, False, 120.0)


def test_relative_paths_on_the_command_line_are_made_absolute():
    layer = from_flags(SlaveConfig, {"root": "images", "seed": ("a", "/b"), "catalog": "sqlite:c.db"}, directory=Path("/here"))
    assert layer["root"].value == "/here/images"
    assert layer["seed"].value == ["/here/a", "/b"]
    assert layer["catalog"].value == "sqlite:/here/c.db"


def test_L6_all_problems_are_told_at_once_with_table_and_key():
    found = problems(
        SlaveConfig,
        {"name": "-x", "catalog": "stor", "parent": "http://x", "root": "images", "conections": 2, "keep": True, "mode": 420},
    )
    assert set(found) == {f"slave.{key}" for key in ("name", "catalog", "parent", "root", "state", "conections", "keep", "mode")}
    assert found["slave.conections"] == "is an unknown key; did you mean connections?"
    assert found["slave.state"] == "is missing (--state DIR)"
    assert found["slave.keep"] == "must be a whole number from 0 to 100"


def test_L6_a_problem_is_told_where_the_value_was_given():
    environment = from_environment(SlaveConfig, {"NETCLNT_KEEP": "many", "NETCLNT_MAX_RETIRE": "9" * 5000})
    flags = from_flags(SlaveConfig, {"threads": "-1"}, directory=Path("/"))
    assert set(problems(SlaveConfig, SLAVE, flags, environment)) == {"NETCLNT_KEEP", "NETCLNT_MAX_RETIRE", "--threads"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "a\x1bb"),
        ("name", "a" * 65),
        ("root", "/srv/../etc"),
        ("root", 5),
        ("password_command", " "),
        ("parent", "sftp://user@host"),
        ("parent", "sftp://user@host:99999/dir"),
        ("select", "debian"),
        ("select", [1]),
        ("transport", "rsync"),
        ("connections", -1),
        ("connections", 17),
        ("bwlimit", "fast"),
        ("bwlimit", "10Mbit"),
        ("bwlimit", "12B"),
        ("bwlimit", -1),
        ("bwlimit", True),
        ("timeout", "soon"),
        ("timeout", float("nan")),
        ("timeout", "9" * 400 + "d"),
        ("timeout", 10**400),
        ("bwlimit", "9" * 400),
        ("max_image_size", "9" * 400 + "G"),
        ("max_image_size", 0),
        ("max_image_size", "0.5B"),
        ("host_key", "SHA256:short"),
        ("mode", "999"),
        ("owner", "ro ot"),
        ("owner", str((1 << 32) - 1)),
        ("adopt", "true"),
        ("channel", "Stable"),
        ("catalog", "odbc:"),
        ("catalog", "sqlite:relative.db"),
    ],
)
def test_L6_bad_values_are_refused(key, value):
    assert set(problems(SlaveConfig, SLAVE | {key: value})) == {f"slave.{key}"}


@pytest.mark.parametrize(
    "conn",
    [
        "odbc:Driver=x;PWD=hunter2",
        "odbc:DSN=a; Password = {hunter2;}}x}",
        "odbc:Driver=x;sslpassword=hunter2",
        "odbc:Driver=x;pqopt={password=hunter2}",
        "odbc:Driver={x;y}}z};pWd={hunter2}",
        "odbc:Driver=x;;  PASSWORD\u00a0=hunter2".replace("\u00a0", " "),
        "odbc:Driver=x;pqopt={sslmode=require passfile=/p password = 'hunter2'}",
        "odbc:Driver=x;NewPWD=hunter2",
        "odbc:Driver=x;TLSKEYPWD=hunter2",
        "odbc:Driver=x;SSLClientKeystoreDBPassword=hunter2",
        "odbc:Driver=x;Pass=hunter2",
        "odbc:Driver=x;Secret=hunter2",
        "odbc:Driver=x;AccessToken=hunter2",
        "odbc:Driver=x;Server=postgresql://u:hunter2@h/d",
        "odbc:{PWD}=hunter2",
        "odbc:Driver=x;{PWD}={hunter2}",
    ],
)
def test_L1_a_password_in_a_connection_string_is_refused_and_not_shown(conn):
    found = problems(SlaveConfig, SLAVE | {"catalog": conn})
    assert "password_file" in found["slave.catalog"]
    assert "hunter2" not in str(found)


def test_L1_a_password_in_the_parent_is_refused_and_not_shown():
    found = problems(SlaveConfig, SLAVE | {"parent": "sftp://user:hunter2@host/dir"})
    assert "hunter2" not in found["slave.parent"]


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"catalog": "sqlite:/srv/netclnt/c.sqlite"}, "master.catalog"),
        ({"state": "/srv/netclnt/state"}, "master.state"),
        ({"state": "/srv/netclnt"}, "master.state"),
    ],
)
def test_a_masters_catalog_and_state_lie_outside_the_store(values, key):
    assert set(problems(MasterConfig, MASTER | values)) == {key}


def test_two_ways_to_the_password_or_the_host_key_are_refused():
    both = {"password_file": "/p", "password_command": "p", "host_key": "SHA256:" + "a" * 43, "known_hosts": "/k"}
    assert set(problems(SlaveConfig, SLAVE | both)) == {"slave.password_command", "slave.host_key"}


def test_a_masters_default_catalog_lies_in_its_state_directory():
    given = from_table(MasterConfig, {"store": "/srv/netclnt", "state": "/data/state"})
    config = resolve(MasterConfig, given, defaults(MasterConfig, state=Path("/var/lib/netclnt"), layers=[given]), path=PATH)
    assert config.catalog == "sqlite:/data/state/catalog.sqlite"


@pytest.mark.parametrize("text", ["[slave", "[slav]\nname = 1", "slave = 3", "name = 'x'"])
def test_L6_text_that_holds_something_else_is_refused(text):
    assert ConfigFile.of(text, path=PATH).problems


@pytest.mark.parametrize(
    ("value", "wanted"), [(5, 5.0), ("90s", 90.0), ("10m", 600.0), ("26h", 93600.0), ("1.5d", 129600.0), ("7", 7.0)]
)
def test_durations(value, wanted):
    assert duration(value) == wanted


@pytest.mark.parametrize(("table", "values"), [(SlaveConfig, SLAVE), (MasterConfig, MASTER)])
def test_a_written_table_explains_every_key_and_reads_back(table, values):
    text = render(table, values)
    read = ConfigFile.of(text, path=PATH)
    assert (read.tables, read.problems) == ({table.TABLE: values}, ())
    for name, key in keys(table).items():
        assert key.about.split()[0] in text
        assert f"\n{name} = " in text or f"\n#{name} = " in text


@pytest.mark.parametrize("table", [SlaveConfig, MasterConfig])
def test_every_commented_line_of_a_written_table_is_valid_once_uncommented(table):
    values = SLAVE if table is SlaveConfig else MASTER
    for name, key in keys(table).items():
        shown = key.example if key.default in (None, ()) else key.default
        if name not in values:
            resolve(table, from_table(table, values | {name: shown}), path=PATH)


def test_a_second_table_leaves_the_first_byte_for_byte():
    first = "# mine\n[master] # here\nstore='/srv/s'   \nnote = '''\nx\n'''"
    text = replace_table(first, SlaveConfig, render(SlaveConfig, SLAVE))
    assert text.startswith(first + "\n\n[slave]\n")


def test_a_replaced_table_leaves_what_stands_before_and_after():
    before, after = "# top\n\n[master]\nstore = '/a'\n\n", "[other]\nx = 1\n"
    text = replace_table(before + "[slave]\nname = 'old'\n" + after, SlaveConfig, render(SlaveConfig, SLAVE))
    assert text.startswith(before)
    assert text.endswith(after)
    assert "'old'" not in text
    assert tomllib.loads(text)["slave"] == SLAVE


def test_values_with_quotes_and_unicode_survive_the_writing():
    odd = {"select": ['a"b', "ü'\\"], "parent": 'sftp://u@h/a "b"'}
    assert tomllib.loads(render(SlaveConfig, SLAVE | odd))["slave"] == SLAVE | odd
    assert tomli_w.dumps(odd)


def test_a_flag_wins_over_the_other_key_that_means_the_same():
    file = from_table(SlaveConfig, SLAVE | {"known_hosts": "/etc/ssh/known", "password_command": "pass show x"})
    pin = "SHA256:" + "x" * 43
    flags = from_flags(SlaveConfig, {"host_key": pin, "password_file": "/run/password"}, directory=Path("/"))
    config = resolve(SlaveConfig, flags, file, path=Path("/c"))
    assert (config.host_key, config.known_hosts) == (pin, None)
    assert (config.password_file, config.password_command) == (Path("/run/password"), None)


@pytest.mark.parametrize(
    ("told", "rate"),
    [
        (512, 512 << 10),
        ("512", 512 << 10),
        ("31250B", 31250),
        ("10M", 10 << 20),
        ("1.5m", 1.5 * (1 << 20)),
        (1.5, 1536),
        ("2G", 2 << 30),
        ("off", None),
        ("0", None),
        (0, None),
    ],
)
def test_a_cap_is_written_as_in_rclone(told, rate):
    cap = None if rate is None else Timetable(((0, rate),))
    assert slave(bwlimit=told).bwlimit == cap
    environment = from_environment(SlaveConfig, {"NETCLNT_BWLIMIT": str(told)})
    assert resolve(SlaveConfig, environment, from_table(SlaveConfig, SLAVE), path=PATH).bwlimit == cap


def test_L6_of_a_broken_table_the_rest_can_be_used():
    layer = from_table(SlaveConfig, SLAVE | {"root": "relative", "keep": "x", "kep": 1, "select": ["a*"]})
    config, broken, told = salvage(SlaveConfig, layer)
    with pytest.raises(ConfigInvalid) as caught:
        resolve(SlaveConfig, layer, path=PATH)
    assert told == caught.value.problems
    assert broken == {"root", "keep"}
    assert (config.name, config.select, config.keep) == ("store-0815", ("a*",), 1)


@pytest.mark.parametrize("table", [MasterConfig, SlaveConfig])
def test_L6_of_a_table_with_nothing_right_each_key_is_told(table):
    wrong = from_table(table, {name: {"": 0} for name in keys(table)})
    config, broken, told = salvage(table, wrong)
    assert broken == set(keys(table))
    assert len(told) == len(broken)
    assert isinstance(config, table)


@pytest.mark.parametrize(
    ("text", "tables", "problems"),
    [("[slave]\nkeep = 1", ["slave"], 0), ("x = 1\n[slave]\n[mastr]", ["slave"], 2), ("slave = 1", [], 1), ("[slave", [], 1)],
)
def test_L6_of_a_broken_file_the_known_tables_can_be_used(text, tables, problems):
    file = ConfigFile.of(text, path=PATH)
    assert (list(file.tables), len(file.problems)) == (tables, problems)
