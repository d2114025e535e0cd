"""The config's files: on which line what stands, which file and profile decides, and what is wrong with them as such."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netclnt.config import ConfigFile, ConfigFiles, Origin, SlaveConfig, from_files, positions
from netclnt.config.positions import key_lines

PATH = Path("/etc/netclnt/config.toml")


def file(text, name="config.toml"):
    return ConfigFile.of(text, path=PATH.parent / name, name=name)


def told(text):
    return dict(problem.pair for problem in file(text).problems)


TEXT = '''# top
slave.keep = 1

[master]          # [slave]
store = "/s"   # keep = 2
note = """
[slave]
keep = 3
"""
list = [
  "x",   # y = 1

]
"quoted" = 1
[profile.night.slave]
bwlimit = '10M'
[profile]
day = { slave = { keep = 2 }, master.level = 1 }
[[array]]
x = 1
[[array]]
x = 2
'''


def test_each_key_is_found_on_its_line():
    found = {".".join(path): line for path, line in key_lines(TEXT).items()}
    assert found == {
        "slave": 2,
        "slave.keep": 2,
        "master": 4,
        "master.store": 5,
        "master.note": 6,
        "master.list": 10,
        "master.quoted": 14,
        "profile": 15,
        "profile.night": 15,
        "profile.night.slave": 15,
        "profile.night.slave.bwlimit": 16,
        "profile.day": 18,
        "profile.day.slave": 18,
        "profile.day.slave.keep": 18,
        "profile.day.master": 18,
        "profile.day.master.level": 18,
        "array": 19,
        "array.x": 20,
    }


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines_are_counted_as_an_editor_does(newline):
    assert key_lines(TEXT.replace("\n", newline)) == key_lines(TEXT)


def test_what_stands_before_the_broken_statement_is_still_found():
    assert key_lines('a = 1\nb = "\nc = 3\n') == {("a",): 1}


@given(st.text(alphabet="a=[]\"'{},.#1 \n\r", max_size=60))
def test_any_text_has_lines_within_it(text):
    assert all(1 <= line <= text.count("\n") + 1 for line in key_lines(text).values())


def test_a_long_list_is_read_once(monkeypatch):
    calls = []
    loads = positions.tomllib.loads
    monkeypatch.setattr(positions.tomllib, "loads", lambda text: calls.append(text) or loads(text))
    assert key_lines("x = [\n" + "'a',\n" * 5000 + "]\ny = 1\n") == {("x",): 1, ("y",): 5003}
    assert len(calls) == 4


def test_a_statement_without_end_is_given_up():
    assert key_lines("x = 1\ny = [\n" + "[1],\n" * 100_000) == {("x",): 1}


def layers(*files, profile=None):
    found = {}
    for layer in from_files(SlaveConfig, ConfigFiles(files[0], tuple(files[1:])), profile):
        for name, one in layer.items():
            found.setdefault(name, (one.value, one.where, one.origin, one.file.place(one.where)))
    return found


MAIN = file("[slave]\nkeep = 1\nselect = ['a', 'b']\nthreads = 1\n[profile.night.slave]\nthreads = 4\n")
SITE = file("[slave]\nselect = ['c']\nkeep = 2\n[profile.night.slave]\nkeep = 9\n", "conf.d/10-site.toml")
LAST = file("[slave]\nkeep = 3\n", "conf.d/20-last.toml")


def test_later_files_win_key_by_key_and_lists_replace():
    assert layers(MAIN, SITE, LAST) == {
        "keep": (3, "slave.keep", Origin.FILE, "conf.d/20-last.toml:2"),
        "select": (["c"], "slave.select", Origin.FILE, "conf.d/10-site.toml:2"),
        "threads": (1, "slave.threads", Origin.FILE, "config.toml:4"),
    }


def test_a_profile_lies_over_all_files():
    found = layers(MAIN, SITE, LAST, profile="night")
    assert found["keep"] == (9, "profile.night.slave.keep", Origin.PROFILE, "conf.d/10-site.toml:5")
    assert found["threads"] == (4, "profile.night.slave.threads", Origin.PROFILE, "config.toml:6")
    assert found["select"][2] is Origin.FILE


def test_the_roles_and_profiles_are_those_of_all_files():
    files = ConfigFiles(LAST, (file("[profile.x.master]\n[master]"), SITE))
    assert (files.roles, files.profiles) == (["master", "slave"], ["night", "x"])


@pytest.mark.parametrize(
    ("text", "where", "part"),
    [
        ("[profile]\nnight = 1", "config.toml:2 profile.night", "[profile.night.slave]"),
        ("profile = 1", "config.toml:1 profile", "must be a table"),
        ("[profile.night]\nkeep = 1", "config.toml:2 profile.night.keep", "belongs into [profile.night.slave]"),
        ("[profile.night]\nlevel = 1", "config.toml:2 profile.night.level", "belongs into [profile.night.master]"),
        ("[profile.night.slaev]", "config.toml:1 profile.night.slaev", "did you mean slave?"),
        ("[profile.night]\nslave = 1", "config.toml:2 profile.night.slave", "must be a table"),
        ('[profile."a b".slave]', "config.toml:1 profile.a b", "letters, digits"),
        ("\n[profil.night.slave]", "config.toml:2 profil", "did you mean profile?"),
        ("[slave]\nx = \ny = 1", "config.toml:2", "is no TOML: Invalid value"),
    ],
)
def test_L6_what_is_wrong_with_a_file_is_told_with_its_line(text, where, part):
    assert part in told(text)[where]
