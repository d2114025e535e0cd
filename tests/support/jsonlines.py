"""Whether lines of ``--json`` are what the shipped schema says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema_rs import Draft202012Validator

import netclnt

SCHEMA: dict[str, Any] = json.loads((Path(netclnt.__file__).parent / "jsonlines.schema.json").read_text())
TYPES: tuple[str, ...] = tuple(SCHEMA["properties"]["type"]["enum"])


@cache
def validator() -> Draft202012Validator:
    """Stricter than the one that is shipped: for this release, a field that it does not know is a mistake."""
    return Draft202012Validator(SCHEMA | {"unevaluatedProperties": False})


def check_lines(lines: Iterable[Mapping[str, Any]]) -> None:
    for line in lines:
        errors = [f"{error.instance_path}: {error.message}" for error in validator().iter_errors(line)]
        assert not errors, f"{line}\n{errors}"
