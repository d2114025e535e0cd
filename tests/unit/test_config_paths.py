"""The table ``[paths]``: which images lie in which directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from netclnt.config import ConfigFile, ConfigFiles, SlaveConfig, from_environment, from_files, resolve
from netclnt.config.paths import placements
from netclnt.config.readers import Unfit
from netclnt.errors import ConfigInvalid

SLAVE = '[slave]\nname = "s"\ncatalog = "store"\nparent = "sftp://m/store"\nroot = "/srv/images"\nstate = "/var/lib/n"\n'


def read(text: str, **environment: str) -> SlaveConfig:
    files = ConfigFiles(ConfigFile.of(text, path=Path("c")))
    problems = files.problems
    return resolve(
        SlaveConfig,
        from_environment(SlaveConfig, environment),
        *from_files(SlaveConfig, files, None),
        path=Path("c"),
        problems=problems,
    )


def test_the_order_of_the_file_stays() -> None:
    config = read(SLAVE + '[paths]\n"b/x" = "/srv/images"\n"b/*" = "/srv/b"\n"kind:software" = "/srv/a"\nplain = "/srv/b"\n')
    assert [pattern for pattern, _ in config.paths] == ["b/x", "b/*", "kind:software", "plain"]
    assert config.further_roots == [Path("/srv/b"), Path("/srv/a")]


def test_all_ways_to_say_it_mean_the_same() -> None:
    wanted = (("b/*", Path("/srv/b")), ("kind:software", Path("/srv/a")))
    assert read(SLAVE + '[paths]\n"b/*" = "/srv/b"\n"kind:software" = "/srv/a"\n').paths == wanted
    assert read(SLAVE + '[slave.paths]\n"b/*" = "/srv/b"\n"kind:software" = "/srv/a"\n').paths == wanted
    assert read(SLAVE + 'paths = ["b/*=/srv/b", "kind:software=/srv/a"]\n').paths == wanted
    assert read(SLAVE + '[paths]\nx = "/srv/x"\n', NETCLNT_PATHS="'b/*=/srv/b' kind:software=/srv/a").paths == wanted
    assert read(SLAVE).paths == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[paths]\n"a" = "relative"\n', "of a must be an absolute path"),
        ('[paths]\n"a" = 7\n', "of a must be text"),
        ('[paths]\ndebian.img = "/srv/a"\n', "needs quotes"),
        ('[paths]\n"kind:disk" = "/srv/a"\n', "kind:disk"),
        ('[paths]\n"!a" = "/srv/a"\n', "first pattern"),
        ('paths = ["a"]\n', "PATTERN=DIR"),
        ('paths = ["a=/b", "a=/c"]\n', "a twice"),
        ('[paths]\n"a" = "/srv/images/a"\n', "/srv/images/a, which must not lie inside /srv/images"),
        ('[paths]\n"a" = "/srv"\n', "/srv/images, which must not lie inside /srv"),
        ('paths = ["a=/b"]\n[paths]\n"a" = "/c"\n', "slave.paths"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        read(SLAVE + text)
    assert any("paths" in where and words in problem for where, problem in caught.value.problems), caught.value.problems


def test_a_table_that_is_none() -> None:
    with pytest.raises(ConfigInvalid):
        read('paths = "/srv"\n' + SLAVE)


def test_a_name_with_an_equals_sign_is_told_by_the_slash_behind_it() -> None:
    assert placements(["a=b=/srv/b"]) == (("a=b", Path("/srv/b")),)
    with pytest.raises(Unfit):
        placements([""])
