"""The config: TOML text, environment and flags in, checked frozen values out. No file is read or written here."""

from netclnt.config.files import TABLES, ConfigFile, ConfigFiles, Problem
from netclnt.config.hooks import HooksConfig
from netclnt.config.key import REQUIRED, Key, Shape
from netclnt.config.layers import Given, Layer, Origin, defaults, from_environment, from_files, from_flags, from_table, is_set_up
from netclnt.config.readers import duration
from netclnt.config.resolve import resolve, salvage
from netclnt.config.tables import MasterConfig, SlaveConfig, Table, keys

__all__ = [
    "REQUIRED",
    "TABLES",
    "ConfigFile",
    "ConfigFiles",
    "Given",
    "HooksConfig",
    "Key",
    "Layer",
    "MasterConfig",
    "Origin",
    "Problem",
    "Shape",
    "SlaveConfig",
    "Table",
    "defaults",
    "duration",
    "from_environment",
    "from_files",
    "from_flags",
    "from_table",
    "is_set_up",
    "keys",
    "resolve",
    "salvage",
]
