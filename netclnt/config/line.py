"""Keys of a slave about what may be taken from the line: when, how fast, how much."""

from __future__ import annotations

from netclnt.config import readers, times
from netclnt.config.key import Key, Shape

LINE = (
    Key(
        name="bwlimit",
        about="Take no more from the line in a second, all connections together: KiB, or a number with B, K, M, G, T or P; or"
        " times with rates as rclone writes them, [DAY-]HH:MM,RATE and so on, by the wall clock.",
        read=times.cap,
        default=None,
        metavar="RATE|TIMETABLE",
        example="08:00,512K 19:00,10M 23:00,off",
    ),
    Key(
        name="window",
        about="Times in which sync may use the line, by the wall clock; empty: always. At the end of one nothing more is asked"
        " for, and what was fetched is kept for the next one.",
        read=times.windows,
        default=(),
        shape=Shape.TEXTS,
        metavar="TIMES",
        example=["Mon-Fri 22:00-05:00", "Sat 00:00-24:00"],
    ),
    Key(
        name="max_transfer",
        about="Fetch no more bytes in one run of sync; the next one goes on.",
        read=readers.or_off(readers.amount),
        default=None,
        shape=Shape.NUMBER,
        metavar="SIZE",
        example="2G",
    ),
    Key(
        name="max_duration",
        about="Use the line no longer in one run of sync; the next one goes on.",
        read=readers.or_off(readers.seconds(1, 31 * 86400)),
        default=None,
        metavar="SECONDS",
        example="6h",
    ),
    Key(
        name="monthly_quota",
        about="Fetch no more bytes in a calendar month; what all runs of the month fetched is in the ledger.",
        read=readers.or_off(readers.amount),
        default=None,
        shape=Shape.NUMBER,
        metavar="SIZE",
        example="50G",
    ),
)
