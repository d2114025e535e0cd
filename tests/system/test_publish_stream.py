"""Publishing what comes over a pipe."""

import subprocess
import sys


def publish(directory, *words, **options):
    command = [sys.executable, "-m", "netclnt", "--config", str(directory / "config.toml"), *words]
    return subprocess.run(command, capture_output=True, text=not options.get("input"), check=False, timeout=60, **options)


def start(directory):
    made = publish(directory, "init", "master", "--store", str(directory / "store"), "--state", str(directory / "state"))
    assert made.returncode == 0, made.stderr


def test_standard_input_becomes_an_image(tmp_path):
    start(tmp_path)
    data = bytes(range(256)) * 5000
    done = publish(tmp_path, "publish", "-", "--name", "piped", input=data)
    assert (done.returncode, done.stdout) == (0, b"piped@1\n"), done.stderr
    (tmp_path / "same").write_bytes(data)
    again = publish(tmp_path, "publish", str(tmp_path / "same"), "--name", "piped")
    assert "unchanged" in again.stderr


def test_a_pipe_needs_a_name_and_content(tmp_path):
    start(tmp_path)
    nameless = publish(tmp_path, "publish", "-", stdin=subprocess.DEVNULL)
    assert nameless.returncode == 2
    assert "netclnt publish - --name NAME" in nameless.stderr
    empty = publish(tmp_path, "publish", "-", "--name", "piped", stdin=subprocess.DEVNULL)
    assert empty.returncode == 2
    assert "nothing came over it" in empty.stderr
    assert publish(tmp_path, "list").stdout == ""
