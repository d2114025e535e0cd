"""``netclnt service``: sync by a schedule, as a process in the foreground that systemd or any supervisor keeps running."""

from __future__ import annotations

from contextlib import closing
from functools import partial

from netclnt.cli import edges
from netclnt.cli.command import config_flags, declare
from netclnt.cli.servicing import ServiceTeller, last_run, plan_of, sync_environment, sync_words
from netclnt.cli.session import Session
from netclnt.config import SlaveConfig
from netclnt.errors import ExitCode
from netclnt.notify import Notifier
from netclnt.service import Service


@declare(
    "service",
    examples=["netclnt service", "netclnt service --schedule 'at 02:00,14:00 every 1 day'"],
    params=config_flags(SlaveConfig, "schedule", "catch_up", "random_delay"),
)
def command(session: Session, **flags: object) -> ExitCode:
    """Sync by a schedule until SIGTERM or SIGINT comes: exit 143 or 130. Each sync is a process of its own.

    A master that cannot be reached is tried again, at growing intervals of at most an hour; a sync that paused at the end of a
    window goes on when the next one opens. SIGHUP reads the config again, SIGUSR1 asks for one line of status."""
    config = session.slave(**flags)
    words, environment = sync_words(session.options), sync_environment(session.environment)
    with closing(Notifier.of(session.environment)) as notifier, edges.open_host(words, environment) as host:
        service = Service(
            host,
            plan_of(config),
            load=lambda: plan_of(session.slave(**flags)),
            teller=ServiceTeller(session, notifier),
            last=partial(last_run, config),
        )
        return ExitCode(128 + service.run())
