"""The store over SFTP: one pipelined reader, two transports under it, retry and parallel connections around it.

Formats and rules are in the modules; :func:`open_source` stacks them, in this one place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from netclnt.errors import BadArgument
from netclnt.events import Observer, ignore
from netclnt.protocols import Source
from netclnt.sftp.address import Parent, parse_parent
from netclnt.sftp.hostkeys import check_fingerprint
from netclnt.sftp.identity import Login
from netclnt.sftp.openssh import OpensshTransport
from netclnt.sftp.parallel import Parallel
from netclnt.sftp.reader import IN_FLIGHT, SftpSource
from netclnt.sftp.retry import Retrying
from netclnt.sftp.transport import Transport

__all__ = ["TRANSPORTS", "Parent", "TransportName", "open_source", "parse_parent"]

TransportName = Literal["paramiko", "openssh"]
TRANSPORTS: tuple[TransportName, ...] = ("paramiko", "openssh")


def open_source(
    parent: Parent,
    *,
    transport: TransportName = "paramiko",
    identity: str | Path | None = None,
    known_hosts: str | Path | None = None,
    host_key: str | None = None,
    timeout: float = 30.0,
    retry_budget: float = 300.0,
    connections: int = 1,
    in_flight: int = IN_FLIGHT,
    observer: Observer = ignore,
) -> Source:
    """The store at ``parent``. Nothing is contacted, and no SSH library loaded, before the first read; the caller closes it.

    ``identity`` is a private key's file (default: the agent's and the user's own); ``known_hosts`` a file instead of the
    user's and the system's; ``host_key`` the server's fingerprint ``SHA256:…``, which then alone counts. ``timeout`` is the
    longest standstill in seconds, ``retry_budget`` the longest time in seconds from the line's first trouble to giving up,
    ``in_flight`` the bytes asked for at a time on each of ``connections``. Raises BadArgument.
    """
    login = Login(
        identity=Path(identity) if identity is not None else None,
        known_hosts=Path(known_hosts) if known_hosts is not None else None,
        host_key=check_fingerprint(host_key) if host_key is not None else None,
    )
    if transport not in TRANSPORTS:
        raise BadArgument(argument=transport, problem="no such transport", hint=f"one of {', '.join(TRANSPORTS)}")

    def line() -> Transport:
        if transport == "openssh":
            return OpensshTransport(parent, login, timeout=timeout)
        from netclnt.sftp.paramiko import ParamikoTransport  # noqa: PLC0415 - heavy; an up-to-date sync never gets here

        return ParamikoTransport(parent, login, timeout=timeout)

    def one() -> Source:
        return SftpSource(line, parent, timeout=timeout, in_flight=in_flight)

    first = Retrying(one, budget=retry_budget, observer=observer)
    return Parallel(first, one, connections=connections, in_flight=in_flight) if connections > 1 else first
