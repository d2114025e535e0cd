"""The config's tables as frozen values, and all there is to know of each of their keys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol

from netclnt.config import readers
from netclnt.config.hooks import HOOKS, HooksConfig
from netclnt.config.key import Key, Shape
from netclnt.config.line import LINE
from netclnt.config.masterkeys import MASTER, PASSWORD
from netclnt.config.paths import PATHS
from netclnt.config.starts import STARTS
from netclnt.config.telling import TELLING
from netclnt.model import DEFAULT_CHANNEL
from netclnt.schedule import Timetable, Window


class Table(Protocol):
    """What the tables have in common: a name, and fields that are their keys."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    TABLE: ClassVar[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterConfig:
    """Table ``[master]``. ``threads`` 0 = one for each core."""

    TABLE: ClassVar[str] = "master"

    store: Path
    catalog: str
    state: Path
    password_file: Path | None
    password_command: str | None
    channel: str
    level: int
    threads: int
    keep_versions: int
    grace_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlaveConfig:
    """Table ``[slave]``. Durations in seconds; ``threads`` 0 = one for each core; ``connections`` 0 = as many as
    the line is worth; None for no limit; ``mode`` are permission bits."""

    TABLE: ClassVar[str] = "slave"

    name: str
    catalog: str
    parent: str
    root: Path
    paths: tuple[tuple[str, Path], ...]
    state: Path
    select: tuple[str, ...]
    priority: tuple[str, ...]
    channel: str
    seed: tuple[Path, ...]
    identity: Path | None
    known_hosts: Path | None
    host_key: str | None
    transport: str
    connections: int
    bwlimit: Timetable | None
    window: tuple[Window, ...]
    max_transfer: int | None
    max_duration: float | None
    monthly_quota: int | None
    timeout: float
    retry_budget: float
    lock_timeout: float
    random_delay: float
    schedule: str
    catch_up: bool
    password_file: Path | None
    password_command: str | None
    threads: int
    owner: str | None
    group: str | None
    mode: int | None
    label: str | None
    keep: int
    max_retire: int
    max_image_size: int
    adopt: bool
    report: bool
    syslog: str
    log_file: Path | None
    log_format: str
    metrics: Path | None
    ping_url: str | None

    @property
    def further_roots(self) -> list[Path]:
        """Without the root itself, which a pattern may name to except images from a later one."""
        return list(dict.fromkeys(path for _, path in self.paths if path != self.root))


@cache
def keys(table: type[Table]) -> dict[str, Key]:
    """A table's keys by name, in the order of a written config."""
    return {key.name: key for key in {"master": MASTER, "slave": _SLAVE, HooksConfig.TABLE: HOOKS}[table.TABLE]}


_SLAVE = (
    Key(
        name="name",
        about="This server's name, as the master's reports show it.",
        read=readers.server_name,
        metavar="NAME",
        example="store-0815",
    ),
    Key(
        name="catalog",
        about='The master\'s catalog: "store" (read over SFTP), odbc:DSN=…, odbc: and a connection string, or sqlite:FILE.',
        read=readers.conn_or_store,
        shape=Shape.CONN,
        metavar="CONN|store",
        example="store",
    ),
    Key(
        name="parent",
        about="The store to copy from.",
        read=readers.parent,
        metavar="sftp://USER@HOST[:PORT]/DIR",
        example="sftp://netclnt@master.example/srv/netclnt",
    ),
    Key(
        name="root",
        about="The directory of this server's images.",
        read=readers.path,
        shape=Shape.PATH,
        metavar="DIR",
        example="/srv/images",
    ),
    PATHS,
    Key(
        name="state",
        about="The slave's private directory: ledger, key, host keys.",
        read=readers.path,
        shape=Shape.PATH,
        metavar="DIR",
    ),
    Key(
        name="select",
        about="Which images to hold: globs over names; ! excludes; kind:software selects a kind. Empty: all of the channel.",
        read=readers.texts,
        default=(),
        shape=Shape.TEXTS,
        metavar="PATTERN",
        example=["debian/*", "!debian/test-*"],
    ),
    Key(
        name="priority",
        about="Patterns as in select: images that match an earlier one are brought first.",
        read=readers.texts,
        default=(),
        shape=Shape.TEXTS,
        metavar="PATTERN",
        example=["kind:configuration", "debian/*"],
    ),
    Key(name="channel", about="The channel to follow.", read=readers.channel, default=DEFAULT_CHANNEL, metavar="C"),
    Key(
        name="seed",
        about="Directories whose files blocks may be taken from, never changed.",
        read=readers.paths,
        default=(),
        shape=Shape.PATHS,
        metavar="DIR",
        example=["/mnt/usb"],
    ),
    Key(
        name="identity",
        about="The private SSH key. Default: id_ed25519 in the state directory, if it is there.",
        read=readers.path,
        default=None,
        shape=Shape.PATH,
        metavar="FILE",
        example="/etc/netclnt/id_ed25519",
    ),
    Key(
        name="known_hosts",
        about="Known host keys. Default: known_hosts in the state directory if it is there, else the account's own.",
        read=readers.path,
        default=None,
        shape=Shape.PATH,
        metavar="FILE",
        example="/etc/ssh/ssh_known_hosts",
    ),
    Key(
        name="host_key",
        about="The parent's host key by its fingerprint, instead of known_hosts.",
        read=readers.host_key,
        default=None,
        metavar="SHA256:…",
        example="SHA256:" + "x" * 43,
    ),
    Key(
        name="transport",
        about="How to reach the parent: paramiko, or openssh (the system's ssh with all its config).",
        read=readers.choice("paramiko", "openssh"),
        default="paramiko",
        metavar="paramiko|openssh",
    ),
    Key(
        name="connections",
        about="SSH connections at once; 0 means as many as the line turns out to be worth.",
        read=readers.whole(0, 16),
        default=0,
        shape=Shape.NUMBER,
        metavar="N",
    ),
    *LINE,
    Key(
        name="timeout",
        about="Give a connection up after so long without any progress, in seconds.",
        read=readers.seconds(1, 3600),
        default=30.0,
        metavar="SECONDS",
    ),
    Key(
        name="retry_budget",
        about="Spend at most so long on trying again after the line broke, in seconds.",
        read=readers.seconds(0, 604800),
        default=300.0,
        metavar="SECONDS",
    ),
    Key(
        name="lock_timeout",
        about="How long to wait for another run that holds the root, in seconds.",
        read=readers.seconds(0, 86400),
        default=0.0,
        metavar="SECONDS",
    ),
    *STARTS,
    *PASSWORD,
    Key(
        name="threads",
        about="Threads that decompress, hash and write; 0 means one for each core.",
        read=readers.whole(0, 256),
        default=0,
        shape=Shape.NUMBER,
        metavar="N",
    ),
    Key(
        name="owner",
        about="Owner of new images. Default: the account that runs netclnt.",
        read=readers.account,
        default=None,
        example="root",
    ),
    Key(
        name="group",
        about="Group of new images. Default: the group of that account.",
        read=readers.account,
        default=None,
        example="root",
    ),
    Key(
        name="mode",
        about="Permission bits of new images of one file. Default: those published.",
        read=readers.mode,
        default=None,
        metavar="OCTAL",
        example="0644",
    ),
    Key(
        name="label",
        about="SELinux's label of new images. Default: the one that the system's policy gives them.",
        read=readers.label,
        default=None,
        metavar="LABEL",
        example="system_u:object_r:tftpdir_t:s0",
    ),
    Key(
        name="keep",
        about="Old versions of each image to keep aside (and to take blocks from).",
        read=readers.whole(0, 100),
        default=1,
        shape=Shape.NUMBER,
        metavar="N",
    ),
    Key(
        name="max_retire",
        about="Refuse an offer that lacks more than this percentage of the images held: most likely a mistake at the master.",
        read=readers.whole(0, 100),
        default=50,
        shape=Shape.NUMBER,
        metavar="PERCENT",
    ),
    Key(
        name="max_image_size",
        about="Refuse an image of more bytes than this, holes included: each of them has to be hashed.",
        read=readers.size,
        default=4 << 40,
        shape=Shape.NUMBER,
        metavar="SIZE",
    ),
    Key(
        name="adopt",
        about="Replace a file that netclnt did not put there by the image of that name.",
        read=readers.flag,
        default=False,
        shape=Shape.FLAG,
    ),
    Key(
        name="report",
        about="Tell the master's catalog what was done.",
        read=readers.flag,
        default=True,
        shape=Shape.FLAG,
    ),
    *TELLING,
)
