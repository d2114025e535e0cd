"""Where a slave's parent is: ``sftp://USER@HOST[:PORT]/DIR`` as a value. No input or output here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import quote, unquote_to_bytes

from netclnt.errors import BadArgument

DEFAULT_PORT = 22
_FORM = re.compile(r"sftp://(?:([^@/]*)@)?(\[[^\]/]*\]|[^:/\[\]]*)(?::([0-9]{1,5}))?(/.*)?", re.DOTALL | re.IGNORECASE)
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})", re.ASCII)
_IPV6 = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9._-]{1,32})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Parent:
    """A store's place on an SFTP server.

    ``user`` is None for whoever runs the program; ``host`` has no brackets; ``directory`` is absolute, or relative to the
    login directory where the address began its path with ``/~/``. It has no trailing slash unless it is ``/`` itself.
    """

    host: str
    directory: str
    port: int = DEFAULT_PORT
    user: str | None = None

    def __str__(self) -> str:
        """The address in the form that :func:`parse_parent` reads."""
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port != DEFAULT_PORT else ""
        directory = self.directory if self.directory.startswith("/") else f"/~/{self.directory}".removesuffix("/")
        return f"sftp://{user}{host}{port}{quote(directory, safe='/~')}"

    def path(self, relative: str) -> bytes:
        """The name under which the server knows the store's file ``relative``."""
        base = self.directory if self.directory.endswith("/") or not self.directory else f"{self.directory}/"
        return f"{base}{relative}".encode()


def parse_parent(url: str) -> Parent:
    """Read ``sftp://[USER@]HOST[:PORT]/DIR``: IPv6 in brackets, USER and DIR percent-encoded where needed.

    Raises BadArgument for any other form; a password in the address is refused, and never repeated in the error.
    """
    match = _FORM.fullmatch(url)
    if not match:
        _refuse(_without_password(url), "not of the form sftp://USER@HOST[:PORT]/DIR")
    user, host, port, path = match.groups()
    if user is not None and ":" in user:
        _refuse(_without_password(url), "a password does not belong into an address; use a key")
    if "?" in url or "#" in url:
        _refuse(url, "'?' and '#' have no meaning here; write them as %3F and %23")
    return Parent(host=_host(url, host), directory=_directory(url, path), port=_port(url, port), user=_user(url, user))


def _refuse(argument: str, problem: str) -> NoReturn:
    raise BadArgument(argument=argument, problem=problem, hint="sftp://USER@HOST[:PORT]/DIR")


def _without_password(url: str) -> str:
    return re.sub(r"(//[^:/@]*):[^/]*@", r"\1:…@", url)


def _decoded(url: str, text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        _refuse(url, "'%' begins a percent-encoding; write it as %25")
    try:
        decoded = unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        _refuse(url, "its percent-encoding is not UTF-8")
    if any(ord(c) < 32 or ord(c) == 127 for c in decoded):
        _refuse(ascii(url), "control characters are not allowed")
    return decoded


def _host(url: str, text: str) -> str:
    if text.startswith("["):
        host = text[1:-1].replace("%25", "%")
        if ":" not in host or not _IPV6.fullmatch(host):
            _refuse(url, "brackets hold an IPv6 address")
        return host
    if not _HOST.fullmatch(text):
        _refuse(url, "not a host name")
    return text


def _port(url: str, text: str | None) -> int:
    port = int(text) if text is not None else DEFAULT_PORT
    if not 1 <= port <= 65535:
        _refuse(url, "a port is a number from 1 to 65535")
    return port


def _user(url: str, text: str | None) -> str | None:
    if text is None:
        return None
    user = _decoded(url, text)
    if not user or user.startswith("-") or any(c.isspace() for c in user):
        _refuse(url, "not a user name")
    return user


def _directory(url: str, text: str | None) -> str:
    if not text:
        _refuse(url, "the directory of the store is missing")
    path = _decoded(url, text)
    if any(part in (".", "..") for part in path.split("/")):
        _refuse(url, "'.' and '..' are not allowed in the directory")
    path = re.sub("/+", "/", path)
    if path == "/~" or path.startswith("/~/"):
        return path[3:].rstrip("/")
    return path.rstrip("/") or "/"
