"""The store over SFTP: one pipelined reader, two transports under it, retry and parallel connections around it.

Formats and rules are in the modules; :func:`open_source` stacks them, in this one place.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast
from weakref import WeakSet

from netclnt.allowance import Allowance
from netclnt.errors import BadArgument, DeadlinePassed, NetclntError
from netclnt.events import Observer, ignore
from netclnt.pacing import Pace
from netclnt.protocols import Source
from netclnt.sftp import hostkeys, identity
from netclnt.sftp.address import Parent, parse_parent
from netclnt.sftp.flow import IN_FLIGHT, IN_FLIGHT_EACH, Flow, connections_worth
from netclnt.sftp.hostkeys import check_fingerprint
from netclnt.sftp.hosttrust import HostTrust
from netclnt.sftp.identity import Login
from netclnt.sftp.openssh import OpensshTransport
from netclnt.sftp.parallel import Parallel
from netclnt.sftp.reader import SftpSource
from netclnt.sftp.retry import Retrying
from netclnt.sftp.shown import shown_to_ssh
from netclnt.sftp.transport import WHAT, Transport, Watchdog

if TYPE_CHECKING:
    from netclnt.sftp.paramiko import ParamikoTransport

__all__ = ["TRANSPORTS", "Parent", "TransportName", "host_trust", "open_source", "parse_parent"]

TransportName = Literal["paramiko", "openssh"]
TRANSPORTS: tuple[TransportName, ...] = ("paramiko", "openssh")

_MOST = {"paramiko": 4, "openssh": 8}
"""Connections on a long line, unless told otherwise: ssh has a window of 2 MiB, and no way to ask for a larger one."""

_SHORT = {"paramiko": 1, "openssh": 2 if (os.cpu_count() or 1) > 2 else 1}
"""Connections on a thick, short line: each ssh is a process, which pays where it has a core of its own; paramiko's threads share
one lock."""


@contextmanager
def _without(module: str) -> Iterator[None]:
    """Within, a module that is not loaded yet cannot be: for one that another library takes if it is there."""
    modules = cast("dict[str, object]", sys.modules)
    kept_out = modules.setdefault(module, None) is None
    try:
        yield
    finally:
        if kept_out:
            modules.pop(module, None)


def _paramiko() -> type[ParamikoTransport]:
    with _without("invoke"):  # half of the time; paramiko wants it for ``Match exec`` in a config that is not read here
        from netclnt.sftp.paramiko import ParamikoTransport  # noqa: PLC0415 - heavy; an up-to-date sync never gets here

    return ParamikoTransport


def host_trust(
    parent: Parent,
    *,
    transport: TransportName,
    known_hosts: Path | None,
    host_key: str | None,
    path: Path,
    timeout: float,
) -> HostTrust:
    """What host key ``parent`` shows, of a type that is known for it if it has one, and what is known of it; ``path`` is where a
    newly trusted one belongs. Logs in nowhere. Raises Unreachable, DeadlinePassed, Incompatible, BadArgument.
    """
    login = Login(known_hosts=known_hosts, host_key=check_fingerprint(host_key) if host_key is not None else None)
    known = hostkeys.parse(identity.read_known_hosts(login.known_hosts_files))
    types = hostkeys.known_types(known, parent.host, parent.port)
    if transport == "openssh":
        return HostTrust(parent, login, shown_to_ssh(parent, types, timeout=timeout), path=path)
    line = _paramiko()(parent, login, timeout=timeout)
    watchdog = Watchdog(timeout, line.close)
    watchdog.watch()
    try:
        return HostTrust(parent, login, line.shown_key(types), path=path)
    except NetclntError as error:
        if watchdog.expired:
            raise DeadlinePassed(what=WHAT, address=str(parent), seconds=timeout) from error
        raise
    finally:
        watchdog.stop()
        line.close()


def open_source(
    parent: Parent,
    *,
    transport: TransportName = "paramiko",
    identity: str | Path | None = None,
    known_hosts: str | Path | None = None,
    host_key: str | None = None,
    timeout: float = 30.0,
    retry_budget: float = 300.0,
    connections: int = 0,
    pace: Pace | None = None,
    allowance: Allowance | None = None,
    observer: Observer = ignore,
) -> Source:
    """The store at ``parent``. Nothing is contacted, and no SSH library loaded, before the first read; the caller closes it.

    ``identity`` is a private key's file (default: the agent's and the user's own); ``known_hosts`` a file instead of the
    user's and the system's; ``host_key`` the server's fingerprint ``SHA256:…``, which then alone counts. ``timeout`` is the
    longest standstill in seconds, ``retry_budget`` the longest time in seconds from the line's first trouble to giving up.
    ``connections`` 0 = as many as the line turns out to be worth. ``pace`` caps all of them together; ``allowance`` may
    end their use, with Paused. Raises BadArgument.
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
        return _paramiko()(parent, login, timeout=timeout)

    most = connections or _MOST[transport]
    each = min(IN_FLIGHT_EACH, IN_FLIGHT // most)
    flow = Flow(each)
    flows = WeakSet([flow])

    def one(flow: Flow) -> Source:
        return SftpSource(line, parent, timeout=timeout, flow=flow, pace=pace, allowance=allowance)

    def spare() -> Source:
        flows.add(another := Flow(each))
        return one(another)

    def worth() -> int:
        return connections or connections_worth(list(flows), short=_SHORT[transport], most=most)

    first = Retrying(lambda: one(flow), budget=retry_budget, observer=observer)
    return Parallel(first, spare, worth=worth, in_flight=each) if most > 1 else first
