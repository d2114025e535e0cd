"""The config: TOML text, environment and flags in, checked frozen values out. No file is read or written here."""

from netclnt.config.key import REQUIRED, Key, Shape
from netclnt.config.readers import duration
from netclnt.config.resolve import (
    TABLES,
    Given,
    Layer,
    defaults,
    from_environment,
    from_flags,
    from_table,
    read_tables,
    require,
    resolve,
    salvage,
    salvage_tables,
)
from netclnt.config.tables import Config, MasterConfig, SlaveConfig, Table, keys

__all__ = [
    "REQUIRED",
    "TABLES",
    "Config",
    "Given",
    "Key",
    "Layer",
    "MasterConfig",
    "Shape",
    "SlaveConfig",
    "Table",
    "defaults",
    "duration",
    "from_environment",
    "from_flags",
    "from_table",
    "keys",
    "read_tables",
    "require",
    "resolve",
    "salvage",
    "salvage_tables",
]
