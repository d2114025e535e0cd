"""What both forms of ``verify`` share: which part is checked, and how damage is shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netclnt.checkstore import StoreVerdict
from netclnt.cli.session import Session
from netclnt.cli.show import Column, Record
from netclnt.subset import WHOLE, Subset, parse_subset
from netclnt.verify import Verdict

COLUMNS = (
    Column("image", "image"),
    Column("version", "version", "number"),
    Column("path", "path"),
    Column("offset", "offset", "number"),
    Column("length", "length", "number"),
    Column("problem", "problem"),
)


def part(session: Session, text: str | None) -> Subset:
    """What is to be checked; told, with its seed, where that is not all."""
    if text is None:
        return WHOLE
    subset = parse_subset(text)
    session.view.result("subset", {"subset": str(subset)}, [])
    session.view.note(f"checking {subset}")
    return subset


def problem(verdict: Verdict | StoreVerdict) -> str:
    """The first of what is wrong with a damaged version, and how much more there is."""
    first = verdict.damage[0]
    more = f", and {len(verdict.damage) - 1} more" if len(verdict.damage) > 1 else ""
    path = first.path or verdict.name
    place = f"{path} at {first.offset}" if first.length else path
    return f"{place}: {first.problem}{more}"


def records(verdicts: Iterable[Verdict] | Iterable[StoreVerdict]) -> Iterator[Record]:
    """A damaged place each, for :data:`COLUMNS`."""
    for verdict in verdicts:
        for damage in verdict.damage:
            yield {
                "image": verdict.name,
                "version": verdict.version,
                "path": damage.path,
                "offset": damage.offset,
                "length": damage.length,
                "problem": damage.problem,
            }
