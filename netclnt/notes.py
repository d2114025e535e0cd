"""Small files of the state directory that are caches: what is odd about one counts as though it were not there."""

from __future__ import annotations

import json
import os
from pathlib import Path

ODD = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading such a file, and making values of what it says, raises where it is not what was written."""


def write_note(path: Path, said: object) -> None:
    """Write it as JSON, whole, its content durable. Raises OSError."""
    temporary = path.with_suffix(".new")
    with temporary.open("w") as file:
        json.dump(said, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
