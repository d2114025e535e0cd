"""Programs of the admin's that a sync calls at certain moments: what they are told, and what their exit codes decide.

All of it happens with the root held, so that no two runs' hooks ever mix. A program gets the facts twice: as variables, each
``NETCLNT_`` and its name in capitals, and as one JSON object on its standard input.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath

from netclnt.errors import ExitCode, HookFailed, PutOff, Stopped
from netclnt.events import Hooked, HookLine, Observer, Warned
from netclnt.machine import Ended, Programs
from netclnt.outcome import FINE, outcome
from netclnt.result import Result


class Hook(StrEnum):
    """The moments, by their keys in ``[hooks]``."""

    BEFORE = "before"
    AFTER = "after"
    ON_ERROR = "on_error"
    BEFORE_IMAGE = "before_image"
    AFTER_IMAGE = "after_image"


LATER = 75
"""The exit code of a program that wants to be asked again later: EX_TEMPFAIL of sysexits(3)."""

GRACE_SECONDS = 10.0

HURRY_SECONDS = 1.5
"""What ``after`` may take where netclnt itself was told to end: it promises to be gone within five seconds."""
_HURRIED_GRACE_SECONDS = 0.5

_SIGPIPE = 141
_IMAGES_MAX = 1000
_MESSAGE_MAX = 1000
_JSON_MAX = 1 << 20

Facts = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """``commands`` are the programs of each hook, each one's words, in their order; each may take so many ``seconds``.
    ``environment`` is all of it that is not facts, ``facts`` are those of the whole run. ``explain`` gives the exit code
    (None for a standard output whose reader went away) and the sentence of what ended a run."""

    commands: Mapping[Hook, Sequence[Sequence[str]]]
    seconds: float
    programs: Programs
    environment: Mapping[str, str] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    explain: Callable[[BaseException], tuple[ExitCode | None, str]]

    def wants(self, hook: Hook) -> bool:
        """Whether there is anything to call."""
        return bool(self.commands.get(hook))

    def call(self, hook: Hook, facts: Facts, observer: Observer, *, hurried: bool = False) -> HookFailed | None:
        """Call a hook's programs one after the other, up to the first that does not end with 0: that is returned. ``hurried``
        ones share a moment, all together."""
        programs = self.commands.get(hook, ())
        seconds, grace = self.seconds, GRACE_SECONDS
        if hurried:
            seconds, grace = HURRY_SECONDS / max(1, len(programs)), _HURRIED_GRACE_SECONDS
        told = {"hook": hook.value, **self.facts, **facts}
        image = str(facts.get("image", ""))
        for argv in programs:
            program = PurePath(argv[0]).name

            def say(line: str, program: str = program) -> None:
                observer(HookLine(hook.value, image, program, line))

            observer(Hooked(hook.value, image, program, "started", seconds))
            ended = self.programs.run(
                argv,
                environment={**self.environment, **_variables(told)},
                stdin=_json(told),
                seconds=seconds,
                grace=grace,
                say=say,
            )
            observer(Hooked(hook.value, image, program, "ended", 0.0, ended.code))
            if ended.code != 0:
                return HookFailed(hook.value, image, argv[0], ended.code, _cause(ended), ended.said)
        return None

    @contextmanager
    def around(self, result: Result, observer: Observer) -> Iterator[None]:
        """Around a run that holds the root. Raises PutOff or HookFailed where ``before`` does not let it begin, and HookFailed
        where all went well but ``after``."""
        self._before(observer)
        try:
            yield
        except BaseException as error:
            self._after(result, error, observer)
            raise
        self._after(result, None, observer)

    def _before(self, observer: Observer) -> None:
        failure = self.call(Hook.BEFORE, {}, observer)
        if failure is None:
            return
        if failure.code == LATER:
            raise PutOff(failure.program, failure.said)
        facts = self._ending(Result(), failure)
        self._warn(self.call(Hook.ON_ERROR, facts, observer), observer)
        raise failure

    def _after(self, result: Result, error: BaseException | None, observer: Observer) -> None:
        facts = self._ending(result, error)
        fine = facts["exit_code"] in FINE
        told_to_end = isinstance(error, Stopped)
        failures: list[HookFailed | None] = []
        if not fine and not told_to_end:
            failures.append(self.call(Hook.ON_ERROR, facts, observer))
        failures.append(self.call(Hook.AFTER, facts, observer, hurried=told_to_end))
        for failure in failures:
            if failure and fine:
                raise failure
            self._warn(failure, observer)

    def _warn(self, failure: HookFailed | None, observer: Observer) -> None:
        if failure is not None:
            observer(Warned("hook-failed", self.explain(failure)[1]))

    def _ending(self, result: Result, error: BaseException | None) -> dict[str, object]:
        """What is told of a run that is over."""
        failed = [*result.failed, *result.untold]
        codes = [one.exit_code for _, one in failed]
        sentences = [f"{_harmless(image)}: {self.explain(one)[1]}" for image, one in failed[:_IMAGES_MAX]]
        code: ExitCode | None = result.exit_code
        if result.paused:
            sentences.append(self.explain(result.paused)[1])
        if error is not None:
            code, sentence = self.explain(error)
            sentences.insert(0, sentence)
            code = code and outcome(whole_run=[code], images=codes)
        return {
            "exit_code": _SIGPIPE if code is None else int(code),
            "result": "SIGPIPE" if code is None else code.name,
            "message": " ".join("; ".join(sentences).split())[:_MESSAGE_MAX],
            "changed": len(result.changed),
            "failed": len(failed),
            "deferred": len(result.deferred),
            "images": _images(result),
        }


def _harmless(image: str) -> str:
    """For people: a name that was refused may hold anything."""
    return image if image.isprintable() else ascii(image)[1:-1]


def _images(result: Result) -> list[dict[str, object]]:
    """What became of each image, of the first so many."""
    moved = set(result.moved)
    updated = [image for image in result.changed if image not in moved]
    fates = (("updated", updated), ("moved", result.moved), ("recorded", result.recorded), ("deferred", result.deferred))
    found: list[dict[str, object]] = [
        {"image": name, "version": number, "result": fate} for fate, images in fates for name, number in images
    ]
    found += [{"image": name, "result": "failed"} for name, _ in result.failed]
    return found[:_IMAGES_MAX]


def _variables(facts: Facts) -> dict[str, str]:
    """All facts but lists. A byte that no variable can hold is left out."""
    return {
        f"NETCLNT_{name.upper()}": "" if value is None else str(value).replace("\0", "")
        for name, value in facts.items()
        if not isinstance(value, list)
    }


def _json(facts: Facts) -> bytes:
    data = json.dumps({"type": "hook", **facts}, separators=(",", ":")).encode()
    if len(data) > _JSON_MAX:
        data = json.dumps({"type": "hook", **facts, "images": []}, separators=(",", ":")).encode()
    return data + b"\n"


def _cause(ended: Ended) -> str:
    return ended.problem or f"ended with exit code {ended.code}"
