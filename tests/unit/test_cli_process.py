"""The command as a process: signals, broken pipes, full disks, and its last words."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

NETCLNT = [sys.executable, "-m", "netclnt"]


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    """The environment of a master that has one image."""
    tmp_path = tmp_path_factory.mktemp("master")
    environment = os.environ | {"NETCLNT_CONFIG": str(tmp_path / "config.toml")}
    words = ["init", "master", "--store", str(tmp_path / "store"), "--state", str(tmp_path / "state")]
    subprocess.run([*NETCLNT, *words], env=environment, check=True, capture_output=True)
    (tmp_path / "image").write_bytes(os.urandom(300_000))
    subprocess.run([*NETCLNT, "publish", str(tmp_path / "image")], env=environment, check=True, capture_output=True)
    return environment


@pytest.fixture
def waiting(master):
    """A command that waits for its standard input, with its signals set up."""
    started = []

    def start(*words, **options):
        process = subprocess.Popen(
            [*NETCLNT, *words, "list", "--from-file", "-"],
            env=master,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        started.append(process)
        _wait_until_reading(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _wait_until_reading(process):
    """Until it sleeps in a read from its standard input."""
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        if Path(f"/proc/{process.pid}/syscall").read_text().split()[:2] == ["0", "0x0"]:
            return
        time.sleep(0.01)
    raise AssertionError(f"not waiting; exit code {process.poll()}")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_A4_A5_A6_a_signal_ends_with_its_code_and_one_sentence(number, code, waiting):
    process = waiting()
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert out == ""
    assert err.startswith("netclnt: ")
    assert "Traceback" not in err


def test_A4_the_last_json_line_says_the_signals_code(waiting):
    process = waiting("--json")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    last = json.loads(out.splitlines()[-1])
    assert last.items() >= {"type": "exit", "code": 143, "name": "TERMINATED"}.items()
    assert process.returncode == 143


def test_A6_nohup_is_respected(waiting):
    process = waiting(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    process.communicate("", timeout=20)
    assert process.returncode == 0


def test_L10_SIGUSR1_prints_one_status_line_and_the_run_goes_on(waiting):
    process = waiting()
    process.send_signal(signal.SIGUSR1)
    assert process.stderr.readline() == "netclnt: starting\n"
    process.communicate("", timeout=20)
    assert process.returncode == 0


def test_A7_a_gone_reader_ends_quietly_as_by_SIGPIPE(master):
    for words in (["list"], ["--json", "list"], ["--help"]):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run([*NETCLNT, *words], env=master, stdout=write, stderr=subprocess.PIPE, check=False)
        os.close(write)
        assert done.returncode == -signal.SIGPIPE
        assert done.stderr == b""


@pytest.mark.parametrize("words", [["list"], ["--json", "list"], ["--help"], ["--version"]])
def test_A7_a_full_standard_output_is_STORAGE(words, master):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*NETCLNT, *words], env=master, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 9
    assert "standard output" in done.stderr
    assert "Traceback" not in done.stderr


def test_L8_a_bare_environment_and_closed_streams_are_enough(master):
    bare = {"NETCLNT_CONFIG": master["NETCLNT_CONFIG"], "PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    done = subprocess.run(
        [*NETCLNT, "list"], env=bare, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\t")[:5] == ["image", "image", "1", "300000", "offered"]


def test_L1_a_bug_shows_its_traceback_only_when_asked(master):
    code = "import netclnt.cli.commands.list as x, sys; x.chosen = None; from netclnt.cli.main import main; sys.exit(main())"
    for words, wanted in ((["list"], False), (["-v", "list"], True)):
        done = subprocess.run([sys.executable, "-c", code, *words], env=master, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "This is a bug in netclnt: TypeError" in done.stderr
        assert ("Traceback" in done.stderr) is wanted
