"""A run as the slave's own ledger remembers it, for ``status`` and the history."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Self

from netclnt.cli.errors import explain
from netclnt.cli.session import Session
from netclnt.cli.show import now
from netclnt.errors import ExitCode, LedgerBusy, LedgerDamaged, Locked, NetclntError
from netclnt.events import Event, Summed
from netclnt.ledger import Ledger
from netclnt.outcome import outcome


class Recorded:
    """Within, a run is in the ledger from :meth:`begin` on, ended by :meth:`end` or by the error that leaves the block.

    A start that found the root locked is no run."""

    def __init__(self, session: Session, ledger: Ledger) -> None:
        self._session = session
        self._ledger = ledger
        self._summed = Summed(0, 0, 0, 0.0, 0, 0)
        self._begun = False

    def observe(self, event: Event) -> None:
        """The run's Observer."""
        if isinstance(event, Summed):
            self._summed = event
        self._session.observe(event)

    def __enter__(self) -> Self:
        return self

    def begin(self) -> None:
        """Record the run. Behind one that never ended, the ledger is read through first: raises LedgerDamaged."""
        self._begun = True
        try:
            clean = self._ledger.start_run(self._session.run_id, self._session.command, self._session.started)
        except LedgerBusy:
            self._begun = False  # or else its end would wait as long once more
            raise
        if not clean:
            self._ledger.check()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # what proved to be damaged stays open, so that the next run reads the ledger through
        if error is None or isinstance(error, LedgerDamaged) or (isinstance(error, LedgerBusy | Locked) and not self._begun):
            return
        told = explain(error)
        code = outcome(whole_run=[told.code], images=self._session.failures)
        # the error that ends the run is the one to tell, not that the ledger could not take it
        with suppress(NetclntError):
            if not self._begun:
                self.begin()
            self.end(code, generation=0, images_changed=self._summed.images_changed, message=told.sentence)

    def end(self, code: ExitCode, *, generation: int, images_changed: int, message: str = "") -> None:
        summed = self._summed
        self._ledger.end_run(
            self._session.run_id,
            ended=now(),
            code=int(code),
            generation=generation,
            images_changed=images_changed,
            bytes_fetched=summed.bytes_fetched,
            bytes_reused=summed.bytes_reused,
            seconds=self._session.seconds,
            message=message.replace("\n", " ")[:1000],
        )
