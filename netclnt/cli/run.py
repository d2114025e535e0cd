"""Around every command: one view, signals, and whatever ends it as one error and one exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import TracebackType

import click

from netclnt.cli import edges, signals
from netclnt.cli.errors import Explained, explain
from netclnt.cli.output import OutputClosed, failure, silence_stdout, standard
from netclnt.cli.parser import Globals
from netclnt.cli.session import Session
from netclnt.cli.show import now
from netclnt.config.readers import may_hold_password
from netclnt.errors import ExitCode
from netclnt.outcome import outcome

_YES = ("1", "true", "t", "yes", "y", "on")
"""As click reads a variable."""


def run(options: Globals, command: str, body: Callable[[Session], ExitCode | None]) -> int:
    """Run a command's body and return the process's exit code; the last line of the view says the same."""
    output = standard()
    run_id = os.urandom(8).hex()
    view = edges.open_view(options, output, run_id=run_id, environment=os.environ)
    session = Session(command, run_id, now(), options, view, os.environ)
    ending = _Ending(session)
    try:
        with signals.handled(view.status, session.switch.flip, view.aside), ending:
            view.started(command)
            ending.code = body(session) or ExitCode.OK
        return int(view.ended(ending.code))
    except OutputClosed:
        return _die_of_sigpipe()


def refuse(error: click.ClickException, words: Sequence[str]) -> int:
    """click could not read the command line: exit code USAGE, as JSON if that was asked for anywhere on it."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"{context.command_path} --help" if context else "netclnt --help"
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        sentence = f"{hint.removesuffix(' --help')} needs a command."
    else:
        sentence = error.format_message()
        if may_hold_password(sentence):
            sentence = "The command line is not understood, and not repeated here: it seems to hold a password."
    before_names = words[: words.index("--")] if "--" in words else words
    options = Globals(json="--json" in before_names or os.environ.get("NETCLNT_JSON", "").lower() in _YES, progress="never")
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and not options.json:
        error.show()
        return int(ExitCode.USAGE)

    def tell(session: Session) -> ExitCode:
        session.view.failed(Explained(ExitCode.USAGE, "UsageError", sentence, hint))
        return ExitCode.USAGE

    return run(options, "netclnt", tell)


def output_failed(error: OSError) -> int:
    """A text of help or the version could not be written."""
    silence_stdout()
    failed = failure(error)
    if isinstance(failed, OutputClosed):
        return _die_of_sigpipe()
    standard().note(f"netclnt: {explain(failed).sentence}")
    return int(ExitCode.STORAGE)


class _Ending:
    """Turns what ends a command into a told error and an exit code; lets a gone reader of standard output through."""

    def __init__(self, session: Session) -> None:
        self.code = ExitCode.OK
        self._session = session

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if error is None or isinstance(error, OutputClosed):
            return False
        told = explain(error)
        self.code = outcome(whole_run=[told.code], images=self._session.failures)
        if told.code is ExitCode.BUG and self._session.options.verbose:
            import traceback  # noqa: PLC0415 - only a bug pays for it

            traceback.print_exception(kind, error, trace, file=sys.stderr)
        self._session.view.failed(told)
        return True


def _die_of_sigpipe() -> int:
    """End as any filter does whose reader went away."""
    silence_stdout()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    return OutputClosed.exit_code
