"""``netclnt trust-host``: which host key the parent shows, and the decision that it is the right one."""

from __future__ import annotations

import click

from netclnt.cli import edges
from netclnt.cli.command import config_flags, declare
from netclnt.cli.session import Session
from netclnt.cli.setup import write_config
from netclnt.config import SlaveConfig
from netclnt.errors import BadArgument, HostKeyChanged

_WORDS = {"KNOWN": "trusted", "UNKNOWN": "unknown", "CHANGED": "changed"}


@declare(
    "trust-host",
    examples=["netclnt trust-host", "netclnt trust-host SHA256:0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"],
    params=[
        click.Argument(["fingerprint"], required=False, metavar="[SHA256:...]"),
        click.Option(["--replace"], is_flag=True, help="Trust this key in place of the one that was trusted before."),
        *config_flags(SlaveConfig, "parent", "transport", "known_hosts", "timeout"),
    ],
)
def command(session: Session, *, fingerprint: str | None, replace: bool, **flags: object) -> None:
    """Show the parent's host key, or trust it from now on: with the fingerprint that the master's admin told you, and only if the
    parent shows a key of that fingerprint. Writes it into known_hosts; asks nobody for a login.

    Columns: fingerprint, type, state (trusted, unknown, changed)."""
    config = session.slave(**flags)
    pin = None if fingerprint is None else edges.host_key_pin(fingerprint)  # before anybody is asked
    trust = edges.host_trust(config)
    state = _WORDS[trust.verdict.name]
    if pin is not None:
        if pin != trust.shown.fingerprint:
            raise HostKeyChanged(address=config.parent, fingerprint=trust.shown.fingerprint, known_hosts="")
        if config.host_key is not None and state != "trusted":
            hint = f"netclnt init slave --force --host-key {pin}"
            raise BadArgument(argument="host_key", problem="this key of the config alone counts", hint=hint)
        if state == "changed" and not replace:
            raise HostKeyChanged(address=config.parent, fingerprint=trust.shown.fingerprint, known_hosts=str(trust.path))
        if state != "trusted":
            write_config(trust.path, trust.text(replace=replace))
            session.view.note(f"wrote {trust.path}")
            state = "trusted"
    elif state != "trusted":
        session.view.note("compare it with the master's (there: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)")
    record = {
        "address": config.parent,
        "fingerprint": trust.shown.fingerprint,
        "key_type": trust.shown.type,
        "state": state,
        "known_hosts": str(trust.path),
    }
    session.view.result("host_key", record, ["\t".join((trust.shown.fingerprint, trust.shown.type, state))])
