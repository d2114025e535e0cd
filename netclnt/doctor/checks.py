"""What a check is, what it finds, and the one place that runs it: an error becomes a finding, what depends on it is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from netclnt.errors import NetclntError, Stopped

T = TypeVar("T")


class Result(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found: words for people, in which ``{name}`` stands for one of the ``sizes`` (in bytes). A ``warning``
    deserves a look; ``hint`` is what to type then."""

    text: str
    hint: str = ""
    warning: bool = False
    sizes: Mapping[str, int] = field(default_factory=dict)


def warn(text: str, hint: str, **sizes: int) -> Found:
    return Found(text, hint, warning=True, sizes=sizes)


@dataclass(frozen=True, slots=True)
class Check:
    """``look`` answers, or raises what would end a run. ``needs`` are the names of checks, and of keys of the config
    (``slave.root``), without which it makes no sense."""

    name: str
    look: Callable[[], Found]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer of one check: ``found`` where it looked, ``error`` where that ended in one; a check that was left out has the
    name of what it ``misses``."""

    check: str
    result: Result
    found: Found | None = None
    error: NetclntError | None = None
    misses: str = ""


def examine(checks: Iterable[Check], *, broken: Iterable[str] = ()) -> Iterator[Finding]:
    """Run the checks in their order; ``broken`` are the keys of the config that cannot be used. A signal ends it."""
    failed = set(broken)
    for check in checks:
        missing = next((name for name in check.needs if name in failed), "")
        finding = Finding(check.name, Result.SKIPPED, misses=missing) if missing else _answer(check)
        if finding.result in (Result.ERROR, Result.SKIPPED):
            failed.add(check.name)
        yield finding


def _answer(check: Check) -> Finding:
    try:
        found = check.look()
    except Stopped:
        raise
    except NetclntError as error:
        return Finding(check.name, Result.ERROR, error=error)
    return Finding(check.name, Result.WARNING if found.warning else Result.OK, found)


class Asked(Generic[T]):
    """A question that several checks share: asked once, at the first call; then everybody gets the same answer, or error."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._answers: list[T] = []
        self._error: NetclntError | None = None

    def __call__(self) -> T:
        if self._error is not None:
            raise self._error
        if not self._answers:
            try:
                self._answers.append(self._ask())
            except NetclntError as error:
                self._error = error
                raise
        return self._answers[0]

    @property
    def answer(self) -> T | None:
        """The answer, if there was one; asks nobody."""
        return self._answers[0] if self._answers else None


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a way that is gone at once: ``mine`` knows the errors that end it here, ``passed`` are the words for a way that
    led beyond."""

    name: str
    mine: Callable[[NetclntError], bool]
    passed: str


def staged(asked: Asked[T], stages: Sequence[Stage], *, needs: tuple[str, ...] = ()) -> Iterator[Check]:
    """A check for each stage of one attempt, each needing the one before: an error belongs to the first stage that knows it, or
    else to the last one."""
    for number, stage in enumerate(stages):
        yield Check(stage.name, _stage_look(asked, stages, number), needs if not number else (stages[number - 1].name,))


def _stage_look(asked: Asked[T], stages: Sequence[Stage], number: int) -> Callable[[], Found]:
    def look() -> Found:
        try:
            asked()
        except NetclntError as error:
            ended = next((at for at, stage in enumerate(stages) if stage.mine(error)), len(stages) - 1)
            if ended <= number or isinstance(error, Stopped):
                raise
        return Found(stages[number].passed)

    return look


def is_a(*kinds: type[NetclntError]) -> Callable[[NetclntError], bool]:
    return lambda error: isinstance(error, kinds)
