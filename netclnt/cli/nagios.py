"""A server's status as Nagios and its relatives read it: one line, performance data, an exit code (their plugin guidelines)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from netclnt.cli.show import Record
from netclnt.cli.text import counted, human_bytes, human_seconds, safe
from netclnt.errors import ExitCode
from netclnt.outcome import FINE

_NORMAL = tuple(code.name for code in FINE)


class State(IntEnum):
    """Exit codes of a plugin."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_TEXT_MAX = 1000
"""Characters of one role. Of a plugin's output only so much is read, 4 KiB by older ones, and what is cut off from behind is the
performance data."""

_WORST_FIRST = (State.CRITICAL, State.UNKNOWN, State.WARNING, State.OK)


@dataclass(frozen=True, slots=True)
class Limits:
    """Ages of the last success, in seconds; None: any age is fine."""

    warning: float | None = None
    critical: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    state: State
    text: str
    data: Sequence[str] = field(default=())


def line(verdicts: Sequence[Verdict]) -> tuple[str, State]:
    """All of them in one line, and the worst state."""
    state = next(state for state in _WORST_FIRST if any(verdict.state is state for verdict in verdicts))
    text = "; ".join(_shortened(safe(verdict.text.replace("\n", " ").replace("|", "/"))) for verdict in verdicts)
    data = " ".join(datum for verdict in verdicts for datum in verdict.data)
    return f"NETCLNT {state.name} - {text}" + (f" | {data}" if data else ""), state


def _shortened(text: str) -> str:
    return text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 1] + "…"


def judge(record: Record, limits: Limits) -> Verdict:
    """A record of ``status``. Damage and quarantine are critical, and so is what is older than allowed, or was never brought up
    to date where an age is asked for (without one that is unknown); a last run that failed or died is a warning: the one before
    it may have been a success."""
    findings = [*_damage(record), *_age(record, limits), *_last_run(record)]
    state = next(state for state in _WORST_FIRST if state is State.OK or any(found is state for found, _ in findings))
    told = [text for _, text in findings] + ([str(record["note"])] if record["note"] and not _damage(record) else [])
    held = f"{counted(_number(record, 'images'), 'image')}, {human_bytes(_number(record, 'size'))}"
    text = f"{record['role']} {record['name']}: {', '.join((*told, held))}"
    return Verdict(state, text, _performance(record, limits))


def _damage(record: Record) -> list[tuple[State, str]]:
    found = [("damaged", _names(record, "damaged")), ("in quarantine", _names(record, "quarantined"))]
    return [(State.CRITICAL, f"{what}: {' '.join(names)}") for what, names in found if names]


def _age(record: Record, limits: Limits) -> list[tuple[State, str]]:
    age = record["age"]
    if not isinstance(age, float):
        text = "no success yet" if record["last"] is None else f"last success {record['last']}, ahead of this clock"
        return [(State.UNKNOWN if limits.critical is None else State.CRITICAL, text)]
    state = State.OK
    if limits.critical is not None and age > limits.critical:
        state = State.CRITICAL
    elif limits.warning is not None and age > limits.warning:
        state = State.WARNING
    return [(state, f"last {'success' if record['role'] == 'slave' else 'publish'} {human_seconds(age)} ago")]


def _last_run(record: Record) -> list[tuple[State, str]]:
    result = record["result"]
    if result == "running":
        before = record["last_ended"]
        normal = before is None or before in _NORMAL
        return [(State.OK if normal else State.WARNING, "a run goes on" + ("" if normal else f", the one before: {before}"))]
    if result is None or result in _NORMAL:
        return [(State.OK, "paused")] if result == ExitCode.PAUSED.name else []
    sentence = str(record["message"]).removesuffix(".")
    return [(State.WARNING, f"last run {result}" + (f": {sentence}" if sentence else ""))]


def _performance(record: Record, limits: Limits) -> list[str]:
    """``label=value[unit];warning;critical;minimum``; those of a master have labels of their own."""
    prefix = "" if record["role"] == "slave" else "master_"
    data = [f"{prefix}images={_number(record, 'images')};;;0", f"{prefix}size={_number(record, 'size')}B;;;0"]
    age = record["age"]
    if isinstance(age, float):
        bounds = ";".join("" if limit is None else f"{limit:.0f}" for limit in (limits.warning, limits.critical))
        data.insert(0, f"{prefix}age={age:.0f}s;{bounds};0")
    if record["role"] == "slave":
        data += [f"{what}={len(_names(record, what))};;0;0" for what in ("damaged", "quarantined")]
        data.append(f"images_left={_number(record, 'images_left')};;;0")
        if isinstance(left := record["bytes_left"], int):
            data.append(f"bytes_left={left}B;;;0")
    return data


def _names(record: Record, what: str) -> list[str]:
    names = record.get(what, [])
    return list(names) if isinstance(names, list) else []


def _number(record: Record, what: str) -> int:
    value = record.get(what)
    return value if isinstance(value, int) else 0
