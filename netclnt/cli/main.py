"""The tree of commands, and the process around one call. Only what ``--help`` needs is imported here."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from netclnt import __version__
from netclnt.cli.parser import CommandGroup, Globals, LazyGroup

INIT = LazyGroup(
    "init",
    {
        "master": ("init_master", "Create a catalog and a store, and write the config."),
        "slave": ("init_slave", "Write the config, and make the key that the master has to know."),
    },
    examples=[
        "netclnt init master --store /srv/netclnt",
        "netclnt init slave --name store-0815 --catalog store --parent sftp://netclnt@master/srv/netclnt --root /srv/images",
    ],
    about="Set up this host. Run again, it changes nothing.",
)

SERVICE = CommandGroup(
    "service",
    {"install": ("service_install", "Write systemd units, or a cron line, that start netclnt.")},
    own="service",
    examples=["netclnt service", "netclnt service --schedule 'at 02:00,14:00 every 1 day'", "netclnt service install --timer"],
)

CONFIG = LazyGroup(
    "config",
    {
        "show": ("config_show", "Show each key, its value, and where that comes from."),
        "validate": ("config_validate", "Look for all that is wrong in the config."),
    },
    examples=["netclnt config show --changed", "netclnt config validate"],
    about="Look at the config. Contacts nobody.",
)

_COMPLETION = "_NETCLNT_COMPLETE"
"""In the environment of a call by which a shell asks for candidates."""

COMMANDS = LazyGroup(
    "netclnt",
    {
        "init": (INIT, "Set up this host as a master or a slave."),
        "trust-host": ("trust_host", "Show the parent's host key, or trust it."),
        "publish": ("publish", "Offer a file or a directory as an image's new version."),
        "promote": ("promote", "Make a version current in a channel."),
        "retire": ("retire", "Call a version back."),
        "gc": ("gc", "Give back what no version in the store needs any more."),
        "diff": ("diff", "Show what differs between the catalog and this slave."),
        "sync": ("sync", "Bring this slave up to date; only changed blocks cross the line."),
        "list": ("list", "List the images held, or offered."),
        "show": ("show", "Show one image and its versions."),
        "status": ("status", "Say when this server was last brought up to date."),
        "history": ("history", "Show what the last runs did, or what was done to the offer."),
        "schema": ("schema", "Print the JSON Schema of what --json prints."),
        "verify": ("verify", "Hash what is there and compare."),
        "prune": ("prune", "Give back what this slave need not keep."),
        "service": (SERVICE, "Sync by a schedule, or let systemd or cron do it."),
        "config": (CONFIG, "Show the config, or look for what is wrong in it."),
        "doctor": ("doctor", "Look beforehand for what would end a run, and say what to type."),
        "completion": ("completion", "Print what lets a shell complete netclnt's command lines."),
    },
    examples=[
        "netclnt init master --store /srv/netclnt",
        "netclnt publish /build/debian12.ext4",
        "netclnt sync --dry-run",
        "netclnt doctor",
    ],
    outermost=True,
    sections={
        "To begin with": ["init", "trust-host", "config", "doctor"],
        "On a master": ["publish", "promote", "retire", "gc"],
        "On a slave": ["diff", "sync", "service", "prune"],
        "On both": ["list", "show", "status", "history", "verify"],
        "For programs": ["schema", "completion"],
    },
    synonyms={
        "init": ["setup", "install", "create"],
        "publish": ["push", "add", "upload", "commit", "import"],
        "retire": ["rm", "remove", "delete"],
        "sync": ["pull", "update", "upgrade", "fetch", "replicate", "run", "rsync"],
        "service": ["daemon", "serve", "schedule", "cron"],
        "prune": ["clean", "cleanup", "forget"],
        "list": ["ls", "images"],
        "show": ["info", "versions", "cat"],
        "history": ["log", "logs", "runs"],
        "verify": ["check", "fsck", "scrub"],
        "doctor": ["test", "diagnose", "debug"],
    },
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            help="Show the version.",
            callback=lambda ctx, _, wanted: _show_version(ctx) if wanted and not ctx.resilient_parsing else None,
        )
    ],
    about="Keep OS-deployment images on many slave servers equal to those of one master.",
    epilog="Of one command: netclnt help COMMAND. Exit codes and output formats: netclnt(1). The config: netclnt.toml(5).",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code. Ends the process by SIGPIPE if standard output's reader went away."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if _COMPLETION in os.environ:
        return int(import_module("netclnt.cli.completing").complete(COMMANDS, os.environ[_COMPLETION]))
    try:
        # Not COMMANDS.main: that turns a closed standard output into exit code 1.
        with COMMANDS.make_context("netclnt", list(words), obj=Globals()) as ctx:
            code = COMMANDS.invoke(ctx)
        sys.stdout.flush()
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    except click.ClickException as error:
        code = import_module("netclnt.cli.run").refuse(error, words)
    except OSError as error:
        code = import_module("netclnt.cli.run").output_failed(error)
    return int(code)


def _show_version(ctx: click.Context) -> None:
    click.echo(f"netclnt {__version__}")
    ctx.exit()
