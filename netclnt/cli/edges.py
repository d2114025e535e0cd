"""The composition root: opens the edges and views that options and config ask for, and imports only those."""

from __future__ import annotations

import grp
import os
import pwd
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, TextIO

from netclnt.allowance import Allowance
from netclnt.cli import line
from netclnt.cli.output import Output
from netclnt.cli.parser import Globals
from netclnt.cli.postponed import PostponedSource
from netclnt.cli.show import Column, Record, Shares, TextView, View, now
from netclnt.cli.storage import storage
from netclnt.config import MasterConfig, SlaveConfig
from netclnt.errors import BadArgument, ConfigInvalid, StorageError
from netclnt.events import Warned
from netclnt.machine import Host
from netclnt.model import CatalogState
from netclnt.protocols import Catalog, Content, Root, SlaveCatalog, Source
from netclnt.selection import Selection

if TYPE_CHECKING:
    from netclnt.cli.meter import Meter
    from netclnt.cli.session import Session
    from netclnt.cli.show import Bar
    from netclnt.files.root import DirectoryRoot
    from netclnt.files.workarea import Ownership
    from netclnt.ledger import Ledger
    from netclnt.master import Master
    from netclnt.places import Places
    from netclnt.sftp.hosttrust import HostTrust
    from netclnt.slave import Slave

KEY = "id_ed25519"
KNOWN_HOSTS = "known_hosts"
LEDGER = "ledger.sqlite"
TOC = "toc.sqlite"
STANDARD_INPUT = "-"

_LEDGER_SECONDS = 10.0
"""How long to wait in any case for a program that holds the ledger: its transactions are short, but an admin's."""


def open_view(options: Globals, output: Output, *, run_id: str, environment: Mapping[str, str]) -> View:
    """The view that the options and the two streams ask for."""
    if options.json:
        from netclnt.cli.show_json import JsonView

        return JsonView(output, run_id=run_id)
    terminal = _Terminal.of(options, output, environment)
    return TextView(output, terminal, quiet=options.quiet, verbose=options.verbose)


@dataclass(frozen=True, slots=True)
class _Terminal:
    """What the two streams can show; ``colors`` are those of standard output and standard error."""

    tables: bool
    bars: bool
    lines: bool
    colors: tuple[bool, bool]

    @classmethod
    def of(cls, options: Globals, output: Output, environment: Mapping[str, str]) -> _Terminal:
        dumb = environment.get("TERM") == "dumb"
        out, err = (stream.isatty() and not dumb for stream in (output.stdout, output.stderr))
        told = options.progress == "always" or (options.progress == "auto" and output.stderr.isatty())
        plain = options.color == "never" or (options.color == "auto" and bool(environment.get("NO_COLOR")))
        forced = options.color == "always"
        return cls(
            tables=out or forced,
            bars=err and options.progress != "never",
            lines=not err and told,
            colors=((out or forced) and not plain, err and not plain),
        )

    def print_table(self, stream: TextIO, columns: Sequence[Column], records: Iterable[Record]) -> None:
        from netclnt.cli.show_rich import print_table

        print_table(stream, columns, records, color=self.colors[0])

    def print_shares(self, stream: TextIO, wholes: Iterable[Shares]) -> None:
        from netclnt.cli.show_rich import print_shares

        print_shares(stream, wholes, color=self.colors[0])

    def open_bar(self, stream: TextIO, meter: Meter) -> Bar:
        from netclnt.cli.show_rich import ProgressBar

        return ProgressBar(stream, meter, color=self.colors[1])


@contextmanager
def open_master(config: MasterConfig, *, password: str | None, holder: str) -> Iterator[Master]:
    """A master's parts, closed at the end. The catalog need not exist yet."""
    from netclnt.catalog import open_catalog
    from netclnt.catalog.toc import update_toc
    from netclnt.files.source import open_content
    from netclnt.master import Master
    from netclnt.store import DirectoryStore

    with ExitStack() as stack:
        catalog = stack.enter_context(closing(open_catalog(config.catalog, password=password)))

        def toc(generation: int) -> Content:
            path = config.state / TOC
            update_toc(path, catalog, generation)
            return stack.enter_context(open_content(path))

        yield Master(
            catalog=catalog,
            store=DirectoryStore(config.store),
            toc=toc,
            state=config.state,
            level=config.level,
            threads=threads(config.threads),
            holder=holder,
        )


def recover_catalog(master: Master, *, at: str) -> CatalogState:
    from netclnt.catalog.toc import open_toc
    from netclnt.recover import recover

    return recover(master, open_toc=open_toc, at=at)


@contextmanager
def open_catalog(conn: str, *, password: str | None) -> Iterator[Catalog]:
    from netclnt.catalog import open_catalog

    with closing(open_catalog(conn, password=password)) as catalog:
        yield catalog


def open_ledger(config: SlaveConfig, *, readonly: bool = False) -> Ledger:
    """The slave's ledger; the caller closes it."""
    from netclnt.ledger import Ledger

    return Ledger(config.state / LEDGER, busy=max(_LEDGER_SECONDS, config.lock_timeout), readonly=readonly)


@contextmanager
def open_content(path: Path) -> Iterator[Content]:
    """What is to be published: a file, a directory, or ``-`` for what comes over standard input, which is no terminal."""
    if str(path) != STANDARD_INPUT:
        from netclnt.files.source import open_content

        with open_content(path) as content:
            yield content
        return
    if sys.stdin is None or sys.stdin.isatty():
        hint = "COMMAND | netclnt publish - --name NAME"
        raise BadArgument(argument="-", problem="nothing is piped into standard input", hint=hint)
    from netclnt.files.stream import StreamContent

    yield StreamContent(sys.stdin.buffer, where="standard input")


def mark_root(config: SlaveConfig, *, anew: bool) -> None:
    """Put the marker into the root, and remember it; ``anew`` for a root that takes another one's place."""
    from netclnt.files.root import open_root

    with open_ledger(config) as ledger:
        known = None if anew else ledger.marker()
        with open_root(config.root, marker=known) as root:
            _remember(ledger, root, known)
            if config.paths:
                from netclnt.cli.places import mark_places

                mark_places(config, ledger, root, anew=anew)


def _remember(ledger: Ledger, root: DirectoryRoot, known: str | None) -> None:
    """Let the ledger know the root's marker. Where the root has one and the ledger knows none, it is the ledger that was lost."""
    if root.marker and root.marker != known:
        if root.was_marked and known is None:
            ledger.set_rebuilding(True)
        ledger.set_marker(root.marker)


@contextmanager
def open_slave(config: SlaveConfig, session: Session) -> Iterator[Slave]:
    """A slave's parts, closed at the end. Neither the catalog nor the parent is contacted before the first question.

    Raises RootNotMounted, LedgerDamaged, StorageFailed, ConfigInvalid.
    """
    from netclnt.files.root import open_root
    from netclnt.localmanifests import Manifests
    from netclnt.slave import Slave

    with ExitStack() as stack:
        ledger = stack.enter_context(closing(open_ledger(config)))
        known = ledger.marker()
        root = stack.enter_context(open_root(config.root, marker=known, ownership=ownership(config)))
        _remember(ledger, root, known)
        places = _places(config, ledger, root, stack)
        allowance = line.allowance(config)
        session.switch.used = config.bwlimit is not None
        source = PostponedSource(config.parent, partial(open_parent, config, session, allowance))
        stack.callback(source.close)
        yield Slave(
            name=config.name,
            machine_id=machine_id(),
            root=root if places is None else places,
            root_path=root.path,
            ledger=ledger,
            manifests=Manifests(config.state / "manifests"),
            open_catalog=_offer_of(config, session, source, stack),
            source=source,
            seed_roots=_seed_roots(config, session, stack),
            scratch=config.state / "scratch",
            selection=Selection(config.select),
            channel=config.channel,
            adopt=config.adopt,
            keep=config.keep,
            max_retire=config.max_retire,
            max_image_size=config.max_image_size,
            report=config.report,
            threads=threads(config.threads),
            holder=session.holder,
            now=now,
            monotonic=monotonic,
            allowance=allowance,
            priority=config.priority,
            places=places,
        )


def _places(config: SlaveConfig, ledger: Ledger, root: DirectoryRoot, stack: ExitStack) -> Places | None:
    """All roots, where there is more than one. Raises ConfigInvalid."""
    if not config.paths and not ledger.places.roots():
        return None
    from netclnt.cli.places import open_places

    return open_places(config, ledger, root, ownership=ownership(config), stack=stack)


def paths_of(config: SlaveConfig, ledger: Ledger) -> Callable[[str], str]:
    """What tells where an image lies, by an absolute path; no root need be mounted for that."""
    lying, roots = ledger.places.all(), ledger.places.roots()

    def path(name: str) -> str:
        return f"{roots.get(lying.get(name, ''), config.root)}/{name}"

    return path


def _seed_roots(config: SlaveConfig, session: Session, stack: ExitStack) -> dict[str, Root]:
    """The seed directories by their paths; one that is not there (an unplugged stick) is no reason to stop."""
    from netclnt.files.root import open_root

    roots: dict[str, Root] = {}
    for path in config.seed:
        try:
            roots[str(path)] = stack.enter_context(open_root(path, marker=None, writable=False))
        except StorageError as error:
            session.observe(Warned("seed-missing", f"The seed directory {path} cannot be read: {error}"))
    return roots


def open_parent(config: SlaveConfig, session: Session, allowance: Allowance | None = None) -> Source:
    from netclnt.sftp import open_source, parse_parent

    return open_source(
        parse_parent(config.parent),
        transport="openssh" if config.transport == "openssh" else "paramiko",
        identity=_own_or(config.identity, config.state / KEY),
        known_hosts=_own_or(config.known_hosts, config.state / KNOWN_HOSTS),
        host_key=config.host_key,
        timeout=config.timeout,
        retry_budget=config.retry_budget,
        connections=config.connections,
        pace=line.pace(config, session.switch),
        allowance=allowance,
        observer=session.observe,
    )


def host_key_pin(text: str) -> str:
    """A fingerprint as it is told of a key. Raises BadArgument for what is none."""
    from netclnt.sftp.hostkeys import check_fingerprint

    return check_fingerprint(text)


def host_trust(config: SlaveConfig) -> HostTrust:
    """The host key that the parent shows now, and what is known of it."""
    from netclnt.sftp import host_trust, parse_parent

    own = config.state / KNOWN_HOSTS
    return host_trust(
        parse_parent(config.parent),
        transport="openssh" if config.transport == "openssh" else "paramiko",
        known_hosts=_own_or(config.known_hosts, own),
        host_key=config.host_key,
        path=config.known_hosts or own,
        timeout=config.timeout,
    )


def _offer_of(config: SlaveConfig, session: Session, source: Source, stack: ExitStack) -> Callable[[], SlaveCatalog]:
    """What opens the master's catalog anew: the database's, or that of the store."""
    if config.catalog != "store":
        from netclnt.catalog import Patience, missing_tls, open_catalog

        if words := missing_tls(config.catalog):
            text = f"The line to the catalog is not encrypted, so that anybody on it may change the offer: add {words} to CONN."
            session.observe(Warned("catalog-in-clear", text))
        patience = Patience(timeout=config.timeout, budget=config.retry_budget, observer=session.observe)
        return partial(open_catalog, config.catalog, password=session.password(config), patience=patience)
    from netclnt.catalog.toc import open_toc
    from netclnt.files.root import open_root
    from netclnt.localmanifests import Manifests
    from netclnt.storecatalog import TOC_NAME, StoreCatalog

    place = config.state / "toc"
    with storage("create", place):
        place.mkdir(mode=0o700, exist_ok=True)
    catalog = StoreCatalog(
        source,
        root=stack.enter_context(open_root(place, marker=None)),
        manifests=Manifests(config.state / "toc-manifests"),
        open_toc=partial(open_toc, place / TOC_NAME),
        threads=threads(config.threads),
    )
    return lambda: catalog


def _own_or(configured: Path | None, own: Path) -> Path | None:
    """The file that the config names, else the slave's own if it is there."""
    if configured:
        return configured
    with storage("look at", own):
        return own if own.exists() else None


def ownership(config: SlaveConfig) -> Ownership:
    """Raises ConfigInvalid for an account that this host does not know."""
    from netclnt.files.workarea import Ownership

    return Ownership(
        owner=_account("owner", config.owner, lambda name: pwd.getpwnam(name).pw_uid),
        group=_account("group", config.group, lambda name: grp.getgrnam(name).gr_gid),
        mode=config.mode,
        label=f"{config.label}\0".encode() if config.label else b"",  # as setfilecon(3) sets it, with its NUL
    )


def _account(key: str, name: str | None, find: Callable[[str], int]) -> int | None:
    if name is None or name.isdecimal():
        return None if name is None else int(name)
    try:
        return find(name)
    except KeyError:
        raise ConfigInvalid(
            path="", problems=((f"slave.{key}", f"names an account that this host does not know: {name}"),)
        ) from None


@contextmanager
def open_host(words: Sequence[str], environment: Mapping[str, str]) -> Iterator[Host]:
    """What a service stands on; ``words`` start a sync. Within, signals are values."""
    from netclnt.host import system_host

    with system_host(words, environment) as host:
        yield host


def machine_id() -> str:
    """machine-id(5), or nothing where there is none."""
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()[:64]
    except (OSError, UnicodeDecodeError):
        return ""


def threads(wanted: int) -> int:
    """A number of threads; 0 means one for each core that this process may use."""
    return wanted or len(os.sched_getaffinity(0))


def sqlite_file(conn: str) -> Path | None:
    """The file of a SQLite catalog."""
    return Path(conn.removeprefix("sqlite:")) if conn.startswith("sqlite:") else None
