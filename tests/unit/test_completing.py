"""Candidates for shells: what is asked, what is answered, and that nothing else is ever said. Real shells: tests/system."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netclnt.cli import completing
from netclnt.cli.completing import SHELLS
from netclnt.cli.main import main
from netclnt.ledger import Held, Ledger
from netclnt.model import Kind
from netclnt.storecatalog import TOC_NAME

Ask = Callable[..., list[str]]
Hold = Callable[..., None]

SLAVE = '[slave]\nname = "s"\ncatalog = "store"\nparent = "sftp://u@h/d"\nroot = "{0}/root"\nstate = "{0}/state"\n'
PROFILES = "[profile.night.slave]\nkeep = 0\n[profile.noon.slave]\nkeep = 1\n"


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Ask:
    """The candidates for a line, as a shell hears them, but for what they are about; the config is that of a slave."""
    config = tmp_path / "config.toml"
    config.write_text(SLAVE.format(tmp_path) + PROFILES)
    monkeypatch.setenv("NETCLNT_CONFIG", str(config))

    def call(line: str, *, shell: str = "zsh", part: str = "") -> list[str]:
        with monkeypatch.context() as patch:
            patch.setenv("_NETCLNT_COMPLETE", f"{shell}_complete")
            patch.setenv("_NETCLNT_LINE", line)
            patch.setenv("_NETCLNT_PART", part)
            assert main([]) == 0
        told = capsys.readouterr()
        assert told.err == ""
        return [text.split("\t")[1] or text.split("\t")[0] for text in told.out.splitlines() if text]

    return call


@pytest.fixture
def holding(tmp_path: Path) -> Hold:
    def hold(*names: str) -> None:
        (tmp_path / "state").mkdir(exist_ok=True)
        with Ledger(tmp_path / "state" / "ledger.sqlite") as ledger:
            for name in names:
                ledger.record(held(name), {})

    return hold


def held(name: str) -> Held:
    return Held(
        name=name,
        kind=Kind.IMAGE,
        number=1,
        manifest="ab" * 32,
        tree=False,
        size=1,
        sha256="cd" * 32,
        generation=1,
        shown_at="2026-11-23T20:00:00Z",
        pinned=False,
        damaged=False,
    )


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("netclnt pro", ["promote"]),
        ("netclnt --config x --json pro", ["promote"]),
        ("FOO=1 BAR=2 netclnt pro", ["promote"]),
        ("netclnt service ", ["install"]),
        ("netclnt sync --dry", ["--dry-run"]),
        ("netclnt sync --no-ad", ["--no-adopt"]),
        ("netclnt sync --js", ["--json"]),
        ("netclnt sync -- --js", []),
        ("netclnt --color a", ["auto", "always"]),
        ("netclnt --color=a", ["--color=auto", "--color=always"]),
        ("netclnt list --role m", ["master"]),
        ("netclnt sync --log-format ", ["json", "text"]),
        ("netclnt sync --syslog lo", [f"local{number}" for number in range(8)]),
        ("netclnt sync --catalog ", ["store"]),
        ("netclnt sync --seed ", ["dir"]),
        ("netclnt sync --seed=/", ["--seed="]),
        ("netclnt sync --from-file ", ["file"]),
        ("netclnt publish ", ["file"]),
        ("netclnt list --profile n", ["night", "noon"]),
        ("netclnt completion ", [*SHELLS]),
        ("netclnt list kind:", ["kind:image", "kind:software", "kind:configuration"]),
        ("netclnt list !kind:s", ["!kind:software"]),
        ("netclnt list '!k", ["!kind:"]),
        ("netclnt --version ", None),
        ("netclnt no-such x", []),
        ("netclnt no-such --x", []),
        ("netclnt help pro", ["promote"]),
        ("netclnt help init sl", ["slave"]),
        ("", None),
    ],
)
def test_words_are_completed(line: str, wanted: list[str] | None, ask: Ask, holding: Hold) -> None:
    holding()
    found = ask(line)
    assert sorted(found) == sorted(wanted) if wanted is not None else "netclnt" not in " ".join(found)


def test_names_held_are_completed(ask: Ask, holding: Hold) -> None:
    holding("debian12.ext4", "debian11.ext4", "my image")
    assert ask("netclnt list deb") == ["debian11.ext4", "debian12.ext4"]
    assert ask("netclnt list debian12.ext4 my") == ["my image"]
    assert ask("netclnt sync '!deb") == ["!debian11.ext4", "!debian12.ext4"]
    assert ask("netclnt show 'my i") == ["my image"]
    assert ask("netclnt history --image m") == ["my image"]


def test_a_master_completes_what_it_offers(
    ask: Ask, holding: Hold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NETCLNT_CONFIG", str(tmp_path / "master.toml"))
    assert main(["-q", "init", "master", "--store", str(tmp_path / "store"), "--state", str(tmp_path / "mstate")]) == 0
    for text, name in (("1", "a b"), ("2", "a b"), ("3", "c"), ("4", "c")):
        (tmp_path / "file").write_text(text)
        assert main(["-q", "publish", str(tmp_path / "file"), "--name", name]) == 0
    assert main(["-q", "retire", "c@2"]) == 0
    capsys.readouterr()
    assert ask("netclnt list ") == ["a b", "c", "kind:"]
    assert ask("netclnt promote ") == ["a b@", "c@"]
    assert ask("netclnt promote 'a b@") == ["a b@2", "a b@1"]
    assert ask("netclnt promote c@2") == ["c@2"]
    assert ask("netclnt retire c") == ["c"]
    assert ask("netclnt publish x --requires a") == ["a b"]
    assert ask("netclnt promote nothing@") == []

    holding("debian12.ext4")
    monkeypatch.setenv("NETCLNT_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "state" / "toc").mkdir()
    (tmp_path / "mstate" / "toc.sqlite").rename(tmp_path / "state" / "toc" / TOC_NAME)
    assert ask("netclnt sync ") == ["a b", "c", "debian12.ext4", "kind:"], "a slave brings what is offered, too"
    assert ask("netclnt list ") == ["debian12.ext4", "kind:"], "and lists what it holds"


@pytest.mark.parametrize(
    ("line", "part", "wanted"),
    [
        ("netclnt list de", "de", ["debian12.ext4"]),
        ("netclnt list my", "my", ["my\\ image"]),
        ("netclnt list 'my", "my", ["my image"]),
        ('netclnt list "my i', "my i", ["my image"]),
        ("netclnt list kind:s", "s", ["software"]),
        ("netclnt list kind:", "", ["configuration", "image", "software"]),
        ("netclnt publish --kind=s", "s", ["software"]),
        ("netclnt list \\!de", "\\!de", ["\\!debian12.ext4"]),
        ("netclnt sync --seed=/s", "/s", ["dir"]),
    ],
)
def test_bash_gets_the_part_that_it_replaces(line: str, part: str, wanted: list[str], ask: Ask, holding: Hold) -> None:
    holding("debian12.ext4", "my image")
    assert ask(line, shell="bash", part=part) == wanted


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_what_is_quoted_is_read_back_as_it_was(quote: str) -> None:
    texts = [character + f"a{character}" for character in map(chr, range(32, 127))] + ["größe", "a–b", "~", "~a", "-", "#"]
    words = " ".join(quote + completing._quoted(text, quote) + quote for text in texts)
    done = subprocess.run(["bash", "-c", f"printf '%s\\n' {words}"], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == [*texts, ""]


@given(st.text(st.sampled_from("ab '\"\\"), max_size=12))
def test_where_a_line_ends_in_a_quote_is_known(line: str) -> None:
    quote = completing._open_quote(line)
    if not line.endswith("\\"):
        shlex.split(line + quote)
        if quote:
            with pytest.raises(ValueError, match="No closing quotation"):
                shlex.split(line)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no config": lambda top: (top / "config.toml").unlink(),
    "a config that is none": lambda top: (top / "config.toml").write_text("[slave\n"),
    "a config of others": lambda top: (top / "config.toml").write_text("[slave]\nroot = 7\n"),
    "no state": lambda top: None,
    "a ledger that is none": lambda top: (top / "state").mkdir() or (top / "state" / "ledger.sqlite").write_bytes(b"x" * 5000),
    "a ledger that is a directory": lambda top: (top / "state" / "ledger.sqlite").mkdir(parents=True),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("shell", SHELLS)
def test_L6_whatever_is_amiss_a_prompt_stays_quiet(damage: str, shell: str, ask: Ask, tmp_path: Path) -> None:
    DAMAGE[damage](tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for words in ("list d", "show d", "sync d", "promote d", "--profile d", "list 'd"):
        assert ask(f"netclnt {words}", shell=shell) == []
    assert sorted(tmp_path.rglob("*")) == before


def test_L6_an_answer_that_takes_too_long_is_none(ask: Ask, monkeypatch: pytest.MonkeyPatch, holding: Hold) -> None:
    holding("debian12.ext4")
    monkeypatch.setattr(completing, "_SECONDS", 0.05)
    monkeypatch.setattr("netclnt.cli.localnames.patterns", lambda *_: next(each for each in iter(int, 1) if each))
    assert ask("netclnt list d") == []


def test_an_unknown_instruction_is_answered_by_nothing(ask: Ask) -> None:
    for shell in ("tcsh", "", "bash_x"):
        assert ask("netclnt ", shell=shell) == []


def test_no_candidate_costs_a_library_that_it_does_not_need() -> None:
    code = (
        "import os, sys\nfrom netclnt.cli.main import main\n"
        "os.environ |= {'_NETCLNT_COMPLETE': 'bash_complete', '_NETCLNT_LINE': sys.argv[1], '_NETCLNT_PART': ''}\nmain([])\n"
        "print([name for name in ('paramiko', 'pyodbc', 'rich', 'cryptography', 'netclnt.sync', 'netclnt.sftp') "
        "+ ('netclnt.cli.edges',) * (sys.argv[1] == 'netclnt ') if name in sys.modules], file=sys.stderr)"
    )
    for line in ("netclnt ", "netclnt list ", "netclnt --col", "netclnt promote "):
        done = subprocess.run([sys.executable, "-c", code, line], capture_output=True, text=True, check=True)
        assert done.stderr == "[]\n", line


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_printed_as_it_is_shipped(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert capsys.readouterr().out == completing.script(shell)
