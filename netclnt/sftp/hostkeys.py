"""Is this server the one we know? The rules of OpenSSH's ``known_hosts`` over text. No input or output here.

Format: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from fnmatch import fnmatchcase

from netclnt.errors import BadArgument
from netclnt.sftp.address import DEFAULT_PORT

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}", re.ASCII)


class Verdict(Enum):
    KNOWN = auto()
    UNKNOWN = auto()
    CHANGED = auto()
    """Other keys are known for the host, or this one is revoked."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One line: ``marker`` is ``""``, ``@revoked`` or ``@cert-authority``; ``key`` the raw public key."""

    marker: str
    hosts: str
    type: str
    key: bytes


def fingerprint(key: bytes) -> str:
    """What ``ssh-keygen -l`` prints for a raw public key: ``SHA256:`` and base64 without padding."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def check_fingerprint(text: str) -> str:
    """Return a pinned fingerprint in the form of :func:`fingerprint`; raises BadArgument for anything else."""
    pin = text.strip().rstrip("=")
    if not _FINGERPRINT.fullmatch(pin):
        raise BadArgument(
            argument=text, problem="not a fingerprint of the form SHA256:…", hint="ssh-keyscan HOST | ssh-keygen -lf -"
        )
    return pin


def parse(text: str) -> Iterator[KnownKey]:
    """The lines of a known_hosts file; comments and lines that make no sense are passed over, as OpenSSH does."""
    for line in text.split("\n"):
        fields = line.split()
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if len(fields) < 3 or fields[0].startswith("#") or marker not in ("", "@revoked", "@cert-authority"):
            continue
        try:
            key = base64.b64decode(fields[2], validate=True)
        except ValueError:
            continue
        yield KnownKey(marker=marker, hosts=fields[0], type=fields[1], key=key)


def known_types(known: Iterable[KnownKey], host: str, port: int) -> list[str]:
    """Types of the keys known for the host, in the file's order: to be asked for first, or it would seem changed."""
    name = _name(host, port)
    return list(dict.fromkeys(entry.type for entry in known if not entry.marker and _matches(entry.hosts, name)))


def judge(known: Iterable[KnownKey], host: str, port: int, key: bytes) -> Verdict:
    """What the files say of a host that shows the raw public key ``key``. A revoked key is never known, whatever other
    lines say; ``@cert-authority`` lines vouch for certificates only, which are not asked for, so they know no host.
    As with OpenSSH, a key known for the host without its port will do too."""
    entries = list(known)
    verdict = _judge(entries, _name(host, port), key)
    if verdict is Verdict.UNKNOWN and port != DEFAULT_PORT and _judge(entries, _name(host, DEFAULT_PORT), key) is Verdict.KNOWN:
        return Verdict.KNOWN
    return verdict


def _judge(known: Iterable[KnownKey], name: str, key: bytes) -> Verdict:
    entries = [entry for entry in known if _matches(entry.hosts, name)]
    if any(entry.marker == "@revoked" and entry.key == key for entry in entries):
        return Verdict.CHANGED
    plain = [entry for entry in entries if not entry.marker]
    if any(entry.key == key for entry in plain):
        return Verdict.KNOWN
    return Verdict.CHANGED if plain else Verdict.UNKNOWN


def _name(host: str, port: int) -> str:
    return host.lower() if port == DEFAULT_PORT else f"[{host.lower()}]:{port}"


def _matches(hosts: str, name: str) -> bool:
    if hosts.startswith("|"):
        return _hash_matches(hosts, name)
    found = False
    for pattern in hosts.lower().split(","):
        negated = pattern.startswith("!")
        if fnmatchcase(name, _brackets_escaped(pattern.removeprefix("!"))):
            if negated:
                return False
            found = True
    return found


def _brackets_escaped(pattern: str) -> str:
    """OpenSSH's patterns know ``*`` and ``?`` only: in ``[host]:port`` the brackets stand for themselves."""
    return re.sub(r"\[", "[[]", pattern)


def _hash_matches(hosts: str, name: str) -> bool:
    parts = hosts.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return False
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in parts[2:])
    except ValueError:
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), "sha1").digest(), digest)
