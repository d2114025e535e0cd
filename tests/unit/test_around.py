"""What surrounds a run: in which order, and what it is told of the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from netclnt.cli.around import Run, Surrounding, surrounded
from netclnt.cli.errors import Explained, explain
from netclnt.cli.output import OutputClosed
from netclnt.errors import ExitCode, InQuarantine, Locked, NoSuchImage, Terminated
from netclnt.events import Failed, Summed


class FakeSession:
    """As much of a session as a run's surroundings look at here."""

    def __init__(self) -> None:
        self.observers: list[Any] = []
        self.failures: list[ExitCode] = []


@pytest.fixture
def run() -> Run:
    session: Any = FakeSession()
    config: Any = None
    return Run(session, config)


def noting(name: str, notes: list[object], *, fails: BaseException | None = None) -> Surrounding:
    @contextmanager
    def surrounding(run: Run) -> Iterator[None]:
        notes.append(name)
        if fails:
            raise fails
        try:
            yield
        finally:
            notes.append((name, run.code, run.told.cause if run.told else None))

    return surrounding


def test_the_first_is_outermost_and_all_hear_the_exit_code(run: Run) -> None:
    notes: list[object] = []
    assert surrounded(run, [noting("a", notes), noting("b", notes)], lambda: ExitCode.PARTIAL) is ExitCode.PARTIAL
    assert notes == ["a", "b", ("b", ExitCode.PARTIAL, None), ("a", ExitCode.PARTIAL, None)]


def test_an_error_passes_through_and_all_hear_it(run: Run) -> None:
    notes: list[object] = []

    def body() -> ExitCode:
        raise Locked("/srv/images", "pid 1")

    with pytest.raises(Locked):
        surrounded(run, [noting("a", notes), noting("b", notes)], body)
    assert notes[2:] == [("b", ExitCode.LOCKED, "Locked"), ("a", ExitCode.LOCKED, "Locked")]


def test_the_outer_ones_hear_of_one_that_refuses_the_run(run: Run) -> None:
    notes: list[object] = []

    def body() -> ExitCode:
        raise AssertionError("must not run")

    with pytest.raises(NoSuchImage):
        surrounded(run, [noting("a", notes), noting("b", notes, fails=NoSuchImage("x"))], body)
    assert notes == ["a", "b", ("a", ExitCode.USAGE, "NoSuchImage")]


def test_a_signal_while_an_inner_one_ends_is_how_the_run_ends(run: Run) -> None:
    notes: list[object] = []

    @contextmanager
    def interrupted(_: Run) -> Iterator[None]:
        yield
        raise Terminated

    with pytest.raises(Terminated):
        surrounded(run, [noting("a", notes), interrupted], lambda: ExitCode.OK)
    assert notes[-1] == ("a", ExitCode.TERMINATED, "Terminated")


def test_the_code_counts_single_images_as_the_process_does(run: Run) -> None:
    run.session.failures.append(ExitCode.INTEGRITY)

    def body() -> ExitCode:
        raise NoSuchImage("x")

    with pytest.raises(NoSuchImage):
        surrounded(run, [], body)
    assert run.code is None  # nobody is there to hear it
    notes: list[object] = []
    with pytest.raises(NoSuchImage):
        surrounded(run, [noting("a", notes)], body)
    assert notes[-1] == ("a", ExitCode.USAGE, "NoSuchImage")


def test_a_reader_that_went_away_is_no_end_with_a_code(run: Run) -> None:
    notes: list[object] = []

    def body() -> ExitCode:
        raise OutputClosed

    with pytest.raises(OutputClosed):
        surrounded(run, [noting("a", notes)], body)
    assert notes[-1] == ("a", None, None)
    assert run.ending == "standard output's reader went away"


def test_what_the_events_said(run: Run) -> None:
    def body() -> ExitCode:
        for observer in run.session.observers:
            observer(Failed("a", InQuarantine("a", 1, "", "")))
            observer(Failed("a", InQuarantine("a", 2, "", "")))
            observer(Summed(2, 10, 20, 1.5, 3, 1))
        return ExitCode.PARTIAL

    surrounded(run, [], body)
    assert run.failed == {"a"}
    assert run.ending.startswith("PARTIAL: 2 images changed")


def test_an_error_that_does_not_end_the_run_is_mentioned_to_all_who_asked(run: Run) -> None:
    told: list[Explained] = []
    session: Any = run.session
    session.view = SimpleNamespace(failed=told.append)
    run.mentioned.append(told.append)
    run.mention(explain(NoSuchImage("x")))
    assert [each.cause for each in told] == ["NoSuchImage"] * 2
    assert run.told is None


def test_begin_tells_all_who_asked(run: Run) -> None:
    begun: list[int] = []
    run.begun += [lambda: begun.append(1), lambda: begun.append(2)]
    run.begin()
    assert begun == [1, 2]
