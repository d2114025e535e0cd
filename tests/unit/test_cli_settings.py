"""Where config and password come from."""

from pathlib import Path

import pytest

from netclnt.cli import settings
from netclnt.cli.main import main
from netclnt.cli.parser import Globals
from netclnt.cli.servicing import sync_words
from netclnt.config import MasterConfig, SlaveConfig
from netclnt.errors import ConfigInvalid, ConfigMissing, ExitCode, StorageFailed

CONFIG = """
[slave]
name = "s1"
catalog = "odbc:DSN=x"
parent = "sftp://u@h/d"
root = "/r"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


def slave(file, **flags):
    return settings.load(SlaveConfig, str(file), {}, flags)


def test_the_config_asked_for_must_be_there(tmp_path):
    with pytest.raises(ConfigMissing) as caught:
        settings.load(SlaveConfig, str(tmp_path / "none.toml"), {}, {})
    assert caught.value.path == str(tmp_path / "none.toml")


def test_a_role_without_a_table_is_told(file):
    with pytest.raises(ConfigMissing) as caught:
        settings.load(MasterConfig, str(file), {"NETCLNT_THREADS": "2"}, {})
    assert caught.value.section == "master"


def test_a_config_may_come_from_the_environment_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "SYSTEM_CONFIG", tmp_path / "none.toml")
    environment = {"HOME": str(tmp_path), "NETCLNT_STORE": "/srv/n", "NETCLNT_STATE": "/s"}
    config = settings.load(MasterConfig, None, environment, {})
    assert (config.store, config.catalog) == (Path("/srv/n"), "sqlite:/s/catalog.sqlite")


def test_the_xdg_place_is_looked_at_after_etc(tmp_path, monkeypatch):
    system, own = tmp_path / "etc.toml", tmp_path / "xdg" / "netclnt" / "config.toml"
    monkeypatch.setattr(settings, "SYSTEM_CONFIG", system)
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    own.parent.mkdir(parents=True)
    own.touch()
    assert settings.config_path(None, environment) == own
    system.touch()
    assert settings.config_path(None, environment) == system
    assert settings.config_path("/x", environment) == Path("/x")


def test_the_only_role(file):
    assert settings.only_role(str(file), {}) == "slave"
    file.write_text(CONFIG + '[master]\nstore = "/s"\n')
    assert settings.only_role(str(file), {}) is None


def test_a_working_directory_that_is_gone_matters_only_to_relative_paths(file, tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert slave(file, identity="/k").identity == Path("/k")
    with pytest.raises(ConfigInvalid) as caught:
        slave(file, identity="k")
    assert caught.value.problems == (("--identity", "must be an absolute path"),)
    with pytest.raises(ConfigMissing):
        settings.load(SlaveConfig, "config.toml", {}, {})
    assert str(file) in sync_words(Globals(config=str(file)))
    assert "units.toml" in sync_words(Globals(config="units.toml"))
    assert main(["service", "install", "--directory", "units", "--config", str(file)]) == ExitCode.USAGE
    assert "must be an absolute path" in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"\xff", b"x" * 10, b"[slave"])
def test_L6_a_config_that_is_no_toml(file, data):
    file.write_bytes(data)
    with pytest.raises(ConfigInvalid):
        slave(file)


def test_C13_a_config_that_cannot_be_read(tmp_path):
    with pytest.raises(StorageFailed):
        settings.read(str(tmp_path), {})


def test_E12_the_password_comes_from_a_file_as_it_is(file, tmp_path):
    (tmp_path / "secret").write_text(";}= ü'\" \n")
    assert settings.catalog_password(slave(file, password_file=str(tmp_path / "secret")), {}) == ";}= ü'\" "


def test_the_password_comes_from_a_command(file):
    assert settings.catalog_password(slave(file, password_command="printf 'a b\\nc\\n'"), {}) == "a b"


def test_the_password_comes_from_systemd(file, tmp_path):
    (tmp_path / "catalog-password").write_text("geheim\n")
    assert settings.catalog_password(slave(file), {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "geheim"
    assert settings.catalog_password(slave(file), {"CREDENTIALS_DIRECTORY": "/none"}) is None
    assert settings.catalog_password(slave(file), {}) is None


@pytest.mark.parametrize(
    "flags",
    [
        {"password_command": "sh -c 'echo hunter2; exit 3'"},
        {"password_command": "not-a-command-anywhere"},
        {"password_command": "'"},
        {"password_command": "true"},
        {"password_file": "/dev/null"},
        {"password_file": "/not/there"},
    ],
)
def test_L1_a_source_that_gives_no_password_is_told_without_it(file, flags):
    with pytest.raises(ConfigInvalid) as caught:
        settings.catalog_password(slave(file, **flags), {})
    assert caught.value.problems[0][0] == f"slave.{next(iter(flags))}"
    assert "hunter2" not in str(caught.value)
