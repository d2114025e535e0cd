"""Encoded values made wrong, for tests of decoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hypothesis import strategies as st

from netclnt.errors import Damaged, ForbiddenName, ForbiddenValue, Incompatible

T = TypeVar("T")

REFUSALS = (Damaged, ForbiddenName, ForbiddenValue, Incompatible)
"""All that a decoder may raise."""

_EXTREMES = (
    [bytes(size) for size in (1, 2, 4, 8)] + [b"\xff" * size for size in (1, 2, 4, 8)] + [b"\x80" + bytes(7), b"\x7f\xff\xff\xff"]
)


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """``data`` with one to three of: a flipped bit, a cut, something inserted, a field made extreme, a part doubled."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(changed) - 1)))
        match draw(st.sampled_from(["flip", "cut", "remove", "insert", "extreme", "double"])):
            case "flip" if changed:
                changed[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del changed[at:]
            case "remove":
                del changed[at : at + draw(st.integers(1, 8))]
            case "insert":
                changed[at:at] = draw(st.binary(min_size=1, max_size=8))
            case "extreme":
                value = draw(st.sampled_from(_EXTREMES))
                changed[at : at + len(value)] = value
            case "double":
                changed[at:at] = changed[at : at + draw(st.integers(1, 64))]
    return bytes(changed)


def decoded(decode: Callable[[], T]) -> T | None:
    """What comes out, or None where it was refused; any other error is the test's failure."""
    try:
        return decode()
    except REFUSALS:
        return None
