"""Values as words for people."""

from __future__ import annotations

import re
from collections.abc import Callable

_SIZE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


_INVISIBLE = "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
"""Characters that count as printable and show nothing: two texts could look alike, or one like none."""


def safe(value: object) -> str:
    """The value as text that can do nothing to a terminal: control, bidirectional and other invisible characters are escaped."""
    text = str(value)
    if not text.isprintable():
        text = "".join(one if one.isprintable() else _escape(one) for one in text)
    return text if text.isascii() else re.sub(_INVISIBLE, lambda found: _escape(found[0]), text)


def clipped(text: str, width: int, measure: Callable[[str], int]) -> str:
    """The text, or as much of its beginning as fits into so many cells with an ellipsis behind it."""
    if measure(text) <= width:
        return text
    while text and measure(text) > width - 1:
        text = text[: min(len(text) - 1, max(0, width - 1))]
    return (text + ("…" if measure("…") == 1 else "~"))[:width]


def padded(text: str, width: int, measure: Callable[[str], int]) -> str:
    """The text with blanks behind it, to so many cells at least."""
    return text + " " * (width - measure(text))


def human_bytes(count: float) -> str:
    """``999 B``, ``1.20 kB``, ``418 MB``: three digits, decimal units."""
    size, unit = float(count), _SIZE_UNITS[0]
    for unit in _SIZE_UNITS:
        if abs(size) < 999.5 or unit == _SIZE_UNITS[-1]:
            break
        size /= 1000
    if unit == "B":
        return f"{size:.0f} B"
    return f"{size:.{2 if size < 9.995 else 1 if size < 99.95 else 0}f} {unit}"


def human_seconds(seconds: float) -> str:
    """``0.4 s``, ``45 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, smaller, smaller_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{whole} s"


def counted(count: int, one: str, many: str = "") -> str:
    """``1 image``, ``2 images``."""
    return f"{count} {one}" if count == 1 else f"{count} {many or one + 's'}"


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
