"""The schema of JSON Lines that is shipped: it covers all that the program can print, and refuses what it cannot."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator, meta

import netclnt
from netclnt import events
from netclnt.cli.show_json import _TYPES
from netclnt.errors import ExitCode
from netclnt.events import Event, Failed, Progressed
from tests.support.jsonlines import SCHEMA, TYPES, check_lines, validator

LINE = {"time": "2026-11-23T13:00:00.000Z", "run_id": "0123456789abcdef"}
EVENTS = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event]
SHOWN_OTHERWISE = {Progressed: "progress", Failed: "error"}


def refused(line: dict[str, Any]) -> bool:
    return not validator().is_valid(line)


def known(kind: str) -> set[str]:
    """All fields that the schema has for a type."""
    definition = SCHEMA["$defs"][kind]
    return {name for one in definition.get("anyOf", [definition]) for name in one["properties"]}


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), [name for name, _ in pairs]
    return dict(pairs)


def test_the_schema_is_one() -> None:
    json.loads((Path(netclnt.__file__).parent / "jsonlines.schema.json").read_text(), object_pairs_hook=once)
    meta.validate(SCHEMA)
    assert [rule["then"]["$ref"] for rule in SCHEMA["allOf"]] == [f"#/$defs/{kind}" for kind in TYPES]


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_L4_each_class_of_events_has_a_schema_with_its_fields(kind: type[Event]) -> None:
    name = _TYPES.get(kind) or SHOWN_OTHERWISE[kind]
    if kind is not Failed:
        assert {field.name for field in fields(kind)} <= known(name)
    required = SCHEMA["$defs"][name].get("required")
    if required and kind in _TYPES and list(_TYPES.values()).count(name) == 1:
        assert {field.name for field in fields(kind) if field.default is MISSING} <= set(required)


def test_L4_each_type_of_record_in_the_code_has_a_schema_and_no_other() -> None:
    sources = (Path(netclnt.__file__).parent / "cli").rglob("*.py")
    calls = re.compile(r'(?:\.table|\.result|\.names|\._emit)\(\s*"(\w+)"')
    told = {kind for source in sources for kind in calls.findall(source.read_text())}
    assert told | set(_TYPES.values()) == set(TYPES)


def test_each_exit_code_is_known() -> None:
    definition = SCHEMA["$defs"]["exit"]["properties"]
    assert definition["name"]["enum"] == [code.name for code in ExitCode]
    assert definition["code"]["enum"] == [int(code) for code in ExitCode]
    assert SCHEMA["$defs"]["error"]["properties"]["code"]["enum"] == [code.name for code in ExitCode]


def test_L4_what_the_program_never_prints_is_refused() -> None:
    whole = {"type": "exit", **LINE, "code": 0, "name": "OK"}
    check_lines([whole])
    for wrong in (
        {"type": "no-such-type"},
        {"code": 99},
        {"name": "FINE"},
        {"time": "yesterday"},
        {"run_id": ""},
        {"more": 1},
        {"type": "warning", "code": "a code", "message": "m"},
    ):
        assert refused(whole | wrong), wrong
    for missing in whole:
        assert refused({name: value for name, value in whole.items() if name != missing}), missing


def test_a_reader_of_this_release_takes_a_later_ones_fields() -> None:
    assert Draft202012Validator(SCHEMA).is_valid({"type": "exit", **LINE, "code": 0, "name": "OK", "more": 1})
