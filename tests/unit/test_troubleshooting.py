"""The guide by exit code has each code, and each error that there is, in the words in which it is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from netclnt import errors
from netclnt.cli.errors import explain
from netclnt.errors import ExitCode, NetclntError

GUIDE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text()

FILE, STORE = "/var/lib/netclnt/ledger.sqlite", "sftp://netclnt-read@master.example.com/store"
KEY = "SHA256:0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
DATABASE = "odbc:DSN=netclnt-master"

TOLD: list[NetclntError] = [
    errors.BadArgument("--timeout", "must be a time such as 90s, 10m or 2h, and not soon", ""),
    errors.ConfigMissing("/etc/netclnt/config.toml", "slave"),
    errors.ConfigInvalid("/etc/netclnt/config.toml", (("[slave] rot", "unknown key; is root meant?"),)),
    errors.DriverMissing("PostgreSQL Unicode", "file not found"),
    errors.NoSuchImage("debain12.ext4"),
    errors.SourceChanged("/srv/build/debian12.ext4"),
    errors.Unpublishable("/srv/build/pxe/console", "a device"),
    errors.Unreachable("store", STORE, "Connection refused"),
    errors.Unreachable("catalog", "sqlite:/var/lib/netclnt/catalog.sqlite", "No such file or directory"),
    errors.LineBroken("store", STORE, "Connection reset by peer"),
    errors.DeadlinePassed("catalog", DATABASE, 30),
    errors.SourceMissing("HEAD", "No such file"),
    errors.SourceMissing("packs/b0/b07bc6dfa2a7e04f.pack", "No such file"),
    errors.HookFailed("before", "", "/usr/local/sbin/may-we", 1, "ended with exit code 1", "no"),
    errors.HookFailed("after_image", "boot/debian12", "/usr/local/sbin/import-image", 3, "ended with exit code 3", ""),
    errors.LoginRefused("store", STORE, "netclnt-read", "no key is accepted"),
    errors.LoginRefused("catalog", DATABASE, "netclnt_slave", "password authentication failed"),
    errors.HostKeyUnknown("master.example.com", KEY, "/var/lib/netclnt/known_hosts"),
    errors.HostKeyChanged("master.example.com", KEY, "/var/lib/netclnt/known_hosts"),
    errors.IdentityFileUnusable("/var/lib/netclnt/id_ed25519", "Permission denied"),
    errors.Damaged("image", "boot/debian12", "vmlinuz at 983040: a block is not what its id says"),
    errors.Damaged("frame", "packs/b0/b07bc6dfa2a7e04f.pack", "a block is not what its id says"),
    errors.Damaged("HEAD", "HEAD", "it does not match its own SHA-256"),
    errors.Damaged("version", "debian12.ext4@1", "a block is not what its id says"),
    errors.ContentMismatch("debian12.ext4", "", "e3b0c442…", "5feceb66…"),
    errors.InQuarantine("debian12.ext4", 5, "2026-11-23 02:14", "its SHA-256 is another one"),
    errors.ForbiddenName("../etc/passwd", "no part may be .."),
    errors.ForbiddenValue("generation", "-1", "from 0 to 9223372036854775806"),
    errors.ForeignMaster("0d3f…", "91ab…"),
    errors.NoSpace("/srv/images", 4_300_000_000, 1_200_000_000),
    errors.StorageFailed("write", "/srv/images/.netclnt", 30, "Read-only file system"),
    errors.StorageFailed("open", "/srv/images/.netclnt", 13, "Permission denied"),
    errors.StorageFailed("read", "/srv/images/debian12.ext4", 5, "Input/output error"),
    errors.RootNotMounted("/srv/images"),
    errors.ForeignFile("debian12.ext4", "/srv/images/debian12.ext4", "file"),
    errors.Locked("/srv/images", "pid 4711, netclnt sync, since 02:14"),
    errors.LedgerDamaged(FILE, "database disk image is malformed"),
    errors.LedgerBusy(FILE, 30, "pid 4712, sqlite3"),
    errors.LedgerForeign(FILE),
    errors.LedgerLinked(FILE, 1000),
    errors.Incompatible("ledger", "12", "0 to 11"),
    errors.CatalogBehindStore(17, 19),
    errors.HistoriesDiffer(17, "nc_version"),
    errors.BrakeApplied("max_retire", "60% of the images held are not offered any more"),
    errors.BrakeApplied("max_image_size", "debian12.ext4 has 9 TB"),
    errors.LinePaused("window", 0, 0, "2026-11-24T20:00:00"),
    errors.LinePaused("monthly_quota", 200_000_000_000, 100_000, "2026-12-01T00:00:00"),
    errors.LinePaused("max_duration", 21600),
    errors.LinePaused("max_transfer", 2_000_000_000),
    errors.PutOff("/usr/local/sbin/may-we", "a deployment runs"),
    errors.ActivationDeferred(("boot/debian12",)),
    errors.HungUp(),
    errors.Interrupted(),
    errors.Terminated(),
]
"""One of each error, in the facts that the guide shows."""


def section(code: ExitCode) -> str:
    found = re.search(rf"^## {code.value} {code.name}\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL)
    assert found, f"the guide lacks {code.value} {code.name}"
    return found[1]


def leaves(kind: type[NetclntError] = NetclntError) -> Iterator[type[NetclntError]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            if child.__subclasses__():
                yield from leaves(child)
            else:
                yield child


@pytest.mark.parametrize("code", ExitCode, ids=lambda code: code.name)
def test_each_exit_code_has_a_section(code: ExitCode) -> None:
    assert len(section(code)) > 100


@pytest.mark.parametrize("error", TOLD, ids=lambda error: type(error).__name__)
def test_each_error_is_told_in_its_own_words(error: NetclntError) -> None:
    told = explain(error)
    own = section(told.code)
    for line in told.sentence.splitlines():
        assert f"`{line.strip()}`" in own
    assert f"`{told.hint}`" in own


def test_no_error_is_missing() -> None:
    shown = {type(error) for error in TOLD}
    inner = {kind for kind in shown if any(kind is not other and issubclass(other, kind) for other in shown)}
    missing = {kind.__name__ for kind in leaves()} - {kind.__name__ for kind in shown | inner}
    assert not missing
