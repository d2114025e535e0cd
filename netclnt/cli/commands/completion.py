"""``netclnt completion``: the script by which a shell completes netclnt's command lines."""

from __future__ import annotations

import click

from netclnt.cli.command import declare
from netclnt.cli.completing import SHELLS, script
from netclnt.cli.session import Session


@declare(
    "completion",
    examples=[
        "netclnt completion bash > /etc/bash_completion.d/netclnt",
        "netclnt completion zsh > /usr/local/share/zsh/site-functions/_netclnt",
        "netclnt completion fish > /etc/fish/completions/netclnt.fish",
    ],
    params=[click.Argument(["shell"], type=click.Choice(SHELLS))],
)
def command(session: Session, *, shell: str) -> None:
    """Print the script by which bash, zsh or fish completes commands, options, and the names of images that this host holds or
    offers.

    For one account: eval "$(netclnt completion bash)" in ~/.bashrc; the same with zsh in ~/.zshrc, behind compinit; in
    ~/.config/fish/config.fish: netclnt completion fish | source."""
    text = script(shell)
    session.view.result("completion", {"shell": shell, "script": text}, text.splitlines())
