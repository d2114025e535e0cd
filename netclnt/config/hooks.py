"""The config's table of hooks: programs that a sync calls. In files only: no flag and no variable can name a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netclnt.config import readers
from netclnt.config.key import Key, Shape

Commands = tuple[tuple[str, ...], ...]

VARIABLES = tuple(
    f"NETCLNT_{name}"
    for name in (
        *("HOOK", "RUN_ID", "SERVER", "IMAGE", "KIND", "VERSION", "FROM_VERSION", "SIZE", "PATH", "STAGED"),
        *("RESULT", "EXIT_CODE", "MESSAGE", "CHANGED", "FAILED", "DEFERRED"),
    )
)
"""What programs are told by their environment; none of it is a key."""

_PROGRAMS_MAX = 20
_WORDS_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class HooksConfig:
    """Table ``[hooks]``: for each hook its programs, each one's words; ``timeout`` in seconds."""

    TABLE: ClassVar[str] = "hooks"

    before: Commands
    before_image: Commands
    after_image: Commands
    on_error: Commands
    after: Commands
    timeout: float

    @property
    def commands(self) -> dict[str, Commands]:
        """The programs by their hooks."""
        return {key.name: getattr(self, key.name) for key in HOOKS if key.shape is Shape.TEXTS}


def commands(value: object) -> Commands:
    """One program as a list of its words, or a list of such lists. Programs are absolute paths: nothing looks for them."""
    problem = 'must be a list of words as ["/usr/local/bin/program", "word"], or a list of such lists'
    if not isinstance(value, list):
        raise readers.Unfit(problem)
    many = value if value and all(isinstance(one, list) for one in value) else [value] if value else []
    if len(many) > _PROGRAMS_MAX or any(len(one) > _WORDS_MAX for one in many):
        raise readers.Unfit(f"must have at most {_PROGRAMS_MAX} programs of {_WORDS_MAX} words")
    for one in many:
        if not one or not all(isinstance(word, str) and "\0" not in word for word in one):
            raise readers.Unfit(problem)
        try:
            readers.path(one[0])
        except readers.Unfit as error:
            raise readers.Unfit(f"must name its program in a way that can be used: {one[0]!r} {error}") from None
    return tuple(tuple(one) for one in many)


def _hook(name: str, about: str, example: object = None) -> Key:
    return Key(
        name=name,
        about=about,
        read=commands,
        default=(),
        shape=Shape.TEXTS,
        metavar="PROGRAM",
        example=example,
        only_in_file=True,
    )


HOOKS = (
    _hook(
        "before",
        "Before a sync contacts anybody. 0: it begins; 75: it is put off (exit code 14); else it fails (5).",
        ["/usr/local/sbin/line-is-free", "--quiet"],
    ),
    _hook(
        "before_image",
        "Before a version, fetched and checked, is shown. 0: it is; 75: later, what was fetched stays; else that image fails.",
        ["/usr/local/sbin/no-deployment-runs"],
    ),
    _hook(
        "after_image",
        "After a version was shown and recorded. Until it ends with 0, each sync calls it again.",
        ["/usr/local/sbin/import-image"],
    ),
    _hook(
        "on_error",
        "After a sync that did not end well, as long as no signal ended it.",
        ["/usr/local/sbin/tell-the-helpdesk"],
    ),
    _hook("after", "After a sync that began, however it ended.", ["/usr/local/sbin/line-is-free-again"]),
    Key(
        name="timeout",
        about="What takes longer than this is ended, and has failed, in seconds; for each program.",
        read=readers.seconds(1, 86400),
        default=600.0,
        metavar="SECONDS",
        only_in_file=True,
    ),
)
