"""Both transports against a real sshd that is unknown, changed, refusing, frozen or killed (faults D)."""

from __future__ import annotations

import base64
import errno
import io
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from netclnt.errors import (
    BadArgument,
    DeadlinePassed,
    HostKeyChanged,
    HostKeyUnknown,
    IdentityFileUnusable,
    Incompatible,
    LoginRefused,
    Unreachable,
)
from netclnt.events import Retried
from netclnt.model import Range
from netclnt.protocols import Source
from netclnt.sftp import TRANSPORTS, open_source, openssh, paramiko, parse_parent
from netclnt.sftp.address import Parent
from netclnt.sftp.identity import Login
from netclnt.sftp.openssh import ssh_command
from tests.support.sshd import HOST, Sshd

pytestmark = pytest.mark.parametrize("transport", TRANSPORTS)

SIZE = 6_000_000
Opening = Callable[..., Source]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "HEAD").write_bytes(b"head")
    (tmp_path / "store" / "pack").write_bytes(os.urandom(SIZE))
    return tmp_path / "store"


@pytest.fixture
def reach(transport: str, store: Path) -> Iterator[Opening]:
    """Opens sources on a server, with its own key and known_hosts unless told otherwise, and closes them."""
    opened: list[Source] = []

    def make(server: Sshd, **options) -> Source:
        settings = {"identity": server.identity, "known_hosts": server.known_hosts, "timeout": 20, "retry_budget": 0, **options}
        opened.append(open_source(parse_parent(settings.pop("url", server.url(store))), transport=transport, **settings))
        return opened[-1]

    yield make
    for source in opened:
        source.close()


def head(source: Source) -> bytes:
    return source.read_file("HEAD", limit=100)


def ranges() -> list[Range]:
    return [Range("pack", offset, min(50_000, SIZE - offset)) for offset in range(0, SIZE, 50_000)]


def test_D19_an_unknown_host_key_is_told_with_its_fingerprint(sshd, reach, tmp_path):
    for known_hosts in (tmp_path / "absent", tmp_path / "store" / "HEAD"):
        with pytest.raises(HostKeyUnknown) as caught:
            head(reach(sshd, known_hosts=known_hosts, retry_budget=60))
        assert caught.value.fingerprint == sshd.fingerprint
        assert caught.value.known_hosts == str(known_hosts)


def test_D20_a_changed_host_key_is_refused(sshd, reach, tmp_path):
    other = (sshd.directory / "stranger.pub").read_text()
    known = tmp_path / "known_hosts"
    known.write_text(f"[{HOST}]:{sshd.port} {other}")
    with pytest.raises(HostKeyChanged) as caught:
        head(reach(sshd, known_hosts=known, retry_budget=60))
    assert caught.value.fingerprint == sshd.fingerprint


KNOWN = {
    "crlf, comment, blanks": "# ours\r\n\r\n[{host}]:{port}  \t{key}  a comment\r\n",
    "no port": "{host} {key}\n",
    "pattern": "[127.0.0.*]:{port} {key}\n",
    "after a line of nonsense": "{host}\nx y z\n[{host}]:{port} {key}\n",
    "another type known too": "[{host}]:{port} ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQ==\n[{host}]:{port} {key}\n",
}


@pytest.mark.parametrize("name", KNOWN)
def test_D21_lines_that_make_the_host_known(sshd, reach, tmp_path, name):
    known = tmp_path / "known hosts"
    known.write_bytes(KNOWN[name].format(host=HOST, port=sshd.port, key=sshd.host_public_key).encode())
    assert head(reach(sshd, known_hosts=known)) == b"head"


def test_D21_a_hashed_host_name(sshd, reach, tmp_path):
    known = tmp_path / "known"
    known.write_text(sshd.known_hosts.read_text())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
    assert HOST not in known.read_text()
    assert head(reach(sshd, known_hosts=known)) == b"head"


def test_D21_a_revoked_key_and_an_authority(sshd, reach, tmp_path):
    known = tmp_path / "known"
    plain = f"[{HOST}]:{sshd.port} {sshd.host_public_key}\n"
    known.write_text(plain + f"@revoked * {sshd.host_public_key}\n")
    with pytest.raises(HostKeyChanged):
        head(reach(sshd, known_hosts=known))
    known.write_text(f"@cert-authority {plain}")
    with pytest.raises(HostKeyUnknown):
        head(reach(sshd, known_hosts=known))


def test_a_pinned_fingerprint_alone_counts(sshd, reach, tmp_path):
    nowhere = tmp_path / "absent"
    assert head(reach(sshd, known_hosts=nowhere, host_key=sshd.fingerprint)) == b"head"
    with pytest.raises(HostKeyChanged) as caught:
        head(reach(sshd, host_key="SHA256:" + "A" * 43))
    assert caught.value.fingerprint == sshd.fingerprint


def test_D18_a_key_that_the_server_does_not_know_is_refused_at_once(sshd, reach):
    with pytest.raises(LoginRefused) as caught:
        head(reach(sshd, identity=sshd.stranger, retry_budget=60))
    assert caught.value.user == sshd.user


def test_D18_a_key_file_that_cannot_be_used_is_told(sshd, reach, tmp_path):
    garbage, open_to_all, locked = tmp_path / "garbage", tmp_path / "open", tmp_path / "locked"
    garbage.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
    garbage.chmod(0o600)
    open_to_all.write_bytes(sshd.identity.read_bytes())
    open_to_all.chmod(0o644)
    locked.write_bytes(sshd.identity.read_bytes())
    locked.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", locked], check=True, capture_output=True)
    for path, cause in ((tmp_path / "absent", "No such file"), (open_to_all, "0644"), (garbage, ""), (locked, "passphrase")):
        with pytest.raises(IdentityFileUnusable) as caught:
            head(reach(sshd, identity=path, retry_budget=60))
        assert caught.value.path == str(path)
        assert cause in caught.value.cause


@pytest.mark.parametrize("kind", [("rsa", "2048"), ("ecdsa", "256")])
def test_other_kinds_of_keys(make_sshd, reach, tmp_path, kind):
    server = make_sshd()
    key = tmp_path / "a key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind[0], "-b", kind[1], "-N", "", "-f", key], check=True)
    (server.directory / "authorized_keys").write_text(key.with_name("a key.pub").read_text())
    assert head(reach(server, identity=key)) == b"head"


def test_without_an_identity_the_users_own_key_is_tried(sshd, reach, transport, monkeypatch, tmp_path):
    if transport == "openssh":
        pytest.skip("ssh looks into the password database for the home directory")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519").write_bytes(sshd.identity.read_bytes())
    (tmp_path / ".ssh" / "id_ed25519").chmod(0o600)
    (tmp_path / ".ssh" / "id_rsa").write_text("not a key")
    (tmp_path / ".ssh" / "known_hosts").write_bytes(sshd.known_hosts.read_bytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    assert head(reach(sshd, identity=None, known_hosts=None)) == b"head"


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """The user's agent; the user has no other keys."""
    socket_path = tmp_path / "agent"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket_path))
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket_path], stdout=subprocess.DEVNULL) as process:
        try:
            while not socket_path.exists():
                assert process.poll() is None
            yield process
        finally:
            process.kill()


def test_a_key_in_the_agent_is_used(sshd, reach, agent):
    subprocess.run(["ssh-add", "-q", sshd.identity], check=True)
    assert head(reach(sshd, identity=None)) == b"head"


def test_P9_an_agent_that_stands_still_is_one_that_is_not_there(sshd, reach, transport, agent):
    agent.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(LoginRefused if transport == "paramiko" else DeadlinePassed):
            head(reach(sshd, identity=None, timeout=3))
    finally:
        agent.send_signal(signal.SIGCONT)  # what was asked of it is answered now, and forgotten
        while [thread for thread in threading.enumerate() if thread.name == "netclnt-call"]:
            time.sleep(0.01)


@pytest.fixture
def lazy_agent(sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An agent that tells of the client's key, and never signs with it."""
    blob = base64.b64decode(sshd.identity.with_suffix(".pub").read_text().split()[1])
    told = struct.pack(">BI", 12, 1) + b"".join(struct.pack(">I", len(part)) + part for part in (blob, b"a comment"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    with socket.socket(socket.AF_UNIX) as listening, ExitStack() as opened:
        listening.bind(str(tmp_path / "agent"))
        listening.listen()

        def serve() -> None:
            with suppress(OSError):
                while True:
                    asking = opened.enter_context(listening.accept()[0])
                    questions = opened.enter_context(asking.makefile("rb"))
                    while length := questions.read(4):  # a question may come in several pieces
                        question = questions.read(int.from_bytes(length))
                        if question[0] == 11:
                            asking.sendall(struct.pack(">I", len(told)) + told)
                        elif question[0] == 13:
                            break

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.timeout(60)
def test_P9_an_agent_that_never_signs_passes_the_deadline_once(sshd, reach, lazy_agent, monkeypatch):
    """And not paramiko's own, which is several times as long."""
    monkeypatch.setattr(paramiko, "_PATIENCE", 1000)
    with pytest.raises(DeadlinePassed):
        head(reach(sshd, identity=None, timeout=2))


def test_P9_D24_a_resolver_that_stands_still_passes_the_deadline(sshd, reach, transport, monkeypatch):
    if transport == "openssh":
        pytest.skip("that is ssh's own, which is killed")
    answers = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers.wait(30))
    try:
        with pytest.raises((DeadlinePassed, Unreachable)):
            head(reach(sshd, timeout=0.5))
    finally:
        answers.set()


def test_what_paramiko_takes_only_if_it_is_there_is_left_out(sshd, reach, transport):
    """In a process of its own: in this one somebody may have loaded it."""
    program = """
import sys
from netclnt.sftp import open_source, parse_parent
source = open_source(parse_parent(sys.argv[1]), transport=sys.argv[2], identity=sys.argv[3], known_hosts=sys.argv[4])
assert source.read_file("HEAD", limit=100) == b"head"
assert "invoke" not in sys.modules
source.close()
"""
    words = [reach(sshd).address, transport, str(sshd.identity), str(sshd.known_hosts)]
    subprocess.run([sys.executable, "-c", program, *words], check=True)


def test_D9_no_sftp_subsystem_is_told_and_not_retried(make_sshd, reach):
    with pytest.raises(Incompatible) as caught:
        head(reach(make_sshd(sftp=False), retry_budget=60))
    assert "no sftp subsystem" in caught.value.found


def test_D9_a_login_banner_is_no_trouble_and_text_in_the_stream_is_told(make_sshd, reach, tmp_path):
    banner = tmp_path / "banner"
    banner.write_text("Authorized use only.\nPermission denied to all others.\n" * 20)
    assert head(reach(make_sshd([f"Banner {banner}"]))) == b"head"
    with pytest.raises(Incompatible) as caught:
        head(reach(make_sshd(["Subsystem sftp /bin/echo Welcome to this server"], sftp=False), retry_budget=60))
    assert "Welc" in caught.value.found


def test_D18_P9_a_session_that_ends_right_behind_the_login_is_told_whichever_call_meets_it(make_sshd, transport, tmp_path):
    """Of a password that has expired the server tells before it takes the key, and then it hangs up: maybe before we send."""
    banner = tmp_path / "banner"
    banner.write_text("Your password has expired.\n")
    server = make_sshd([f"Banner {banner}", "Subsystem sftp /bin/true"], sftp=False)
    make = {"paramiko": paramiko.ParamikoTransport, "openssh": openssh.OpensshTransport}[transport]
    with closing(make(parse_parent(server.url("/")), Login(server.identity, server.known_hosts), timeout=20)) as line:
        line.open()
        with pytest.raises(LoginRefused) as caught:
            for _ in range(2_000):
                line.send(b"\0")
                time.sleep(0.01)
        assert caught.value.cause == "Your password has expired."
        with pytest.raises(LoginRefused):
            line.receive()


WEAK = {
    "key exchange": ["KexAlgorithms diffie-hellman-group1-sha1,diffie-hellman-group14-sha1"],
    "cipher": ["Ciphers aes128-cbc,3des-cbc"],
    "MAC": ["Ciphers aes128-ctr", "MACs hmac-md5"],
    "host key": ["HostKeyAlgorithms ssh-rsa", "HostKey {directory}/rsa"],
}


@pytest.mark.parametrize("what", WEAK)
def test_D22_only_weak_algorithms_are_told_and_not_retried(make_sshd, reach, tmp_path, what):
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", tmp_path / "rsa"], check=True)
    server = make_sshd([option.format(directory=tmp_path) for option in WEAK[what]])
    events: list[Retried] = []
    with pytest.raises(Incompatible) as caught:
        head(reach(server, retry_budget=60, observer=events.append))
    assert events == []
    assert re.search("kex|key exchange|cipher|mac|host key", caught.value.found, re.IGNORECASE)


def test_D8_refused_connections_mean_fewer(make_sshd, reach, store):
    server = make_sshd(["MaxStartups 1:100:1", "MaxSessions 1"])
    source = reach(server, connections=4, retry_budget=20)
    got = Counter(r for r, _ in source.fetch(ranges() * 8))
    assert got == Counter(ranges() * 8)


def test_D8_a_banner_that_refuses_is_temporary(make_sshd, reach):
    server = make_sshd(["MaxStartups 1:100:1"])
    with server.occupied(), pytest.raises(Unreachable):
        head(reach(server))


def test_nobody_listens(sshd, reach):
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        url = f"sftp://{sshd.user}@{HOST}:{bound.getsockname()[1]}/"
        with pytest.raises(Unreachable) as caught:
            head(reach(sshd, url=url))
    assert "refused" in caught.value.cause


def test_D24_a_name_that_does_not_resolve(sshd, reach):
    with pytest.raises(Unreachable):
        head(reach(sshd, url="sftp://user@no-such-host.invalid/store"))


def test_a_listener_that_says_nothing_passes_the_deadline(sshd, reach):
    with socket.create_server((HOST, 0)) as silent:
        url = f"sftp://{sshd.user}@{HOST}:{silent.getsockname()[1]}/"
        with pytest.raises((DeadlinePassed, Unreachable)):
            head(reach(sshd, url=url, timeout=0.5))


def test_D1_D6_killed_sessions_are_resumed_without_losing_or_repeating(make_sshd, reach, store):
    server = make_sshd()
    events: list[Retried] = []
    source = reach(server, retry_budget=30, observer=events.append)
    content = (store / "pack").read_bytes()
    got: list[Range] = []
    for wanted, data in source.fetch(iter(ranges())):
        assert data == content[wanted.offset : wanted.offset + wanted.length]
        got.append(wanted)
        if len(got) in (1, 60):
            server.signal_sessions(signal.SIGKILL)
    assert Counter(got) == Counter(ranges())
    assert 1 <= len(events) == source.connections - 1
    assert source.bytes_received >= SIZE


def test_D4_a_frozen_session_passes_the_deadline(make_sshd, reach):
    server = make_sshd()
    source = reach(server, timeout=2)
    fetch = source.fetch(ranges() * 10)
    next(fetch)
    server.signal_sessions(signal.SIGSTOP)
    with pytest.raises(DeadlinePassed):
        for _ in fetch:
            pass


def test_D4_a_frozen_server_passes_the_deadline_at_login(make_sshd, reach):
    server = make_sshd()
    server.process.send_signal(signal.SIGSTOP)
    with pytest.raises((DeadlinePassed, Unreachable)):
        head(reach(server, timeout=0.6))


def test_close_from_another_thread_ends_connecting(sshd, reach):
    with socket.create_server((HOST, 0)) as silent:
        source = reach(sshd, url=f"sftp://{sshd.user}@{HOST}:{silent.getsockname()[1]}/", timeout=60, retry_budget=60)

        def close_once_connected() -> None:
            with silent.accept()[0] as end:
                end.recv(100)
                source.close()

        closer = threading.Thread(target=close_once_connected)
        closer.start()
        with pytest.raises(Exception, match="closed"):
            head(source)
        closer.join()


def test_P9_nothing_reaches_the_terminal(make_sshd, transport, store, tmp_path):
    """Refused, changed, cut: the program's own errors are all that anybody sees of it."""
    server = make_sshd()
    script = """
import os, signal, sys
from contextlib import suppress
from pathlib import Path
from netclnt.errors import NetclntError
from netclnt.model import Range
from netclnt.sftp import open_source, parse_parent
url, transport, key, known, server = sys.argv[1:6]
for identity, known_hosts in ((key + "x", known), (key, "/dev/null"), (Path(key).with_name("stranger"), known), (key, known)):
    source = open_source(
        parse_parent(url), transport=transport, timeout=20, retry_budget=0, identity=identity, known_hosts=known_hosts
    )
    try:
        for _ in source.fetch(Range("pack", n % 1000, 50000) for n in range(10**9)):
            for pid in Path(f"/proc/{server}/task/{server}/children").read_text().split():
                with suppress(ProcessLookupError):  # a session that was refused may just end
                    os.kill(int(pid), signal.SIGKILL)
    except NetclntError as error:
        print(type(error).__name__)
"""
    arguments = [server.url(store), transport, server.identity, server.known_hosts, str(server.process.pid)]
    done = subprocess.run([sys.executable, "-W", "error", "-c", script, *arguments], capture_output=True, text=True, timeout=50)
    assert (done.stdout.split(), done.stderr) == (["IdentityFileUnusable", "HostKeyUnknown", "LoginRefused", "LineBroken"], "")


def test_nothing_is_loaded_or_contacted_before_the_first_read(transport, sshd, store):
    script = """
import sys
from netclnt.sftp import open_source, parse_parent
source = open_source(parse_parent(sys.argv[1]), transport=sys.argv[2], connections=3)
assert list(source.fetch([])) == [] and source.connections == 0
source.close()
print("paramiko" in sys.modules)
"""
    command = [sys.executable, "-c", script, "sftp://user@no-such-host.invalid/store", transport]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_no_child_outlives_its_source(sshd, reach, transport):
    source = reach(sshd, connections=2)
    fetch = source.fetch(ranges() * 3)
    next(fetch)
    source.close()
    children = {int(pid) for path in Path(f"/proc/{os.getpid()}/task").glob("*/children") for pid in path.read_text().split()}
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children]
    assert not [command for command in commands if command.startswith(b"ssh\0")]


def test_ssh_is_told_only_what_it_cannot_misread(transport, tmp_path):
    if transport != "openssh":
        pytest.skip("of ssh's command line only")
    parent = Parent("fe80::1%eth0", "/s", 2222, "a b")
    command = ssh_command(parent, Login(identity=tmp_path / "50% key"), timeout=0.1)
    assert list(command[-7:]) == ["-p", "2222", "-l", "a b", "--", "fe80::1%eth0", "sftp"]
    assert f'IdentityFile="{tmp_path}/50%% key"' in command
    assert "ConnectTimeout=1" in command
    with pytest.raises(BadArgument):
        ssh_command(parent, Login(known_hosts=tmp_path / 'a"b'), timeout=1)
    assert not re.search("password", " ".join(command), re.IGNORECASE)


def test_C8_P9_what_ssh_says_can_be_unreadable(transport):
    """An error of the pipe in the thread that collects it is nobody's to see."""
    if transport == "paramiko":
        pytest.skip("has no such pipe")

    class Unreadable(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    said = openssh._Chatter(SimpleNamespace(stderr=Unreadable()))
    said.end()
    assert said.last == ""


def test_a_host_that_can_start_no_program_just_now_is_asked_again_later(transport, sshd, reach, monkeypatch):
    if transport == "paramiko":
        pytest.skip("starts none")

    def refuse(*_, **__) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(openssh, "Child", refuse)
    with pytest.raises(Unreachable, match="ssh cannot be started: Resource temporarily unavailable"):
        head(reach(sshd, retry_budget=0))
