"""What each version of an image would cost if it were brought here now: the plan of a dry run, made for one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netclnt.carry import OF_THE_RUN
from netclnt.diff import Action, Change
from netclnt.errors import NetclntError, SourceMissing
from netclnt.events import Event, Observer, Planned
from netclnt.model import CatalogState, Version
from netclnt.oneimage import Job, forecast_image
from netclnt.slave import Slave


@dataclass(frozen=True, slots=True)
class Cost:
    """Of bringing a ``version`` here. ``plan`` is None where it cannot be known, for ``error``."""

    version: Version
    plan: Planned | None
    error: NetclntError | None = None


def appraise(slave: Slave, state: CatalogState, versions: Iterable[Version], observer: Observer) -> Iterator[Cost]:
    """The cost of each version. Its manifest and locations are fetched, as far as they are not here; nothing else is, and nothing
    is changed but caches in the state directory. Raises what the next version would meet, too."""
    for version in versions:
        yield _cost(slave, state, version, observer)


def _cost(slave: Slave, state: CatalogState, version: Version, observer: Observer) -> Cost:
    held = slave.ledger.get(version.name)
    if held is not None and held.manifest == version.manifest and not held.damaged:
        return Cost(version, Planned(version.name, 0, 0, 0, 0, 0.0))
    plans: list[Planned] = []

    def observe(event: Event) -> None:
        if isinstance(event, Planned):
            plans.append(event)
        else:
            observer(event)

    action = Action.NEW if held is None else Action.UPDATE
    local = None if held is None else held.number
    change = Change(action, version.kind, version.name, local, version, version.size)
    job = Job(slave.at(version), change, version, state, observe, still_offered=lambda _: True)
    try:
        forecast_image(job)
    except NetclntError as error:
        if isinstance(error, OF_THE_RUN) and not isinstance(error, SourceMissing):
            raise
        return Cost(version, None, error)
    return Cost(version, plans[-1])
