"""Carrying out an offer's changes, one image after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from netclnt.errors import (
    ActivationDeferred,
    AuthError,
    LedgerBusy,
    LedgerDamaged,
    NetclntError,
    Paused,
    SourceMissing,
    Stopped,
    TemporaryError,
)
from netclnt.events import Failed, Observer
from netclnt.imagehooks import announce
from netclnt.model import Version
from netclnt.offer import Offer, Questions, applied_state, is_still_offered
from netclnt.oneimage import Job, SupersededError, bring_image, forecast_image
from netclnt.relocate import forget_roots
from netclnt.result import Result
from netclnt.selection import rank
from netclnt.slave import Slave

OF_THE_RUN = (TemporaryError, AuthError, LedgerBusy, LedgerDamaged, Stopped)
"""Errors that the next image would meet, too (but for a missing file of the store)."""


class Carrier:
    """Carries out, or forecasts, the changes of one offer, and notes in ``result`` what came of it. What the offer holds that
    cannot be taken has failed already."""

    def __init__(self, slave: Slave, offer: Offer, result: Result, questions: Questions, observer: Observer) -> None:
        self._slave = slave
        self._offer = offer
        self._result = result
        self._questions = questions
        self._observer = observer
        result.generation = offer.state.generation
        result.differences = len(offer.changes)
        result.failed.clear()
        result.paused = None
        result.deferred.clear()
        self._deferred: set[str] = set()

    def out(self, *, whole: bool) -> bool:
        """Carry out the changes, which are ``whole`` if nothing was left out of them; False if the master changed its offer
        meanwhile, so that it should be looked at again."""
        ledger = self._slave.ledger
        if ledger.identity() is None:
            ledger.set_identity(self._offer.state.identity)
        self._fail_refused()
        for job in self._jobs():
            try:
                with self._alone(job.version.name):
                    self._note(job)
            except SupersededError:
                return False
        if whole and not self._result.failed and not self._result.paused:
            if not self._deferred:
                ledger.set_applied(applied_state(self._slave, self._offer.state))
            self._clean_up()
        if self._deferred and self._result.paused is None:
            self._result.paused = ActivationDeferred(tuple(name for name, _ in self._result.deferred))
        return True

    def forecast(self) -> None:
        self._fail_refused()
        for job in self._jobs():
            with self._alone(job.version.name):
                forecast_image(job)

    def _note(self, job: Job) -> None:
        self._questions.close()
        done = bring_image(job)
        self._result.bytes_reused += done.bytes_reused
        noted = {"recorded": self._result.recorded, "deferred": self._result.deferred}.get(done.result, self._result.changed)
        noted.append((done.image, done.version))
        if done.result == "moved":
            self._result.moved.append((done.image, done.version))
        self._observer(done)
        if done.result == "deferred":
            self._deferred.add(job.version.manifest)
        else:
            announce(self._slave, self._result, self._observer, name=done.image)

    def _jobs(self) -> Iterator[Job]:
        for change in sorted(self._offer.changes, key=lambda change: rank(change, self._slave.priority)):
            if change.offered is not None and change.to_do:
                yield Job(
                    slave=self._slave.at(change.offered),
                    change=change,
                    version=change.offered,
                    state=self._offer.state,
                    observer=self._observer,
                    still_offered=self._still_offered,
                )

    def _still_offered(self, version: Version) -> bool:
        found = is_still_offered(self._slave, version, self._offer.state, self._questions)
        if self._slave.hooks is not None:  # each of which may take its time
            self._questions.close()
        return found

    @contextmanager
    def _alone(self, image: str) -> Iterator[None]:
        """An error that concerns this image alone is noted, and the run goes on; also with what needs no line, where that may be
        used no more."""
        try:
            yield
        except Paused as error:
            self._result.paused = self._result.paused or error
        except NetclntError as error:
            if isinstance(error, OF_THE_RUN) and not isinstance(error, SourceMissing):
                raise
            self._fail(image, error)

    def _fail_refused(self) -> None:
        for each in self._offer.refused:
            self._fail(each.name, each.error)

    def _fail(self, image: str, error: NetclntError) -> None:
        self._result.failed.append((image, error))
        self._observer(Failed(image, error))

    def _clean_up(self) -> None:
        """After a run that left nothing to do but to show what is deferred, whatever older runs left behind is of no use."""
        root, ledger = self._slave.root, self._slave.ledger
        for token in root.staged():
            if token not in self._deferred:
                self._slave.discard(token)
        kept = {kept.token for kept in ledger.kept(None)}
        for token in root.kept():
            if token not in kept:
                root.drop(token)
        forget_roots(self._slave)
        digests = {held.manifest for held in ledger.held()} | {kept.manifest for kept in ledger.kept(None)}
        digests |= {old.manifest for old in ledger.places.old()} | self._deferred
        self._slave.manifests.keep_only(digests)
