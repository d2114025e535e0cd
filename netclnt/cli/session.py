"""One run of one command: its view, its config, its place in time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeVar

from netclnt.cli import settings
from netclnt.cli.errors import explain
from netclnt.cli.parser import Globals
from netclnt.cli.show import View, now
from netclnt.config import MasterConfig, SlaveConfig, Table
from netclnt.errors import ExitCode
from netclnt.events import Event, Failed, Observer
from netclnt.pacing import Switch

T = TypeVar("T", bound=Table)


@dataclass(slots=True)
class Session:
    """What a command gets. ``command`` is its full name ("netclnt sync"), ``started`` RFC 3339 in UTC. ``observers`` hear, after
    the view, what happens; ``switch`` is the bandwidth cap's."""

    command: str
    run_id: str
    started: str
    options: Globals
    view: View
    environment: Mapping[str, str]
    failures: list[ExitCode] = field(default_factory=list)
    observers: list[Observer] = field(default_factory=list)
    switch: Switch = field(default_factory=Switch)
    _began: float = field(default_factory=monotonic)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return monotonic() - self._began

    def observe(self, event: Event) -> None:
        """The run's Observer. Keeps the codes of single images' failures, for the exit code of a run that is cut short."""
        if isinstance(event, Failed):
            self.failures.append(explain(event.error).code)
        self.view.observe(event)
        for observer in self.observers:
            observer(event)

    def begin_now(self) -> None:
        """What was until now a wait for the right moment does not count as part of the run."""
        self.started, self._began = now(), monotonic()

    @property
    def holder(self) -> str:
        """How this run names itself where it holds a lock."""
        return f"pid {os.getpid()}, {self.command}, since {self.started}"

    def master(self, **flags: object) -> MasterConfig:
        """Raises ConfigMissing, ConfigInvalid, BadArgument, StorageFailed."""
        return settings.load(MasterConfig, self.options.config, self.environment, flags, profile=self.options.profile)

    def slave(self, **flags: object) -> SlaveConfig:
        """Raises ConfigMissing, ConfigInvalid, BadArgument, StorageFailed."""
        return settings.load(SlaveConfig, self.options.config, self.environment, flags, profile=self.options.profile)

    def either(self, role: str | None) -> MasterConfig | SlaveConfig:
        """The config of the role asked for; without one, the slave's unless the config knows only a master."""
        wanted = role or settings.only_role(self.options.config, self.environment) or "slave"
        return self.master() if wanted == "master" else self.slave()

    def password(self, config: MasterConfig | SlaveConfig) -> str | None:
        return settings.catalog_password(config, self.environment)
