"""Checks of the two ends of a slave's line, the catalog and the store, each by one attempt: whoever does not answer costs one
time-out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

from netclnt.doctor.checks import Asked, Check, Found, Stage, is_a, staged, warn
from netclnt.errors import (
    BadArgument,
    DeadlinePassed,
    DriverMissing,
    HostKeyChanged,
    HostKeyUnknown,
    IdentityFileUnusable,
    Incompatible,
    LineBroken,
    LoginRefused,
    NetclntError,
    Unreachable,
)
from netclnt.head import HEAD_FILE_MAX, HEAD_PATH, StoreHead, decode_offered_head
from netclnt.model import CatalogState, Refused
from netclnt.offer import IMAGES_MAX
from netclnt.protocols import CatalogReader, Source
from netclnt.rows import SCHEMA_VERSION

_LINE = (Unreachable, DeadlinePassed, LineBroken)


def _incompatible(*what: str) -> Callable[[NetclntError], bool]:
    return lambda error: isinstance(error, Incompatible) and error.what in what


_SSH_ENDS = _incompatible("SSH server", "ssh program")

STORE_STAGES = (
    Stage("store.key", is_a(IdentityFileUnusable, BadArgument), "the private key can be used"),
    Stage("store.line", lambda error: isinstance(error, _LINE) or _SSH_ENDS(error), "the SSH server answers"),
    Stage("store.host-key", is_a(HostKeyUnknown, HostKeyChanged), "the host key is known"),
    Stage("store.login", is_a(LoginRefused), "the login works"),
    Stage("store.sftp", _incompatible("SFTP server"), "the SFTP server answers"),
    Stage("store.head", lambda _: True, "HEAD can be read and decoded"),
)

CATALOG_STAGES = (
    Stage("catalog.driver", is_a(DriverMissing, BadArgument), "driver and data source are there"),
    Stage("catalog.line", is_a(*_LINE), "the database answers"),
    Stage("catalog.login", is_a(LoginRefused), "the login works"),
    Stage("catalog.schema", lambda _: True, f"this program reads its schema, version {SCHEMA_VERSION}"),
)


def read_head(source: Source) -> StoreHead:
    """Raises also Incompatible where the store's schema is too new for this program."""
    return decode_offered_head(source.read_file(HEAD_PATH, limit=HEAD_FILE_MAX))


def store_checks(head: Asked[StoreHead]) -> Iterator[Check]:
    yield from staged(head, STORE_STAGES, needs=("slave.parent", "slave.identity", "slave.known_hosts", "slave.host_key"))


def catalog_checks(
    state: Asked[CatalogState], offered: Asked[Offered], *, missing_tls: Callable[[], str], channel: str, role: str
) -> Iterator[Check]:
    """``missing_tls`` says what CONN lacks, see :func:`netclnt.catalog.missing_tls`."""
    conn = f"{role}.catalog"
    yield Check("catalog.tls", lambda: _look_at_tls(missing_tls()), (conn,))
    yield from staged(state, CATALOG_STAGES, needs=(conn, "password"))
    yield Check("catalog.rights", lambda: _look_at_offer(offered(), channel), ("catalog.schema", f"{role}.channel"))


def _look_at_tls(missing: str) -> Found:
    if missing:
        return warn("the line to the catalog is not encrypted: anybody on it may change the offer", f"add {missing} to CONN")
    return Found("CONN names this host, insists on TLS, or leaves it to the data source")


@dataclass(frozen=True, slots=True)
class Offered:
    """What a channel offers: how many images, how many that break a rule, bytes of the largest one, and when the newest version
    was published; ``manifest`` are digest and length of the head of the largest one's."""

    images: int
    refused: int
    largest: int
    newest: str
    manifest: tuple[str, int] | None = None


def catalog_questions(open_catalog: Callable[[], CatalogReader], channel: str) -> tuple[Asked[CatalogState], Asked[Offered]]:
    """The catalog's state, and what it offers then; each over a connection of its own."""

    def read_state() -> CatalogState:
        with closing(open_catalog()) as catalog:
            return catalog.state()

    def read() -> Offered:
        generation = state().generation
        with closing(open_catalog()) as catalog:
            return read_offer(catalog, generation=generation, channel=channel)

    state = Asked(read_state)
    return state, Asked(read)


def read_offer(catalog: CatalogReader, *, generation: int, channel: str) -> Offered:
    """All SELECTs that a sync needs, in one. Reads no further than a sync would."""
    refused: list[Refused] = []
    offered = Offered(0, 0, 0, "")
    for version in catalog.current(generation=generation, channel=channel, refuse=refused.append):
        manifest = (version.manifest, version.head_bytes) if version.size > offered.largest else offered.manifest
        largest, newest = max(offered.largest, version.size), max(offered.newest, version.created)
        offered = Offered(offered.images + 1, 0, largest, newest, manifest)
        if offered.images > IMAGES_MAX:
            break
    return replace(offered, refused=len(refused))


def _look_at_offer(offered: Offered, channel: str) -> Found:
    may = "this account may SELECT, which is enough to sync"
    if offered.refused:
        text = f"{may}; {offered.refused} of the versions offered in {channel} break a rule"
        return warn(text, "netclnt diff (names them)")
    if not offered.images:
        hint = f"on the master: netclnt publish PATH --channel {channel}"
        return warn(f"{may}; the channel {channel} offers nothing", hint)
    return Found(f"{may}; images offered in {channel}: {offered.images}")
