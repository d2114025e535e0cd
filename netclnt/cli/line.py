"""What the config allows on the line, made into what the work takes: the wall clock is this host's."""

from __future__ import annotations

from datetime import UTC, datetime
from time import time

from netclnt.allowance import Allowance
from netclnt.config import SlaveConfig
from netclnt.pacing import Pace, Switch
from netclnt.schedule import Terms, minute_of_week


def wall_clock(instant: float) -> datetime:
    """What a wall clock shows here at an instant, in seconds since 1970."""
    return datetime.fromtimestamp(instant, UTC).astimezone()


def terms(config: SlaveConfig) -> Terms:
    return Terms(
        timetable=config.bwlimit,
        windows=config.window,
        max_transfer=config.max_transfer,
        max_duration=config.max_duration,
        monthly_quota=config.monthly_quota,
    )


def allowance(config: SlaveConfig) -> Allowance:
    return Allowance(terms(config), local=wall_clock)


def pace(config: SlaveConfig, switch: Switch) -> Pace:
    cap = config.bwlimit
    if cap is None:
        return Pace()
    return Pace(cap.rate(0) if cap.constant else lambda: cap.rate(minute_of_week(wall_clock(time()))), switch=switch)
