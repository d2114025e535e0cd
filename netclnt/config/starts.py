"""Keys of a slave about when a sync starts by itself."""

from __future__ import annotations

from netclnt.config import readers
from netclnt.config.key import Key, Shape
from netclnt.config.readers import Unfit
from netclnt.timing import parse_schedule

NIGHTLY = "at 02:00 every 1 day"


def schedule(value: object) -> str:
    """As :func:`netclnt.timing.parse_schedule` understands it."""
    checked = readers.text(value)
    try:
        parse_schedule(checked)
    except ValueError as error:
        raise Unfit(str(error)) from None
    return checked


STARTS = (
    Key(
        name="random_delay",
        about="Spread the starts of a fleet over so long: each machine first waits its own part of it, always the same.",
        read=readers.seconds(0, 86400),
        default=0.0,
        metavar="SECONDS",
    ),
    Key(
        name="schedule",
        about='When netclnt service starts a sync: "at 02:00 every 1 day", "at 02:00,14:00 every 1 day",'
        ' "at 03:30 every 1 week on Sun", "every 6 hours".',
        read=schedule,
        default=NIGHTLY,
        metavar="TIMES",
    ),
    Key(
        name="catch_up",
        about="Whether netclnt service makes up, once, for starts that were missed while it, or the machine, was not running.",
        read=readers.flag,
        default=True,
        shape=Shape.FLAG,
    ),
)
