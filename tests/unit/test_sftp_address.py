"""Addresses of stores, and the rules of known_hosts."""

from __future__ import annotations

import base64
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netclnt.errors import BadArgument
from netclnt.sftp.address import Parent, parse_parent
from netclnt.sftp.hostkeys import Verdict, check_fingerprint, fingerprint, judge, known_types, parse

GOOD = {
    "sftp://image@master.example/store": Parent("master.example", "/store", 22, "image"),
    "sftp://master/": Parent("master", "/"),
    "sftp://master:2222//a//b/": Parent("master", "/a/b", 2222),
    "SFTP://u@[fe80::1%25eth0]:2022/s": Parent("fe80::1%eth0", "/s", 2022, "u"),
    "sftp://u@[::1]/s": Parent("::1", "/s", 22, "u"),
    "sftp://a%40b@h/d%20e/%C3%BC": Parent("h", "/d e/ü", 22, "a@b"),
    "sftp://h/~/store": Parent("h", "store"),
    "sftp://h/~": Parent("h", ""),
}

BAD = [
    *("", "master:/store", "sftp:/h/d", "ftp://h/d", "sftp://h", "sftp:///d", "sftp://@h/d", "sftp://h:0/d", "sftp://h:65536/d"),
    *(
        "sftp://h:22x/d",
        "sftp://-oProxyCommand=x/d",
        "sftp://-u@h/d",
        "sftp://h/../d",
        "sftp://h/./d",
        "sftp://h/a%00b",
        "sftp://h/%zz",
    ),
    *(
        "sftp://h/%ff",
        "sftp://h/d?x",
        "sftp://h/d#x",
        "sftp://[h]/d",
        "sftp://::1/d",
        "sftp://h h/d",
        "sftp://u u@h/d",
        "sftp://h/a\nb",
    ),
]


@pytest.mark.parametrize(("url", "parent"), GOOD.items())
def test_an_address_is_read(url, parent):
    assert parse_parent(url) == parent
    assert parse_parent(str(parent)) == parent


@pytest.mark.parametrize("url", BAD)
def test_other_forms_are_refused(url):
    with pytest.raises(BadArgument):
        parse_parent(url)


@pytest.mark.parametrize("url", ["sftp://u:se%3Acret@h/d", "sftp://u:secret@h", "sftp://u:secret@h:x/d", "sftp://u:se@cret@h/d"])
def test_L1_a_password_is_refused_and_not_repeated(url):
    with pytest.raises(BadArgument) as caught:
        parse_parent(url)
    assert "cret" not in str(caught.value)


@given(st.text(max_size=40))
def test_M2_any_text_is_an_address_or_refused(text):
    for url in (text, f"sftp://{text}", f"sftp://h/{text}", f"sftp://{text}@h/d"):
        try:
            parent = parse_parent(url)
        except BadArgument:
            continue
        assert parse_parent(str(parent)) == parent


def test_paths_are_below_the_directory():
    assert parse_parent("sftp://h/a").path("HEAD") == b"/a/HEAD"
    assert parse_parent("sftp://h/").path("HEAD") == b"/HEAD"
    assert parse_parent("sftp://h/~/a").path("packs/ü") == b"a/packs/\xc3\xbc"
    assert parse_parent("sftp://h/~").path("HEAD") == b"HEAD"


# --- known hosts

KEY = b"\0\0\0\x0bssh-ed25519" + b"k" * 36
OTHER = b"\0\0\0\x0bssh-ed25519" + b"o" * 36


def line(hosts: str, key: bytes = KEY, marker: str = "", blank: str = " ") -> str:
    return blank.join([*([marker] if marker else []), hosts, "ssh-ed25519", base64.b64encode(key).decode(), "a comment"])


def verdict(text: str, host: str = "h", port: int = 22, key: bytes = KEY) -> Verdict:
    return judge(parse(text), host, port, key)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (line("h"), "h", 22),
        (line("H"), "h", 22),
        (line("a,h,b"), "h", 22),
        (line("[h]:2222"), "h", 2222),
        (line("h"), "h", 2222),
        (line("*.example,!bad.example"), "good.example", 22),
        (line("h", blank="  \t "), "h", 22),
        ("# comment\r\n\r\n" + line("h") + "\r\n", "h", 22),
        ("h ssh-ed25519\nh ssh-ed25519 %%%\n" + line("h"), "h", 22),
        (line("h", OTHER) + "\n" + line("h"), "h", 22),
        (line("fe80::1"), "fe80::1", 22),
    ],
)
def test_D21_known(text, host, port):
    assert verdict(text, host, port) is Verdict.KNOWN


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("", "h", 22),
        (line("other"), "h", 22),
        (line("[h]:2222"), "h", 22),
        (line("[h]:2222"), "h", 2223),
        (line("*.example,!bad.example"), "bad.example", 22),
        (line("h", marker="@cert-authority"), "h", 22),
        (line("h", marker="@unheard-of"), "h", 22),
        ("#" + line("h"), "h", 22),
        ("|1|AAAA " + line("h").split(" ", 1)[1], "h", 22),
    ],
)
def test_D21_unknown(text, host, port):
    assert verdict(text, host, port) is Verdict.UNKNOWN


def test_D20_another_key_means_changed():
    assert verdict(line("h", OTHER)) is Verdict.CHANGED


def test_D21_a_revoked_key_is_never_known():
    assert verdict(line("h") + "\n" + line("*", marker="@revoked")) is Verdict.CHANGED
    assert verdict(line("h") + "\n" + line("*", OTHER, marker="@revoked")) is Verdict.KNOWN
    assert verdict(line("h"), port=2222) is Verdict.KNOWN
    assert verdict(line("h") + "\n" + line("h", marker="@revoked"), port=2222) is not Verdict.KNOWN


def test_D21_hashed_names_as_ssh_keygen_writes_them(tmp_path):
    hosts = tmp_path / "known_hosts"
    hosts.write_text(line("master.example") + "\n" + line("[master.example]:2222") + "\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", hosts], check=True, capture_output=True)
    text = hosts.read_text()
    assert "master" not in text
    assert verdict(text, "master.example") is Verdict.KNOWN
    assert verdict(text, "master.example", 2222) is Verdict.KNOWN
    assert verdict(text, "slave.example") is Verdict.UNKNOWN


def test_types_of_known_keys_come_first():
    text = "h ssh-rsa AAAA\n[h]:22 x AAAA\n@revoked h y AAAA\n" + line("h")
    assert known_types(parse(text), "h", 22) == ["ssh-rsa", "ssh-ed25519"]


def test_a_fingerprint_is_as_ssh_keygen_prints_it(sshd):
    assert fingerprint(base64.b64decode(sshd.host_public_key.split()[1])) == sshd.fingerprint
    assert check_fingerprint(f" {sshd.fingerprint}= ") == sshd.fingerprint


@pytest.mark.parametrize(
    "text", ["", "SHA256:", "MD5:aa:bb", "SHA256:" + "x" * 42, "SHA256:" + "'" * 43, "SHA256:" + "x" * 43 + "\n%f"]
)
def test_a_bad_fingerprint_is_refused(text):
    with pytest.raises(BadArgument):
        check_fingerprint(text)


@given(st.text(max_size=200))
def test_M2_any_text_is_a_known_hosts_file(text):
    assert verdict(text) in Verdict
