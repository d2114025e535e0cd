"""All there is to know of one key of the config: how it is read, given and explained."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from netclnt.config.readers import Reader

REQUIRED = object()
"""In place of a default: the key must be given."""


class Shape(Enum):
    """How a key's value is given as text, by a flag or the environment."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"
    PATH = "path"
    CONN = "conn"
    TEXTS = "texts"
    PATHS = "paths"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table. ``about`` says what it does and in which unit; ``metavar`` stands for its value in help texts;
    ``example`` (as TOML holds it) stands in a written config where there is no default. ``secret`` ones have no
    flag, for a process's arguments are for all to see, and are shown to nobody. One that is
    ``only_in_file`` has neither flag nor variable."""

    name: str
    about: str
    read: Reader
    default: object = REQUIRED
    shape: Shape = Shape.TEXT
    metavar: str = "TEXT"
    example: object = None
    secret: bool = False
    only_in_file: bool = False

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return "NETCLNT_" + self.name.upper()
