"""Keys of a slave about who is told of runs that nobody watches, and where."""

from __future__ import annotations

from netclnt.config import readers
from netclnt.config.key import Key, Shape

TELLING = (
    Key(
        name="syslog",
        about="The facility of the system's log that runs are told to, or off.",
        read=readers.choice("off", *readers.FACILITIES),
        default="off",
        metavar="FACILITY",
    ),
    Key(
        name="log_file",
        about="A file that runs are told to, line by line. It may be rotated in any way.",
        read=readers.path,
        default=None,
        shape=Shape.PATH,
        metavar="FILE",
        example="/var/log/netclnt.log",
    ),
    Key(
        name="log_format",
        about="How log_file tells it: text, or json (JSON Lines, as --json).",
        read=readers.choice("text", "json"),
        default="text",
        metavar="text|json",
    ),
    Key(
        name="metrics",
        about="A file that is written anew after each run, for Prometheus (node_exporter's textfile collector).",
        read=readers.path,
        default=None,
        shape=Shape.PATH,
        metavar="FILE",
        example="/var/lib/prometheus/node-exporter/netclnt.prom",
    ),
    Key(
        name="ping_url",
        about="A web page that hears of each run (URL/start, then URL or URL/EXITCODE), and raises the alarm when it does not.",
        read=readers.web_page,
        default=None,
        metavar="URL",
        example="https://ping.example/0123",
        secret=True,
    ),
)
