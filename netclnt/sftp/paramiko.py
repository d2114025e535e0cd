"""SFTP over paramiko's SSH: the default transport, which needs no ssh program."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any, cast

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm

from netclnt.callthread import Overdue, call_within
from netclnt.errors import (
    HostKeyChanged,
    HostKeyUnknown,
    IdentityFileUnusable,
    Incompatible,
    LineBroken,
    LoginRefused,
    NetclntError,
    Unreachable,
)
from netclnt.model import Bytes
from netclnt.sftp import algorithms, hostkeys, identity
from netclnt.sftp.address import Parent
from netclnt.sftp.buffers import Pieces, Pipe, ReadAhead
from netclnt.sftp.hostkeys import Verdict
from netclnt.sftp.identity import Login
from netclnt.sftp.packets import Packets
from netclnt.sftp.shown import ShownKey
from netclnt.sftp.transport import EXPIRED, WHAT

_WINDOW = 32 * 1024 * 1024
_PACKET = 128 * 1024
_KEEPALIVE = 15
_PATIENCE = 4
"""paramiko's own time-outs are this many times ours, so that the watchdog is always first and knows the cause."""

_FOREIGN = (paramiko.SSHException, EOFError, OSError)

# What paramiko logs (tracebacks of its threads, too) arrives here as exceptions; without a handler it would go to stderr.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False


class ParamikoTransport:
    """A :class:`~netclnt.sftp.transport.Transport`. ``timeout`` in seconds bounds each TCP connection attempt."""

    def __init__(self, parent: Parent, login: Login, *, timeout: float) -> None:
        self._parent = parent
        self._address = str(parent)
        self._login = login
        self._timeout = timeout
        self._closed = False
        self._heard = False
        self._greeting = ""
        self._socket: socket.socket | None = None
        self._ssh: paramiko.Transport | None = None
        self._channel: paramiko.Channel | None = None

    def open(self) -> None:
        if self._login.identity is not None:
            identity.check_identity(self._login.identity)
        known = list(hostkeys.parse(identity.read_known_hosts(self._login.known_hosts_files)))
        self._connect()
        ssh = self._handshake(hostkeys.known_types(known, self._parent.host, self._parent.port))
        self._check_host_key(ssh.get_remote_server_key().asbytes(), known)
        self._log_in(ssh)
        self._channel = self._subsystem(ssh)

    def shown_key(self, known_types: list[str]) -> ShownKey:
        """Connect, and only look which host key the server shows; the caller closes. Raises as :meth:`open`."""
        self._connect()
        key = self._handshake(known_types).get_remote_server_key()
        return ShownKey(hostkeys.name_of(self._parent.host, self._parent.port), key.get_name(), key.asbytes())

    def send(self, data: bytes) -> None:
        channel = self._channel
        if channel is None:
            raise self._broken("not connected")
        try:
            channel.sendall(data)
        except _FOREIGN as error:
            raise self._ended(_text(error)) from error

    def receive(self) -> Sequence[Bytes]:
        channel = self._channel
        if channel is None:
            raise self._broken("not connected")
        try:
            data = cast(Pieces, channel.recv(_WINDOW))
        except _FOREIGN as error:
            raise self._ended(_text(error)) from error
        if not data:
            saved = self._ssh.get_exception() if self._ssh is not None else None
            raise self._ended(_text(saved) if saved is not None else "the server closed the connection")
        self._heard = True
        return data.parts

    def close(self) -> None:
        # No lock and no call into paramiko that takes one: this may run in a signal handler, atop of a call to receive.
        # With the socket shut down paramiko's thread ends by itself, and wakes whoever waits.
        self._closed = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        if self._ssh is not None:
            if self._ssh.is_alive() and self._ssh is not threading.current_thread():
                self._ssh.join(1)
            cast(Any, self._ssh).active = False  # also where its thread sits in an agent's answer, and somebody waits for a login
        if self._socket is not None:
            self._socket.close()

    # --- the steps of open

    def _connect(self) -> None:
        host, port = self._parent.host, self._parent.port
        try:
            found = call_within(self._timeout, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            raise self._unreachable(_text(error)) from error
        except Overdue as error:
            raise self._unreachable("no name server answers") from error
        cause: OSError | None = None
        for family, kind, protocol, _, address in found:
            if self._closed:
                break
            try:
                opened = self._socket = socket.socket(family, kind, protocol)
            except OSError as error:  # an address family that this kernel does not have
                cause = error
                continue
            try:
                opened.settimeout(self._timeout)
                opened.connect(address)
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return
            except OSError as error:
                cause = error
                opened.close()
        raise self._unreachable(_text(cause) if cause else "no address") from cause

    def _handshake(self, known_types: list[str]) -> paramiko.Transport:
        assert self._socket is not None
        with self._refusals():
            ahead = cast(socket.socket, ReadAhead(self._socket))
            ssh = paramiko.Transport(
                ahead, default_window_size=_WINDOW, default_max_packet_size=_PACKET, packetizer_class=Packets
            )
            patience = self._timeout * _PATIENCE
            ssh.banner_timeout = ssh.handshake_timeout = ssh.auth_timeout = ssh.channel_timeout = patience
            options = ssh.get_security_options()
            options.kex = algorithms.allowed(algorithms.KEY_EXCHANGES, options.kex)
            options.ciphers = algorithms.allowed(algorithms.CIPHERS, options.ciphers)
            options.digests = algorithms.allowed(algorithms.MACS, options.digests)
            first = hostkeys.algorithms(known_types)
            options.key_types = algorithms.allowed(algorithms.HOST_KEYS, options.key_types, first=first)
            self._ssh = ssh
            ssh.start_client()
            ssh.set_keepalive(_KEEPALIVE)
            return ssh

    def _check_host_key(self, key: bytes, known: list[hostkeys.KnownKey]) -> None:
        fingerprint = hostkeys.fingerprint(key)
        if self._login.host_key is not None:
            if fingerprint != self._login.host_key:
                raise HostKeyChanged(address=self._address, fingerprint=fingerprint, known_hosts="")
            return
        known_hosts = str(self._login.known_hosts_files[0])
        match hostkeys.judge(known, self._parent.host, self._parent.port, key):
            case Verdict.UNKNOWN:
                raise HostKeyUnknown(address=self._address, fingerprint=fingerprint, known_hosts=known_hosts)
            case Verdict.CHANGED:
                raise HostKeyChanged(address=self._address, fingerprint=fingerprint, known_hosts=known_hosts)

    def _log_in(self, ssh: paramiko.Transport) -> None:
        user = self._user()
        cause = "no key to offer: no identity file, no agent, no default key"
        with self._refusals():
            for key in self._keys():
                try:
                    missing = ssh.auth_publickey(user, key)
                except paramiko.AuthenticationException as error:
                    if not ssh.is_active() and self._login.identity is not None:
                        raise paramiko.SSHException("the connection ended during login") from error
                    cause = _text(error)
                    if not ssh.is_active() or isinstance(error, paramiko.BadAuthenticationType):
                        break
                else:
                    if ssh.is_authenticated():
                        self._greeting = (ssh.get_banner() or b"").decode("utf-8", "replace")
                        return
                    cause = f"the server wants more than a key: {', '.join(missing)}"
        raise LoginRefused(what=WHAT, address=self._address, user=user, cause=cause)

    def _keys(self) -> Iterator[paramiko.PKey]:
        """The identity alone if there is one; else all of the agent's and the default files' keys, unusable ones left out."""
        if self._login.identity is not None:
            yield _load(str(self._login.identity))
            return
        with contextlib.suppress(Overdue), contextlib.closing(_Agent()) as agent:  # one that stands still is not there
            yield from call_within(self._timeout / 2, agent.keys)
        for path in identity.default_identities():
            with contextlib.suppress(IdentityFileUnusable):
                identity.check_identity(path)
                yield _load(str(path))

    def _subsystem(self, ssh: paramiko.Transport) -> paramiko.Channel:
        with self._refusals():
            channel = ssh.open_session()
            pipe = Pipe()
            channel.in_buffer = cast(Any, pipe)  # nothing comes before the subsystem is asked for
            packets = cast(Packets, ssh.packetizer)
            packets.channel, packets.pipe = channel.chanid, pipe
            try:
                channel.invoke_subsystem("sftp")  # nothing may be sent before the answer: until then the window is 0
            except paramiko.SSHException as error:
                if not ssh.is_active():
                    raise
                raise Incompatible(what="SFTP server", found="no sftp subsystem", supported="SFTP version 3") from error
            cast(ReadAhead, ssh.sock).eager = False
            return channel

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Translate what paramiko raises while connecting."""
        try:
            yield
        except paramiko.ssh_exception.IncompatiblePeer as error:
            raise Incompatible(what="SSH server", found=_text(error), supported="current algorithms of OpenSSH") from error
        except _FOREIGN as error:
            raise self._unreachable(_text(error)) from error

    def _user(self) -> str:
        return self._parent.user or identity.local_user()

    def _ended(self, cause: str) -> NetclntError:
        """The error for an end of the stream, whichever call meets it first: a server that has not said anything by then may have
        let the account in for nothing but a new password, and told so before."""
        if not self._heard and (expired := EXPIRED.search(self._greeting)):
            return LoginRefused(what=WHAT, address=self._address, user=self._user(), cause=expired[0].strip())
        return self._broken(cause)

    def _unreachable(self, cause: str) -> NetclntError:
        return Unreachable(what=WHAT, address=self._address, cause=cause)

    def _broken(self, cause: str) -> NetclntError:
        return LineBroken(what=WHAT, address=self._address, cause=cause)


class _Agent:
    """The agent's keys, asked for in a thread that may be given up meanwhile; nothing stays open then."""

    def __init__(self) -> None:
        self._given_up = threading.Event()
        self._agent: paramiko.Agent | None = None

    def keys(self) -> Sequence[paramiko.AgentKey]:
        self._agent = paramiko.Agent()
        if self._given_up.is_set():
            self._agent.close()
        return self._agent.get_keys()

    def close(self) -> None:
        self._given_up.set()
        if self._agent is not None:
            self._agent.close()


def _load(path: str) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_path(path)
    except (OSError, ValueError, TypeError, paramiko.SSHException, paramiko.pkey.UnknownKeyType, UnsupportedAlgorithm) as error:
        cause = "it needs a passphrase; use an agent, or a key without one" if _encrypted(error) else _text(error)
        raise IdentityFileUnusable(path=path, cause=cause) from error


def _encrypted(error: Exception) -> bool:
    """cryptography and paramiko each have their own way to say so; both speak of a password or passphrase."""
    return isinstance(error, paramiko.PasswordRequiredException) or "passw" in str(error).lower()


def _text(error: BaseException) -> str:
    """A foreign error in a few words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).strip().rstrip(".") or (
        "the server closed the connection" if isinstance(error, EOFError) else type(error).__name__
    )
