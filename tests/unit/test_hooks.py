"""Hooks over in-memory twins: when programs are called, what they are told, and what their exit codes decide."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from netclnt.cli.errors import explain
from netclnt.config import MasterConfig, SlaveConfig, keys
from netclnt.errors import (
    ActivationDeferred,
    ExitCode,
    ForbiddenName,
    HookFailed,
    LineBroken,
    NetclntError,
    PutOff,
    StorageFailed,
    Terminated,
)
from netclnt.events import Hooked, HookLine, Summed, Warned
from netclnt.hooks import HURRY_SECONDS, LATER, Hook, Hooks
from netclnt.memory.programs import Call, MemoryProgram, MemoryPrograms
from netclnt.result import Result
from netclnt.selection import Selection
from tests.support.world import World

BIG = 1 << 20


def noise(seed: object, size: int = BIG) -> bytes:
    return random.Random(f"hooks/{seed}").randbytes(size)


class Desk:
    """A slave whose every hook is a program of the hook's name. It ends as ``ends`` says; with 0, if that says nothing; and is
    not there, if that says None."""

    def __init__(self, world: World, only: Sequence[Hook] = tuple(Hook)) -> None:
        self.world = world
        self.only = only
        self.programs = MemoryPrograms({})
        self.stopped = False

    def sync(
        self,
        selection: Selection | None = None,
        *,
        acts: dict[str, Callable[[Call], None]] | None = None,
        **ends: int | None,
    ) -> Result:
        self.programs.calls.clear()
        for hook in Hook:
            act = (acts or {}).get(hook.value)
            code = ends.get(hook.value, 0)
            self.programs.programs.pop(f"/bin/{hook}", None)
            if code is not None:
                self.programs.programs[f"/bin/{hook}"] = MemoryProgram(code, (f"{hook} says",), act=act)
        return self.world.sync(selection, hooks=self.hooks())

    def hooks(self) -> Hooks:
        return Hooks(
            commands={hook: [[f"/bin/{hook}", "word"]] for hook in self.only},
            seconds=600.0,
            programs=self.programs,
            environment={"PATH": "/bin"},
            facts={"run_id": "4711"},
            explain=lambda error: (explain(error).code, explain(error).sentence),
        )

    @property
    def called(self) -> list[str]:
        """The hooks in their order, with the images that they were about."""
        images = [call.environment.get("NETCLNT_IMAGE", "") for call in self.programs.calls]
        return [f"{call.argv[0][5:]} {image}".strip() for call, image in zip(self.programs.calls, images, strict=True)]

    def told(self, hook: str) -> dict[str, object]:
        call = next(call for call in self.programs.calls if call.argv[0] == f"/bin/{hook}")
        told: dict[str, object] = json.loads(call.stdin)
        return told

    def environment(self, hook: str) -> dict[str, str]:
        return dict(next(call.environment for call in self.programs.calls if call.argv[0] == f"/bin/{hook}"))


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


def test_hooks_are_called_in_their_order(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.world.publish("b", noise("b"))
    assert desk.sync().exit_code is ExitCode.OK
    assert desk.called == ["before", "before_image a", "after_image a", "before_image b", "after_image b", "after"]


def test_a_run_with_nothing_to_do_calls_those_of_the_run(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.sync()
    desk.sync()
    assert desk.called == ["before", "after"]


def test_what_is_told_of_an_image(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.sync()
    new = desk.world.publish("a", noise("a") + b"more").version
    desk.sync()
    about = {"hook": "before_image", "run_id": "4711", "image": "a", "kind": "image", "version": 2, "from_version": 1}
    about |= {"path": "/root/a", "size": BIG + 4}
    assert desk.told("before_image") == {"type": "hook", **about, "staged": f"/memory/staging/{new.manifest}"}
    assert desk.told("after_image") == {"type": "hook", **about, "hook": "after_image", "result": "updated"}
    assert desk.environment("after_image") == {
        "PATH": "/bin",
        "NETCLNT_HOOK": "after_image",
        "NETCLNT_RUN_ID": "4711",
        "NETCLNT_IMAGE": "a",
        "NETCLNT_KIND": "image",
        "NETCLNT_VERSION": "2",
        "NETCLNT_FROM_VERSION": "1",
        "NETCLNT_PATH": "/root/a",
        "NETCLNT_SIZE": str(BIG + 4),
        "NETCLNT_RESULT": "updated",
    }


def test_L2_a_name_that_is_refused_does_nothing_to_whoever_is_told_of_it(desk: Desk) -> None:
    names = ["\x1b]0;evil\x07", "a\ud800\0b", "gut\u00e4 name"]
    result = Result(failed=[(name, ForbiddenName(name=name, rule="control characters")) for name in names])
    desk.programs.programs |= {f"/bin/{hook}": MemoryProgram(0) for hook in Hook}
    with desk.hooks().around(result, lambda _: None):
        pass
    message = desk.environment("after")["NETCLNT_MESSAGE"]
    assert message == desk.environment("on_error")["NETCLNT_MESSAGE"]
    assert message.isprintable()
    assert message.startswith("\\x1b]0;evil\\x07: The name ")
    assert "; gutä name: The name gutä name is not allowed" in message
    assert [image["image"] for image in json.loads(desk.programs.calls[-1].stdin)["images"]] == names


def test_a_new_image_has_no_version_before(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.sync()
    assert desk.environment("before_image")["NETCLNT_FROM_VERSION"] == ""
    assert desk.told("after_image")["from_version"] is None


def test_images_that_were_only_moved_are_listed_as_such(desk: Desk) -> None:
    result = Result(changed=[("b", 1), ("a", 2), ("c", 3)], moved=[("b", 1)], recorded=[("d", 4)])
    for hook in (Hook.BEFORE, Hook.AFTER):
        desk.programs.programs[f"/bin/{hook}"] = MemoryProgram()
    with desk.hooks().around(result, lambda _: None):
        pass
    images: Any = desk.told("after")["images"]
    assert [(each["image"], each["result"]) for each in images] == [
        *(("a", "updated"), ("c", "updated"), ("b", "moved")),
        ("d", "recorded"),
    ]
    assert desk.told("after")["changed"] == 3


def test_what_is_told_of_a_run(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.world.publish("b", noise("b"))
    desk.world.root.put_file("b", b"the admin's own")
    assert desk.sync().exit_code is ExitCode.PARTIAL
    told = desk.told("after")
    assert {key: told[key] for key in ("result", "exit_code", "changed", "failed", "deferred")} == {
        "result": "PARTIAL",
        "exit_code": 3,
        "changed": 1,
        "failed": 1,
        "deferred": 0,
    }
    assert told["images"] == [{"image": "a", "version": 1, "result": "updated"}, {"image": "b", "result": "failed"}]
    assert str(told["message"]).startswith("b: /root/b, where the image b belongs, holds a file")
    assert desk.environment("after")["NETCLNT_EXIT_CODE"] == "3"
    assert "NETCLNT_IMAGES" not in desk.environment("after")
    assert desk.called[-2:] == ["on_error", "after"]


def test_what_programs_say_is_told(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.sync()
    lines = [event for event in desk.world.events if isinstance(event, HookLine)]
    assert HookLine("before_image", "a", "before_image", "before_image says") in lines
    started = [event for event in desk.world.events if isinstance(event, Hooked)]
    assert started[:2] == [
        Hooked("before", "", "before", "started", 600.0),
        Hooked("before", "", "before", "ended", 0.0, 0),
    ]


def test_programs_of_one_hook_run_in_turn_up_to_the_first_that_fails() -> None:
    programs = MemoryPrograms({"/1": MemoryProgram(0), "/2": MemoryProgram(9, ("no",)), "/3": MemoryProgram(0)})
    hooks = Hooks(commands={Hook.BEFORE: [["/1"], ["/2"], ["/3"]]}, seconds=1, programs=programs, explain=explained)
    failure = hooks.call(Hook.BEFORE, {}, lambda _: None)
    assert failure is not None
    assert (failure.program, failure.code, failure.cause, failure.said) == ("/2", 9, "ended with exit code 9", "no")
    assert [call.argv for call in programs.calls] == [("/1",), ("/2",)]


def explained(error: BaseException) -> tuple[ExitCode, str]:
    return explain(error).code, explain(error).sentence


# --- before


def test_a_run_that_is_put_off_contacts_nobody(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    before = desk.world.catalog.queries
    with pytest.raises(PutOff) as raised:
        desk.sync(before=LATER)
    assert raised.value.exit_code is ExitCode.PAUSED
    assert desk.called == ["before"]
    assert desk.world.catalog.queries == before
    assert desk.sync().changed == [("a", 1)]


@pytest.mark.parametrize("code", [1, None])
def test_a_run_that_before_refuses_is_an_error(desk: Desk, code: int | None) -> None:
    desk.world.publish("a", noise("a"))
    before = desk.world.catalog.queries
    with pytest.raises(HookFailed) as raised:
        desk.sync(before=code)
    assert raised.value.exit_code is ExitCode.TEMP
    assert desk.called == ["before", "on_error"]
    assert desk.told("on_error")["exit_code"] == 5
    assert desk.world.catalog.queries == before
    assert desk.world.live("a") is None


# --- before_image


def test_a_deferred_activation_keeps_what_was_fetched(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.world.publish("b", noise("b"))
    result = desk.sync(Selection(("a",)), before_image=LATER)
    assert result.exit_code is ExitCode.PAUSED
    assert isinstance(result.paused, ActivationDeferred)
    assert result.deferred == [("a", 1)]
    assert [done.result for done in desk.world.done] == ["deferred"]
    assert desk.world.live("a") is None
    assert desk.told("after")["deferred"] == 1
    assert "on_error" not in desk.called
    for _ in range(2):
        result = desk.sync(before_image=LATER)
        assert result.deferred == [("a", 1), ("b", 1)]
        assert desk.world.done[0].bytes_fetched == 0
        assert [each.number for each in desk.world.ledger.hooks.deferred()] == [1, 1]
    result = desk.sync()
    assert result.exit_code is ExitCode.OK
    assert [done.bytes_fetched for done in desk.world.done] == [0, 0]
    assert desk.world.live("a") == noise("a")
    assert desk.world.ledger.hooks.deferred() == []
    assert desk.world.root.staged() == []
    desk.sync()
    assert desk.called == ["before", "after"]


def test_others_go_on_beside_one_that_is_deferred_and_the_clean_up_leaves_it(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.world.publish("b", noise("b"))
    desk.world.root.stage("ab" * 32).close()
    only_a = {"before_image": lambda call: defer(desk, call, "a")}
    result = desk.sync(acts=only_a)
    assert (result.deferred, result.changed, result.exit_code) == ([("a", 1)], [("b", 1)], ExitCode.PAUSED)
    assert len(desk.world.root.staged()) == 1
    assert desk.world.manifests.open(desk.world.root.staged()[0]) is not None


def defer(desk: Desk, call: Call, name: str) -> None:
    """Make the program that runs end with 75 for one image, and with 0 for others."""
    code = LATER if call.environment["NETCLNT_IMAGE"] == name else 0
    program = desk.programs.programs["/bin/before_image"]
    object.__setattr__(program, "code", code)


def test_a_newer_version_takes_the_place_of_one_that_is_deferred(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.sync(before_image=LATER)
    new = desk.world.publish("a", noise("a") + b"more").version
    desk.sync(before_image=LATER)
    assert [each.manifest for each in desk.world.ledger.hooks.deferred()] == [new.manifest]
    assert desk.world.root.staged() == [new.manifest]
    assert desk.world.done[0].bytes_fetched < 300_000
    desk.sync()
    assert desk.world.live("a") == noise("a") + b"more"


def test_N3_a_deferred_version_that_is_called_back_is_not_shown(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.sync()
    desk.world.publish("a", noise("new"))
    desk.sync(before_image=LATER)
    desk.world.catalog.retire("a", 2, at="2026-11-23T00:00:00Z")
    assert desk.sync().exit_code is ExitCode.OK
    assert desk.called == ["before", "after"]
    assert desk.world.live("a") == noise("a")
    assert desk.world.root.staged() == []
    assert desk.world.ledger.hooks.deferred() == []


def test_N3_a_version_that_is_called_back_while_the_hook_takes_its_time_is_not_shown(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.sync()
    desk.world.publish("a", noise("new"))

    def call_back(_: Call) -> None:
        desk.world.catalog.retire("a", 2, at="2026-11-23T00:00:00Z")

    assert desk.sync(acts={"before_image": call_back}).exit_code is ExitCode.OK
    assert desk.called == ["before", "before_image a", "after"]
    assert desk.world.live("a") == noise("a")


def test_an_image_that_the_hook_refuses_fails_and_is_asked_about_again(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.world.publish("b", noise("b"))

    def refuse(call: Call) -> None:
        object.__setattr__(
            desk.programs.programs["/bin/before_image"], "code", 2 if call.environment["NETCLNT_IMAGE"] == "a" else 0
        )

    result = desk.sync(acts={"before_image": refuse})
    assert result.exit_code is ExitCode.PARTIAL
    assert isinstance(result.failed[0][1], HookFailed)
    assert desk.world.live("a") is None
    result = desk.sync()
    assert result.changed == [("a", 1)]
    assert desk.world.done[0].bytes_fetched == 0


def test_C20_what_the_hook_changed_in_staging_is_mended_by_the_next_run(desk: Desk) -> None:
    new = desk.world.publish("a", noise("a")).version

    def write(_: Call) -> None:
        stage = desk.world.root.stage(new.manifest)
        stage.prepare(desk.world.manifests.open(new.manifest).entries)
        stage.write(0, 4096, [b"not what was sealed"])

    desk.sync(acts={"before_image": write})
    assert desk.sync().changed == [("a", 1)]
    assert desk.world.live("a") == noise("a")


def test_what_lies_there_already_is_recorded_without_a_question(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.world.root.put_file("a", noise("a"))
    assert desk.sync(before_image=1).recorded == [("a", 1)]
    assert desk.called == ["before", "after_image a", "after"]
    assert desk.told("after_image")["result"] == "recorded"


def test_without_hooks_what_was_deferred_is_shown(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.sync(before_image=LATER)
    assert desk.world.sync().exit_code is ExitCode.OK
    assert desk.world.live("a") == noise("a")


def test_C1_a_deferred_version_makes_no_room_for_another_image(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.sync(before_image=LATER)
    desk.world.publish("b", noise("b"))
    desk.world.root.capacity = BIG + BIG // 2
    result = desk.sync(before_image=LATER)
    assert result.deferred == [("a", 1)]
    assert [name for name, _ in result.failed] == ["b"]
    assert desk.world.done[0].bytes_fetched == 0


# --- after_image


@pytest.mark.parametrize("hooks", [tuple(Hook), (Hook.AFTER_IMAGE,)])
def test_no_line_to_the_catalog_stays_open_while_a_hook_takes_its_time(world: World, hooks: Sequence[Hook]) -> None:
    desk = Desk(world, hooks)
    world.publish("a", noise("a"))
    lines: list[object] = []
    during: list[int] = []

    class Line:
        def __getattr__(self, name: str) -> object:
            return getattr(world.catalog, name)

        def close(self) -> None:
            lines.remove(self)

    def opened() -> Line:
        lines.append(Line())
        return lines[-1]

    act = MemoryProgram(act=lambda _: during.append(len(lines)))
    desk.programs.programs |= {f"/bin/{hook}": act for hook in Hook}
    assert world.sync(open_catalog=opened, hooks=desk.hooks()).exit_code is ExitCode.OK
    assert during == [0] * len([hook for hook in hooks if hook is not Hook.ON_ERROR])


def test_an_after_image_that_fails_is_called_again_until_it_ends_well(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.world.publish("b", noise("b"))
    result = desk.sync(after_image=1)
    assert result.exit_code is ExitCode.PARTIAL
    assert desk.world.live("a") == noise("a")
    result = desk.sync(after_image=1)
    assert result.exit_code is ExitCode.TEMP
    assert desk.called == ["before", "after_image a", "after_image b", "on_error", "after"]
    assert desk.sync().exit_code is ExitCode.OK
    assert desk.called == ["before", "after_image a", "after_image b", "after"]
    desk.sync()
    assert desk.called == ["before", "after"]


def test_a_run_that_dies_in_after_image_leaves_it_to_the_next(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))

    def die(_: Call) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        desk.sync(acts={"after_image": die})
    desk.sync()
    assert desk.called == ["before", "after_image a", "after"]
    assert desk.told("after_image")["version"] == 1


def test_it_hears_of_what_was_recorded_even_if_the_master_is_away(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.world.publish("a", noise("a"))
    desk.sync(after_image=1)

    def away() -> None:
        raise LineBroken("catalog", "nowhere", "gone")

    monkeypatch.setattr(desk.world.catalog, "state", away)
    with pytest.raises(LineBroken):
        desk.sync()
    assert desk.called == ["before", "after_image a", "on_error", "after"]


def test_what_no_longer_lies_there_is_not_told_of(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.sync(after_image=1)
    desk.world.publish("a", noise("new"))
    desk.only = (Hook.BEFORE_IMAGE,)
    desk.sync()
    desk.only = tuple(Hook)
    desk.sync()
    assert desk.called == ["before", "after"]
    assert desk.world.ledger.hooks.untold() == []


# --- on_error, after


def test_on_error_comes_before_after(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.world.root.faults["stage"] = StorageFailed(action="create", path="/root", errno=30, cause="read-only")
    result = desk.sync()
    assert result.exit_code is ExitCode.STORAGE
    assert desk.called == ["before", "on_error", "after"]
    assert desk.environment("on_error")["NETCLNT_RESULT"] == "STORAGE"
    assert desk.environment("on_error")["NETCLNT_MESSAGE"] == "a: Cannot create /root: read-only."


def test_a_run_that_is_told_to_end_hurries_and_calls_no_on_error(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))

    def stop(_: Call) -> None:
        raise Terminated

    with pytest.raises(Terminated):
        desk.sync(acts={"before_image": stop})
    assert desk.called == ["before", "before_image a", "after"]
    assert (desk.programs.calls[-1].seconds, desk.programs.calls[-1].grace) == (HURRY_SECONDS, 0.5)
    assert {(call.seconds, call.grace) for call in desk.programs.calls[:-1]} == {(600.0, 10.0)}
    assert desk.environment("after")["NETCLNT_EXIT_CODE"] == "143"
    assert desk.sync().exit_code is ExitCode.OK
    assert desk.world.done[0].bytes_fetched == 0


def test_an_after_that_fails_is_the_error_of_a_run_that_went_well(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    with pytest.raises(HookFailed) as raised:
        desk.sync(after=1)
    assert raised.value.hook == "after"
    assert desk.world.live("a") == noise("a")


def test_an_after_that_fails_is_a_warning_where_the_run_failed_itself(desk: Desk) -> None:
    desk.world.publish("a", noise("a"))
    desk.world.root.put_file("a", b"the admin's own")
    result = desk.sync(after=1, on_error=1)
    assert result.exit_code is ExitCode.STORAGE
    assert [event.code for event in desk.world.events if isinstance(event, Warned)] == ["hook-failed"] * 2


def test_totals_and_report_come_before_after(desk: Desk) -> None:
    """A hook that takes the line down must not take it from the report."""
    desk.world.publish("a", noise("a"))
    seen: list[int] = []
    desk.sync(acts={"after": lambda _: seen.append(sum(isinstance(event, Summed) for event in desk.world.events))})
    assert seen == [1]


def test_no_fact_is_a_variable_of_the_config(desk: Desk) -> None:
    """A hook that calls netclnt must not change what that does."""
    desk.world.publish("a", noise("a"))
    desk.world.publish("b", noise("b"))
    desk.world.root.put_file("b", b"the admin's own")
    desk.sync()
    told = {name for call in desk.programs.calls for name in call.environment}
    tables = (MasterConfig, SlaveConfig)
    assert not told & {key.variable for table in tables for key in keys(table).values()}
    assert not told & {"NETCLNT_CONFIG", "NETCLNT_PROFILE", "NETCLNT_JSON", "NETCLNT_QUIET", "NETCLNT_VERBOSE"}


def test_lists_are_bounded() -> None:
    programs = MemoryPrograms({"/after": MemoryProgram()})
    hooks = Hooks(commands={Hook.AFTER: [["/after"]]}, seconds=1, programs=programs, explain=explained)
    result = Result(changed=[(f"{'x' * 200}/{number}", number) for number in range(100_000)])
    result.failed = [(f"failed/{number}", bad()) for number in range(100_000)]
    with hooks.around(result, lambda _: None):
        pass
    (call,) = programs.calls
    assert len(call.stdin) < 1 << 20
    assert len(call.environment["NETCLNT_MESSAGE"]) == 1000
    assert call.environment["NETCLNT_CHANGED"] == "100000"


def bad() -> NetclntError:
    return StorageFailed(action="create", path="/root", errno=30, cause="read-only")
