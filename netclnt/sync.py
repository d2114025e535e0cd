"""The main job: bring a slave up to its master's offer, image by image, each shown only when it is whole and verified."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from netclnt.costs import quota_used, sum_up
from netclnt.errors import LineBroken, NetclntError, Stopped
from netclnt.events import Event, Observer, Planned, Summed, Warned
from netclnt.model import Report
from netclnt.offer import Offer, Questions, look_at_offer
from netclnt.result import Result
from netclnt.selection import Selection
from netclnt.slave import Slave

if TYPE_CHECKING:
    from netclnt.carry import Carrier

_ROUNDS_MAX = 3
"""How often a run begins anew because the master changed its offer meanwhile."""


def sync(slave: Slave, selection: Selection | None, *, observer: Observer, begun: Callable[[], None] = lambda: None) -> Result:
    """Bring everything inside ``selection`` up to date (None: all that the slave should hold). ``begun`` is called when the root
    is held.

    Errors that concern one image are in the result, and the others go on; an error that concerns the run is raised. Either way
    the totals are told to the observer, and the run is reported to the master.
    """
    run = _Run(slave, observer)
    with slave.root.lock(slave.holder), _begun(slave, run.result, observer, begun), run.told():
        slave.allowance.begin(quota_used(slave))
        _clear_old_places(slave, observer)
        _announce(slave, run.result, observer)
        for _ in range(_ROUNDS_MAX):
            offer = look_at_offer(slave, selection, run.questions, observer, write=True)
            if offer is None or run.carry(offer).out(whole=selection is None):
                break
        else:
            raise LineBroken("catalog", slave.source.address, f"its offer changed {_ROUNDS_MAX} times while it was fetched")
    return run.result


@contextmanager
def _begun(slave: Slave, result: Result, observer: Observer, begun: Callable[[], None]) -> Iterator[None]:
    """Around all that a run does with the root held, its report included."""
    begun()
    if slave.hooks is None:
        yield
        return
    with slave.hooks.around(result, observer):
        yield


def _announce(slave: Slave, result: Result, observer: Observer) -> None:
    """What an earlier run recorded, and then died, or failed to tell. Loaded only where there are hooks."""
    if slave.hooks is not None:
        from netclnt.imagehooks import announce  # noqa: PLC0415 - see above

        announce(slave, result, observer)


def forecast(slave: Slave, selection: Selection | None, *, observer: Observer) -> Result:
    """A dry run: tell the observer the plan of every change. Nothing is changed but caches in the state directory; so what an
    interrupted run left in staging is not looked at, and a plan may say more than the real run has to do."""
    plans: list[Planned] = []

    def observe(event: Event) -> None:
        if isinstance(event, Planned):
            plans.append(event)
        observer(event)

    run = _Run(slave, observe)
    offer = look_at_offer(slave, selection, run.questions, observer, write=False)
    if offer is not None:
        run.carry(offer).forecast()
    observer(sum_up(slave, plans, run.summed()))
    return run.result


def _clear_old_places(slave: Slave, observer: Observer) -> None:
    """Of what an earlier run moved to another root and could not clear. Loaded only where there is any."""
    if slave.ledger.places.old():
        from netclnt.relocate import clear_old_places  # noqa: PLC0415 - see above

        clear_old_places(slave, observer)


class _Run:
    """One run: its counts, and what it tells."""

    def __init__(self, slave: Slave, observer: Observer) -> None:
        self._slave = slave
        self._observer = observer
        self._began = slave.monotonic()
        self._started = slave.now()
        self.questions = Questions(slave.open_catalog)
        self.result = Result()

    def carry(self, offer: Offer) -> Carrier:
        """Who carries out the offer's changes; loaded only when there are any: a slave that is up to date starts quicker."""
        from netclnt.carry import Carrier  # noqa: PLC0415 - see above

        return Carrier(self._slave, offer, self.result, self.questions, self._observer)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Around a run: in the end, totals to the observer and a report to the master. A bug is told by nobody but itself."""
        try:
            yield
        except NetclntError as error:
            self._end(error)
            raise
        else:
            self._end(None)
        finally:
            self.questions.close()

    def _end(self, error: NetclntError | None) -> None:
        self._observer(self.summed())
        if self.result.generation and self._slave.report and not isinstance(error, Stopped):
            self._report(error)

    def summed(self) -> Summed:
        source = self._slave.source
        return Summed(
            images_changed=len(self.result.changed),
            bytes_fetched=source.bytes_received,
            bytes_reused=self.result.bytes_reused,
            seconds=self._slave.monotonic() - self._began,
            queries=self.questions.queries,
            sftp_connections=source.connections,
        )

    def _report(self, error: NetclntError | None) -> None:
        slave, result = self._slave, self.result
        report = Report(
            server=slave.name,
            machine_id=slave.machine_id,
            generation=result.generation,
            result=(error.exit_code if error else result.exit_code).name,
            started=self._started,
            seconds=slave.monotonic() - self._began,
            bytes_fetched=slave.source.bytes_received,
            bytes_reused=self.result.bytes_reused,
            error="; ".join(str(each) for each in ([error] if error else result.problems))[:1000],
            hint="",
            images=tuple((held.name, held.number) for held in slave.ledger.held()),
        )
        try:
            self.questions.catalog().report(report)
        except NetclntError as failure:
            self._observer(Warned("not-reported", f"The catalog did not take this run's report: {failure}"))
