"""How much a random test tries: what ``tests/run.sh`` has time for, or all that ``tests/faults.sh`` asks for."""

from __future__ import annotations

import pytest


def amount(request: pytest.FixtureRequest, usual: int, thorough: int) -> int:
    """So many seeds, points or rounds: ``thorough`` with ``--thorough``, else ``usual``."""
    return thorough if request.config.getoption("--thorough") else usual
