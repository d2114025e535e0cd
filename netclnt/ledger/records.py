"""What the ledger remembers, as values that check themselves: a row read back from a damaged file is refused, not believed."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Self

from netclnt.errors import ExitCode, ForbiddenValue
from netclnt.model import GENERATION_MAX, NUMBER_MAX, SIZE_MAX, Kind, Version, check_hex, check_range, check_text
from netclnt.naming import check_name, check_token


@dataclass(frozen=True, slots=True)
class Applied:
    """The catalog's state that was last fully applied, and ``selection``: a digest of the selection and config it was
    applied under."""

    identity: str
    generation: int
    schema_version: int
    assignment_revision: int
    statement_number: int
    selection: str

    def __post_init__(self) -> None:
        check_hex("identity", self.identity, 32)
        check_range("generation", self.generation, 0, GENERATION_MAX)
        check_range("schema version", self.schema_version, 1, NUMBER_MAX)
        check_range("assignment revision", self.assignment_revision, 0, GENERATION_MAX)
        check_range("statement number", self.statement_number, 0, GENERATION_MAX)
        check_text("selection", self.selection, 128)


@dataclass(frozen=True, slots=True)
class Held:
    """An image that this slave holds, in the version that is shown.

    ``manifest`` and ``sha256`` are hex, as in :class:`netclnt.model.Version`; ``generation`` is the catalog's when it was
    shown, ``shown_at`` RFC 3339 in UTC; ``damaged`` says that a verify found its content wrong.
    """

    name: str
    kind: Kind
    number: int
    manifest: str
    tree: bool
    size: int
    sha256: str
    generation: int
    shown_at: str
    pinned: bool = False
    damaged: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)
        check_range("version number", self.number, 1, NUMBER_MAX)
        check_hex("manifest digest", self.manifest, 64)
        check_range("size", self.size, 0, SIZE_MAX)
        check_hex("SHA-256", self.sha256, 0 if self.tree else 64)
        check_range("generation", self.generation, 0, GENERATION_MAX)
        check_text("time", self.shown_at, 40)

    @classmethod
    def of(cls, version: Version, *, generation: int, shown_at: str, pinned: bool = False) -> Self:
        """A version of the catalog that lies at its place."""
        return cls(
            name=version.name,
            kind=version.kind,
            number=version.number,
            manifest=version.manifest,
            tree=version.tree,
            size=version.size,
            sha256=version.sha256,
            generation=generation,
            shown_at=shown_at,
            pinned=pinned,
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """An old version kept aside in the root under ``token``, ``since`` it was replaced (RFC 3339 in UTC; empty if unknown)."""

    name: str
    number: int
    manifest: str
    token: str
    since: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        check_range("version number", self.number, 1, NUMBER_MAX)
        check_hex("manifest digest", self.manifest, 64)
        check_token(self.token)
        check_text("time", self.since, 40)


@dataclass(frozen=True, slots=True)
class OldPlace:
    """A place that an image has moved from: in the root with the marker ``root`` (``""`` the main one) lies version ``number``
    with this ``manifest``. ``look`` is a digest of how it looked when it was recorded; ``keep`` says that it is to be kept as an
    old version, once it still looks so, and not to be removed."""

    name: str
    root: str
    number: int
    manifest: str
    look: str
    keep: bool

    def __post_init__(self) -> None:
        check_name(self.name)
        check_hex("marker", self.root, 32 if self.root else 0)
        check_range("version number", self.number, 1, NUMBER_MAX)
        check_hex("manifest digest", self.manifest, 64)
        check_hex("look", self.look, 64)


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A version that is not fetched again: with all its blocks right, its content never had its SHA-256. ``generation`` is that
    at which it was published, ``since`` RFC 3339 in UTC, ``problem`` words for people."""

    name: str
    manifest: str
    number: int
    generation: int
    since: str
    problem: str

    def __post_init__(self) -> None:
        check_name(self.name)
        check_hex("manifest digest", self.manifest, 64)
        check_range("version number", self.number, 1, NUMBER_MAX)
        check_range("generation", self.generation, 0, GENERATION_MAX)
        check_text("time", self.since, 40)
        check_text("problem", self.problem, 10_000)


@dataclass(frozen=True, slots=True)
class Deferred:
    """A version that lies complete in staging, and that a hook wants to be shown later; ``since`` RFC 3339 in UTC."""

    name: str
    number: int
    manifest: str
    since: str

    def __post_init__(self) -> None:
        check_name(self.name)
        check_range("version number", self.number, 1, NUMBER_MAX)
        check_hex("manifest digest", self.manifest, 64)
        check_text("time", self.since, 40)


@dataclass(frozen=True, slots=True)
class Untold:
    """A version that was recorded, and that the hook ``after_image`` has yet to hear of. ``from_number`` is that of the version
    before it, 0 if there was none; ``result`` is ``updated`` or ``recorded``."""

    name: str
    number: int
    manifest: str
    from_number: int
    result: str

    def __post_init__(self) -> None:
        check_name(self.name)
        check_range("version number", self.number, 1, NUMBER_MAX)
        check_hex("manifest digest", self.manifest, 64)
        check_range("version number", self.from_number, 0, NUMBER_MAX)
        check_text("result", self.result, 20)


@dataclass(frozen=True, slots=True)
class Composition:
    """What a version's content came from when it was assembled here, in however many runs: bytes ``reused`` from seeds,
    ``fetched`` over the line (as they are unpacked), and ``zeros`` of runs of zeros. While it is staged, that is what it
    will be, as planned."""

    name: str
    manifest: str
    reused: int
    fetched: int
    zeros: int

    def __post_init__(self) -> None:
        check_name(self.name)
        check_hex("manifest digest", self.manifest, 64)
        for what, count in (("reused", self.reused), ("fetched", self.fetched), ("of zeros", self.zeros)):
            check_range(f"bytes {what}", count, 0, SIZE_MAX)

    @property
    def size(self) -> int:
        """Of the whole content."""
        return self.reused + self.fetched + self.zeros


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command. Until it ended (or if it died), ``ended`` is empty and ``code`` None. Times are RFC 3339, UTC;
    ``code`` is the exit code; ``message`` the sentence that was shown for an error, or empty. ``forecast_…`` is what fetching was
    expected to cost when its images were planned, ``nights_left`` how many windows or runs what is left takes; None where nobody
    knew. ``process`` tells the process from all others, for as long as the host is up."""

    run_id: str
    command: str
    started: str
    ended: str = ""
    code: int | None = None
    generation: int = 0
    images_changed: int = 0
    bytes_fetched: int = 0
    bytes_reused: int = 0
    seconds: float = 0.0
    message: str = ""
    images_failed: int = 0
    images_left: int = 0
    forecast_bytes: int | None = None
    forecast_seconds: float | None = None
    nights_left: int | None = None
    process: str = ""

    @property
    def is_sync(self) -> bool:
        """Whether it is a sync that says something of this slave: not one that found the root locked."""
        return self.command.split()[-1:] == ["sync"] and self.code != ExitCode.LOCKED

    def __post_init__(self) -> None:
        check_text("run id", self.run_id, 64)
        check_text("command", self.command, 1000)
        check_text("time", self.started, 40)
        check_text("time", self.ended, 40)
        check_range("exit code", 0 if self.code is None else self.code, 0, 255)
        check_range("generation", self.generation, 0, GENERATION_MAX)
        for what, count in (("changed", self.images_changed), ("failed", self.images_failed), ("left", self.images_left)):
            check_range(f"images {what}", count, 0, NUMBER_MAX)
        check_range("bytes fetched", self.bytes_fetched, 0, SIZE_MAX)
        check_range("bytes reused", self.bytes_reused, 0, SIZE_MAX)
        check_range("bytes to fetch", self.forecast_bytes or 0, 0, SIZE_MAX)
        check_range("nights", self.nights_left or 0, 0, NUMBER_MAX)
        for seconds in (self.seconds, self.forecast_seconds or 0.0):
            _check_seconds(seconds)
        if not isinstance(self.message, str):
            raise ForbiddenValue(what="message", value=repr(self.message), rule="text")
        check_text("process", self.process, 100)


@dataclass(frozen=True, slots=True)
class RunImage:
    """What came of one image in a run. ``result`` is that of :class:`~netclnt.events.ImageDone` (``deferred``: it is fetched, and
    not shown), or ``failed``, or ``left`` where the run ended before it was this image's turn. ``version`` is the one that was
    offered, None where nobody knows; ``message`` the sentence that was shown for an error, or empty."""

    image: str
    result: str
    version: int | None = None
    bytes_fetched: int = 0
    bytes_reused: int = 0
    seconds: float = 0.0
    message: str = ""

    def __post_init__(self) -> None:
        check_text("image", self.image, 10_000)
        check_text("result", self.result, 32)
        check_range("version number", 1 if self.version is None else self.version, 1, NUMBER_MAX)
        check_range("bytes fetched", self.bytes_fetched, 0, SIZE_MAX)
        check_range("bytes reused", self.bytes_reused, 0, SIZE_MAX)
        _check_seconds(self.seconds)
        if not isinstance(self.message, str):
            raise ForbiddenValue(what="message", value=repr(self.message), rule="text")


def _check_seconds(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, float | int) or not isfinite(value):
        raise ForbiddenValue(what="seconds", value=repr(value), rule="a number")
