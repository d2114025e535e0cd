"""ODBC connection strings: reading them, adding a password, and telling them without it.

Grammar (ODBC reference, SQLDriverConnect): ``keyword=value;…``; a value with special characters stands in braces, with each
closing brace inside it doubled. What an admin wrote is passed on as it is, never put together anew: not every driver
understands braces in every value.
"""

from __future__ import annotations

from netclnt.errors import BadArgument

_SECRET = frozenset({"pwd", "password", "sslpassword"})
_HOST = ("server", "servername", "host", "hostname")
_TLS_MODES = {"require", "required", "verify-ca", "verify_ca", "verify-full", "verify_identity"}


def parse(connection_string: str) -> list[tuple[str, str]]:
    """The (keyword, value) pairs in order, values without their braces. Raises BadArgument, without the string's values."""
    pairs = []
    rest = connection_string.strip("; \t")
    while rest:
        keyword, found, rest = rest.partition("=")
        keyword = keyword.strip()
        if not found or not keyword or ";" in keyword:
            raise BadArgument(argument="catalog", problem="is no ODBC connection string (keyword=value;…)")
        value, rest = _braced(rest) if rest.lstrip().startswith("{") else _plain(rest)
        pairs.append((keyword, value))
        rest = rest.lstrip("; \t")
    return pairs


def quote(value: str) -> str:
    """``value`` in braces, as any text may stand in a connection string."""
    return "{" + value.replace("}", "}}") + "}"


def lookup(pairs: list[tuple[str, str]], *keywords: str) -> str:
    """The first value under any of the keywords (given in lower case), or ``""``."""
    return next((value for keyword, value in pairs if keyword.lower() in keywords), "")


def with_password(connection_string: str, password: str) -> str:
    """The string a driver is given. Raises BadArgument if it holds a password already."""
    if has_password(connection_string):
        raise BadArgument(argument="catalog", problem="holds a password, and another one is configured beside it")
    return f"{connection_string.rstrip('; ')};PWD={quote(password)}"


def public(connection_string: str) -> str:
    """The string as it may be shown: without passwords."""
    pairs = [(keyword, value) for keyword, value in parse(connection_string) if keyword.lower() not in _SECRET]
    return ";".join(
        f"{keyword}={quote(value) if set(value) & set(';{} =') or value != value.strip() else value}" for keyword, value in pairs
    )


def has_password(connection_string: str) -> bool:
    """Whether a password stands in the string itself, where ``ps`` or a config's reader may see it."""
    return any(keyword.lower() in _SECRET for keyword, _ in parse(connection_string))


def missing_tls(connection_string: str) -> str:
    """The keywords that would make the driver of a server on another host insist on TLS, or ``""`` where they stand, are not
    needed or not known. Only what the string itself says is looked at: a data source of that name may say more."""
    pairs = parse(connection_string)
    host, driver = lookup(pairs, *_HOST).lower(), lookup(pairs, "driver").lower()
    if not host or host.startswith(("/", "127.")) or host in ("localhost", "::1"):
        return ""
    if lookup(pairs, "sslmode").lower() in _TLS_MODES:
        return ""
    if "postgres" in driver or "psql" in driver:
        return "SSLMODE=verify-full"
    if "maria" in driver or "maodbc" in driver:
        known = lookup(pairs, "sslca", "sslcapath") or lookup(pairs, "forcetls", "sslverify") not in ("", "0")
        return "" if known else "FORCETLS=1;SSLVERIFY=1"
    return "SSLMODE=VERIFY_IDENTITY" if "mysql" in driver else ""


def secrets(connection_string: str) -> list[str]:
    return [value for keyword, value in parse(connection_string) if keyword.lower() in _SECRET and value]


def _plain(rest: str) -> tuple[str, str]:
    value, _, rest = rest.partition(";")
    return value.strip(), rest


def _braced(rest: str) -> tuple[str, str]:
    value, position = "", rest.index("{") + 1
    while True:
        end = rest.find("}", position)
        if end < 0:
            raise BadArgument(argument="catalog", problem="has an opening brace without its closing one")
        value += rest[position:end]
        if rest[end + 1 : end + 2] != "}":
            break
        value, position = value + "}", end + 2
    after = rest[end + 1 :].lstrip()
    if after and not after.startswith(";"):
        raise BadArgument(argument="catalog", problem="has text after a closing brace; double a brace inside a value")
    return value, after
