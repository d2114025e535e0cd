from __future__ import annotations

from netclnt.sftp.algorithms import CIPHERS, HOST_KEYS, KEY_EXCHANGES, MACS, allowed


def test_D22_only_what_is_both_allowed_and_known_is_offered() -> None:
    known = ("3des-cbc", "aes256-ctr", "aes128-cbc", "aes128-ctr", "aes128-gcm@openssh.com")
    assert allowed(CIPHERS, known) == ("aes128-gcm@openssh.com", "aes128-ctr", "aes256-ctr")
    assert allowed(CIPHERS, ("3des-cbc",)) == ()


def test_D22_what_is_known_of_a_host_is_asked_first_but_never_more_than_allowed() -> None:
    known = ("ssh-ed25519", "rsa-sha2-512", "ssh-dss")
    assert allowed(HOST_KEYS, known, first=("ssh-dss", "rsa-sha2-512")) == ("rsa-sha2-512", "ssh-ed25519")


def test_D22_nothing_weak_is_allowed() -> None:
    names = " ".join((*KEY_EXCHANGES, *CIPHERS, *MACS, *HOST_KEYS))
    assert not [weak for weak in ("sha1", "md5", "cbc", "3des", "arcfour", "ssh-dss", "ssh-rsa", "group1-") if weak in names]
