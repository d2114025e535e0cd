"""The hooks of a sync, as the config has them; what they take is loaded only where it has any."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from typing import TYPE_CHECKING

from netclnt.cli import settings
from netclnt.cli.errors import explain
from netclnt.cli.output import OutputClosed
from netclnt.cli.session import Session
from netclnt.config import HooksConfig, SlaveConfig
from netclnt.errors import ExitCode

if TYPE_CHECKING:
    from netclnt.hooks import Hooks

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def slave_with_hooks(session: Session, flags: Mapping[str, object]) -> tuple[SlaveConfig, Hooks | None]:
    """The slave's config, and its hooks, None where there are none. Raises as :meth:`Session.slave`, what is wrong in both at
    once."""
    options = session.options
    config, chosen = settings.load_with_hooks(options.config, session.environment, flags, profile=options.profile)
    return config, _hooks(chosen, config, session) if any(chosen.commands.values()) else None


def _hooks(chosen: HooksConfig, config: SlaveConfig, session: Session) -> Hooks:
    from netclnt.hooks import Hook, Hooks  # noqa: PLC0415 - see above
    from netclnt.programs import LocalPrograms  # noqa: PLC0415 - see above

    return Hooks(
        commands={Hook(name): programs for name, programs in chosen.commands.items()},
        seconds=chosen.timeout,
        programs=LocalPrograms(),
        environment=_environment(session),
        facts={"run_id": session.run_id, "server": config.name},
        explain=_explain,
    )


def _environment(session: Session) -> Mapping[str, str]:
    """All that a program gets but the facts: little enough to be the same from cron, a unit and a shell, and no secret. With it
    netclnt itself finds the same config."""
    given = session.environment
    path = settings.config_path(session.options.config, given)
    profile = session.options.profile
    return {
        "PATH": given.get("PATH") or _PATH,
        "HOME": given.get("HOME") or pwd.getpwuid(os.geteuid()).pw_dir,
        "LANG": given.get("LANG") or "C.UTF-8",
        "NETCLNT_CONFIG": str(path),
    } | ({"NETCLNT_PROFILE": profile} if profile else {})


def _explain(error: BaseException) -> tuple[ExitCode | None, str]:
    if isinstance(error, OutputClosed):
        return None, error.sentence
    told = explain(error)
    return told.code, told.sentence
