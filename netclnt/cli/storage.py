"""The face's own few calls on the local file system, with their errors translated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netclnt.errors import StorageFailed


@contextmanager
def storage(action: str, path: Path | str) -> Iterator[None]:
    """OSError becomes StorageFailed; ``action`` is a verb."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(action=action, path=str(path), errno=error.errno or 0, cause=error.strerror or str(error)) from error
