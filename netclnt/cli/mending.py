"""A damaged ledger is replaced by the run that meets it, which then begins anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from netclnt.cli import edges
from netclnt.cli.patience import patiently
from netclnt.cli.session import Session
from netclnt.config import SlaveConfig
from netclnt.errors import LedgerDamaged, RootNotMounted
from netclnt.events import Warned

T = TypeVar("T")


def mending(config: SlaveConfig, session: Session, work: Callable[[], T]) -> T:
    """``work()``, which opens the ledger and closes it; done once more with a new one if that turns out to be damaged."""
    try:
        return work()
    except LedgerDamaged as error:
        _mend(config, session, error)
    return work()


def _mend(config: SlaveConfig, session: Session, error: LedgerDamaged) -> None:
    """Put the damaged ledger aside, with the root held.

    There was a ledger, so this root was marked: one without a marker is not mounted, and nothing is begun in it. What
    that takes is loaded only now: damage is rare.
    """
    from netclnt.files.root import open_root  # noqa: PLC0415 - see above
    from netclnt.ledger.rescue import replace_damaged, rescue  # noqa: PLC0415 - see above

    path = config.state / edges.LEDGER
    rescued = rescue(path)
    with open_root(config.root, marker=rescued.marker, writable=False) as root:
        if root.marker is None:
            raise RootNotMounted(path=root.path) from error
        rescued.marker = root.marker

        def replace() -> Path:
            with root.lock(session.holder):  # further roots are used by nobody who does not hold this one
                return replace_damaged(path, rescued, date=session.started[:19].replace(":", ""))

        aside = patiently(session, config.lock_timeout, replace)
    text = f"The ledger was damaged ({error.cause}) and lies at {aside} now; what is in {config.root} is hashed."
    session.observe(Warned("ledger-damaged", text))
