"""What a run of the main job came to."""

from __future__ import annotations

from dataclasses import dataclass, field

from netclnt.errors import ExitCode, NetclntError
from netclnt.outcome import outcome


@dataclass(slots=True)
class Result:
    """``changed`` and ``recorded`` are images that are now up to date, with their versions; ``failed`` those that are not, with
    the errors that concern them alone; ``differences`` counts the changes that there were; ``generation`` is 0 where nothing
    was to do."""

    generation: int = 0
    differences: int = 0
    bytes_reused: int = 0
    changed: list[tuple[str, int]] = field(default_factory=list)
    recorded: list[tuple[str, int]] = field(default_factory=list)
    failed: list[tuple[str, NetclntError]] = field(default_factory=list)

    @property
    def exit_code(self) -> ExitCode:
        succeeded = bool(self.changed or self.recorded)
        return outcome(images=[error.exit_code for _, error in self.failed], succeeded=succeeded)
