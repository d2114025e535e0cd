"""What a run of the main job came to."""

from __future__ import annotations

from dataclasses import dataclass, field

from netclnt.errors import ExitCode, NetclntError, Paused
from netclnt.outcome import outcome


@dataclass(slots=True)
class Result:
    """``changed`` and ``recorded`` are images that are now up to date, with their versions, and ``moved`` those of the changed
    ones that were only renamed, from another root; ``failed`` those that are not, with the errors that concern them alone;
    ``paused`` is why some were left to the next run, if they were, ``deferred`` are those of them that only a hook keeps from
    being shown; for those that are ``untold`` the hook ``after_image`` failed, with what it failed. ``differences`` counts the
    changes that there were; ``generation`` is 0 where nothing was to do."""

    generation: int = 0
    differences: int = 0
    bytes_reused: int = 0
    changed: list[tuple[str, int]] = field(default_factory=list)
    moved: list[tuple[str, int]] = field(default_factory=list)
    recorded: list[tuple[str, int]] = field(default_factory=list)
    failed: list[tuple[str, NetclntError]] = field(default_factory=list)
    paused: Paused | None = None
    deferred: list[tuple[str, int]] = field(default_factory=list)
    untold: list[tuple[str, NetclntError]] = field(default_factory=list)

    @property
    def problems(self) -> list[NetclntError]:
        """All that kept images from being brought, and hooks from hearing of them."""
        return [error for _, error in (*self.failed, *self.untold)] + ([self.paused] if self.paused else [])

    @property
    def exit_code(self) -> ExitCode:
        succeeded = bool(self.changed or self.recorded)
        whole_run = [self.paused.exit_code] if self.paused else []
        images = [error.exit_code for _, error in (*self.failed, *self.untold)]
        return outcome(whole_run=whole_run, images=images, succeeded=succeeded)
