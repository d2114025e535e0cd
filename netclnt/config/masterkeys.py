"""Keys of a master, and those about the catalog's password, which a slave has, too."""

from __future__ import annotations

from netclnt.config import readers
from netclnt.config.key import Key, Shape
from netclnt.model import DEFAULT_CHANNEL

PASSWORD = (
    Key(
        name="password_file",
        about="A file that holds the catalog's password and nothing else; readable by this program's user only.",
        read=readers.path,
        default=None,
        shape=Shape.PATH,
        metavar="FILE",
        example="/etc/netclnt/catalog-password",
    ),
    Key(
        name="password_command",
        about="A command that prints the catalog's password. Without either: systemd's credential catalog-password, if any.",
        read=readers.text,
        default=None,
        metavar="COMMAND",
        example="pass show netclnt/catalog",
    ),
)

MASTER = (
    Key(
        name="store",
        about="The exported directory of packs, manifests and HEAD. Slaves read it over SFTP.",
        read=readers.path,
        shape=Shape.PATH,
        metavar="DIR",
        example="/srv/netclnt",
    ),
    Key(
        name="catalog",
        about="The master's database: odbc:DSN=…, odbc: and a connection string, or sqlite:FILE outside the store.",
        read=readers.conn,
        shape=Shape.CONN,
        metavar="CONN",
    ),
    Key(
        name="state",
        about="The master's private directory, outside the store: block index and, by default, the catalog.",
        read=readers.path,
        shape=Shape.PATH,
        metavar="DIR",
    ),
    *PASSWORD,
    Key(
        name="channel",
        about="The channel that publish offers new versions in.",
        read=readers.channel,
        default=DEFAULT_CHANNEL,
        metavar="C",
    ),
    Key(
        name="level",
        about="zstd's compression level of new frames: 1 is quick, 19 is small.",
        read=readers.whole(1, 19),
        default=7,
        shape=Shape.NUMBER,
        metavar="N",
    ),
    Key(
        name="threads",
        about="Threads that hash and compress; 0 means one for each core.",
        read=readers.whole(0, 256),
        default=0,
        shape=Shape.NUMBER,
        metavar="N",
    ),
    Key(
        name="keep_versions",
        about="Of each image, gc keeps the newest so many versions that are not called back, and whatever is current.",
        read=readers.whole(0, 10000),
        default=3,
        shape=Shape.NUMBER,
        metavar="N",
    ),
    Key(
        name="grace_days",
        about="What is needed no longer is kept so many days more: at least as long as the slowest slave's longest sync.",
        read=readers.whole(0, 3650),
        default=35,
        shape=Shape.NUMBER,
        metavar="N",
    ),
)
