"""Hooks of a real sync: scripts that an admin would write, called by the installed command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.images import content
from tests.support.site import Run, Site, good

MakeSite = Callable[..., Site]

EVERY = ("before", "before_image", "after_image", "on_error", "after")

NOTER = f"""#!{sys.executable} -SE
import json, os, sys
about = {{"event": json.load(sys.stdin), "environment": dict(os.environ)}}
staged = os.environ.get("NETCLNT_STAGED")
about["staged"] = os.stat(staged).st_size if staged else None
with open("@notes", "a") as notes:
    notes.write(json.dumps(about) + "\\n")
print("noted", os.environ["NETCLNT_HOOK"])
"""


class Hooked:
    """A site whose slave has hooks: scripts in a directory of their own."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.directory = site.directory / "hooks"
        self.directory.mkdir()
        self.notes_path = self.directory / "notes"

    def script(self, name: str, text: str) -> Path:
        """A program; of ``text`` that does not begin with ``#!``, a shell's."""
        path = self.directory / name
        path.write_text(text.replace("@notes", str(self.notes_path)) if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def noter(self) -> str:
        return str(self.script("noter", NOTER))

    def configure(self, hooks: Mapping[str, Sequence[object]], **more: object) -> None:
        config = self.site.config("slave")
        before = config.read_text().partition("\n[hooks]")[0]
        lines = [f"{name} = {json.dumps(value)}" for name, value in {**hooks, **more}.items()]
        config.write_text("\n".join([before, "[hooks]", *lines, ""]))

    def notes(self) -> list[dict[str, Any]]:
        """What the noter noted since the last time."""
        if not self.notes_path.exists():
            return []
        lines = self.notes_path.read_text().splitlines()
        self.notes_path.unlink()
        return [json.loads(line) for line in lines]

    def called(self) -> list[str]:
        return [f"{note['event']['hook']} {note['event'].get('image', '')}".strip() for note in self.notes()]


@pytest.fixture
def hooked(make_site: MakeSite) -> Hooked:
    return Hooked(make_site())


def image(run: Run) -> dict[str, Any]:
    return run.one("image")


def test_each_hook_is_called_at_its_moment_with_what_it_needs_and_no_secret(hooked: Hooked) -> None:
    site = hooked.site
    noter = hooked.noter()
    hooked.configure({hook: [noter, hook] for hook in EVERY})
    site.publish(site.put("image", content("hooks", 100_000)))
    run = good(site.slave("--json", "sync", env={**site.environment_of("slave"), "NETCLNT_PASSWORD_FILE": "", "SECRET": "x"}))
    notes = hooked.notes()
    assert [note["event"]["hook"] for note in notes] == ["before", "before_image", "after_image", "after"]
    assert [note["staged"] for note in notes] == [None, 100_000, None, None]
    environment = notes[2]["environment"]
    assert {name for name in environment if not name.startswith("NETCLNT_")} - {"LC_CTYPE"} == {"PATH", "HOME", "LANG"}
    assert environment["NETCLNT_CONFIG"] == str(site.config("slave"))
    assert environment["NETCLNT_PATH"] == str(site.root / "image")
    assert environment["NETCLNT_RUN_ID"] == run.events[0]["run_id"] == notes[0]["event"]["run_id"]
    assert notes[3]["event"]["images"] == [{"image": "image", "version": 1, "result": "updated"}]
    lines = [event for event in run.of("hook") if event["state"] == "line"]
    assert [(event["hook"], event["image"], event["program"], event["line"]) for event in lines] == [
        ("before", "", "noter", "noted before"),
        ("before_image", "image", "noter", "noted before_image"),
        ("after_image", "image", "noter", "noted after_image"),
        ("after", "", "noter", "noted after"),
    ]
    assert good(site.slave("sync", "--no-hooks")).err.count("noted") == 0
    assert hooked.notes() == []
    text = good(site.slave("sync"))
    assert (text.out, text.err.splitlines()[:1]) == ("", ["hook before: noted before"])


@pytest.mark.slow
def test_what_a_hook_says_cannot_take_over_a_terminal(hooked: Hooked) -> None:
    program = hooked.script("escape", "printf '\\033]0;title\\007\\n'")
    hooked.configure({"before": [str(program)]})
    assert "hook before: \\x1b]0;title\\x07" in hooked.site.slave("sync").err


@pytest.mark.slow
def test_a_run_that_is_put_off_opens_no_connection(hooked: Hooked) -> None:
    site = hooked.site
    hooked.configure({"before": [str(hooked.script("busy", "echo till is open; exit 75"))], "after": [hooked.noter()]})
    site.publish(site.put("image", content("hooks", 10_000)))
    sessions = site.sessions()
    run = site.slave("--json", "sync")
    assert run.code == 14
    assert run.one("error")["cause"] == "PutOff"
    assert "till is open" in run.one("error")["message"]
    assert site.sessions() == sessions
    assert hooked.notes() == []
    quiet = site.slave("-q", "sync")
    assert (quiet.code, quiet.out, quiet.err) == (14, "", "")
    assert site.slave("status").rows[0][7] == "PAUSED"
    assert not (site.root / "image").exists()


def test_a_deferred_activation_keeps_what_was_fetched(hooked: Hooked) -> None:
    site = hooked.site
    gate = hooked.directory / "gate"
    program = hooked.script("gate-is-open", f'test "$NETCLNT_IMAGE" = other || test -e {gate} || exit 75')
    hooked.configure({"before_image": [str(program)]})
    site.publish(site.put("image", content("hooks", 300_000)))
    site.publish(site.put("other", content("other", 30_000)))
    first = site.slave("--json", "sync")
    assert first.code == 14
    assert {event["image"]: event["result"] for event in first.of("image")} == {"image": "deferred", "other": "updated"}
    assert first.one("error")["cause"] == "ActivationDeferred"
    assert not (site.root / "image").exists()
    assert "deferred by a hook: image" in site.slave("status").out
    again = site.slave("--json", "sync")
    assert (again.code, image(again)["result"], image(again)["bytes_fetched"]) == (14, "deferred", 0)
    assert again.one("summary")["bytes_fetched"] == again.one("summary")["sftp_connections"] == 0
    quiet = site.slave("-q", "sync")
    assert (quiet.code, quiet.out, quiet.err) == (14, "", "")
    good(site.slave("prune"))
    gate.touch()
    last = site.sync()
    assert (image(last)["result"], image(last)["bytes_fetched"]) == ("updated", 0)
    assert (site.root / "image").read_bytes() == content("hooks", 300_000)
    assert "deferred" not in site.slave("status").out
    assert list((site.root / ".netclnt/staging").iterdir()) == []


@pytest.mark.slow
def test_a_daemon_that_a_hook_starts_holds_neither_the_lock_nor_the_run(hooked: Hooked) -> None:
    site = hooked.site
    pid = hooked.directory / "pid"
    program = hooked.script("start", f"sleep 600 & echo $! > {pid}; echo started")
    hooked.configure({"before": [str(program)]})
    try:
        assert "hook before: started" in good(site.slave("sync")).err
        number = int(pid.read_text())
        assert {link.name for link in Path(f"/proc/{number}/fd").iterdir()} <= {"0", "1", "2"}
        assert site.slave("sync", "--no-hooks").code == 0
        assert Path(f"/proc/{number}").exists()
    finally:
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int(pid.read_text()), signal.SIGKILL)


@pytest.mark.slow
def test_a_hook_may_call_netclnt(hooked: Hooked) -> None:
    """What only looks works; what would need the root finds it locked, and waits for nobody."""
    site = hooked.site
    python = f"{sys.executable} -m netclnt"
    path = f"cd {Path(__file__).parents[2]}"
    hooked.configure(
        {"after_image": [str(hooked.script("look", f"{path}; {python} list; {python} -q sync --no-hooks; echo $?"))]}
    )
    site.publish(site.put("image", content("hooks", 10_000)))
    lines = [event["line"] for event in site.sync().of("hook") if event["state"] == "line"]
    assert lines[0].split("\t")[:2] == ["image", "image"] or "image" in lines[0]
    assert lines[-1] == "10"


@pytest.mark.slow
def test_a_failed_hook_says_what_it_said(hooked: Hooked) -> None:
    site = hooked.site
    noter = hooked.noter()
    hooked.configure({"after_image": [str(hooked.script("import", "echo no such project >&2; exit 3"))], "on_error": [noter]})
    site.publish(site.put("image", content("hooks", 10_000)))
    run = site.slave("-q", "sync")
    assert run.code == 3
    assert "image: The hook after_image for image failed" in run.err
    assert "ended with exit code 3 (no such project)" in run.err
    assert [note["event"]["result"] for note in hooked.notes()] == ["PARTIAL"]
    assert site.slave("-q", "sync").code == 5
    hooked.script("import", "exit 0")
    assert site.slave("sync").code == 0


@pytest.mark.slow
def test_the_process_ends_as_the_ledger_says_where_one_hook_fails_and_another_defers(hooked: Hooked) -> None:
    site = hooked.site
    gate = hooked.script("gate", 'test "$NETCLNT_IMAGE" = image || exit 75')
    hooked.configure({"before_image": [str(gate)], "after_image": [str(hooked.script("import", "exit 3"))]})
    site.publish(site.put("image", content("hooks", 10_000)))
    site.publish(site.put("other", content("other", 10_000)))
    run = site.slave("--json", "sync")
    assert sorted(error["cause"] for error in run.of("error")) == ["ActivationDeferred", "HookFailed"]
    assert (run.code, site.slave("status").rows[0][7]) == (3, "PARTIAL")


@pytest.mark.slow
@pytest.mark.parametrize("hook", ["before", "before_image", "after"])
def test_A4_SIGTERM_ends_a_run_in_its_hook_soon(hooked: Hooked, hook: str) -> None:
    site = hooked.site
    pid = hooked.directory / "pid"
    text = f"trap '' TERM; echo $$ > {pid}.new; mv {pid}.new {pid}; while :; do sleep 1; done"
    hooked.configure({hook: [str(hooked.script("hangs", text))], "after": [[str(hooked.script("hangs", text))], ["/bin/true"]]})
    site.publish(site.put("image", content("hooks", 200_000)))
    process = site.start("slave", "--json", "sync")
    while not pid.exists():
        assert process.poll() is None
        time.sleep(0.01)
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - sent < 5
    assert Run(process.returncode, out, err).events[-1]["code"] == 143
    assert not Path(f"/proc/{int(pid.read_text())}").exists()
    hooked.configure({})
    done = site.sync()
    if hook == "before_image":
        assert image(done)["bytes_fetched"] == 0


@pytest.mark.slow
def test_config_tells_what_is_wrong_with_hooks(hooked: Hooked) -> None:
    site = hooked.site
    wrong = {
        "before": "/bin/true",
        "after": ["true"],
        "on_error": [["/bin/true"], "x"],
        "befor": ["/bin/true"],
        "timeout": "never",
    }
    hooked.configure(wrong)
    for words in (["sync"], ["config", "validate"]):
        run = site.slave("--json", *words)
        assert run.code == 2
        for key in wrong:
            assert f"hooks.{key}" in run.out, (words, key)
    assert "did you mean before?" in run.out


@pytest.mark.slow
def test_the_doctor_looks_at_programs(hooked: Hooked) -> None:
    program = hooked.script("program", "exit 0")
    hooked.configure({"before": [str(program)]})

    def found() -> tuple[str, str]:
        (check,) = (check for check in hooked.site.slave("--json", "doctor").of("check") if check["check"] == "hooks")
        return check["result"], check["hint"]

    assert found() == ("ok", "")
    program.chmod(0o777)
    assert found() == ("warning", f"chmod go-w {program}")
    program.chmod(0o644)
    assert found() == ("warning", f"chmod +x {program}")
    program.unlink()
    assert found()[0] == "warning"


@pytest.mark.slow
def test_L1_no_password_reaches_a_hook(hooked: Hooked) -> None:
    """The environment that netclnt got is not what its programs get."""
    site = hooked.site
    hooked.configure({"before": [hooked.noter()]})
    environment = {**site.environment_of("slave"), "NETCLNT_PING_URL": "http://127.0.0.1:1/s3cret", "PGPASSWORD": "s3cret"}
    site.slave("sync", env=environment)
    (note,) = hooked.notes()
    assert "s3cret" not in json.dumps(note)


@pytest.mark.slow
def test_the_stores_of_hooks_are_gone(hooked: Hooked) -> None:
    """A program that is not there fails the run before anybody is asked, and says what to look at."""
    site = hooked.site
    hooked.configure({"before": [hooked.noter()]})
    shutil.rmtree(hooked.directory)
    run = site.slave("--json", "sync")
    assert run.code == 5
    assert "cannot be started: No such file or directory" in run.one("error")["message"]
    assert run.one("error")["hint"].startswith("ls -l ")
