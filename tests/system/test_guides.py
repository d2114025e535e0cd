"""Each guide does what it says: its blocks are typed, in their order, on two computers, or given to whoever reads such files.

The computers begin empty for the README, and for the other guides as its "First use" leaves them.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.catalogs import SqlPlace, new_version
from tests.support.computers import computers
from tests.support.guides import Block, Reader, Said, blocks_of
from tests.support.namespaces import Missing
from tests.support.site import NETCLNT, catalog_place

TOP = Path(__file__).parents[2]
README = TOP / "README.md"
GUIDES = sorted(TOP.glob("docs/*.md"))
BLOCKS = [block for path in [README, *GUIDES] for block in blocks_of(path)]
FIRST_USE = "First use, on two real machines"

PROGRAMS = ("jq", "mariadbd", "mke2fs", "pg_createcluster", "psql", "rsync", "sftp", "sqlite3", "sshd")

BUILT = """
mkdir -p /srv/build/pxe
mke2fs -q -t ext4 -d examples /srv/build/debian12.ext4 8M
head -c 3000000 /dev/urandom >/srv/build/pxe/vmlinuz
head -c 200000 /dev/urandom >/srv/build/pxe/initrd.img
"""
"""The images that every guide takes for granted."""


def fingerprint(said: Said) -> str:
    return re.findall(r"SHA256:\S+", "".join(said["master"]))[-1]


def key_line(said: Said) -> str:
    return re.findall(r"^restrict.*$", "".join(said["slave"]), re.MULTILINE)[-1]


FILLED = {
    "SHA256:0123456789abcdefghijklmnopqrstuvwxyzABCDEFG": fingerprint,
    'restrict,command="internal-sftp -R" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA… netclnt-store-0815': key_line,
}
"""What everybody has of their own, as the guides write it."""


@pytest.fixture(scope="module")
def first_use(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the README's first steps leave on both computers."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    saved = tmp_path_factory.mktemp("first-use")
    with ExitStack() as stack:
        try:
            both = stack.enter_context(computers(saved / "live"))
        except Missing as error:
            pytest.skip(str(error))
        both["master"].type(BUILT)
        first = [block for block in blocks_of(README) if block.section == FIRST_USE]
        assert first
        Reader(both, FILLED).follow(first)
        for name, computer in both.items():
            computer.save(saved / name)
    return saved


@pytest.mark.slow
@pytest.mark.parametrize("path", [README, *GUIDES], ids=lambda path: path.stem)
def test_a_guide_does_what_it_says(path: Path, first_use: Path, tmp_path: Path) -> None:
    with computers(tmp_path, saved=first_use) as both:
        Reader(both, FILLED).follow([block for block in blocks_of(path) if block.section != FIRST_USE])


# --- blocks that are not typed


def written(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def test_each_block_is_typed_compared_or_read_by_whom_it_is_for() -> None:
    """No block escapes: whoever writes one in another language says here who reads it."""
    kinds = Counter("not run" if block.not_run else block.language for block in BLOCKS)
    assert set(kinds) == {"sh", "text", "toml", "sshd", "sql", "yaml", "ini", "not run"}
    assert kinds["sh"] > 70
    assert kinds["not run"] <= 11, [f"{block}: {block.not_run}" for block in BLOCKS if block.not_run]
    after = [before for before, block in pairwise(BLOCKS) if block.language == "text"]
    assert all(block.is_typed for block in after), "a text that is nobody's output"


@pytest.mark.parametrize("block", written("sh"), ids=str)
def test_the_shell_understands_a_block(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("block", written("toml"), ids=str)
def test_a_config_is_valid(block: Block, tmp_path: Path) -> None:
    """Beside that of the examples, as conf.d has it."""
    config = tmp_path / "config.toml"
    config.write_text((TOP / "examples" / "netclnt.toml.slave").read_text())
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "guide.toml").write_text(block.text)
    command = [*NETCLNT, "--config", str(config), "-v", "config", "validate"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "guide.toml" in done.stderr


@pytest.mark.parametrize("block", written("sshd"), ids=str)
def test_sshd_takes_its_config(block: Block, tmp_path: Path) -> None:
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if sshd is None:
        pytest.skip("sshd is not installed")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    config = tmp_path / "sshd_config"
    config.write_text(f"HostKey {key}\n{block.text}")
    done = subprocess.run([sshd, "-T", "-f", config], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") or "privilege separation" in done.stderr


@pytest.mark.parametrize("engine", ["sqlite", "postgresql", "mariadb"])
def test_databases_answer_what_is_asked(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    place = catalog_place(engine, request, tmp_path)
    catalog = SqlPlace(place.master, place.password, place.database)
    catalog.create().publish(new_version("win"))
    assert len(written("sql")) == 2
    for block in written("sql"):
        ask(block.text, tmp_path / "catalog.sqlite") if place.database is None else place.database.admin(block.text)
    catalog.close()


def ask(sql: str, path: Path) -> None:
    done = subprocess.run(["sqlite3", "-readonly", path, sql], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_the_playbooks_play(first_use: Path, tmp_path: Path) -> None:
    """Twice the one that sets up: the second time nothing is left to do. Every host of the inventory is the same computer."""
    play = Path(sys.prefix) / "bin" / "ansible-playbook"
    if not play.exists():
        pytest.skip("ansible-core is not installed")
    set_up, sync_now = written("yaml")
    (inventory,) = written("ini")
    with computers(tmp_path, saved=first_use) as both:
        slave = both["slave"]
        slave.type("rm /etc/systemd/system/netclnt-sync.*; mkdir -p /etc/ssh/netclnt && touch /etc/ssh/netclnt/authorized_keys")
        known = slave.type("netclnt config show | grep ^slave.host_key | cut -f2").out.strip()
        text = inventory.text.replace(next(iter(FILLED)), known).replace("store-0816\n", "")
        for name, content in {"stores.ini": text, "set-up.yml": set_up.text, "sync-now.yml": sync_now.text}.items():
            slave.type(f"printf %s {shlex.quote(content)} > /root/{name}")
        results = []
        for book in ("set-up.yml", "set-up.yml", "sync-now.yml"):
            done = slave.type(f"cd /root; ANSIBLE_CONNECTION=local ANSIBLE_BECOME=false {play} -c local -i stores.ini {book}")
            assert done.code == 0, done.out
            results.append(re.findall(r"changed=(\d+)", done.out)[-1])
        assert results[0] != "0"
        assert results[1:] == ["0", "0"]
