"""A run as the slave's own ledger remembers it, for ``status`` and the history."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

from netclnt.cli.errors import explain
from netclnt.cli.output import OutputClosed
from netclnt.cli.process import this_process
from netclnt.cli.session import Session
from netclnt.cli.show import now
from netclnt.cli.text import safe
from netclnt.errors import LedgerBusy, LedgerDamaged, Locked, NetclntError
from netclnt.events import Catalog, Changed, Event, Failed, ImageDone, Planned, Summed
from netclnt.ledger import Ledger, RunImage
from netclnt.outcome import outcome
from netclnt.schedule import Forecast

_TO_DO = ("new", "update", "replace-foreign")
_UNEVENTFUL = "verified"
_LEFT = "left"
_FAILED = "failed"


class Recorded:
    """Within, a run is in the ledger from :meth:`begin` on, ended by :meth:`end` or by the error that leaves the block.
    ``expect`` says what fetching so many bytes from now on will cost.

    A start that found the root locked is no run."""

    def __init__(self, session: Session, ledger: Ledger, expect: Callable[[int], Forecast] | None = None) -> None:
        self._session = session
        self._ledger = ledger
        self._expect = expect
        self._summed = Summed(0, 0, 0, 0.0, 0, 0)
        self._images = _Images()
        self._begun = False

    def observe(self, event: Event) -> None:
        """The run's Observer."""
        if isinstance(event, Summed):
            self._summed = event
        self._images.observe(event)
        self._session.observe(event)

    def __enter__(self) -> Self:
        return self

    def begin(self) -> None:
        """Record the run. Behind one that never ended, the ledger is read through first: raises LedgerDamaged."""
        self._begun = True
        session = self._session
        try:
            clean = self._ledger.start_run(session.run_id, session.command, session.started, process=this_process())
        except LedgerBusy:
            self._begun = False  # or else its end would wait as long once more
            raise
        if not clean:
            self._ledger.check()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # what proved to be damaged stays open, so that the next run reads the ledger through
        if error is None or isinstance(error, LedgerDamaged) or (isinstance(error, LedgerBusy | Locked) and not self._begun):
            return
        code, sentence = self._ending(error)
        # the error that ends the run is the one to tell, not that the ledger could not take it
        with suppress(NetclntError):
            if not self._begun:
                self.begin()
            self.end(code, generation=0, images_changed=self._summed.images_changed, message=sentence)

    def _ending(self, error: BaseException) -> tuple[int, str]:
        if isinstance(error, OutputClosed):
            return error.exit_code, error.sentence
        told = explain(error)
        return outcome(whole_run=[told.code], images=self._session.failures), told.sentence

    def end(self, code: int, *, generation: int, images_changed: int, message: str = "") -> None:
        summed, images = self._summed, self._images
        planned = images.forecast
        left = max(0, planned.bytes - summed.bytes_fetched) if planned and images.count(_LEFT) else 0
        self._ledger.end_run(
            self._session.run_id,
            ended=now(),
            code=int(code),
            generation=generation,
            images_changed=images_changed,
            images_failed=images.count(_FAILED),
            images_left=images.count(_LEFT),
            bytes_fetched=summed.bytes_fetched,
            bytes_reused=summed.bytes_reused,
            seconds=self._session.seconds,
            message=message.replace("\n", " ")[:1000],
            forecast_bytes=planned.bytes if planned else None,
            forecast_seconds=planned.seconds if planned else None,
            nights_left=self._expect(left).nights if left and self._expect else None,
            images={one.image: one for one in images.found.values()}.values(),  # odd names may be told alike
        )


class _Images:
    """What the events of a run say of its images. ``found`` are those that there is anything to remember of."""

    def __init__(self) -> None:
        self.found: dict[str, RunImage] = {}
        self._plans: dict[str, Planned] = {}

    def observe(self, event: Event) -> None:
        match event:
            case Catalog():  # a look at another offer: what was left of the one before may not be in it
                self.found = {name: one for name, one in self.found.items() if one.result != _LEFT}
                self._plans = {name: plan for name, plan in self._plans.items() if name in self.found}
            case Changed(image=name, action=action, to_version=version) if action in _TO_DO and name not in self.found:
                self.found[name] = RunImage(_told(name), _LEFT, version)
            case Planned(image=name):
                self._plans.setdefault(name, event)  # planned again, after trouble, it tells what is left
            case ImageDone(image=name, version=version, result=result) if result != _UNEVENTFUL:
                costs = (event.bytes_fetched, event.bytes_reused, event.seconds)
                self.found[name] = RunImage(_told(name), result, version, *costs)
            case Failed(image=name, error=error):
                before = self.found.get(name, RunImage(_told(name), _LEFT))
                result = _FAILED if before.result == _LEFT else before.result
                message = _told(explain(error).sentence.replace("\n", " "))
                self.found[name] = replace(before, result=result, message=message)

    def count(self, result: str) -> int:
        return sum(one.result == result for one in self.found.values())

    @property
    def forecast(self) -> Forecast | None:
        """What the images were expected to cost, each by the plan that was made right before its turn; None without any."""
        seconds = [plan.seconds for plan in self._plans.values()]
        known = [one for one in seconds if one is not None]
        count = sum(plan.bytes_fetch for plan in self._plans.values())
        return Forecast(count, sum(known) if len(known) == len(seconds) else None, None) if seconds else None


def _told(text: str) -> str:
    """What a refused name may hold, as text that a ledger takes."""
    return safe(text)[:1000]
