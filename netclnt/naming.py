"""The grammar of names and paths (design, section 5). The slave decides it; no peer can widen it."""

from __future__ import annotations

import re
import unicodedata

from netclnt.errors import ForbiddenName

NAME_BYTES_MAX = 255
COMPONENT_BYTES_MAX = 255
PATH_BYTES_MAX = 4000
DEPTH_MAX = 64
WORK_DIRECTORY = ".netclnt"
"""The private directory inside each root: never an image's name."""

_NAME_FORBIDDEN = frozenset("@:!*?[\\")
_CHANNEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_TOKEN = re.compile(r"[0-9a-f]{1,64}", re.ASCII)
_NO_PARTS = frozenset(("", ".", ".."))
_NO_BEGIN = ("/", ".")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def check_name(name: object) -> str:
    """Return ``name`` if it may be an image's name, else raise ForbiddenName."""
    if not isinstance(name, str):
        raise ForbiddenName(name=repr(name), rule="a name is text")
    components = _components(name, NAME_BYTES_MAX)
    for component in components:
        if component.startswith("-"):
            raise ForbiddenName(name=name, rule="no part may begin with '-'")
        bad = _NAME_FORBIDDEN.intersection(component)
        if bad:
            raise ForbiddenName(name=name, rule=f"{sorted(bad)[0]!r} is not allowed in a name")
        if any(unicodedata.category(character) == "Cf" for character in component):
            raise ForbiddenName(name=ascii(name), rule="no invisible characters")
        if component != component.strip():
            raise ForbiddenName(name=name, rule="no part may begin or end with white space")
    if components[0].casefold() == WORK_DIRECTORY or components[0].casefold() == "lost+found":
        raise ForbiddenName(name=name, rule=f"{components[0]!r} is reserved")
    return name


def check_path(path: object) -> str:
    """Return ``path`` if it may be a path inside a tree: any printable characters, but no way out of the tree."""
    if not isinstance(path, str):
        raise ForbiddenName(name=repr(path), rule="a path is text")
    if not _is_plain(path):
        _components(path, PATH_BYTES_MAX)
    return path


def check_channel(channel: object) -> str:
    """Return ``channel`` if it is 1 to 64 of lower-case letters, digits, ``.``, ``_``, ``-``, the first a letter or digit."""
    if not isinstance(channel, str) or not _CHANNEL.fullmatch(channel):
        raise ForbiddenName(name=repr(channel), rule="a channel is lower-case letters, digits, '.', '_' and '-'")
    return channel


def check_token(token: object) -> str:
    """Return ``token`` if it can name a staging area or a kept version: 1 to 64 lower-case hex digits."""
    if not isinstance(token, str) or not is_token(token):
        raise ForbiddenName(name=repr(token), rule="a token is 1 to 64 lower-case hex digits")
    return token


def is_token(text: str) -> bool:
    """Whether :func:`check_token` takes ``text``."""
    return _TOKEN.fullmatch(text) is not None


def twin_key(name: str) -> str:
    """Names with equal keys would fall together on a file system that ignores case."""
    return unicodedata.normalize("NFC", name.casefold())


def _is_plain(path: str) -> bool:
    """Whether a few comparisons tell that a path keeps every rule, as nearly all do: a tree may have a million of them."""
    return (
        0 < len(path) <= COMPONENT_BYTES_MAX
        and path.isascii()
        and path.isprintable()
        and "/." not in path
        and "//" not in path
        and not path.startswith(_NO_BEGIN)
        and not path.endswith("/")
        and path.count("/") < DEPTH_MAX
    )


def _check_characters(text: str) -> None:
    for character in text:
        category = unicodedata.category(character)
        if category in ("Cc", "Cs", "Zl", "Zp") or character in _BIDI:
            raise ForbiddenName(name=ascii(text), rule="control characters are not allowed")
    if unicodedata.normalize("NFC", text) != text:
        raise ForbiddenName(name=text, rule="not in Unicode normal form C")


def _components(text: str, limit: int) -> list[str]:
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError:
        raise ForbiddenName(name=ascii(text), rule="not valid Unicode") from None
    if not raw or len(raw) > limit:
        raise ForbiddenName(name=text[:64], rule=f"1 to {limit} bytes of UTF-8")
    if not (text.isascii() and text.isprintable()):  # a tree may have a million paths: the plain ones are told at once
        _check_characters(text)
    components = text.split("/")
    if len(components) > DEPTH_MAX:
        raise ForbiddenName(name=text[:64], rule=f"more than {DEPTH_MAX} directories deep")
    if not _NO_PARTS.isdisjoint(components):
        raise ForbiddenName(name=text, rule="no empty part, '.' or '..'")
    if len(raw) > COMPONENT_BYTES_MAX and max(len(component.encode("utf-8")) for component in components) > COMPONENT_BYTES_MAX:
        raise ForbiddenName(name=text[:64], rule=f"a part longer than {COMPONENT_BYTES_MAX} bytes")
    return components
