"""The main job: bring a slave up to its master's offer, image by image, each shown only when it is whole and verified."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from netclnt.errors import (
    AuthError,
    ExitCode,
    LedgerBusy,
    LedgerDamaged,
    NetclntError,
    SourceMissing,
    Stopped,
    TemporaryError,
    outcome,
)
from netclnt.events import Failed, Observer, Summed, Warned
from netclnt.model import CatalogState, Report, Version
from netclnt.offer import Offer, Questions, applied_state, is_still_offered, look_at_offer
from netclnt.oneimage import Job, SupersededError, bring_image, forecast_image
from netclnt.selection import Selection
from netclnt.slave import Slave

_ROUNDS_MAX = 3
"""How often a run begins anew because the master changed its offer meanwhile."""

_OF_THE_RUN = (TemporaryError, AuthError, LedgerBusy, LedgerDamaged, Stopped)
"""Errors that the next image would meet, too (but for a missing file of the store)."""


@dataclass(slots=True)
class Result:
    """What a run did. ``changed`` and ``recorded`` are images that are now up to date, with their versions; ``failed`` those that
    are not, with the errors that concern them alone; ``differences`` counts the changes that there were."""

    generation: int = 0
    differences: int = 0
    changed: list[tuple[str, int]] = field(default_factory=list)
    recorded: list[tuple[str, int]] = field(default_factory=list)
    failed: list[tuple[str, NetclntError]] = field(default_factory=list)

    @property
    def exit_code(self) -> ExitCode:
        succeeded = bool(self.changed or self.recorded)
        return outcome(images=[error.exit_code for _, error in self.failed], succeeded=succeeded)


def sync(slave: Slave, selection: Selection | None, *, observer: Observer) -> Result:
    """Bring everything inside ``selection`` up to date (None: all that the slave should hold).

    Errors that concern one image are in the result, and the others go on; an error that concerns the run is raised. Either way
    the totals are told to the observer, and the run is reported to the master.
    """
    run = _Run(slave, observer)
    with slave.root.lock(slave.holder), run.told():
        for _ in range(_ROUNDS_MAX):
            offer = look_at_offer(slave, selection, run.questions, observer)
            if offer is None or run.apply(offer, whole=selection is None):
                break
    return run.result


def forecast(slave: Slave, selection: Selection | None, *, observer: Observer) -> Result:
    """A dry run: tell the observer the plan of every change. Nothing is changed but caches in the state directory."""
    run = _Run(slave, observer)
    offer = look_at_offer(slave, selection, run.questions, observer)
    if offer is not None:
        run.forecast(offer)
    run.summarize()
    return run.result


class _Run:
    """One run: its counts, and what it tells."""

    def __init__(self, slave: Slave, observer: Observer) -> None:
        self._slave = slave
        self._observer = observer
        self._began = slave.monotonic()
        self._started = slave.now()
        self._reused = 0
        self.questions = Questions()
        self.result = Result()

    def apply(self, offer: Offer, *, whole: bool) -> bool:
        """Carry out the changes; False if the master changed its offer meanwhile."""
        self._note(offer)
        ledger = self._slave.ledger
        if ledger.identity() is None:
            ledger.set_identity(offer.state.identity)
        for job in self._jobs(offer):
            try:
                with self._alone(job.version.name):
                    done = bring_image(job)
                    self._reused += done.bytes_reused
                    (self.result.changed if done.result == "updated" else self.result.recorded).append((done.image, done.version))
                    self._observer(done)
            except SupersededError:
                return False
        if whole and not self.result.failed:
            ledger.set_applied(applied_state(self._slave, offer.state))
            self._clean_up()
        return True

    def forecast(self, offer: Offer) -> None:
        self._note(offer)
        for job in self._jobs(offer):
            with self._alone(job.version.name):
                forecast_image(job)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Around a run: in the end, totals to the observer and a report to the master."""
        error: NetclntError | None = None
        try:
            yield
        except NetclntError as caught:
            error = caught
            raise
        finally:
            self.summarize()
            if self.result.generation and self._slave.report and not isinstance(error, Stopped):
                self._report(error)

    def summarize(self) -> None:
        source = self._slave.source
        self._observer(
            Summed(
                images_changed=len(self.result.changed),
                bytes_fetched=source.bytes_received,
                bytes_reused=self._reused,
                seconds=self._slave.monotonic() - self._began,
                queries=self.questions.queries,
                sftp_connections=source.connections,
            )
        )

    def _note(self, offer: Offer) -> None:
        self.result.generation = offer.state.generation
        self.result.differences = len(offer.changes)
        self.result.failed.clear()

    def _jobs(self, offer: Offer) -> Iterator[Job]:
        for change in offer.changes:
            if change.offered is not None and change.to_do:
                yield Job(
                    slave=self._slave,
                    change=change,
                    version=change.offered,
                    state=offer.state,
                    observer=self._observer,
                    still_offered=_Asker(self._slave, offer.state, self.questions),
                )

    @contextmanager
    def _alone(self, image: str) -> Iterator[None]:
        """An error that concerns this image alone is noted, and the run goes on."""
        try:
            yield
        except NetclntError as error:
            if isinstance(error, _OF_THE_RUN) and not isinstance(error, SourceMissing):
                raise
            self.result.failed.append((image, error))
            self._observer(Failed(image, error))

    def _clean_up(self) -> None:
        """After a run that left nothing to do, whatever older runs left behind is of no use."""
        root, ledger = self._slave.root, self._slave.ledger
        for token in root.staged():
            root.discard(token)
            ledger.journal_clear(token)
        kept = {kept.token for kept in ledger.kept(None)}
        for token in root.kept():
            if token not in kept:
                root.drop(token)
        digests = {held.manifest for held in ledger.held()} | {kept.manifest for kept in ledger.kept(None)}
        self._slave.manifests.keep_only(digests)

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
            bytes_reused=self._reused,
            error="; ".join(str(each) for each in ([error] if error else [failure for _, failure in result.failed]))[:1000],
            hint="",
            images=tuple((held.name, held.number) for held in slave.ledger.held()),
        )
        try:
            catalog = slave.open_catalog()
            try:
                catalog.report(report)
            finally:
                catalog.close()
        except NetclntError as failure:
            self._observer(Warned("not-reported", f"The catalog did not take this run's report: {failure}"))


@dataclass(frozen=True, slots=True)
class _Asker:
    """Asks the master whether a version is still current."""

    slave: Slave
    state: CatalogState
    questions: Questions

    def __call__(self, version: Version) -> bool:
        return is_still_offered(self.slave, version, self.state, self.questions)
