"""The offer as rows: what a TOC holds, in the layout that catalogs, TOCs and their in-memory twin share.

Values in, values out. Every value that comes from a database is read through :func:`number` and :func:`text`: what a
driver may do to it without changing its meaning (padding, Decimal, bytes) is undone, anything else is ForbiddenValue.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby, islice, zip_longest

from netclnt.errors import ForbiddenValue, HistoriesDiffer, TrustError
from netclnt.model import REQUIREMENTS_MAX, CatalogState, Kind, NewVersion, Refused, Requirement, Version
from netclnt.namekeys import name_hash, name_key, twin_hash
from netclnt.protocols import OfferRows

SCHEMA_VERSION = 1
MIN_READER = 1
"""The oldest schema version a program must know to read what this one writes. Additions never raise it."""

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the offer: its name, its columns with their types, primary key and further unique keys."""

    name: str
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...] = ()

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.columns)


_NUMBER = "BIGINT"
_NAME = "VARCHAR(255)"
_DIGEST = "VARCHAR(64)"
_TIME = "VARCHAR(32)"

IMAGE = Table(
    "nc_image",
    (
        ("image", _NUMBER),
        ("name", _NAME),
        ("name_key", "VARCHAR(510)"),
        ("name_hash", _DIGEST),
        ("twin_hash", _DIGEST),
        ("kind", "VARCHAR(16)"),
        ("generation", _NUMBER),
    ),
    ("image",),
    (("name_hash",), ("twin_hash",), ("generation", "image")),
)
VERSION = Table(
    "nc_version",
    (
        ("image", _NUMBER),
        ("number", _NUMBER),
        ("manifest", _DIGEST),
        ("head_bytes", _NUMBER),
        ("tree", _NUMBER),
        ("bytes", _NUMBER),
        ("entries", _NUMBER),
        ("blocks", _NUMBER),
        ("sha256", _DIGEST),
        ("chunker", "VARCHAR(64)"),
        ("created", _TIME),
        ("note", "VARCHAR(4000)"),
        ("generation", _NUMBER),
    ),
    ("image", "number"),
    (("generation", "image", "number"),),
)
REQUIREMENT = Table(
    "nc_requirement",
    (
        ("image", _NUMBER),
        ("number", _NUMBER),
        ("position", _NUMBER),
        ("name", _NAME),
        ("version_range", "VARCHAR(64)"),
        ("generation", _NUMBER),
    ),
    ("image", "number", "position"),
    (("generation", "image", "number", "position"),),
)
CHANNEL = Table(
    "nc_channel",
    (("channel", "VARCHAR(64)"), ("created", _TIME), ("generation", _NUMBER)),
    ("channel",),
    (("generation", "channel"),),
)
EVENT = Table(
    "nc_event",
    (
        ("event", _NUMBER),
        ("action", "VARCHAR(16)"),
        ("image", _NUMBER),
        ("number", _NUMBER),
        ("channel", "VARCHAR(64)"),
        ("created", _TIME),
        ("generation", _NUMBER),
    ),
    ("event",),
    (("generation", "event"), ("image", "action", "event")),
)
OFFER = {table.name: table for table in (IMAGE, VERSION, REQUIREMENT, CHANNEL, EVENT)}
"""The TOC's tables by name. Their rows are only ever inserted; each names the generation that brought it."""

PROMOTE = "promote"
RETIRE = "retire"
DROP = "drop"
"""The version's content left the store: it is called back, and cannot be promoted again."""
LIFT = "lift"
"""The next number of an image is above this event's: a lost catalog may have given it to another version."""
GENERATIONS_LIFTED = 1000
"""By so much a recovered catalog's generation rises above all that is known: more than a lost one can have gone on unseen."""
EVERY_NUMBER = 0
"""An event's version number that means all versions of its image."""

STATE_COLUMNS = (
    "identity_hex",
    "hash_seed",
    "chunker",
    "schema_version",
    "min_reader",
    "generation",
    "assignment_revision",
    "statement_number",
)
IMAGE_COLUMNS = ("name", "kind")
VERSION_COLUMNS = VERSION.column_names[1:]
REQUIREMENT_COLUMNS = ("position", "name", "version_range")


# --- values out of a database

_DIGITS_MAX = 19
_DIGITS = re.compile(rf"-?[0-9]{{1,{_DIGITS_MAX}}}", re.ASCII)


def number(value: object) -> int:
    """A whole number that a driver may have turned into Decimal or text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < _DIGITS_MAX and value == value.to_integral_value():
        return int(value)  # the digits are counted first: 1E+99999999 would be written out
    if isinstance(value, bytes | str):
        digits = text(value)
        if _DIGITS.fullmatch(digits):
            return int(digits)
    raise ForbiddenValue(what="number in the catalog", value=repr(value)[:80], rule="a whole number")


def free_text(value: object) -> str:
    """Text for people, kept as it is; a driver may hand it over as UTF-8 bytes."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise ForbiddenValue(what="text in the catalog", value=repr(value)[:80], rule="UTF-8") from None
    if isinstance(value, str):
        return value
    raise ForbiddenValue(what="text in the catalog", value=repr(value)[:80], rule="text")


def text(value: object) -> str:
    """A name, digest or word; blanks at its end are a CHAR column's padding, since none of them may end in one."""
    return free_text(value).rstrip(" ")


# --- rows to values


def state_of(row: Sequence[object]) -> CatalogState:
    """A row of :data:`STATE_COLUMNS`."""
    identity, seed, chunker, *numbers = row
    seed_hex = text(seed)
    if not re.fullmatch("[0-9a-f]{16}", seed_hex):
        raise ForbiddenValue(what="hash seed", value=repr(seed)[:80], rule="16 lower-case hex digits")
    schema, min_reader, generation, assignments, statement = map(number, numbers)
    return CatalogState(
        identity=text(identity),
        hash_seed=int(seed_hex, 16),
        chunker=text(chunker),
        schema_version=schema,
        min_reader=min_reader,
        generation=generation,
        assignment_revision=assignments,
        statement_number=statement,
    )


_VERSION_AT = len(IMAGE_COLUMNS)
_REQUIREMENT_AT = _VERSION_AT + len(VERSION_COLUMNS)


def versions_of(rows: Iterable[Sequence[object]], refuse: Callable[[Refused], None] | None = None) -> Iterator[Version]:
    """Versions from rows of image, version and requirement columns, one for each requirement (NULL where there is none).

    All rows of a version must follow one another. What breaks a rule raises TrustError; with ``refuse``, a version that can at
    least be named is handed to that instead, and the others go on.
    """
    for (name, _), group in groupby(rows, key=_key):
        some = list(islice(group, REQUIREMENTS_MAX + 1))
        try:
            version = _version(some)
        except TrustError as error:
            if refuse is None:
                raise
            refuse(Refused(name, _word(some[0][1]), error))
        else:
            yield version


def _word(value: object) -> str:
    """Text, as far as it is any."""
    with suppress(ForbiddenValue):
        return text(value)
    return ""


def _key(row: Sequence[object]) -> tuple[str, object]:
    number_said = row[_VERSION_AT]
    return _spelled(row[0]), number_said if isinstance(number_said, int) else repr(number_said)[:80]


def _spelled(name: object) -> str:
    """What a version is refused by: its name, with backslashes, which no name has, where that is not UTF-8."""
    return text(name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name)


def _version(group: list[Sequence[object]]) -> Version:
    if len(group) > REQUIREMENTS_MAX:
        raise ForbiddenValue(what="number of requirements", value=f"over {REQUIREMENTS_MAX}", rule=f"at most {REQUIREMENTS_MAX}")
    first = group[0]
    if len({repr(row[:_REQUIREMENT_AT]) for row in group}) > 1:
        raise ForbiddenValue(what="version", value=repr(first[0])[:80], rule="told once: two images have this name")
    digits = first[_VERSION_AT:_REQUIREMENT_AT]
    count, manifest, head_bytes, tree, size, entries, blocks, sha256, chunker, created, note, generation = digits
    return Version(
        name=text(first[0]),
        kind=kind_of(first[1]),
        number=number(count),
        manifest=text(manifest),
        head_bytes=number(head_bytes),
        tree=_flag(tree),
        size=number(size),
        entries=number(entries),
        blocks=number(blocks),
        sha256=text(sha256),
        chunker=text(chunker),
        created=text(created),
        note=free_text(note),
        generation=number(generation),
        requires=tuple(
            Requirement(text(row[_REQUIREMENT_AT + 1]), text(row[_REQUIREMENT_AT + 2]))
            for row in group
            if row[_REQUIREMENT_AT] is not None
        ),
    )


def kind_of(value: object) -> Kind:
    word = text(value)
    try:
        return Kind(word)
    except ValueError:
        raise ForbiddenValue(what="kind", value=repr(value)[:80], rule=", ".join(Kind)) from None


def _flag(value: object) -> bool:
    flag = number(value)
    if flag not in (0, 1):
        raise ForbiddenValue(what="flag in the catalog", value=repr(value)[:80], rule="0 or 1")
    return flag == 1


# --- values to rows


def version_of(new: NewVersion, *, number: int, generation: int) -> Version:
    """The version that ``new`` becomes; making it checks every value."""
    return Version(
        name=new.name,
        kind=new.kind,
        number=number,
        manifest=new.manifest,
        head_bytes=new.head_bytes,
        tree=new.tree,
        size=new.size,
        entries=new.entries,
        blocks=new.blocks,
        sha256=new.sha256,
        chunker=new.chunker,
        created=new.created,
        note=new.note,
        generation=generation,
        requires=new.requires,
    )


def state_row(state: CatalogState) -> Row:
    """A row of :data:`STATE_COLUMNS`; the seed in hex, since 64 unsigned bits do not fit a BIGINT."""
    return (
        state.identity,
        f"{state.hash_seed:016x}",
        state.chunker,
        state.schema_version,
        state.min_reader,
        state.generation,
        state.assignment_revision,
        state.statement_number,
    )


def image_row(image: int, name: str, kind: Kind, generation: int) -> Row:
    return (image, name, name_key(name), name_hash(name), twin_hash(name), str(kind), generation)


def version_row(image: int, version: Version) -> Row:
    return (
        image,
        version.number,
        version.manifest,
        version.head_bytes,
        int(version.tree),
        version.size,
        version.entries,
        version.blocks,
        version.sha256,
        version.chunker,
        version.created,
        version.note,
        version.generation,
    )


def clean(table: Table, found: Iterable[Row]) -> Iterator[Row]:
    """The rows of a table as every engine would have given them."""
    readers = [number if kind == _NUMBER else free_text if name == "note" else text for name, kind in table.columns]
    for row in found:
        yield tuple(read(value) for read, value in zip(readers, row, strict=True))


def check_history(one: OfferRows, other: OfferRows, *, until: int) -> None:
    """Raise HistoriesDiffer unless both tell the same up to a generation."""
    for name, table in OFFER.items():
        sides = [clean(table, side.offer_rows(name, after=0, until=until)) for side in (one, other)]
        if any(row != same for row, same in zip_longest(*sides)):
            raise HistoriesDiffer(generation=until, table=name)


def requirement_rows(image: int, version: Version) -> list[Row]:
    return [
        (image, version.number, position, each.name, each.range, version.generation)
        for position, each in enumerate(version.requires)
    ]
