"""A slave's own key pair, and the line by which the master lets it in."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_ssh_private_key

from netclnt.errors import IdentityFileUnusable, StorageFailed

RESTRICTION = 'restrict,command="internal-sftp -R"'
"""sshd(8), AUTHORIZED_KEYS FILE FORMAT: nothing but reading by SFTP."""


def make_key(path: Path, *, comment: str) -> bool:
    """Make a key pair as ``ssh-keygen -t ed25519 -N ''`` does, unless there is one. Returns whether it was made."""
    if path.exists():
        return False
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + f" {comment}\n".encode()
    # The public part first: with the private one there, both are.
    _write(path.with_name(path.name + ".pub"), public, mode=0o644)
    _write(path, private, mode=0o600)
    return True


def authorized_line(path: Path, *, comment: str) -> str:
    """The line for the master's ``authorized_keys``. Raises IdentityFileUnusable."""
    return f"{RESTRICTION} {_public(path)} {comment}"


def _public(path: Path) -> str:
    """Type and key of a private key's public part: from the file beside it, else from itself."""
    try:
        beside = path.with_name(path.name + ".pub")
        if beside.exists():
            return " ".join(beside.read_text(encoding="ascii").split()[:2])
        key = load_ssh_private_key(path.read_bytes(), password=None)
        return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
    except OSError as error:
        raise IdentityFileUnusable(path=str(path), cause=error.strerror or str(error)) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityFileUnusable(path=str(path), cause=str(error)) from error


def _write(path: Path, data: bytes, *, mode: int) -> None:
    new = path.with_name(path.name + ".new")
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        new.replace(path)
    except OSError as error:
        raise StorageFailed(action="write", path=str(path), errno=error.errno or 0, cause=error.strerror or str(error)) from error
