"""A part of what there is to look at, so that several nights share a check: the words of ``--subset``."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

import xxhash

from netclnt.errors import BadArgument

_PART = re.compile(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})", re.ASCII)
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)%(?::([0-9a-f]{1,16}))?", re.ASCII)
_HASHES = 1 << 64


@dataclass(frozen=True, slots=True)
class Subset:
    """``part`` of ``parts`` equal ones, which stay the same from run to run; or, with ``share``, so many of all (0 to 1), others
    with each ``seed``."""

    part: int = 1
    parts: int = 1
    share: float | None = None
    seed: int = 0

    @property
    def whole(self) -> bool:
        return self.parts == 1 and self.share is None

    def chooses(self, key: bytes) -> bool:
        """Whether what is known by ``key``, bytes as if thrown by dice, is to be looked at."""
        if self.share is not None:
            return xxhash.xxh3_64_intdigest(key, seed=self.seed) < self.share * _HASHES
        return int.from_bytes(key[:8], "big") % self.parts == self.part - 1

    def __str__(self) -> str:
        """As :func:`parse_subset` reads it, the seed included."""
        return f"{self.part}/{self.parts}" if self.share is None else f"{self.share * 100:g}%:{self.seed:x}"


WHOLE = Subset()


def parse_subset(text: str) -> Subset:
    """``N/M`` (the N-th of M parts), ``P%``, or ``P%:SEED`` with the seed (hex) of an earlier run. Raises BadArgument."""
    part, percent = _PART.fullmatch(text), _PERCENT.fullmatch(text)
    if part and int(part[1]) <= int(part[2]):
        return Subset(int(part[1]), int(part[2]))
    if percent and 0 < float(percent[1]) <= 100:
        return Subset(share=float(percent[1]) / 100, seed=int(percent[2], 16) if percent[2] else secrets.randbits(64))
    raise BadArgument(argument="--subset", problem=f"{text} is neither N/M, as 1/7, nor P%, as 5%")
