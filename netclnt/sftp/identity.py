"""What a login needs from local files, with the same rules for every transport: the key, and the known hosts."""

from __future__ import annotations

import getpass
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netclnt.errors import BadArgument, IdentityFileUnusable

SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
_KEY_NAMES = ("id_ed25519", "id_ecdsa", "id_rsa")


@dataclass(frozen=True, slots=True)
class Login:
    """How to log in and whom to trust. ``identity``: a private key's file, or None for the agent's and default keys.

    ``host_key``: the server's fingerprint (``SHA256:…``), which then alone counts. ``known_hosts``: a file instead of the
    user's and the system's.
    """

    identity: Path | None = None
    known_hosts: Path | None = None
    host_key: str | None = None

    @property
    def known_hosts_files(self) -> Sequence[Path]:
        if self.known_hosts is not None:
            return (self.known_hosts,)
        home = Path("~/.ssh").expanduser()
        return (home / "known_hosts", home / "known_hosts2", SYSTEM_KNOWN_HOSTS)


def check_identity(path: Path) -> None:
    """Raise IdentityFileUnusable unless the file can be read and is nobody else's to read (as OpenSSH demands)."""
    try:
        facts = path.stat()
        with path.open("rb"):
            pass
    except OSError as error:
        raise IdentityFileUnusable(path=str(path), cause=error.strerror or str(error)) from error
    if facts.st_uid == os.getuid() and stat.S_IMODE(facts.st_mode) & 0o077:
        cause = f"mode {stat.S_IMODE(facts.st_mode):04o} lets others read it; it must be 0600"
        raise IdentityFileUnusable(path=str(path), cause=cause)


def default_identities() -> Sequence[Path]:
    """The user's own keys where ssh looks for them, those that exist."""
    home = Path("~/.ssh").expanduser()
    return [home / name for name in _KEY_NAMES if (home / name).is_file()]


def read_known_hosts(files: Sequence[Path]) -> str:
    """The text of all files that exist, with their own ends of lines; bytes that are no UTF-8 as ``surrogateescape`` has them.
    Raises BadArgument for one that cannot be read."""
    texts = []
    for path in files:
        try:
            texts.append(path.read_bytes().decode("utf-8", errors="surrogateescape"))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise BadArgument(argument=str(path), problem=error.strerror or str(error)) from error
    return "\n".join(texts)


def local_user() -> str:
    """Who runs the program; raises BadArgument where that has no name (a container's bare user id)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise BadArgument(argument="parent", problem="no user name in the address, and this user has none") from error
