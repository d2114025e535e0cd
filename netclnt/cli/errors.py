"""The one place that says an error to a person: a sentence, a hint (the next command to type) and the exit code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from netclnt import errors as e
from netclnt.cli.text import counted, human_bytes, human_seconds, safe
from netclnt.errors import ExitCode, NetclntError
from netclnt.head import HEAD_PATH

Words = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Explained:
    """``cause`` is the error's class name: stable, for programs."""

    code: ExitCode
    cause: str
    sentence: str
    hint: str


def explain(error: BaseException) -> Explained:
    """Any exception as words, an edge's own kind of an error by those of its base. What is no NetclntError is a bug."""
    words = next((_WORDS[kind] for kind in type(error).__mro__ if kind in _WORDS), None)
    if words is None or not isinstance(error, NetclntError):
        return Explained(ExitCode.BUG, type(error).__name__, *_bug(error))
    return Explained(error.exit_code, type(error).__name__, *words(error))


def _bug(error: BaseException) -> Words:
    if isinstance(error, MemoryError):
        return "There is not enough memory for this run.", "run it again with fewer threads: --threads 1"
    facts = safe(error)[:500]
    told = f"{type(error).__name__}: {facts}" if facts else type(error).__name__
    return f"This is a bug in netclnt: {told}.", "run the same command again with -v and report what it prints"


def _config_invalid(error: e.ConfigInvalid) -> Words:
    listed = "".join(f"\n  {safe(where)} {safe(problem)}" for where, problem in error.problems)
    return (
        f"{counted(len(error.problems), 'problem')} in the config {safe(error.path)}:{listed}",
        "mend these keys and run it again",
    )


def _config_missing(error: e.ConfigMissing) -> Words:
    section = safe(error.section)
    if not section:
        return f"There is no config at {safe(error.path)}.", f"netclnt init slave --config {safe(error.path)} …"
    flags = {
        "master": "--store DIR",
        "slave": "--name NAME --catalog CONN|store --parent sftp://USER@HOST/DIR --root DIR",
    }.get(section, "")
    return f"This host is not set up as a {section}: no [{section}] in {safe(error.path)}.", f"netclnt init {section} {flags}"


def _host_key_unknown(error: e.HostKeyUnknown) -> Words:
    if error.fingerprint:
        shown = safe(error.fingerprint)
        return (
            f"The host key of {safe(error.address)} is not known: {shown}.",
            "compare it with the master's (there: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then: "
            f"netclnt trust-host {shown}",
        )
    return f"The host key of {safe(error.address)} is not in {safe(error.known_hosts)}.", "netclnt trust-host"


def _host_key_changed(error: e.HostKeyChanged) -> Words:
    found = f" It now shows {safe(error.fingerprint)}." if error.fingerprint else ""
    shown = safe(error.fingerprint) or "SHA256:..."
    if error.known_hosts:
        where, hint = f"the one in {safe(error.known_hosts)}", f"netclnt trust-host --replace {shown}"
    else:
        where, hint = "the one that was given", f"netclnt init slave --force --host-key {shown}"
    return (
        f"The host key of {safe(error.address)} is not {where}: another machine may be answering.{found}",
        f"ask the master's admin; if the key was really replaced: {hint}",
    )


def _login_refused(error: e.LoginRefused) -> Words:
    sentence = f"The {safe(error.what)} at {safe(error.address)} refuses user {safe(error.user)}: {safe(error.cause)}."
    if error.what == "catalog":
        return sentence, "check UID in the config's catalog, and password_file or password_command"
    return sentence, "netclnt init slave (prints the line that the master's authorized_keys must hold)"


def _unreachable(error: e.Unreachable) -> Words:
    sentence = f"The {safe(error.what)} at {safe(error.address)} cannot be reached: {safe(error.cause)}."
    kind, _, path = safe(error.address).partition(":")
    if kind == "sqlite":
        return sentence, f"look at it: ls -l {path}; if it is lost, on the master: netclnt init master --recover"
    return sentence, "try again later; if it stays so, check name, port and firewall"


def _damaged(error: e.Damaged) -> Words:
    if error.what == "HEAD":
        return (
            f"The store's HEAD is damaged: {safe(error.problem)}.",
            "on the master: netclnt init master --recover (makes HEAD anew from the catalog)",
        )
    if error.what == "image":
        return f"The image {safe(error.where)} is damaged: {safe(error.problem)}.", f"netclnt verify --repair {safe(error.where)}"
    if error.what == "version":
        return (
            f"The store's version {safe(error.where)} is damaged: {safe(error.problem)}.",
            "publish the same content again, then: netclnt verify --store",
        )
    return (
        f"The {safe(error.what)} at {safe(error.where)} is damaged: {safe(error.problem)}.",
        "run it again; if it stays so, on the master: netclnt verify --store, and publish the image again",
    )


def _source_missing(error: e.SourceMissing) -> Words:
    sentence = f"The store lacks {safe(error.path)}: {safe(error.cause)}."
    if error.path == HEAD_PATH:
        return sentence, "check the directory in parent; if it is right, on the master: netclnt init master (puts HEAD there)"
    return sentence, "try again later; if it stays so, publish the image again, or restore that file, on the master"


def _storage_failed(error: e.StorageFailed) -> Words:
    return f"Cannot {safe(error.action)} {safe(error.path)}: {safe(error.cause)}.", _storage_hint(error)


def _storage_hint(error: e.StorageFailed) -> str:
    match error.errno:
        case 13 | 1:
            return f"check who may write there: ls -ld {safe(error.path)}"
        case 28 | 122:
            return "free space or quota there, then run it again"
        case 30:
            return "the file system is mounted read-only: mount -o remount,rw, or look into dmesg for why"
        case 5:
            return "the disk reports errors: look into dmesg before anything else"
    return f"look at it: ls -ld {safe(error.path)}"


def _incompatible(error: e.Incompatible) -> Words:
    if error.what in _PROGRAMS:
        return f"The {safe(error.what)} cannot be used: {safe(error.found)}.", f"it must have {safe(error.supported)}"
    return (
        f"The {safe(error.what)} has version {safe(error.found)}; this netclnt reads {safe(error.supported)}.",
        "install the release of netclnt that belongs to it: netclnt --version",
    )


_PROGRAMS = ("SSH server", "SFTP server", "ssh program")
"""What is incompatible by what it can do, not by a version of its format."""


def _behind(error: e.CatalogBehindStore) -> Words:
    return (
        f"The store is at generation {error.store_generation}, the catalog only at {error.catalog_generation}: "
        "the catalog was lost, or restored from a backup.",
        "netclnt init master --recover (takes the rest from the store)",
    )


def _line_paused(error: e.LinePaused) -> Words:
    again = f"{safe(error.again)[:16].replace('T', ' ')}" if error.again else ""
    match error.reason:
        case "window":
            return (
                f"The window is closed: nothing more is fetched before {again}.",
                "what was fetched is kept, and the next run goes on; to go on now: netclnt sync --window off",
            )
        case "monthly_quota":
            return (
                f"This month's quota of {human_bytes(error.limit)} is used up, but for {human_bytes(error.left)};"
                f" it begins anew on {again}.",
                "what was fetched is kept, and the next run goes on; to go on now: netclnt sync --monthly-quota off",
            )
        case "max_duration":
            return f"This run has used the line for {human_seconds(error.limit)}, which is max_duration.", "the next run goes on"
    return f"This run has fetched all that max_transfer allows: {human_bytes(error.limit)}.", "the next run goes on"


def _hook_failed(error: e.HookFailed) -> Words:
    about = f" for {safe(error.image)}" if error.image else ""
    sentence = f"The hook {safe(error.hook)}{about} failed: {safe(error.program)} {safe(error.cause)}{_said(error.said)}."
    if error.hook == "after_image":
        return sentence, "the image is shown; the next sync calls the hook again"
    if error.code is None and error.cause.startswith("cannot"):
        return sentence, f"ls -l {safe(error.program)}; it must be executable, and a script's first line name its interpreter"
    return sentence, "run that program by hand, or go without hooks: netclnt sync --no-hooks"


def _said(line: str) -> str:
    return f" ({safe(line).strip()[:200]})" if line.strip() else ""


def _brake_applied(error: e.BrakeApplied) -> Words:
    sentence = f"Stopped by the limit {safe(error.limit)}: {safe(error.problem)}."
    if error.limit == "max_retire":
        return sentence, "look at the master first; if that is meant: netclnt sync --max-retire 100"
    if error.limit == "max_image_size":
        return sentence, "look at the master first; if it is really that large: netclnt sync --max-image-size SIZE"
    if error.limit in ("max_transfer", "monthly_quota"):
        return sentence, f"allow that much in the config, or once: netclnt sync --{error.limit.replace('_', '-')} SIZE"
    return sentence, "look at the master first: no sound catalog holds that"


_WORDS: dict[type[BaseException], Callable[[Any], Words]] = {
    e.BadArgument: lambda x: (f"{safe(x.argument)}: {safe(x.problem)}.", safe(x.hint) or "netclnt --help"),
    e.ConfigMissing: _config_missing,
    e.ConfigInvalid: _config_invalid,
    e.DriverMissing: lambda x: (
        f"There is no ODBC driver or data source {safe(x.driver)}: {safe(x.cause)}.",
        "odbcinst -q -d -q -s lists what there is; on Debian: apt install odbc-postgresql, odbc-mariadb or libsqliteodbc",
    ),
    e.NoSuchImage: lambda x: (f"No image is called, or matches, {safe(x.name)}.", "netclnt list"),
    e.SourceChanged: lambda x: (
        f"{safe(x.path)} changed while it was read; nothing was published.",
        "publish it again when nothing writes to it",
    ),
    e.Unpublishable: lambda x: (
        f"{safe(x.path)} cannot be published: {safe(x.problem)}.",
        "take it out of the image, and publish again",
    ),
    e.Unreachable: _unreachable,
    e.LineBroken: lambda x: (
        f"The connection to the {safe(x.what)} at {safe(x.address)} broke: {safe(x.cause)}.",
        "run it again: what was fetched is kept",
    ),
    e.DeadlinePassed: lambda x: (
        f"The {safe(x.what)} at {safe(x.address)} made no progress for {human_seconds(x.seconds)}.",
        "run it again: what was fetched is kept; on a slow line with a higher --timeout",
    ),
    e.SourceMissing: _source_missing,
    e.LoginRefused: _login_refused,
    e.HostKeyUnknown: _host_key_unknown,
    e.HostKeyChanged: _host_key_changed,
    e.IdentityFileUnusable: lambda x: (
        f"The private key {safe(x.path)} cannot be used: {safe(x.cause)}.",
        f"netclnt init slave makes one; or check this one: ssh-keygen -yf {safe(x.path)}",
    ),
    e.Damaged: _damaged,
    e.InQuarantine: lambda x: (
        f"Version {x.version} of {safe(x.image)} is in quarantine since {safe(x.since)} and not fetched again: with all its"
        f" blocks right, {safe(x.problem)}.",
        "publish it again on the master, from its source; to try the same once more: netclnt sync --retry-quarantined"
        f" {safe(x.image)}",
    ),
    e.ContentMismatch: lambda x: (
        f"{safe(x.image)}{'/' + safe(x.path) if x.path else ''} has SHA-256 {safe(x.found)}, not {safe(x.expected)}.",
        f"netclnt sync {safe(x.image)}",
    ),
    e.ForbiddenName: lambda x: (
        f"The name {safe(x.name)} is not allowed: {safe(x.rule)}.",
        "give the image another name on the master",
    ),
    e.ForbiddenValue: lambda x: (
        f"{safe(x.what)} is {safe(x.value)[:100]}; it must be {safe(x.rule)}.",
        "look at what the master's catalog or store holds there",
    ),
    e.ForeignMaster: lambda x: (
        f"The catalog is of another master ({safe(x.found)}) than this slave follows ({safe(x.expected)}).",
        "check the config: catalog and parent must belong to the same master as before",
    ),
    e.NoSpace: lambda x: (
        f"{safe(x.path)} has {human_bytes(x.free)} free, and {human_bytes(x.needed)} are needed."
        if x.needed
        else f"The file system of {safe(x.path)} is full.",
        f"free some space: df -h {safe(x.path)}",
    ),
    e.StorageFailed: _storage_failed,
    e.RootNotMounted: lambda x: (
        f"{safe(x.path)} lacks the mark that netclnt left there: its file system is not mounted.",
        f"mount {safe(x.path)}; if it is really new and empty: netclnt init slave --force",
    ),
    e.ForeignFile: lambda x: (
        f"{safe(x.path)}, where the image {safe(x.image)} belongs, holds a {safe(x.found)} that netclnt did not put there.",
        f"netclnt sync --adopt {safe(x.image)}, or move it away",
    ),
    e.Locked: lambda x: (
        f"{safe(x.path)} is in use by {safe(x.holder) or 'another run'}.",
        "wait for it to end; nothing needs to be unlocked",
    ),
    e.LedgerDamaged: lambda x: (
        f"The ledger {safe(x.path)} is damaged: {safe(x.cause)}.",
        "netclnt sync (moves it aside, hashes what lies in the root, and fetches nothing twice)",
    ),
    e.LedgerBusy: lambda x: (
        f"The ledger {safe(x.path)} was held for {human_seconds(x.seconds)} by {safe(x.holder) or 'another program'}.",
        f"let it end its transaction, or wait longer: --lock-timeout; who it is: fuser -v {safe(x.path)}",
    ),
    e.LedgerForeign: lambda x: (
        f"{safe(x.path)}, where the ledger belongs, is a database of another program.",
        f"if nobody needs it there: mv {safe(x.path)} {safe(x.path)}.other && netclnt sync",
    ),
    e.LedgerLinked: lambda x: (
        f"{safe(x.path)}, where the ledger belongs, is a symbolic link that belongs to another user (uid {x.owner}).",
        f"look where it leads: ls -l {safe(x.path)}; if it is not yours: rm {safe(x.path)} && netclnt sync",
    ),
    e.Incompatible: _incompatible,
    e.CatalogBehindStore: _behind,
    e.HistoriesDiffer: lambda x: (
        f"Catalog and store differ in what they tell of the time up to generation {x.generation} ({safe(x.table)}).",
        "restore a backup of the catalog from before they parted, then: netclnt init master --recover",
    ),
    e.BrakeApplied: _brake_applied,
    e.LinePaused: _line_paused,
    e.HookFailed: _hook_failed,
    e.PutOff: lambda x: (
        f"The hook before put this run off{_said(x.said)}.",
        f"try again later, or see why: {safe(x.program)}; without hooks: netclnt sync --no-hooks",
    ),
    e.ActivationDeferred: lambda x: (
        f"{counted(len(x.images), 'image')} fetched and to be shown later, as the hook before_image wants it: "
        f"{', '.join(map(safe, x.images[:5]))}{', …' if len(x.images) > 5 else ''}.",
        "the next sync asks it again; without hooks: netclnt sync --no-hooks",
    ),
    e.HungUp: lambda _: ("Ended by SIGHUP.", "run it again: what was done is kept"),
    e.Interrupted: lambda _: ("Interrupted.", "run it again: what was done is kept"),
    e.Terminated: lambda _: ("Ended by SIGTERM.", "run it again: what was done is kept"),
}
