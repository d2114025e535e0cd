"""What the doctor looks at, put together from a config that may be broken in parts. Nothing is opened before a check asks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from netclnt.catalog import Patience, check_file, missing_tls, open_catalog, writer_of
from netclnt.cli import edges, settings
from netclnt.cli.postponed import PostponedSource
from netclnt.cli.session import Session
from netclnt.cli.show import now
from netclnt.cli.storage import storage
from netclnt.config import TABLES, ConfigFiles, HooksConfig, MasterConfig, SlaveConfig, from_files, is_set_up, salvage
from netclnt.doctor import Check, Found, Host, MasterPatient, SlavePatient, Writer, host_checks, master_checks, slave_checks
from netclnt.doctor.checks import Asked
from netclnt.doctor.places import OTHERS_READ, OTHERS_WRITE, look_private
from netclnt.errors import ConfigInvalid, ConfigMissing, NetclntError
from netclnt.files.looking import LocalDisk, missing_calls, open_files
from netclnt.files.root import open_root
from netclnt.ledger import Ledger
from netclnt.store import DirectoryStore

DISK = LocalDisk()


@dataclass(frozen=True, slots=True)
class Examination:
    """The checks of one role (or of the ``host``), and the keys of its config that cannot be used, as ``slave.root``."""

    role: str
    checks: Iterator[Check]
    broken: tuple[str, ...] = ()


@contextmanager
def examinations(
    session: Session, role: str | None, *, probe: float, flags: Mapping[str, object]
) -> Iterator[Iterator[Examination]]:
    """The host's, then those of each role that the config has, or of the one asked for. What the checks open is closed at the
    end."""
    with ExitStack() as stack:
        yield _examinations(session, role, probe, flags, stack)


def _examinations(
    session: Session, role: str | None, probe: float, flags: Mapping[str, object], stack: ExitStack
) -> Iterator[Examination]:
    read = _Read.of(session, role, flags)
    yield Examination("host", iter([Check("config", read.look), *host_checks(_host())]))
    if read.slave is not None:
        checks = slave_checks(replace(_slave(read.slave, session, probe, stack), hooks=read.hooks))
        yield Examination("slave", checks, read.broken)
    if read.master is not None:
        yield Examination("master", master_checks(_master(read.master, session)), read.broken)


def _host() -> Host:
    return Host(missing_calls=missing_calls, open_files=open_files, sqlite=sqlite3.sqlite_version_info)


@dataclass(frozen=True, slots=True)
class _Read:
    """What can be used of the config, and ``look``, which tells of the rest."""

    look: Callable[[], Found]
    slave: SlaveConfig | None = None
    master: MasterConfig | None = None
    broken: tuple[str, ...] = ()
    hooks: tuple[Path, ...] = ()

    @classmethod
    def of(cls, session: Session, role: str | None, flags: Mapping[str, object]) -> _Read:
        try:
            files = settings.read(session.options.config, session.environment)
            settings.check_profile(files, session.options.profile)
        except NetclntError as error:
            return cls(partial(_raise, error))
        problems = tuple(problem.pair for problem in files.problems)
        found: dict[str, MasterConfig | SlaveConfig] = {}
        broken: list[str] = []
        for table in TABLES:
            own = flags if table is SlaveConfig else {}
            layers = settings.layers(table, files, session.environment, own, session.options.profile)
            if role in (None, table.TABLE) and is_set_up(table, files, layers):
                found[table.TABLE], keys, more = salvage(table, *layers)
                broken += [f"{table.TABLE}.{key}" for key in keys]
                problems += more
        hooks, _, more = salvage(HooksConfig, *from_files(HooksConfig, files, session.options.profile))
        problems += more
        slave, master = found.get("slave"), found.get("master")
        return cls(
            partial(_look, files, problems, missing="" if found else role or "slave"),
            slave if isinstance(slave, SlaveConfig) else None,
            master if isinstance(master, MasterConfig) else None,
            tuple(broken),
            tuple(dict.fromkeys(Path(argv[0]) for commands in hooks.commands.values() for argv in commands)),
        )


def _raise(error: Exception) -> Found:
    raise error


def _look(files: ConfigFiles, problems: tuple[tuple[str, str], ...], *, missing: str) -> Found:
    """Raises ConfigInvalid with all problems, or ConfigMissing where no role is set up."""
    if problems:
        raise ConfigInvalid(path=str(files.path), problems=problems)
    if missing:
        raise ConfigMissing(path=str(files.path), section=missing if files.files else "")
    if not files.files:
        return Found("all of it is in the environment")
    looks = [look_private(DISK, file.path, forbidden=OTHERS_WRITE, why="others can change it") for file in files.files]
    return next((found for found in looks if found.hint), looks[0])


def _slave(config: SlaveConfig, session: Session, probe: float, stack: ExitStack) -> SlavePatient:
    once = replace(config, retry_budget=0.0)
    source = PostponedSource(config.parent, partial(edges.open_parent, once, session))
    password = Asked(partial(session.password, config))
    stack.callback(source.close)
    return SlavePatient(
        root=config.root,
        further=config.further_roots,
        state=config.state,
        seeds=config.seed,
        channel=config.channel,
        disk=DISK,
        open_ledger=partial(_ledger, config),
        root_marked=_root_marked,
        check_owner=partial(edges.ownership, config),
        password=partial(_password, config, password),
        missing_tls=partial(missing_tls, config.catalog),
        store_is_catalog=config.catalog == "store",
        open_catalog=lambda: open_catalog(config.catalog, password=password(), patience=Patience(timeout=config.timeout)),
        source=source,
        probe_seconds=probe,
        now=now,
    )


def _ledger(config: SlaveConfig) -> Ledger | None:
    path = config.state / edges.LEDGER
    with storage("look at", path):
        there = path.exists()
    return edges.open_ledger(config, readonly=True) if there else None


def _root_marked(path: Path, marker: str | None) -> bool:
    with open_root(path, marker=marker, writable=False) as root:
        return root.was_marked


def _password(config: MasterConfig | SlaveConfig, ask: Callable[[], str | None]) -> Found:
    """Raises ConfigInvalid where the one that is configured cannot be had."""
    password = ask()
    if config.password_file is not None:
        return look_private(DISK, config.password_file, forbidden=OTHERS_READ, why="others can read the catalog's password")
    return Found("there is one" if password else "none is configured: the driver needs none from netclnt")


def _master(config: MasterConfig, session: Session) -> MasterPatient:
    file = edges.sqlite_file(config.catalog)
    password = Asked(partial(session.password, config))

    def writer() -> Writer | None:
        found = writer_of(config.catalog, password=password())
        return None if found is None else Writer(*found)

    return MasterPatient(
        store_path=config.store,
        store=DirectoryStore(config.store),
        state=config.state,
        channel=config.channel,
        disk=DISK,
        password=partial(_password, config, password),
        missing_tls=partial(missing_tls, config.catalog),
        open_catalog=lambda: open_catalog(config.catalog, password=password()),
        writer=writer,
        check_catalog=partial(check_file, file) if file else None,
        now=now,
    )
