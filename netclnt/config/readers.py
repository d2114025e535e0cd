"""What a config value may be: each reader takes a TOML value and returns the value to work with, or raises Unfit.

The error's text continues the key's name ("slave.keep" + "must be …"). It never repeats a value that may hold a secret.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from netclnt.errors import ForbiddenName
from netclnt.naming import check_channel

Reader = Callable[[object], object]

FACILITIES = ("user", "daemon", "cron", *(f"local{number}" for number in range(8)))
"""Those of syslog(3) that are meant for such programs as this."""


class Unfit(ValueError):
    """The value cannot be used; the text says why."""


_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

# Patterns are compiled when a value is read: most configs say few of these keys, and each run would pay for all.
_DURATION = r"(\d+(?:\.\d+)?)\s*([smhdw]?)"
_SECRET = r"(?:^|[;:{?&\s])[\s{]*(?:\w*(?:pwd|password|passwd|passphrase|secret|token)\w*|pass)[\s}]*=|://[^/\s:]*:[^/\s]*@"
_FINGERPRINT = r"SHA256:[A-Za-z0-9+/]{43}=?"
_BYTES = r"(\d+(?:\.\d+)?)([BKMGTP]?)"
_BYTE_UNITS = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_RATE_MIN = 1024
_AMOUNT_MIN = 2 << 20
_FINITE = sys.float_info.max
_MODE = r"0?[0-7]{3}"
_ACCOUNT = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\$?"
_LABEL = r"\w{1,64}(?::\w{1,64}){2}(?::[\w.,:-]{1,256})?"
_ACCOUNT_NUMBER_MAX = (1 << 32) - 2
"""One more is what chown(2) takes for "leave it as it is"."""


def text(value: object) -> str:
    """One line of text, not empty nor blank."""
    if not isinstance(value, str):
        raise Unfit("must be text in quotes")
    if not value.strip():
        raise Unfit("must not be empty")
    if not value.isprintable():
        raise Unfit("must not contain control characters")
    return value


def whole(low: int, high: int) -> Reader:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Unfit(f"must be a whole number from {low} to {high}")
        return value

    return read


def flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Unfit("must be true or false")
    return value


def choice(*allowed: str) -> Reader:
    def read(value: object) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise Unfit("must be " + " or ".join(f'"{one}"' for one in allowed))
        return value

    return read


def seconds(low: float, high: float) -> Reader:
    """A number of seconds, or text as ``"90s"``, ``"10m"``, ``"26h"``, ``"2d"``, ``"1w"``."""

    def read(value: object) -> float:
        number = duration(value)
        if not low <= number <= high:
            raise Unfit(f"must be from {low:g} to {high:g} seconds")
        return number

    return read


def duration(value: object) -> float:
    """Seconds from a number or a text with a unit."""
    if isinstance(value, str):
        match = re.fullmatch(_DURATION, value.strip(), re.ASCII)
        value = float(match[1]) * _UNITS[match[2]] if match else None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _FINITE:
        return float(value)
    raise Unfit('must be a number of seconds, or text as "90s", "10m", "26h", "2d"')


def bytes_a_second(value: object) -> float | None:
    """A rate as rclone writes it: a number of KiB a second, or text with one of B, K, M, G, T, P (powers of 1024); None for
    ``"off"`` and 0."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if value == "off":
        return None
    rate = _bytes(value, unit="K")
    if rate is None:
        raise Unfit('must be a number of KiB a second, text as "512K", "10M", "1.5M", or "off"')
    if 0 < rate < _RATE_MIN:
        raise Unfit("must be at least 1 KiB a second")
    return rate or None


def size(value: object) -> int:
    """A number of bytes, or text with one of B, K, M, G, T, P (powers of 1024)."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    number = _bytes(value, unit="B")
    if number is None or number < 1:
        raise Unfit('must be a number of bytes, or text as "500G", "4T"')
    return int(number)


def amount(value: object) -> int:
    """As :func:`size`; enough for one range of a file, which is fetched whole or not at all, and for what any run reads first."""
    number = size(value)
    if number < _AMOUNT_MIN:
        raise Unfit("must be at least 2M")
    return number


def or_off(read: Reader) -> Reader:
    """None for ``"off"``."""

    def read_or_off(value: object) -> object:
        return None if value == "off" else read(value)

    return read_or_off


def _bytes(value: object, *, unit: str) -> float | None:
    """Bytes from text, in which a number without a unit has that one; None where it is none."""
    match = re.fullmatch(_BYTES, value, re.ASCII | re.IGNORECASE) if isinstance(value, str) else None
    number = float(match[1]) * _BYTE_UNITS[match[2].upper() or unit] if match else None
    return number if number is not None and number <= _FINITE else None


def path(value: object) -> Path:
    """An absolute path without ``..``, so that it means the same from cron, a unit and a shell."""
    checked = text(value)
    if not checked.startswith("/"):
        raise Unfit("must be an absolute path")
    if ".." in PurePosixPath(checked).parts:
        raise Unfit("must not contain '..'")
    return Path(checked)


def paths(value: object) -> tuple[Path, ...]:
    return tuple(path(one) for one in _list(value))


def texts(value: object) -> tuple[str, ...]:
    return tuple(text(one) for one in _list(value))


def server_name(value: object) -> str:
    checked = text(value)
    if len(checked) > 64 or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", checked, re.ASCII):
        raise Unfit("must be 1 to 64 of letters, digits, '.', '_' and '-', the first a letter or digit")
    return checked


def channel(value: object) -> str:
    try:
        return check_channel(value)
    except ForbiddenName as error:
        raise Unfit(f"cannot be used: {error.rule}") from None


def may_hold_password(told: str) -> bool:
    """Whether there is a password somewhere in a text, by the words that connection strings have for it, or in a URL."""
    return re.search(_SECRET, told, re.IGNORECASE) is not None


def conn(value: object) -> str:
    """``odbc:…`` or ``sqlite:FILE``, without any password in it."""
    checked = text(value)
    kind, separator, rest = checked.partition(":")
    if not separator or kind not in ("odbc", "sqlite") or not rest:
        raise Unfit('must be "odbc:DSN=…", "odbc:" and a connection string, or "sqlite:FILE"')
    if kind == "odbc" and may_hold_password(rest):
        raise Unfit("must not contain a password; use password_file, password_command or a systemd credential")
    if kind == "sqlite":
        path(rest)
    return checked


def conn_or_store(value: object) -> str:
    """As :func:`conn`, or ``store``."""
    if value == "store":
        return "store"
    try:
        return conn(value)
    except Unfit as error:
        raise Unfit(str(error).replace("must be ", 'must be "store", ', 1)) from None


def parent(value: object) -> str:
    """``sftp://[USER@]HOST[:PORT]/DIR`` without a password."""
    problem = "must be sftp://USER@HOST[:PORT]/DIR"
    checked = text(value)
    try:
        parts = urlsplit(checked)
        port = parts.port
    except ValueError:
        raise Unfit(problem) from None
    if parts.password is not None:
        raise Unfit("must not contain a password: netclnt logs in with a key")
    if parts.scheme != "sftp" or not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise Unfit(problem)
    if not parts.path.startswith("/"):
        raise Unfit(problem)
    return checked


def host_key(value: object) -> str:
    checked = text(value)
    if not re.fullmatch(_FINGERPRINT, checked, re.ASCII):
        raise Unfit("must be a fingerprint as ssh-keygen -l prints it: SHA256: and 43 characters")
    return checked


def web_page(value: object) -> str:
    """``https://HOST[:PORT][/PATH]`` or ``http://…``, in ASCII and without a password."""
    problem = "must be https://HOST/PATH or http://HOST/PATH, in ASCII"
    checked = text(value)
    try:
        parts = urlsplit(checked)
        port = parts.port
    except ValueError:
        raise Unfit(problem) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or not checked.isascii() or " " in checked:
        raise Unfit(problem)
    if "@" in parts.netloc or parts.fragment:
        raise Unfit("must contain neither a login nor a fragment")
    return checked


def mode(value: object) -> int:
    """Permission bits from octal digits in quotes."""
    if not isinstance(value, str) or not re.fullmatch(_MODE, value, re.ASCII):
        raise Unfit('must be three or four octal digits in quotes, as "0644"')
    return int(value, 8)


def account(value: object) -> str:
    """A user's or group's name or number."""
    checked = text(value)
    if not re.fullmatch(_ACCOUNT, checked, re.ASCII) or (checked.isdecimal() and int(checked) > _ACCOUNT_NUMBER_MAX):
        raise Unfit("must be the name or number of an account")
    return checked


def label(value: object) -> str:
    """A label of SELinux, ``USER:ROLE:TYPE[:LEVEL]``."""
    checked = text(value)
    if not re.fullmatch(_LABEL, checked, re.ASCII):
        raise Unfit('must be a label as ls -Z prints it: "system_u:object_r:tftpdir_t:s0"')
    return checked


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise Unfit("must be a list in brackets")
    return value
