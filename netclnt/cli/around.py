"""What surrounds a run that nobody watches: one list, in order, each a context manager around all that follow.

A surrounding is a function of the :class:`Run`. Before its ``yield`` it may wait, tell, or refuse the run by raising; behind it,
the run and all surroundings further in are over, and ``run.code`` and ``run.told`` say how. It lets errors through::

    @contextmanager
    def mentioned(run: Run) -> Iterator[None]:
        print("begins")
        try:
            yield
        finally:
            print("ended with", run.code)

:mod:`netclnt.cli.surroundings` has the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from types import TracebackType

from netclnt.cli.errors import Explained, explain
from netclnt.cli.output import OutputClosed
from netclnt.cli.session import Session
from netclnt.cli.show import event_line
from netclnt.config import SlaveConfig
from netclnt.errors import ExitCode
from netclnt.events import Event, Failed, Summed
from netclnt.outcome import outcome


@dataclass
class Run:
    """One run as its surroundings see it.

    ``code`` is how it ends, as far as it is known: None while it goes on, and for one whose standard output's reader went away.
    ``told`` is the error that ended it, if one did. ``begun`` are called when the root is held: from then on it is a run that
    counts, not a start that found another one there; ``mentioned`` for an error that is told though it does not end the run.
    ``summed`` and ``failed`` (the images) are what the events said.
    """

    session: Session
    config: SlaveConfig
    code: ExitCode | None = None
    told: Explained | None = None
    begun: list[Callable[[], None]] = field(default_factory=list)
    mentioned: list[Callable[[Explained], None]] = field(default_factory=list)
    summed: Summed = field(default_factory=lambda: Summed(0, 0, 0, 0.0, 0, 0))
    failed: set[str] = field(default_factory=set)

    @property
    def ending(self) -> str:
        """How it ended, in one line for people."""
        if self.code is None:
            return "standard output's reader went away"
        return f"{self.code.name}: {self.told.sentence if self.told else event_line(self.summed, verbose=0)}".replace("\n", " ")

    def observe(self, event: Event) -> None:
        if isinstance(event, Summed):
            self.summed = event
        elif isinstance(event, Failed):
            self.failed.add(event.image)

    def begin(self) -> None:
        for each in self.begun:
            each()

    def mention(self, told: Explained) -> None:
        self.session.view.failed(told)
        for each in self.mentioned:
            each(told)

    def judge(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        """As a context manager's exit: the error that passes decides how the run ends."""
        if isinstance(error, OutputClosed):
            self.code = self.told = None
        elif error is not None:
            self.told = explain(error)
            self.code = outcome(whole_run=[self.told.code], images=self.session.failures)


Surrounding = Callable[[Run], AbstractContextManager[None]]


def surrounded(run: Run, around: Iterable[Surrounding], body: Callable[[], ExitCode]) -> ExitCode:
    """``body()`` inside all of ``around``, the first of them outermost."""
    run.session.observers.append(run.observe)
    with ExitStack() as stack:
        for surrounding in around:
            stack.enter_context(surrounding(run))
            stack.push(run.judge)
        run.code = body()
    return run.code
