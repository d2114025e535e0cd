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

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
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
    name = name_of(host, port)
    return list(dict.fromkeys(entry.type for entry in known if not entry.marker and matches(entry.hosts, name)))


def algorithms(types: Iterable[str]) -> list[str]:
    """Names of signature algorithms for key types: an RSA key signs under two other names (RFC 8332)."""
    names: list[str] = []
    for known in types:
        names += ["rsa-sha2-512", "rsa-sha2-256"] if known == "ssh-rsa" else [known]
    return names


def with_key(text: str, hosts: str, kind: str, key: bytes) -> str:
    """The file's text with one line more, in which ``hosts`` has this key."""
    end = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{end}{hosts} {kind} {base64.b64encode(key).decode()}\n"


def without_host(text: str, name: str) -> str:
    """The file's text without the lines that are of this host alone, revocations excepted. Raises BadArgument where a line is of
    others too: that is not for a program to cut."""
    kept = []
    for line in _LINE.findall(text):
        entry = next(parse(line), None)
        if entry is None or entry.marker or not matches(entry.hosts, name):
            kept.append(line)
        elif entry.hosts.lower() != name and not entry.hosts.startswith("|"):
            raise BadArgument(argument=entry.hosts, problem="knows other hosts by the same line", hint="edit known_hosts by hand")
    return "".join(kept)


def judge(known: Iterable[KnownKey], host: str, port: int, key: bytes) -> Verdict:
    """What the files say of a host that shows the raw public key ``key``. A revoked key is never known, whatever other
    lines say; ``@cert-authority`` lines vouch for certificates only, which are not asked for, so they know no host.
    As with OpenSSH, a key known for the host without its port will do too."""
    entries = list(known)
    verdict = judge_name(entries, name_of(host, port), key)
    plain = name_of(host, DEFAULT_PORT)
    if verdict is Verdict.UNKNOWN and port != DEFAULT_PORT and judge_name(entries, plain, key) is Verdict.KNOWN:
        return Verdict.KNOWN
    return verdict


def judge_name(known: Iterable[KnownKey], name: str, key: bytes) -> Verdict:
    """As :func:`judge`, of a host by the name that known_hosts has for it."""
    entries = [entry for entry in known if matches(entry.hosts, name)]
    if any(entry.marker == "@revoked" and entry.key == key for entry in entries):
        return Verdict.CHANGED
    plain = [entry for entry in entries if not entry.marker]
    if any(entry.key == key for entry in plain):
        return Verdict.KNOWN
    return Verdict.CHANGED if plain else Verdict.UNKNOWN


def name_of(host: str, port: int) -> str:
    """What known_hosts calls a host."""
    return host.lower() if port == DEFAULT_PORT else f"[{host.lower()}]:{port}"


def matches(hosts: str, name: str) -> bool:
    """Whether a line's first field means the host that known_hosts calls ``name``."""
    if hosts.startswith("|"):
        return _hashmatches(hosts, name)
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


def _hashmatches(hosts: str, name: str) -> bool:
    parts = hosts.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return False
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in parts[2:])
    except ValueError:
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), "sha1").digest(), digest)
