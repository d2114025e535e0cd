"""Whether lines of ``--json`` are what the shipped schema says."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

import netclnt

SCHEMA: dict[str, Any] = json.loads((Path(netclnt.__file__).parent / "jsonlines.schema.json").read_text())
TYPES: tuple[str, ...] = tuple(SCHEMA["properties"]["type"]["enum"])

_LINES_MAX = 200
"""Of one run so many lines at most are looked at, and the last: those of one type are all made in one place."""


@cache
def validator() -> Draft202012Validator:
    """Stricter than the one that is shipped: for this release, a field that it does not know is a mistake."""
    strict = copy.deepcopy(SCHEMA) | {"unevaluatedProperties": False}
    Draft202012Validator.check_schema(strict)
    return Draft202012Validator(strict)


def check_lines(lines: Iterable[Mapping[str, Any]]) -> None:
    found = list(lines)
    for line in (*found[:_LINES_MAX], *found[_LINES_MAX:][-1:]):
        errors = [f"{error.json_path}: {error.message}" for error in validator().iter_errors(line)]
        assert not errors, f"{line}\n{errors}"
