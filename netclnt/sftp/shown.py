"""Which host key a server shows: asked for before any login, so that somebody can compare it and pin it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from netclnt.errors import BadArgument, Unreachable
from netclnt.sftp import hostkeys
from netclnt.sftp.address import Parent
from netclnt.sftp.openssh import key_asking_command
from netclnt.sftp.transport import WHAT


@dataclass(frozen=True, slots=True)
class ShownKey:
    """``hosts`` is what known_hosts calls the server, ``key`` the raw public key."""

    hosts: str
    type: str
    key: bytes

    @property
    def fingerprint(self) -> str:
        return hostkeys.fingerprint(self.key)


def shown_to_ssh(parent: Parent, known_types: list[str], *, timeout: float) -> ShownKey:
    """The key that the system's ssh is shown, whatever its config makes of the address. Raises Unreachable, BadArgument."""
    with tempfile.TemporaryDirectory(prefix="netclnt-host-key-") as directory:
        file = Path(directory) / "known_hosts"
        command = key_asking_command(parent, file, known_types, timeout=timeout)
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=2 * timeout,
                env={**os.environ, "LC_ALL": "C"},
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unreachable(what=WHAT, address=str(parent), cause="no answer in time") from None
        except OSError as error:
            raise BadArgument(argument=command[0], problem=error.strerror or str(error), hint="--transport paramiko") from error
        known = list(hostkeys.parse(file.read_text(encoding="utf-8", errors="replace"))) if file.exists() else []
    if not known:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["ssh showed no host key"]
        raise Unreachable(what=WHAT, address=str(parent), cause="".join(c for c in said[-1] if c.isprintable()))
    return ShownKey(known[-1].hosts, known[-1].type, known[-1].key)
