"""The commit protocol as a small model, gone through exhaustively: every step of an update, dying or losing power behind each,
every way in which unsynced writes may be lost, the next run from there, and dying in that one, too.

The model's steps are the words of :mod:`tests.support.recorder`; a real run must take exactly these, in this order, and one that
dies at any of them must be followed by what the model says. So neither can drift from the other.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import pytest

from netclnt.errors import ExitCode
from netclnt.files.root import open_root
from netclnt.ledger import Ledger
from netclnt.localmanifests import Manifests
from netclnt.memory.source import MemorySource
from tests.support.recorder import Recorder, recorded
from tests.support.world import World

_STAGED = ("fsync staging", "write staged", "fsync staged", "fsync stage", "ask")
_GONE = ("fsync stage", "fsync staging")
_KEEP = ("fsync spare", "rename spare to keep", "fsync all kept")
_FILE = ("fsync staging", "link live to aside", *_KEEP, "rename staged to live", "fsync root")
_TREE = (
    *("rename staged to staged", "exchange staged with live", "fsync root"),
    *("fsync staging", "rename staged to aside", *_KEEP),
)
_RECORD = ("ledger record", "ledger set_applied", "report")

PROGRAMS = {
    "file": ("ask", *_STAGED, *_FILE, *_GONE, "ledger keep", *_RECORD),
    "tree": ("ask", *_STAGED, *_TREE, *_GONE, "ledger keep", *_RECORD),
    "new": ("ask", *_STAGED, "rename staged to live", "fsync root", *_GONE, *_RECORD),
}
"""What a run does that brings one image: its steps in their order. ``new`` is one that was not there before."""

FOUND = ("ask", "secure live", "ledger record", "ledger set_applied", "report")
"""What a run does that finds the version shown, but not recorded; it remembers the kept one where there is one."""

OLD, NEW = "the old version", "the new version"
_STATES_MAX = 5000
_MOVED, _EMPTY = "whatever lies aside", "a directory with nothing in it"


@dataclass(frozen=True)
class Op:
    """A change of names that is in memory only; durable as a whole once the directory it leads into is synced."""

    directory: str
    names: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class State:
    """``names`` are place and file as processes see them, ``durable`` as the disk has them but for ``pending``; ``content`` is
    what the new version's file holds (now, on disk); ``held`` says which version the ledger takes the live one for."""

    names: frozenset[tuple[str, str]]
    durable: frozenset[tuple[str, str]]
    pending: tuple[Op, ...] = ()
    content: tuple[str, str] = ("", "")
    held: str = ""
    kept: bool = False
    applied: bool = False

    def at(self, place: str) -> str:
        return dict(self.names).get(place, "")

    def rename(self, directory: str, **names: str) -> State:
        op = Op(directory, tuple(names.items()))
        changed = _changed(self.names, op)
        if changed == self.names:
            return self
        older = (each for each in self.pending if each.directory != directory or not dict(each.names).keys() <= names.keys())
        return replace(self, names=changed, pending=(*older, op))

    def synced(self, directory: str) -> State:
        durable = self.durable
        for op in self.pending:
            if directory in (op.directory, ""):
                durable = _changed(durable, op)
        left = tuple(op for op in self.pending if directory not in (op.directory, ""))
        return replace(self, durable=durable, pending=left)

    @property
    def staged(self) -> str:
        """What lies in staging; a later run finds it under either name."""
        return self.at("staged") or (self.at("ready") if self.at("ready") == NEW else "")

    @property
    def is_shown(self) -> bool:
        return self.at("live") == NEW and self.content[0] == "whole"


def _changed(names: frozenset[tuple[str, str]], op: Op) -> frozenset[tuple[str, str]]:
    found, changed = dict(names), dict(op.names)
    if changed.get("kept") == _MOVED:
        changed["kept"] = found.get("aside", _EMPTY)
    found |= changed
    return frozenset((place, file) for place, file in found.items() if file)


def steps_of(step: str, state: State) -> Iterator[State]:
    """The states that a step goes through, the last one being that behind it."""
    match step.split():
        case ["write", "staged"]:
            state = replace(state.rename("stage", staged=NEW), content=("part", state.content[1]))
            yield state
            yield replace(state, content=("whole", state.content[1]))
        case ["fsync", "staged"]:
            yield replace(state, content=(state.content[0], state.content[0]))
        case ["fsync", "staging"] if state.at("live") == NEW and state.at("ready") != OLD:
            yield state.rename("staging", staged="", ready="")
            yield state.rename("staging", staged="", ready="").synced("staging")
        case ["fsync", "all", "kept"]:
            yield state.synced("all kept")
        case ["fsync", directory]:
            yield state.synced(directory)
        case ["link", "live", "to", "aside"]:
            yield state.rename("spare", aside=state.at("live"))
        case ["rename", "staged", "to", "live"]:
            yield state.rename("root", live=state.staged, staged="")
        case ["rename", "staged", "to", "staged"]:
            yield state.rename("stage", ready=state.staged, staged="")
        case ["exchange", "staged", "with", "live"]:
            yield state.rename("root", live=state.at("ready"), ready=state.at("live"))
        case ["rename", "staged", "to", "aside"]:
            yield state.rename("spare", aside=state.at("ready"), ready="")
        case ["rename", "spare", "to", "keep"]:
            yield state.rename("all kept", kept=_MOVED, aside="")
        case ["secure", "live"]:
            yield replace(state.synced(""), content=(state.content[0], state.content[0]))
        case ["ledger", "keep"]:
            yield replace(state, kept=True)
        case ["ledger", "record"]:
            yield replace(state, held=NEW)
        case ["ledger", "set_applied"]:
            yield replace(state, applied=True)
        case ["ask"] | ["report"]:
            yield state
        case _:
            raise AssertionError(f"the model knows no step {step}")


def after_power_cut(state: State) -> Iterator[State]:
    """Every disk that a power cut may leave: any of the pending changes of names, any content that was not synced."""
    now, durable = state.content
    contents = {now} if now == durable else {now, durable, "part"}
    for lost in product((False, True), repeat=len(state.pending)):
        names = state.durable
        for op, is_lost in zip(state.pending, lost, strict=True):
            names = names if is_lost else _changed(names, op)
        for content in contents if NEW in dict(names).values() else {""}:  # a file without a name is no more
            yield replace(state, names=names, durable=names, pending=(), content=(content, content))


def next_run(state: State, program: Sequence[str]) -> list[str]:
    """What the next run does from here."""
    if state.is_shown:
        if state.held == NEW:
            return [] if state.applied else ["ask", "ledger set_applied"]
        return [*FOUND[:2], *(["ledger keep"] if state.at("kept") else []), *FOUND[2:]]
    whole = state.staged == NEW and state.content[0] == "whole"
    return [step for step in program if not (whole and step == "write staged")]


@dataclass
class Found:
    """How many states were gone through, and the promises that were broken, each with the first state that shows it."""

    states: int = 0
    broken: dict[str, State] = field(default_factory=dict)

    def look(self, state: State) -> None:
        if state.at("live") == NEW and state.content[0] != "whole":
            self.broken.setdefault("P1", state)  # half a version is shown
        if state.held == OLD and not state.at("live"):
            self.broken.setdefault("P1", state)  # the live name vanished
        if state.held == NEW and not state.is_shown:
            self.broken.setdefault("P2 P3", state)  # the ledger claims what the disk lacks
        if state.kept and state.at("kept") != OLD:
            self.broken.setdefault("P3", state)  # or that an old version was kept


def explore(program: Sequence[str], first: State, *, without: str = "") -> Found:
    """Go through everything. ``without`` leaves a step out of all runs, to see that it is missed."""
    found = Found()
    todo, seen = [first], {first}
    while todo:
        start = todo.pop()
        run = [step for step in next_run(start, program) if step != without]
        behind = start
        for number, step in enumerate([*run, "end"]):
            is_staged = run[:number].count("ask") == 2  # all is there: whatever happens now, nothing need be fetched again
            for state in [behind] if step == "end" else steps_of(step, behind):
                found.states += 1
                for crashed in (state, *after_power_cut(state)):
                    found.look(crashed)
                    had_it = is_staged if crashed is not state else bool(state.staged) and state.content[0] == "whole"
                    if had_it and "write staged" in next_run(crashed, program):
                        found.broken.setdefault("P4", crashed)
                    if crashed not in seen:
                        seen.add(crashed)
                        assert len(seen) < _STATES_MAX
                        todo.append(crashed)
                behind = state
        if (behind.held, behind.applied, behind.is_shown) != (NEW, True, True):
            found.broken.setdefault("end", behind)
    return found


def begin(case: str) -> State:
    names = frozenset() if case == "new" else frozenset({("live", OLD)})
    return State(names, names, held="" if case == "new" else OLD)


@pytest.mark.parametrize("case", PROGRAMS)
def test_P1_P2_P3_P4_every_death_and_power_cut_at_every_step(case: str) -> None:
    found = explore(PROGRAMS[case], begin(case))
    assert found.broken == {}
    assert found.states > 100


MISSED = [
    pytest.param("fsync staged", "P1", id="content-before-its-name"),
    pytest.param("fsync root", "P2 P3", id="the-name-before-the-ledger"),
    pytest.param("secure live", "P2 P3", id="what-a-dead-run-showed-before-the-ledger"),
    pytest.param("fsync stage", "P4", id="staging-before-the-rest"),
]


@pytest.mark.parametrize(("step", "promise"), MISSED)
@pytest.mark.parametrize("case", PROGRAMS)
def test_the_model_misses_each_step_that_is_left_out(case: str, step: str, promise: str) -> None:
    assert promise in explore(PROGRAMS[case], begin(case), without=step).broken


@pytest.mark.parametrize("case", ["file", "tree"])
def test_the_model_misses_the_sync_of_what_is_about_to_be_kept(case: str) -> None:
    assert "P3" in explore(PROGRAMS[case], begin(case), without="fsync spare").broken


def test_the_model_misses_a_ledger_that_is_written_too_soon() -> None:
    steps = list(PROGRAMS["file"])
    steps.remove("ledger record")
    steps.insert(steps.index("fsync root"), "ledger record")
    assert "P2 P3" in explore(steps, begin("file")).broken


# --- the real thing


class Killed(BaseException):
    """Ends a run at one step, as SIGKILL would: nothing but closing of descriptors happens behind it."""


class Deadly(Recorder):
    """Records, and from the ``last`` step on lets nothing more happen; 0 is never."""

    last = 0

    def note(self, step: str) -> None:
        super().note(step)
        if self.last and len(self.steps) >= self.last:
            raise Killed


class Slave:
    """A slave on a real disk beside a master in memory that offers the second version of one image, the first one being held."""

    def __init__(self, directory: Path, case: str) -> None:
        for name in ("root", "master-side"):
            (directory / name).mkdir(parents=True)
        open_root(directory / "root", marker=None).close()
        self.directory = directory
        self.case = case
        self.world = World(directory / "master-side")
        self.world.ledger.close()
        if case != "new":
            self._publish(1)
            self.sync()
        self._publish(2)

    def _publish(self, seed: int) -> None:
        data = random.Random(seed).randbytes(100_000)
        self.world.publish("image", {"a/b": data, "c": b"unchanged"} if self.case == "tree" else data)

    def sync(self, recorder: Recorder | None = None) -> None:
        """As by a new process."""
        world = self.world
        world.source = MemorySource(world.store.files)
        world.manifests = Manifests(self.directory / "manifests")
        with Ledger(self.directory / "ledger") as ledger, open_root(self.directory / "root", marker=None) as root:
            world.ledger, world.root = ledger, root
            world.events.clear()
            result = world.sync(**({"open_catalog": lambda: _Told(world.catalog, recorder)} if recorder else {}))
            assert result.exit_code is ExitCode.OK


class _Told:
    """A catalog that tells a recorder what it is asked, and told."""

    def __init__(self, catalog: object, recorder: Recorder) -> None:
        self._catalog = catalog
        self._recorder = recorder

    def __getattr__(self, name: str) -> object:
        if name in ("state", "report"):
            self._recorder.note({"state": "ask", "report": "report"}[name])
        return getattr(self._catalog, name)


@pytest.mark.parametrize("case", PROGRAMS)
def test_a_real_run_takes_the_models_steps(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slave = Slave(tmp_path / "slave", case)
    with recorded(tmp_path / "slave/root", monkeypatch) as recorder:
        slave.sync(recorder)
    shared = ["link live to staged"] if case == "tree" else []  # the files that did not change, before anything is written
    assert [step for step in recorder.steps if step not in shared] == list(PROGRAMS[case])
    assert [step for step in recorder.steps if step in shared] == shared


@pytest.mark.parametrize("case", PROGRAMS)
def test_A1_P4_the_run_after_a_real_death_at_any_step_is_the_models(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [step for step in PROGRAMS[case] if step != "report"]
    for number in range(1 + steps.index("fsync staged"), len(steps) + 1):
        slave = Slave(tmp_path / str(number), case)
        place = tmp_path / str(number) / "root"
        with recorded(place, monkeypatch, Deadly) as deadly, suppress(Killed):
            deadly.last = number + (case == "tree")  # which shares a file first
            slave.sync(deadly)
        state = begin(case)
        for step in steps[: number - 1]:
            *_, state = steps_of(step, state)
        died_at = list(steps_of(steps[number - 1], state))
        state = died_at[0] if len(died_at) > 1 else state  # what an fsync is for had happened before it
        with recorded(place, monkeypatch) as after:
            slave.sync(after)
        expected = next_run(state, PROGRAMS[case])
        told = f"killed at {steps[number - 1]}: then {after.steps}"
        assert ("write staged" in after.steps) == ("write staged" in expected), told
        for step in ("secure live", "ledger record", "ledger keep"):
            assert (step in after.steps) == (step in expected), f"{step}: {told}"
        assert [event.result for event in slave.world.done] == (
            ["recorded"] if "secure live" in expected else ["updated"] if "ledger record" in expected else []
        ), told
        assert all(plan.blocks_missing == 0 for plan in slave.world.planned)
