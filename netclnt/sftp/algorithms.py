"""What SSH may be made of where netclnt speaks it itself.

Left out of what the library could do: SHA-1 and MD5, in signatures, key exchange and MACs alike; CBC, which leaks plain text
(CPNI-957037); 3DES, whose blocks are too short; groups of 1024 bits. That is what OpenSSH has dropped from its own defaults,
and HMAC-SHA1, which every server of today has a better one beside.
"""

from __future__ import annotations

from collections.abc import Sequence

KEY_EXCHANGES = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group14-sha256",
)
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
"""The fastest first: the CPU decides, not the length of a key."""

MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
HOST_KEYS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)


def allowed(wanted: Sequence[str], known: Sequence[str], *, first: Sequence[str] = ()) -> tuple[str, ...]:
    """Those of ``wanted`` that the library knows, in their order, but ``first`` those named so."""
    both = [name for name in wanted if name in known]
    front = [name for name in first if name in both]
    return (*front, *(name for name in both if name not in front))
