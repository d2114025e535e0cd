"""What a run is expected to cost, by what the line may be used for and what it gave of late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from netclnt.events import Forecasted, Planned, Summed
from netclnt.ledger import Ledger
from netclnt.schedule import Forecast
from netclnt.slave import Slave

_RUNS_COUNTED = 5
_WORTHWHILE_BYTES = 1 << 20


def expect(slave: Slave, count: int) -> Forecast:
    """The forecast for fetching so many bytes from now on."""
    return slave.allowance.estimate(count, line_rate=_line_rate(slave.ledger))


def quota_used(slave: Slave) -> int:
    """Bytes that runs of this month fetched, killed ones included; 0 where there is no quota."""
    if slave.allowance.terms.monthly_quota is None:
        return 0
    return slave.ledger.fetched(since=slave.allowance.month_began, until=slave.now())


def sum_up(slave: Slave, plans: Sequence[Planned], summed: Summed) -> Forecasted:
    """The totals of a dry run, which itself cost what ``summed`` says."""
    forecast = expect(slave, sum(plan.bytes_fetch for plan in plans))
    quota = slave.allowance.terms.monthly_quota
    return Forecasted(
        **asdict(summed),
        images_planned=len(plans),
        bytes_planned=forecast.bytes,
        bytes_write=sum(plan.bytes_write for plan in plans),
        bytes_free=slave.root.free(),
        seconds_planned=forecast.seconds,
        nights=forecast.nights,
        quota_left=None if quota is None else max(0, quota - quota_used(slave)),
    )


def _line_rate(ledger: Ledger) -> float | None:
    """Bytes a second that the best of the last runs with a worthwhile amount got over the line, as others may have been capped;
    None if there was none yet. However many runs found nothing to do since then."""
    runs = ledger.runs_that_fetched(_WORTHWHILE_BYTES, limit=_RUNS_COUNTED)
    return max((run.bytes_fetched / run.seconds for run in runs), default=None)
