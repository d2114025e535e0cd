"""Which surroundings a run has, in their order; each is loaded only where config or environment ask for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netclnt.cli.around import Surrounding
from netclnt.config import SlaveConfig


def surroundings(config: SlaveConfig, environment: Mapping[str, str]) -> Iterator[Surrounding]:
    """Outermost first: whoever tells of a run hears what goes wrong further in, and what belongs to the run itself begins behind
    the wait for this machine's slot."""
    if environment.get("NOTIFY_SOCKET"):
        from netclnt.cli.supervised import supervised

        yield supervised
    if config.syslog != "off" or config.log_file:
        from netclnt.cli.logs import logged

        yield logged
    if config.random_delay:
        from netclnt.cli.delay import delayed

        yield delayed
    if config.metrics:
        from netclnt.cli.metrics import measured

        yield measured
    if config.ping_url:
        from netclnt.cli.ping import pinged

        yield pinged
